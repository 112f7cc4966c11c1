"""The section ``data:`` of a scenario: which data set, and how much of it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pfltune.settings import Settings

# Classes of digits are called 0 to 9, which YAML reads as numbers.
Name = Annotated[str, Field(coerce_numbers_to_str=True)]


class Data(Settings):
    """Which data set."""

    name: str = Field(
        min_length=1,
        description="a data set, or folder:PATH, domains:PATH or npz:PATH for files of one's own",
    )
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
