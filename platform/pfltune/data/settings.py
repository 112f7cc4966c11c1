"""The section ``data:`` of a scenario: which data set, and how much of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pfltune.data.source import Decoded
from pfltune.plugins import Plugin, Seam, Section, at_hand, must_have_hooks
from pfltune.settings import Settings

# Classes of digits are called 0 to 9, which YAML reads as numbers.
Name = Annotated[str, Field(coerce_numbers_to_str=True)]


class Chosen(Plugin):
    """What every data set can be asked for."""

    noun = "data set"
    key = "name"
    name: str = Field(
        min_length=1,
        description="a data set; folder:PATH, domains:PATH, clients:PATH, npz:PATH or "
        "manifest:FILE for files of one's own; hf:NAME[:CONFIG] or hf:FOLDER; or FILE.py:CLASS",
    )
    classes: tuple[Name, ...] | None = Field(
        None, min_length=1, description="only these classes, in this order"
    )
    domains: tuple[Name, ...] | None = Field(
        None, min_length=1, description="only these domains, in this order"
    )

    @field_validator("classes", "domains")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = next((name for name in names or () if (names or ()).count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is named twice")
        return names


class Columns(Settings):
    """What the columns of a table are called, where they are not called by these names."""

    path: Name | None = Field(None, min_length=1, description="of a manifest: the image files")
    image: Name | None = Field(None, min_length=1, description="of hf:NAME: the images")
    label: Name | None = Field(None, min_length=1, description="the classes")
    client: Name | None = Field(None, min_length=1, description="whose each sample is")
    split: Name | None = Field(None, min_length=1, description="train, val or test")
    domain: Name | None = Field(None, min_length=1, description="where each sample comes from")


class Data(Chosen):
    """Which data set, of pfltune's own and of those in files."""

    size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="side in pixels: of a MedMNIST set (28, 64, 128 or 224, default 28), or at "
        "which image folders are decoded (default: backbone.image_size)",
    )
    channels: Literal["first", "last"] | None = Field(
        None, description="of images in an npz file, where their shape could be read both ways"
    )
    columns: Columns | None = Field(
        None,
        description="of a manifest or of hf:NAME: what its columns for path or image, label, "
        "client, split and domain are called",
    )
    root: str | None = Field(
        None, min_length=1, description="of a manifest: the folder that its paths are relative to"
    )


class DataSource(Chosen):
    """A data set that code makes or reads; a subclass says how, and has settings of its own."""

    hooks = ("decode",)

    def decode(self) -> Decoded:
        """The samples: names of the classes, and chunks of uint8 images with their labels.

        Draws come from a generator that is seeded by a setting, so that the same settings give the
        same samples.
        """
        raise NotImplementedError

    def identity(self) -> Mapping[str, Any] | None:
        """What the samples follow from beside code and settings, such as digests of files; JSON.

        With an answer they are decoded once and kept until something of it changes; with None they
        are made anew by every command, and held in memory.
        """
        return None

    def notes(self) -> tuple[str, ...]:
        """What a user should hear of how the samples were made or chosen, a line each."""
        return ()


SEAM = Seam("data set", "pfltune.datasets", DataSource, at_hand({}), must_have_hooks)
AnyData = Annotated[Data | DataSource, Section(SEAM, otherwise=Data)]
