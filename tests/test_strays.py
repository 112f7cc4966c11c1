"""Names in a stranger's class that are almost what somebody would read."""

import re
from typing import ClassVar

import pytest

from pfltune import backbones, metrics
from pfltune.backbones import Backbone
from pfltune.data import partitions
from pfltune.data import settings as data
from pfltune.data.partitions import Partition
from pfltune.errors import UserError
from pfltune.federation import sampling
from pfltune.federation.sampling import Sampler
from pfltune.metrics import Metric
from pfltune.wraps import WRAPS, Wrap

SEAMS = {
    "backbone": backbones.SEAM,
    "data set": data.SEAM,
    "metric": metrics.SEAM,
    "partition": partitions.SEAM,
    "sampler": sampling.SEAM,
    "wrap": WRAPS,
}


class OneWay(Wrap):
    both_way = False

    def send(self, payload, reference, state, rng): ...

    def receive(self, wire, reference): ...


class Untitled(OneWay):
    tittle = "OneWay, both ways"
    both_way = Wrap.both_ways


class Spread(Metric):
    name: str = "spread"
    beter: ClassVar[str] = "high"

    def of(self, logits, labels): ...


class Measuring(Metric):
    name: str = "measuring"

    def of(self, logits, labels): ...

    def measured(self): ...


class Quarters(Partition):
    kind: str = "quarters"
    within_domain: ClassVar[bool] = True

    def divide(self, labels, domains, seed): ...


class Describing(Partition):
    kind: str = "describing"

    def divide(self, labels, domains, seed): ...

    def discribe(self): ...


class Twice(Sampler):
    kind: str = "twice"

    def sample(self, sampling): ...

    @property
    def samples(self): ...


class Net(Backbone):
    name: str = "net"
    source: ClassVar[tuple[str, ...]] = ("random",)

    def create(self, classes, channels): ...


class Stripes(data.DataSource):
    name: str = "stripes"

    def decode(self): ...

    def decoded(self): ...


MISSPELT = [
    ("wrap", OneWay, "both_way", "both_ways"),
    ("wrap", Untitled, "tittle", "title"),
    ("metric", Spread, "beter", "better"),
    ("metric", Measuring, "measured", "measure"),
    ("partition", Quarters, "within_domain", "within_domains"),
    ("partition", Describing, "discribe", "describe"),
    ("sampler", Twice, "samples", "sample"),
    ("backbone", Net, "source", "sources"),
    ("data set", Stripes, "decoded", "decode"),
]


@pytest.mark.parametrize(("noun", "cls", "name", "meant"), MISSPELT)
def test_a_name_that_is_almost_one_that_is_read_is_refused(noun, cls, name, meant):
    told = f"{cls.__name__}: '{name}' is nothing that a {noun} is asked for; did you mean '{meant}'"
    with pytest.raises(UserError, match=re.escape(told)):
        SEAMS[noun].checked(cls, "here")


@pytest.mark.parametrize("noun", SEAMS)
def test_what_is_built_in_has_no_such_name(noun):
    for load in SEAMS[noun].built_in().values():
        SEAMS[noun].checked(load(), "here")


def test_settings_helpers_and_names_of_their_own_are_no_business_of_ours():
    class Uneven(Partition):
        kind: str = "uneven"
        describes: float = 1.0
        MOST: ClassVar[int] = 9

        def divide(self, labels, domains, seed): ...

        def describe(self): ...

        def _described(self): ...

        def halves_of(self, clients): ...

    SEAMS["partition"].checked(Uneven, "here")
