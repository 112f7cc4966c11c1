"""What every stage of the channel is: a way to send, and the way back."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import ClassVar

import torch

from pfltune.errors import UserError
from pfltune.knobs import knobs_of
from pfltune.strays import see_spelling
from pfltune.tensors import Tensors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wrap:
    """What becomes of a payload on its way.

    A frozen dataclass of knobs, like a method. It holds no state, and tensors that it is handed are
    left as they are. What the receiver needs is in the wire, whose bytes are counted, or in the
    reference.
    """

    title: ClassVar[str] = ""
    """How it is written behind a method's title; the class name if empty."""

    both_ways: ClassVar[bool] = True
    """Whether downloads pass it, too, or uploads alone."""

    def send(
        self, payload: Tensors, reference: Tensors, state: Tensors, rng: torch.Generator
    ) -> tuple[Tensors, Tensors]:
        """What travels in place of a payload, and what the sender keeps for its next one.

        Args:
            payload: what a method sends, or what the wrap before this one made of it.
            reference: what both ends have already, by name. Of an upload it is what the client
                received in this round, or zeros of these shapes if the upload is a change
                (:attr:`pfltune.method.Update.change`); of a download it is empty.
            state: what this client's last upload through this wrap returned; empty at first, and
                for downloads, of which nothing is kept.
            rng: a CPU generator, seeded for this message.
        """
        raise NotImplementedError

    def receive(self, wire: Tensors, reference: Tensors) -> Tensors:
        """The payload, as far as it can be had again.

        Args:
            wire: what :meth:`send` returned first.
            reference: see there.
        """
        raise NotImplementedError


def title_of(cls: type[Wrap]) -> str:
    """How a wrap is written behind a method's title."""
    return cls.title or cls.__name__


def see_free(payload: Tensors, own: Callable[[str], bool], cls: type[Wrap]) -> None:
    """See that no name in a payload is one that a wrap gives to what it adds.

    Raises:
        UserError: one is.
    """
    if taken := next(filter(own, payload), None):
        raise UserError(f"{cls.__name__} cannot send {taken!r}: it names what it adds like this")


def check_wrap(cls: type[Wrap]) -> None:
    """See that a class is what its author thinks.

    Raises:
        UserError: it is not.
    """
    for hook in ("send", "receive"):
        found, wanted = getattr(cls, hook), getattr(Wrap, hook)
        if found is wanted:
            raise UserError(f"{cls.__name__}: a wrap must define {hook}()")
        arguments = list(inspect.signature(wanted).parameters)
        if not inspect.isfunction(found) or list(inspect.signature(found).parameters) != arguments:
            raise UserError(f"{cls.__name__}: write def {hook}({', '.join(arguments)})")
    see_spelling(cls, Wrap, "wrap")
    knobs = knobs_of(cls)
    for field in dataclasses.fields(cls):
        if field.name not in knobs:
            raise UserError(f"{cls.__name__}: its field {field.name} must be a knob()")
    for name, value in vars(cls).items():
        if isinstance(value, dataclasses.Field):
            raise UserError(
                f"{cls.__name__}: its knob {name} needs @dataclass(frozen=True, kw_only=True) "
                "above the class, and an annotation"
            )
    title: object = cls.title
    if not (isinstance(title, str) and title.isprintable() and "+" not in title):
        raise UserError(f"{cls.__name__}: its title {cls.title!r} must be printable, without a +")
