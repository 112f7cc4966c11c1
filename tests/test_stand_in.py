"""The device that stands in for a GPU: which generators are its own."""

import pytest
import torch

from pfltune.testing.broken import Broken
from pfltune.testing.stand_in import STAND_IN, THERE, Guard, stand_in


def drawn(generator):
    with Guard():
        return torch.randn(2, generator=generator, device=STAND_IN)


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
