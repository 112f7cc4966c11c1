"""Bytes against figures stated from shapes: 4 per number, and safetensors' header."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from pfltune.federation.footprint import sent_once
from pfltune.federation.payload import payload_bytes
from pfltune.federation.setup import set_up
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.apfl import APFL
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedala import FedALA
from pfltune.methods.fedamp import FedAMP
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedpac import FedPAC
from pfltune.methods.fedper import FedPer
from pfltune.methods.local import Local
from pfltune.methods.moon import MOON
from pfltune.methods.pfedme import PFedMe
from pfltune.methods.pfedpg import PFedPG
from pfltune.registry import available_methods, make_method

CODES = {torch.float64: ("F64", 8), torch.float32: ("F32", 4), torch.float16: ("F16", 2)}

D, MLP, TOKENS, CLASSES = 16, 64, 5, 3
BLOCK = {
    "norm1.weight": [D],
    "norm1.bias": [D],
    "attn.qkv.weight": [3 * D, D],
    "attn.qkv.bias": [3 * D],
    "attn.proj.weight": [D, D],
    "attn.proj.bias": [D],
    "norm2.weight": [D],
    "norm2.bias": [D],
    "mlp.fc1.weight": [MLP, D],
    "mlp.fc1.bias": [MLP],
    "mlp.fc2.weight": [D, MLP],
    "mlp.fc2.bias": [D],
}
HEAD = {"head.weight": [CLASSES, D], "head.bias": [CLASSES]}
BODY = {
    "cls_token": [1, 1, D],
    "pos_embed": [1, TOKENS, D],
    "patch_embed.proj.weight": [D, 1, 4, 4],
    "patch_embed.proj.bias": [D],
    **{f"blocks.{i}.{name}": shape for i in range(2) for name, shape in BLOCK.items()},
    "norm.weight": [D],
    "norm.bias": [D],
}
"""The tiny ViT: 8x8 pixels in patches of 4x4 (4 patches and a class token), width 16, 2 blocks."""


def numbers(shapes):
    total = 0
    for shape in shapes.values():
        product = 1
        for side in shape:
            product *= side
        total += product
    return total


def file_size(shapes, dtype=torch.float32):
    """A safetensors file of tensors of one type.

    8 bytes hold the length of the header; the header is compact JSON, name → dtype, shape and
    offsets of its data in the order of the names, padded with blanks to a multiple of 8; the data
    follows without gaps.
    """
    code, size = CODES[dtype]
    header, offset = {}, 0
    for name in sorted(shapes):
        end = offset + size * numbers({name: shapes[name]})
        header[name] = {"dtype": code, "shape": shapes[name], "data_offsets": [offset, end]}
        offset = end
    text = len(json.dumps(header, separators=(",", ":")))
    return 8 + -(-text // 8) * 8 + offset


def round_bytes(method, federation):
    """(down, up, total) of the first round."""
    metrics = FederatedTrial(method, federation, seed=0).step().metrics
    names = ("down_mb_per_round", "up_mb_per_round", "total_mb")
    return tuple(round(metrics[f"comm/{name}"] * 1e6) for name in names)


def test_the_size_of_a_small_payload_by_hand():
    """{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}} has 54 letters, padded to 56.

    8 + 56 + 3 · 4 = 76.
    """
    assert payload_bytes({"w": torch.zeros(3)}) == 76
    assert file_size({"w": [3]}) == 76


def test_an_empty_payload_has_no_bytes():
    assert payload_bytes({}) == 0


TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool)
TENSORS = st.dictionaries(
    st.text("ab.é_7", min_size=1, max_size=6),
    st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 40), max_size=3)),
    min_size=1,
    max_size=6,
)


@given(TENSORS)
def test_the_size_is_that_of_the_file_which_safetensors_writes(kinds):
    tensors = {name: torch.zeros(shape, dtype=dtype) for name, (dtype, shape) in kinds.items()}
    assert payload_bytes(tensors) == len(save(tensors))


@pytest.mark.parametrize("dtype", CODES)
def test_the_type_of_numbers_matters(dtype):
    tensors = {"a": torch.zeros(40, 5, dtype=dtype), "b": torch.zeros(7, dtype=dtype)}
    assert payload_bytes(tensors) == file_size({"a": [40, 5], "b": [7]}, dtype)


def test_half_the_precision_saves_two_bytes_a_number():
    full, half = torch.zeros(1000), torch.zeros(1000, dtype=torch.float16)
    assert payload_bytes({"w": full}) - payload_bytes({"w": half}) == 2000


def test_the_order_of_the_tensors_does_not_matter():
    a, b = torch.zeros(300), torch.zeros(2)
    assert payload_bytes({"a": a, "b": b}) == payload_bytes({"b": b, "a": a})


def test_the_values_do_not_matter():
    assert payload_bytes({"w": torch.zeros(9)}) == payload_bytes({"w": torch.randn(9)})


def test_a_view_counts_what_is_sent_not_what_it_is_cut_from():
    assert payload_bytes({"w": torch.zeros(100, 3)[::10, :1]}) == file_size({"w": [10, 1]})


CLIENTS = 2
"""Sampled in each round."""


def test_fedavg_sends_the_model_to_each_client_and_back(federation):
    one_way = CLIENTS * file_size(BODY | HEAD)
    assert round_bytes(FedAvg(), federation) == (one_way, one_way, 2 * one_way)


def test_fedper_sends_all_but_the_head(federation):
    one_way = CLIENTS * file_size(BODY)
    assert round_bytes(FedPer(), federation) == (one_way, one_way, 2 * one_way)


def test_fedper_saves_the_numbers_of_the_head(federation):
    """The head has 3·16 + 3 = 51 numbers; its two entries of the header are saved, too."""
    saved = round_bytes(FedAvg(), federation)[1] - round_bytes(FedPer(), federation)[1]
    assert 51 * 4 < saved / CLIENTS < 51 * 4 + 200


def test_local_sends_nothing(federation):
    assert round_bytes(Local(), federation) == (0, 0, 0)


@pytest.mark.parametrize("prompts", [1, 10])
def test_pfedpg_sends_its_prompts(prompts, federation):
    """K = 10: {"blocks.0.prompts":{"dtype":"F32","shape":[10,16],"data_offsets":[0,640]}}.

    These are 73 letters, padded to 80: 8 + 80 + 10·16·4 = 728 bytes.
    """
    one_way = CLIENTS * file_size({"blocks.0.prompts": [prompts, D]})
    assert prompts != 10 or one_way == CLIENTS * 728
    assert round_bytes(PFedPG(prompts=prompts), federation) == (one_way, one_way, 2 * one_way)


@pytest.mark.parametrize("sampled", [1, 3, 4])
def test_bytes_grow_with_the_sampled_clients(sampled, make_federation):
    one_way = sampled * file_size(BODY | HEAD)
    ground = make_federation(sampled_clients=sampled)
    assert round_bytes(FedAvg(), ground) == (one_way, one_way, 2 * one_way)


def test_the_total_accumulates_over_the_rounds(run_trial):
    totals = [m["comm/total_mb"] * 1e6 for m in run_trial(FedPer()).metrics]
    a_round = 2 * CLIENTS * file_size(BODY)
    assert [round(total) for total in totals] == [a_round, 2 * a_round, 3 * a_round]


def test_evaluation_bytes_are_kept_apart(federation, run_trial):
    evaluation = run_trial(FedPer()).metrics[-1]["comm/total_evaluation_mb"] * 1e6
    assert round(evaluation) == 3 * len(federation.clients) * file_size(BODY)


def footprint(method, federation):
    return FederatedTrial(method, federation, seed=0).footprint()


@pytest.fixture(scope="module")
def stored(make_federation):
    """Start weights that no seed makes."""
    rng = torch.Generator().manual_seed(1)
    bare = make_federation().build_backbone(seed=3).state_dict()
    weights = {name: t + 0.1 * torch.randn(t.shape, generator=rng) for name, t in bare.items()}
    return make_federation(weights=weights)


@pytest.mark.parametrize(
    ("method", "once"),
    [(PFedPG(), BODY | HEAD), (FedPer(), HEAD), (Local(), BODY | HEAD), (FedAvg(), {})],
    ids=["pfedpg", "fedper", "local", "fedavg"],
)
def test_start_weights_that_do_not_travel_are_broadcast_once_to_every_client(method, once, stored):
    """Frozen ones, and those that personal parts begin with; what is shared comes each round."""
    setup = footprint(method, stored)["comm/setup_mb"] * 1e6
    assert round(setup) == (len(stored.clients) * file_size(once) if once else 0)


KEEPING = [(MOON(), BODY | HEAD), (PFedMe(), BODY | HEAD), (FedAMP(), BODY | HEAD)]
KEEPING += [(APFL(), BODY | HEAD), (Ditto(), BODY | HEAD), (FedALA(), HEAD)]


@pytest.mark.parametrize(("method", "kept"), KEEPING, ids=[type(m).__name__ for m, _ in KEEPING])
def test_copies_of_the_start_are_sent_to_whoever_is_not_there_in_the_first_round(
    method, kept, stored
):
    """2 of the 4 clients train in round 1 and download the start; the other 2 are sent it."""
    setup = footprint(method, stored)["comm/setup_mb"] * 1e6
    assert round(setup) == 2 * file_size(kept)
    everybody = stored.protocol.model_copy(update={"sampled_clients": 4})
    assert footprint(method, replace(stored, protocol=everybody))["comm/setup_mb"] == 0


def test_a_copy_that_is_rounded_on_its_way_down_is_sent_whole(stored):
    """What 16 bits cannot hold is in no download of the first round."""
    wrapped = make_method("moon+float16", {})
    setup = footprint(wrapped, stored)["comm/setup_mb"] * 1e6
    assert round(setup) == 4 * file_size(BODY | HEAD)


def test_a_personal_part_that_is_downloaded_all_the_same_is_not_broadcast(stored):
    """FedPAC's server has the head of every client."""
    assert footprint(FedPAC(), stored)["comm/setup_mb"] == 0


def test_a_copy_is_sent_once_however_often_it_is_kept(stored):
    @dataclass(frozen=True, kw_only=True)
    class Twice(MOON):
        def init_client(self, start, client):
            again = {f"again.{name}": 1 * value for name, value in start.shared.items()}
            return {**super().init_client(start, client), **again}

    assert footprint(Twice(), stored) == footprint(MOON(), stored)


def test_what_is_made_of_the_start_and_is_no_copy_is_sent_as_it_is(stored):
    """Nobody can tell how it was made: all 4 clients are sent the doubles of the head."""

    @dataclass(frozen=True, kw_only=True)
    class Doubling(FedAvg):
        def init_client(self, start, client):
            return {name: 2 * start.shared[name] for name in HEAD}

    setup = footprint(Doubling(), stored)["comm/setup_mb"] * 1e6
    assert round(setup) == 4 * file_size(HEAD)


@pytest.mark.parametrize("name", sorted(available_methods()))
def test_what_is_sent_once_and_the_seed_make_every_first_state(name, stored):
    """Of a client that is not there in round 1, whatever the method."""
    method = make_method(name, {})
    sent = sent_once(method, stored, seed=0)
    began, made = (
        set_up(method, ground.build_backbone(0), 1, 0, torch.device("cpu"))
        for ground in (stored, replace(stored, weights=None))
    )
    bare = made.first_state(0)
    frozen = {name: began.model.state_dict()[name] for name in began.roles.frozen}
    for name, value in {**frozen, **began.first_state(0)}.items():
        seeded = bare.get(name, made.model.state_dict().get(name))
        there = [*sent.later.values(), *([] if seeded is None else [seeded])]
        assert any(value.dtype == t.dtype and torch.equal(value, t) for t in there), name
    assert sent.first.keys() <= sent.later.keys()
    assert sent_once(method, replace(stored, weights=None), seed=0).later == {}


@pytest.mark.parametrize("method", [PFedPG(), FedPer(), Local()], ids=["pfedpg", "fedper", "local"])
def test_nothing_is_broadcast_where_every_client_makes_the_start_from_the_seed(method, federation):
    assert footprint(method, federation)["comm/setup_mb"] == 0


def test_a_head_that_each_seed_draws_is_not_broadcast(stored):
    """As for pretrained weights, which are of other classes."""
    body = {name: t for name, t in stored.weights.items() if name not in HEAD}
    setup = footprint(Local(), replace(stored, weights=body))["comm/setup_mb"] * 1e6
    assert round(setup) == len(stored.clients) * file_size(BODY)


@pytest.mark.parametrize(
    ("method", "shared", "personal"),
    [
        (FedAvg(), numbers(BODY | HEAD), 0),
        (FedPer(), numbers(BODY), 51),
        (Local(), 0, numbers(BODY | HEAD)),
        (PFedPG(prompts=7), 7 * D, 51),
    ],
    ids=["fedavg", "fedper", "local", "pfedpg"],
)
def test_the_footprint_counts_parameters_by_role(method, shared, personal, federation):
    found = footprint(method, federation)
    assert (found["params/shared"], found["params/personal"]) == (shared, personal)
