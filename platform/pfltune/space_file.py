"""What is said of search spaces: in a YAML file, on the command line and in the record."""

from pydantic import Field

from pfltune.knobs import Value
from pfltune.settings import Settings

Point = dict[str, Value]
"""Values of searched knobs by name."""


class Dimension(Settings):
    """One searched knob; what is left out is the knob's own."""

    low: float | None = None
    high: float | None = None
    log: bool | None = None
    choices: tuple[Value, ...] | None = None
    when: Point = Field(default_factory=dict)


class SpaceFile(Settings):
    """The content of a search space's YAML.

    Attributes:
        search: what is searched, by knob.
        published: values of a paper or of its authors' code, which are tried first.
        start: other points, which are tried next.
    """

    search: dict[str, Dimension]
    published: tuple[Point, ...] = ()
    start: tuple[Point, ...] = ()


class SpaceOptions(Settings):
    """What whoever asks for a search says of its spaces.

    Attributes:
        search: dimensions that replace or join those of the methods, by KNOB, by METHOD.KNOB or by
            a setting of the scenario such as protocol.local_epochs.
        spaces: whole spaces in place of the methods' own, by short name.
        start: points that are tried before all others.
    """

    search: dict[str, Dimension] = Field(default_factory=dict)
    spaces: dict[str, SpaceFile] = Field(default_factory=dict)
    start: tuple[Point, ...] = ()


AS_METHODS_SAY = SpaceOptions()
"""Where nothing is asked for."""
