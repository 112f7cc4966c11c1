"""What is computed from each client's predictions beside top-1 accuracy.

    class WorstClass(Metric):
        \"\"\"Recall of the class that a client knows least.\"\"\"

        words = "recall of the class that a client knows least"
        better = "high"

        def of(self, logits, labels):
            hits = (logits.argmax(dim=1) == labels).float()
            return torch.stack([hits[labels == c].mean() for c in labels.unique()]).min()

A scenario names it in ``metrics``, as a word or as ``path/to/file.py:Class``. What it gives is
told; the one that ``protocol.metric`` names is what rounds are chosen and searches go by as well.
"""

import inspect
from collections.abc import Iterable, Iterator
from typing import ClassVar, get_args

import torch
from torch import Tensor

from pfltune.devices import moved
from pfltune.errors import UserError
from pfltune.figures import ACCURACY, FIGURES, SPELLING, Better, Measure
from pfltune.goal import Goal, goal_of
from pfltune.plugins import Plugin, must_have_hooks, running, short_name


class Metric(Plugin):
    """A number of each client, from its answers to its own samples.

    Fields are settings that a scenario can give: ``{name: path.py:TopK, k: 5}``.
    """

    noun = "metric"
    key = "name"
    hooks = ("of",)
    name: str

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

    def of(self, logits: Tensor, labels: Tensor) -> Tensor | float:
        """The client's number on the samples of one part; NaN where it says nothing of them.

        A tensor is brought over from the device with those of all other clients; what makes a
        Python number of it, such as ``item()``, waits for the GPU once for every client.

        Args:
            logits: what the client's model answers, float32 (samples, classes), on the device.
            labels: the right classes, int64 (samples,); at least one.
        """
        raise NotImplementedError

    def measure(self) -> Measure:
        """What it is to those who tell of it.

        Raises:
            UserError: its name is none of a figure.
        """
        name = short_name(self.name)
        if not SPELLING.fullmatch(name):
            raise UserError(f"{self.called}: its name must be of letters, digits and _")
        return Measure(
            name=name,
            words=self.words or (inspect.getdoc(type(self)) or name).partition("\n")[0].rstrip("."),
            heading=self.heading or name.replace("_", " "),
            unit=self.unit,
            factor=self.factor,
            form=self.form,
            better=self.better,
        )


def measures(metrics: Iterable[Metric]) -> tuple[Measure, ...]:
    """What the metrics are to those who tell of them.

    Raises:
        UserError: two have one name, or one has that of a figure.
    """
    found = []
    taken = set(FIGURES)
    for metric in metrics:
        measure = metric.measure()
        names = {figure.name for figure in (*measure.figures(), Goal(measure).best)}
        if names & taken:
            raise UserError(f"{metric.called} has the name of another figure")
        taken |= names
        found.append(measure)
    return tuple(found)


def try_metrics(metrics: tuple[Metric, ...], classes: int, wanted: str = ACCURACY.name) -> None:
    """Ask each metric about some samples, so that what it cannot do shows before any training.

    Args:
        metrics: of a scenario.
        classes: of its data.
        wanted: the name of the one that it goes by.

    Raises:
        UserError: one is not possible, its own code fails, or the one gone by has no direction.
    """
    goal_of(wanted, measures(metrics))
    labels = torch.arange(2 * classes) % classes
    logits = torch.randn(len(labels), classes, generator=torch.Generator().manual_seed(0))
    for metric in metrics:
        with running(metric), torch.inference_mode():
            number(metric.of(logits, labels), labels.device)


def number(value: Tensor | float, device: torch.device) -> Tensor:
    """What somebody's code returned for one client, as float64 on the device.

    Raises:
        TypeError: it is not one number.
    """
    if isinstance(value, Tensor) and value.numel() != 1:
        raise TypeError(f"a tensor of shape {tuple(value.shape)} is not one number")
    if not isinstance(value, Tensor | float | int):
        raise TypeError(f"{value!r} is not one number")
    if not isinstance(value, Tensor):
        return torch.full((), value, dtype=torch.float64, device=device)
    there = moved(value, device) if value.is_cpu else value
    return there.to(torch.float64).reshape(())


def check(cls: type[Metric]) -> None:
    """See that a class is a metric.

    Raises:
        UserError: it is not.
    """
    must_have_hooks(cls)
    for fault in _faults(cls):
        raise UserError(f"{cls.__name__}: {fault}")


def _faults(cls: type[Metric]) -> Iterator[str]:
    if cls.better not in get_args(Better):
        yield f"better = {cls.better!r} must be 'high', 'low' or ''"
    for field in ("words", "heading", "unit"):
        if not (isinstance(getattr(cls, field), str) and getattr(cls, field).isprintable()):
            yield f"{field} = {getattr(cls, field)!r} has characters that cannot be printed"
    try:
        cls.form.format(0.5 * cls.factor)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"form = {cls.form!r} and factor = {cls.factor!r} write no number: {error}"
