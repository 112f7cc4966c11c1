"""What data sheets promise of GPUs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A GPU by its data sheet.

    Attributes:
        name: as ``torch.cuda.get_device_name`` has it in it.
        title: how tables call it.
        bfloat16: dense matrix products, 10^12 operations per second.
        float32: likewise, without TensorFloat-32, as torch computes them by default.
        bandwidth: of its memory, 10^9 bytes per second.
        memory: 10^9 bytes.
    """

    name: str
    title: str
    bfloat16: float
    float32: float
    bandwidth: float
    memory: float


# NVIDIA's data sheets of the SXM modules ("NVIDIA A100 80GB Tensor Core GPU", "NVIDIA H100 Tensor
# Core GPU", "NVIDIA H200 Tensor Core GPU"). Those of H100 and H200 print 1,979 TFLOP/s for
# bfloat16 with sparsity, which is half without.
CARDS = (
    Card("A100", "A100 80 GB SXM", 312.0, 19.5, 2039.0, 80.0),
    Card("H100", "H100 SXM", 989.5, 67.0, 3350.0, 80.0),
    Card("H200", "H200 SXM", 989.5, 67.0, 4800.0, 141.0),
)


def card_of(name: str) -> Card | None:
    """The card of a GPU that torch calls ``name``; None where its data sheet is not here."""
    return next((card for card in CARDS if card.name in name), None)
