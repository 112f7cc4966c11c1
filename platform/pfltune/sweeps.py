"""Sweeps: one comparison for each of several settings of a scenario, under one name.

Each setting is a cell: a comparison with a folder, a record and a journal of its own, which can be
reported, resumed and extended by itself. The sweep's own folder says which cells there are.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Literal
from uuid import uuid4

import yaml
from pydantic import Field

from pfltune.errors import UserError
from pfltune.ownership import RECORDS, owner_of, recorded, write_record
from pfltune.record import NAME
from pfltune.settings import Settings

SWEEP = RECORDS["sweep"]
SCENARIO = "scenario"
"""The swept setting of a sweep over scenarios."""
MOST_CELLS = 200
SHOWN = 4
"""Cells that a message names."""
UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")
"""What of a value cannot stand in a name."""


class Cell(Settings):
    """One comparison of a sweep.

    Attributes:
        name: of the comparison.
        scenario: name or file of the scenario.
        overrides: changes of it, each as ``key=value``.
        at: the value of each swept setting, as it was given.
    """

    name: str = Field(pattern=f"^{NAME}$")
    scenario: str
    overrides: tuple[str, ...]
    at: Mapping[str, str] = Field(min_length=1)

    @property
    def names_files(self) -> bool:
        """Whether its scenario is a file, or names one: there may be code in it."""
        is_file = self.scenario.endswith((".yaml", ".yml"))
        return is_file or any(".py:" in override for override in self.overrides)

    @property
    def label(self) -> str:
        """``alpha=0.1, beta=2``: where it stands, in few words."""
        return label_of(self.at)


class Sweep(Settings):
    """All cells of a sweep.

    Attributes:
        format: of this file.
        id: random; it stands in all that the sweep writes itself.
        name: of its folder.
        command: that began it.
        cells: the comparisons, in the order in which they are shown.
    """

    format: Literal[1] = 1
    id: str = Field(default_factory=lambda: uuid4().hex, pattern="^[0-9a-f]{32}$")
    name: str = Field(pattern=f"^{NAME}$")
    command: Literal["compare", "tune"]
    cells: tuple[Cell, ...] = Field(min_length=2)

    @property
    def owner(self) -> str:
        """As it stands in marks and messages; no other sweep has the same."""
        return owner_of("sweep", self.name, self.id)

    @property
    def swept(self) -> dict[str, tuple[str, ...]]:
        """The values of each swept setting, in their order."""
        return {
            key: tuple(dict.fromkeys(c.at[key] for c in self.cells)) for key in self.cells[0].at
        }

    def write(self, folder: Path) -> None:
        """Put it into the sweep's folder.

        Raises:
            OSError: it cannot be written.
        """
        write_record(folder / SWEEP, self)


def read_sweep(folder: Path) -> Sweep | None:
    """The sweep in a folder; None if there is none.

    Raises:
        UserError: it is damaged.
    """
    return recorded(folder / SWEEP, folder, Sweep)


def refuse_sweep(folder: Path) -> None:
    """See that a folder is no sweep's, where one comparison is wanted.

    Raises:
        UserError: it is; names the cells.
    """
    sweep = read_sweep(folder)
    if sweep is not None:
        cells = ", ".join(cell.name for cell in sweep.cells[:SHOWN])
        more = ", …" if len(sweep.cells) > SHOWN else ""
        raise UserError(f"{folder.name} is a sweep; name one of its cells: {cells}{more}")


def cells_of(name: str, scenarios: str, overrides: Sequence[str]) -> tuple[Cell, ...]:
    """The cells that options ask for; none where no setting has several values.

    Args:
        name: of the sweep; those of the cells begin with it.
        scenarios: a scenario, or several separated by commas.
        overrides: ``key=value``, or ``key=value,value``. A comma within brackets, braces or quotes
            is part of a value.

    Raises:
        UserError: a value stands there twice, or there are too many cells.
    """
    axes = {SCENARIO: values_in(scenarios)}
    for override in overrides:
        key, _, text = override.partition("=")
        axes[key] = values_in(text)
    swept = {key: values for key, values in axes.items() if len(values) > 1}
    _check(swept)
    if not swept:
        return ()
    return tuple(
        Cell(
            name=cell_name,
            scenario=chosen[SCENARIO],
            overrides=tuple(f"{key}={chosen[key]}" for key in axes if key != SCENARIO),
            at={key: chosen[key] for key in swept},
        )
        for chosen, cell_name in _named(name, axes, swept)
    )


def label_of(at: Mapping[str, str]) -> str:
    """Values of settings in few words."""
    return ", ".join(
        value if key == SCENARIO else f"{word}={value}"
        for (key, value), word in zip(at.items(), short_keys(at), strict=True)
    )


def short_keys(keys: Iterable[str]) -> list[str]:
    """The last part of each key; of two with the same one, the whole keys."""
    parts = {key: key.rpartition(".")[2] for key in keys}
    count = Counter(parts.values())
    return [part if count[part] == 1 else key for key, part in parts.items()]


def values_in(text: str) -> list[str]:
    """The texts between the commas of ``text`` that stand in no bracket, brace or quote."""
    try:
        root = yaml.compose(f"[{text}]", yaml.SafeLoader)
    except (yaml.YAMLError, ValueError):
        return [text]
    if not isinstance(root, yaml.SequenceNode) or len(root.value) < 2:
        return [text]
    edges = [0, *(node.start_mark.index - 1 for node in root.value[1:]), len(text)]
    pieces = (text[begin:end] for begin, end in pairwise(edges))
    return [piece.strip().rstrip(",").strip() for piece in pieces]


def _check(swept: Mapping[str, Sequence[str]]) -> None:
    count = 1
    for key, values in swept.items():
        count *= len(values)
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise UserError(f"{key} is swept over {twice} twice")
    if count > MOST_CELLS:
        sizes = " × ".join(str(len(values)) for values in swept.values())
        raise UserError(f"a sweep over {sizes} = {count} cells; possible: up to {MOST_CELLS}")


def _named(
    name: str, axes: Mapping[str, Sequence[str]], swept: Mapping[str, Sequence[str]]
) -> Iterator[tuple[dict[str, str], str]]:
    """Each choice of values with a name for its comparison that no other has."""
    taken: set[str] = set()
    words = list(zip(swept, short_keys(swept), strict=True))
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        parts = (_slug(key, chosen[key], word) for key, word in words)
        made = ".".join([name, *parts])
        number = 2
        cell = made
        while cell in taken:
            cell, number = f"{made}-{number}", number + 1
        taken.add(cell)
        yield chosen, cell


def _slug(key: str, value: str, word: str) -> str:
    """A swept value as a part of a name: ``alpha-0.1``; a scenario by its own name."""
    shown = Path(value).stem if key == SCENARIO else f"{word}-{value}"
    return UNNAMED.sub("-", shown).strip("-.") or "cell"
