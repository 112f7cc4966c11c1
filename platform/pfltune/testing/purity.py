"""Hooks are functions: what they are handed, and what the process has, is as it was."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pfltune.federation.trial import FederatedTrial
from pfltune.isolation import snapshot
from pfltune.method import Method, Start, Tensors
from pfltune.testing.broken import Broken
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import differing, run, some, with_hooks
from pfltune.testing.subject import Subject

WATCHED = (
    *("phases", "adapt", "objective", "init_server", "init_client"),
    *("download", "assemble", "train", "aggregate"),
)
"""All hooks but those that build the model, whose layers draw their first weights."""


@dataclass
class Watch:
    """What hooks left changed: (hook, what) in the order in which it was seen."""

    process: list[tuple[str, str]] = field(default_factory=list)
    arguments: list[tuple[str, str]] = field(default_factory=list)


def leaves_the_process_alone(subject: Subject) -> None:
    """Settings and generators of the whole process are left alone"""
    for hook, what in _watched(subject).process:
        raise Broken(
            "a process whose settings and global generators stay as they are",
            f"that {hook}() changed {what}",
            "draw from start.rng or work.generator(), and set nothing for the whole process",
            hook,
        )


def leaves_its_arguments_alone(subject: Subject) -> None:
    """Hooks do not write into the tensors that they are handed"""
    for hook, what in _watched(subject).arguments:
        raise Broken(
            "arguments that stay as they were",
            f"that {hook}() wrote into {what}",
            "make new tensors and new dictionaries; operations that end in _ write in place",
            hook,
        )


@cache
def _watched(subject: Subject) -> Watch:
    watch = Watch()
    method = subject.make()
    hooks = {name: _watching(method, name, watch) for name in WATCHED}
    data = small_federation().dataset
    images, labels = data.images.clone(), data.labels.clone()
    run(FederatedTrial(with_hooks(method, **hooks), small_federation(), 0), rounds=2)
    if not (torch.equal(images, data.images) and torch.equal(labels, data.labels)):
        watch.process.append(("train", "the images or labels of the data set"))
    return watch


def _watching(method: Method, name: str, watch: Watch) -> Callable[..., Any]:
    hook = getattr(type(method), name)

    def watched(self: Method, *args: Any, **named: Any) -> Any:
        process, before = snapshot(), dict(_tensors(args))
        result = hook(self, *args, **named)
        now = snapshot()
        watch.process += [(name, what) for what, value in process.items() if now[what] != value]
        changed = differing(before, dict(_tensors(args, copied=False)))
        watch.arguments += [(name, some(changed))] if changed else []
        return result

    return watched


def _tensors(args: tuple[Any, ...], copied: bool = True) -> Iterator[tuple[str, Tensor]]:
    """The tensors in the dictionaries among a hook's arguments, by name."""
    for tensors in args:
        for name, tensor in _dictionary(tensors).items():
            yield name, tensor.detach().clone() if copied else tensor.detach()


def _dictionary(argument: Any) -> Tensors:
    if isinstance(argument, Start):
        return {**argument.shared, **argument.personal}
    return argument if isinstance(argument, dict) else {}
