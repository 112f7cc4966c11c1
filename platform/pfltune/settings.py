"""Settings files: YAML read safely, checked by pydantic, mistakes told in one line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, Protocol, TypeVar, get_args, runtime_checkable
from unicodedata import category

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from yaml.constructor import ConstructorError

from pfltune.errors import UserError, unknown
from pfltune.text import plain

Model = TypeVar("Model", bound=BaseModel)

# A few characters of YAML can stand for a value that no memory would hold written out.
_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 200, 200, 200


RECORDED = "recorded"
"""As the context of a validation: what strangers brought is taken as it is, without their code."""
MOST_BYTES = 1_000_000
"""Of a file; settings that somebody wrote have a few thousand."""


class Settings(BaseModel):
    """Base of all settings: immutable, finite, and no key that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read safely.

    Raises:
        UserError: the file is missing, unreadable, too large, no YAML or no mapping.
    """
    content = read_data(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of settings, not {type(content).__name__}")
    return content


def read_data(path: Path) -> Any:
    """What is in a YAML file, read safely.

    Raises:
        UserError: the file is missing, unreadable, too large or no YAML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # no text, or no path
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is no file of settings: it has more than {MOST_BYTES:,} bytes")
    return plain_yaml(text, str(path))


def plain_yaml(text: str, where: str) -> Any:
    """The data in a YAML text, read safely.

    Raises:
        UserError: it is no YAML, names a key twice or has characters that cannot be printed.
    """
    try:
        return yaml.load(text, _Loader)
    # The others are what PyYAML lets through of numbers, dates and depths that Python refuses.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise UserError(f"{where} is not valid YAML: {told}") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe one, which by itself takes the last of two equal keys."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._flat: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse a key that stands twice, before those of ``<<`` are put beside it."""
        if id(node) in self._flat:
            return
        self._flat.add(id(node))
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise ConstructorError(None, None, f"the key {key!r} stands there twice")
        super().flatten_mapping(node)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Refuse what would command a terminal."""
        value = super().construct_scalar(node)
        if isinstance(value, str) and any(category(c) == "Cc" and c not in "\n\t" for c in value):
            raise ConstructorError(None, None, f"{value!r} has control characters")
        return value


def validated(
    model: type[Model], raw: Mapping[str, Any], where: str, context: str | None = None
) -> Model:
    """``raw`` as ``model``, or a :class:`UserError` of one line that names each wrong value."""
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        told = "; ".join(_in_words(model, raw, each) for each in error.errors())
        raise UserError(f"{where}: {told}") from error


def _in_words(model: type[BaseModel], raw: Any, error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    at = plain(".".join(path))
    if error["type"] == "extra_forbidden":
        known = _owner(model, raw, error["loc"]).model_fields
        named = [plain(".".join([*path[:-1], name])) for name in known]
        return str(unknown("key", at, named))
    if error["type"] == "missing":
        return f"{at!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if at and not isinstance(error["input"], dict):
        return f"{at}={_SHORT.repr(error['input'])}: {message}"
    return f"{at}: {message}" if at else message


def _owner(model: type[BaseModel], raw: Any, loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model in which an error's location ends."""
    owner, options = model, [model]
    for part in loc:
        owner = next((option for option in options if part in option.model_fields), options[0])
        raw = raw.get(part) if isinstance(raw, Mapping) else None
        field = owner.model_fields.get(str(part))
        options = (list(_models_of(field, raw)) if field else []) or [owner]
    return owner


def _models_of(field: FieldInfo, raw: Any) -> Iterator[type[BaseModel]]:
    """What a field's value may be: one that names its own model has that one."""
    for mark in field.metadata:
        if isinstance(mark, NamesItsModel):
            yield from mark.models(raw)
            return
    yield from _models_in(field.annotation)


@runtime_checkable
class NamesItsModel(Protocol):
    """Marks a field whose value says itself which model it is."""

    def models(self, raw: Any) -> Iterable[type[BaseModel]]:
        """The models that ``raw`` can be."""


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
