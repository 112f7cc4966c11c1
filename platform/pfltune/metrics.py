"""What is computed from each client's predictions beside top-1 accuracy.

    class WorstClass(Metric):
        \"\"\"Recall of the class that a client knows least.\"\"\"

        words = "recall of the class that a client knows least"
        better = "high"

        def of(self, logits, labels):
            hits = (logits.argmax(dim=1) == labels).float()
            return torch.stack([hits[labels == c].mean() for c in labels.unique()]).min()

A scenario names it in ``metrics``, as a word or as ``path/to/file.py:Class``. What it gives is told
and never selected by: the search and the chosen round go by validation accuracy.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import ClassVar, get_args

import torch
from torch import Tensor

from pfltune.errors import UserError, unknown
from pfltune.figures import FIGURES, SPELLING, Better, Measure
from pfltune.isolation import contained, in_a_line
from pfltune.registry import load_file, loaded, short_name

ENTRY_POINTS = "pfltune.metrics"


class Metric(ABC):
    """A number of each client, from its answers to its own samples.

    A function of its arguments: nothing is remembered on ``self``.
    """

    words: ClassVar[str] = ""
    """What one client's number is; the first line of the class's description if empty."""

    heading: ClassVar[str] = ""
    """Of its column; the metric's name if empty."""

    unit: ClassVar[str] = ""
    """Of the number as it is returned."""

    factor: ClassVar[float] = 1.0
    """What the number is multiplied by to be shown: 100 for a share in percent."""

    form: ClassVar[str] = "{:,.4g}"
    """How it is then written."""

    better: ClassVar[Better] = ""
    """Whether the highest or the lowest is to be striven for; empty if neither."""

    @abstractmethod
    def of(self, logits: Tensor, labels: Tensor) -> Tensor | float:
        """The client's number on the samples of one part; NaN where it says nothing of them.

        A tensor is brought over from the device with those of all other clients; what makes a
        Python number of it, such as ``item()``, waits for the GPU once for every client.

        Args:
            logits: what the client's model answers, float32 (samples, classes), on the device.
            labels: the right classes, int64 (samples,); at least one.
        """


class BalancedAccuracy(Metric):
    """Mean recall over the classes that a client has."""

    words = "mean recall over the classes that a client has"
    heading = "balanced accuracy %"
    unit = "share"
    factor = 100
    form = "{:.2f}"
    better = "high"

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Every class counts as much as any other, however many samples it has."""
        hits = (logits.argmax(dim=1) == labels).double()
        none = hits.new_zeros(logits.shape[1])
        samples = none.index_add(0, labels, torch.ones_like(hits))
        recalls = none.index_add(0, labels, hits) / samples.clamp(min=1)
        return recalls.sum() / (samples > 0).sum()


BUILT_IN: Mapping[str, type[Metric]] = {"balanced_accuracy": BalancedAccuracy}


def find_metric(reference: str) -> type[Metric]:
    """The class behind a name or ``path/to/file.py:Class``.

    Raises:
        UserError: there is none, or it is no metric.
    """
    if ".py:" in reference:
        path, _, name = reference.rpartition(":")
        module = load_file(Path(path), "metric")
        if not hasattr(module, name):
            raise unknown(f"class in {path}", name, _metrics_in(vars(module)))
        return _checked(getattr(module, name), reference)
    entries = _entry_points()
    if reference in BUILT_IN:
        return BUILT_IN[reference]
    if reference not in entries:
        raise unknown("metric", reference, [*BUILT_IN, *entries])
    entry = entries[reference]
    return _checked(loaded(entry.load, entry.value, entry.module), entry.value)


def measures(references: Iterable[str]) -> dict[str, Measure]:
    """What the metrics are to those who tell of them, by reference.

    Raises:
        UserError: one is not there, says something impossible of itself, or has another's name.
    """
    found: dict[str, Measure] = {}
    taken = set(FIGURES)
    for reference in references:
        measure = _measure(reference)
        names = {figure.name for figure in measure.figures()}
        if names & taken:
            raise UserError(f"metrics: {reference} has the name of another figure")
        taken |= names
        found[reference] = measure
    return found


def try_metrics(references: Iterable[str], classes: int) -> None:
    """Ask each metric about some samples, so that what it cannot do shows before any training.

    Raises:
        UserError: one is not possible, or its own code fails.
    """
    for reference, measure in measures(references).items():
        cls = find_metric(reference)
        labels = torch.arange(2 * classes) % classes
        logits = torch.randn(len(labels), classes, generator=torch.Generator().manual_seed(0))
        whose = f"metric {measure.name}"
        with contained(whose), in_a_line(whose, inspect.getfile(cls)), torch.inference_mode():
            number(cls().of(logits, labels), labels.device)


def number(value: Tensor | float, device: torch.device) -> Tensor:
    """What somebody's code returned for one client, as float64 on the device.

    Raises:
        TypeError: it is not one number.
    """
    if isinstance(value, Tensor) and value.numel() != 1:
        raise TypeError(f"a tensor of shape {tuple(value.shape)} is not one number")
    if not isinstance(value, Tensor | float | int):
        raise TypeError(f"{value!r} is not one number")
    return torch.as_tensor(value, dtype=torch.float64, device=device).reshape(())


def _measure(reference: str) -> Measure:
    cls, name = find_metric(reference), short_name(reference)
    for fault in _faults(cls, name):
        raise UserError(f"metric {reference}: {fault}")
    return Measure(
        name=name,
        words=cls.words or (inspect.getdoc(cls) or name).partition("\n")[0].rstrip("."),
        heading=cls.heading or name.replace("_", " "),
        unit=cls.unit,
        factor=cls.factor,
        form=cls.form,
        better=cls.better,
    )


def _faults(cls: type[Metric], name: str) -> Iterator[str]:
    if not SPELLING.fullmatch(name):
        yield f"its name {name!r} must be of lower-case letters, digits and _"
    if cls.better not in get_args(Better):
        yield f"better = {cls.better!r} must be 'high', 'low' or ''"
    for field in ("words", "heading", "unit"):
        if not (isinstance(getattr(cls, field), str) and getattr(cls, field).isprintable()):
            yield f"{field} = {getattr(cls, field)!r} has characters that cannot be printed"
    try:
        cls.form.format(0.5 * cls.factor)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"form = {cls.form!r} and factor = {cls.factor!r} write no number: {error}"


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _metrics_in(names: Mapping[str, object]) -> list[str]:
    return [n for n, v in names.items() if isinstance(v, type) and issubclass(v, Metric)]


def _checked(found: object, where: str) -> type[Metric]:
    if not (isinstance(found, type) and issubclass(found, Metric)):
        raise UserError(f"{where} is not a subclass of pfltune.metrics.Metric")
    if inspect.isabstract(found):
        raise UserError(f"{where} does not define of(logits, labels)")
    return found
