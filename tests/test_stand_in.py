"""The device that stands in for a GPU: its generators, what it remembers and counts."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

from pfltune.methods.fedavg import FedAvg
from pfltune.testing.broken import Broken
from pfltune.testing.shapes import Shapes, key_of
from pfltune.testing.stand_in import STAND_IN, THERE, Guard, stand_in
from pfltune.testing.subject import Subject
from pfltune.testing.transfers import OF_A_ROUND, confirmed


def drawn(generator):
    with Guard():
        return torch.randn(2, generator=generator, device=STAND_IN)


def described(made):
    return [(t.shape, t.stride(), t.dtype, t.device) for t in tree_leaves(made)]


def test_two_generators_of_one_state_are_told_apart():
    with stand_in():
        there = torch.Generator(STAND_IN).manual_seed(3)
        here = torch.Generator().manual_seed(3)
        assert torch.equal(here.get_state(), there.get_state())
        assert drawn(there).is_meta
        with pytest.raises(Broken, match="draw on the GPU"):
            drawn(here)


def test_a_generator_is_known_as_long_as_it_is_there_and_no_longer():
    with stand_in():
        first = torch.Generator(STAND_IN)
        others = [torch.Generator(STAND_IN) for _ in range(40)]
        assert drawn(first).is_meta
        before = len(THERE)
        del others
        assert len(THERE) == before - 40


@pytest.mark.parametrize("inside", [Guard, lambda: Guard(may_wait=True)], ids=["rounds", "set-up"])
def test_a_generator_of_the_cpu_does_not_draw_into_a_tensor_that_is_there(inside):
    with stand_in(), inside(), pytest.raises(Broken, match="draw on the GPU"):
        torch.empty(2, device=STAND_IN).normal_(generator=torch.Generator())


def test_before_the_first_round_values_may_be_waited_for_but_devices_do_not_mix():
    there = torch.ones(2, device=STAND_IN)
    with Guard(may_wait=True):
        assert torch.ones(2).to(STAND_IN).is_meta
        with pytest.raises(Broken, match="the GPU's and the CPU's"):
            there + torch.ones(2)
    with Guard(), pytest.raises(Broken, match="brought there"):
        torch.ones(2).to(STAND_IN)


def test_what_is_remembered_is_what_the_operation_gives():
    """squeeze_ changes its argument's shape, _unsafe_view shares memory: they are not."""
    aten, shapes = torch.ops.aten, Shapes(STAND_IN)
    a = torch.empty(1, 4, 6, device=STAND_IN)
    cases = [
        (True, aten.add.Tensor, a, a[:, :, :1]),
        (True, aten.native_layer_norm.default, a, [6], None, None, 1e-5),
        (True, aten.mul_.Tensor, a.clone(), a),
        (False, aten.squeeze_.dim, a.clone(), 0),
        (False, aten._unsafe_view.default, a, [4, 6]),
    ]
    for is_remembered, func, *args in cases:
        key = key_of(func, tuple(args), {})
        made = func(*args)
        shapes.note(key, tuple(args), [t for t in args if isinstance(t, torch.Tensor)], made)
        assert (key in shapes) == is_remembered, func
        if is_remembered:
            assert described(shapes.again(key, args)) == described(made)


def test_the_engine_waits_for_no_single_client():
    first, _ = confirmed(Subject(FedAvg, "fedavg"))
    assert 0 < first.transfers.received <= OF_A_ROUND.received
    assert first.steps == 3
