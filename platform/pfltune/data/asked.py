"""What a scenario asks of a data set beside its name, used or refused."""

from pfltune.data.selection import Selected
from pfltune.data.settings import Data
from pfltune.data.source import Source
from pfltune.errors import UserError

ONLY_OF = {"channels": ("npz",), "columns": ("manifest", "hf"), "root": ("manifest",)}
"""Settings that only some data sets read: the words before their paths."""


def see_settings(data: Data) -> None:
    """See that the data set reads all that is asked of it.

    Raises:
        UserError: it does not.
    """
    for setting, kinds in ONLY_OF.items():
        value = getattr(data, setting)
        if value is not None and data.name.partition(":")[0] not in kinds:
            told = value if isinstance(value, str) else value.model_dump(exclude_none=True)
            raise UserError(
                f"{setting}={told} has no effect on data set {data.name!r}; it is for "
                + " and ".join(f"{kind}:PATH" for kind in kinds)
            )


def one_size(data: Data, source: Source) -> Source:
    """The samples that are asked for of a source whose images have the size they have.

    Raises:
        UserError: another size is asked for.
    """
    if data.size is not None:
        raise UserError(
            f"size={data.size} has no effect on data set {data.name!r}, whose images have one "
            "size; leave it out (the model's image size is backbone.image_size)"
        )
    return selected(data, source)


def selected(data: Data, source: Source) -> Source:
    """The samples of the classes and domains that are asked for."""
    chosen = data.classes is not None or data.domains is not None
    return Selected(source, data.classes, data.domains) if chosen else source
