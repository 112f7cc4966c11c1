"""Claims: what a paper says is ahead of what, as a YAML file, checked when it is read."""

from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from pfltune import figures
from pfltune.errors import UserError, unknown
from pfltune.layers import LAYERS
from pfltune.orderings import Ordering, orderings_of
from pfltune.settings import Settings, read_yaml, validated
from pfltune.text import plain

Footing = Literal["trials", "bytes", "steps", "draws", "sensitivity"]
FOOTINGS: tuple[Footing, ...] = get_args(Footing)
TITLES: Mapping[Footing, str] = {
    "trials": "equal trials",
    "bytes": "equal bytes",
    "steps": "equal steps",
    "draws": "over draws",
    "sensitivity": "sensitivity",
}
"""How a footing is called."""
PATHS = (".yaml", ".yml")


class StudyOfLayers(Settings):
    """The sensitivity study that orders layers."""

    lr: float = Field(0.03, ge=1e-4, le=1.0, description="learning rate of every trial")
    seeds: int = Field(1, ge=1, description="per personal part")


class Footings(Settings):
    """On which footings, beside equal trials, methods are held against each other."""

    bytes: str | None = Field(None, description="what each trial may send, such as 200MB")
    steps: str | None = Field(None, description="local steps of each trial, such as 20000steps")
    draws: int | None = Field(None, ge=2, description="draws of the clients")
    sensitivity: StudyOfLayers | None = Field(None, description="one layer personal after another")

    @property
    def named(self) -> tuple[Footing, ...]:
        """Those that there are, in the order in which they are shown."""
        return tuple(
            name for name in FOOTINGS if name == "trials" or getattr(self, name) is not None
        )


class Scale(Settings):
    """How large a claim is replayed.

    Attributes:
        about: in a line: which data, and how long it takes where.
        scenario: name or file.
        overrides: changes of it.
        options: of every comparison, as of ``pfltune compare``: trials, seeds and the like.
        footings: what is equal.
    """

    about: str = ""
    scenario: str = "digits"
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    options: Mapping[str, Any] = Field(default_factory=dict)
    footings: Footings = Footings()


class Published(Settings):
    """What the paper prints, in percent.

    Attributes:
        source: where it stands in the paper.
        accuracy: by method, as the claim names it.
        layers: accuracy with one kind of layer personal.
    """

    source: str = ""
    accuracy: Mapping[str, float] = Field(default_factory=dict)
    layers: Mapping[str, float] = Field(default_factory=dict)


class Claim(Settings):
    """What a paper claims, and how that is replayed.

    Attributes:
        name: of the claim; of a file, what it is called.
        title: the claim in a line.
        paper: its title.
        citation: authors, venue, year, where to find it.
        about: what has to be known of the replay.
        methods: those that are compared, as ``--methods`` names them.
        orderings: what is said to be ahead of what, see :data:`pfltune.orderings.FORMS`.
        moment: when clients are tested, where the published figures are of that moment.
        published: the paper's figures.
        scales: by name, the first one being the default.
    """

    name: str
    title: str
    paper: str
    citation: str
    about: str = ""
    methods: tuple[str, ...] = Field(min_length=2)
    orderings: tuple[str, ...] = Field(min_length=1)
    moment: Literal["after_aggregation", "after_training"] = "after_aggregation"
    published: Published = Published()
    scales: Mapping[str, Scale] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_what_there_is(self) -> "Claim":
        try:
            pairs = self.pairs
            for method in self.published.accuracy:
                if method not in self.methods:
                    raise unknown("published method", method, self.methods)
            for layer in self.published.layers:
                if layer not in LAYERS:
                    raise unknown("published layer", layer, LAYERS)
        except UserError as error:
            raise ValueError(str(error)) from error
        if not any(pair.of == "methods" for pair in pairs):
            raise ValueError("orderings must order two methods somewhere")
        return self

    @cached_property
    def pairs(self) -> tuple[Ordering, ...]:
        """The orderings pair by pair."""
        return orderings_of(self.orderings, self.methods)

    @property
    def orders_layers(self) -> bool:
        """Whether it says which layers are the most sensitive."""
        return any(pair.of == "layers" for pair in self.pairs)

    def scale(self, name: str | None) -> tuple[str, Scale]:
        """A scale with its name; the first one by default.

        Raises:
            UserError: there is none of that name.
        """
        wanted = next(iter(self.scales)) if name is None else name
        if wanted not in self.scales:
            raise unknown("scale", wanted, self.scales)
        return wanted, self.scales[wanted]

    def printed(self, pair: Ordering) -> float | None:
        """The paper's own difference of a pair in percentage points; None where it has none."""
        source = self.published.layers if pair.of == "layers" else self.published.accuracy
        if pair.figure != figures.TEST.name or not {pair.first, pair.second} <= source.keys():
            return None
        return source[pair.first] - source[pair.second]


@cache
def claim_files() -> dict[str, Path]:
    """The built-in claims by name."""
    return {
        Path(entry.name).stem: Path(str(entry))
        for entry in sorted(files("pfltune.claims").iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(PATHS)
    }


def load_claim(name_or_path: str) -> Claim:
    """A claim by name or from a YAML file.

    Args:
        name_or_path: a built-in name, or a path that ends in .yaml or .yml.

    Raises:
        UserError: unknown name, unreadable file, unknown key or a value that is not possible.
    """
    if name_or_path.endswith(PATHS):
        path = Path(name_or_path)
    elif name_or_path in claim_files():
        path = claim_files()[name_or_path]
    else:
        raise unknown("claim", name_or_path, claim_files())
    content = {"name": plain(path.stem), **read_yaml(path)}
    return validated(Claim, content, f"claim {content['name']!r}")
