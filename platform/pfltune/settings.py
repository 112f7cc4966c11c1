"""Settings files: YAML read safely, checked by pydantic, mistakes told in one line."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pfltune.errors import UserError, unknown

Model = TypeVar("Model", bound=BaseModel)

# A few characters of YAML can stand for a value that no memory would hold written out.
_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 200, 200, 200


class Settings(BaseModel):
    """Base of all settings: immutable, finite, and no key that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read safely.

    Raises:
        UserError: the file is missing, unreadable, no YAML or no mapping.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # no text, or no path
        raise UserError(f"{path} is not valid YAML: {error}") from error
    content = plain_yaml(text, str(path))
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of settings, not {type(content).__name__}")
    return content


def plain_yaml(text: str, where: str) -> Any:
    """The data in a YAML text, read safely.

    Raises:
        UserError: it is no YAML.
    """
    try:
        return yaml.safe_load(text)
    # The others are what PyYAML lets through of numbers, dates and depths that Python refuses.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise UserError(f"{where} is not valid YAML: {told}") from error


def validated(model: type[Model], raw: Mapping[str, Any], where: str) -> Model:
    """``raw`` as ``model``, or a :class:`UserError` of one line that names each wrong value."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        told = "; ".join(_in_words(model, each) for each in error.errors())
        raise UserError(f"{where}: {told}") from error


def _in_words(model: type[BaseModel], error: Any) -> str:
    path, owner = _resolve(model, error["loc"])
    at = ".".join(path)
    if error["type"] == "extra_forbidden":
        return str(unknown("key", at, [".".join([*path[:-1], n]) for n in owner.model_fields]))
    if error["type"] == "missing":
        return f"{at!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if at and not isinstance(error["input"], dict):
        return f"{at}={_SHORT.repr(error['input'])}: {message}"
    return f"{at}: {message}" if at else message


def _resolve(model: type[BaseModel], loc: tuple) -> tuple[list[str], type[BaseModel]]:
    """The keys of an error's location as they stand in the file, and the model they end in.

    Pydantic puts the tag of a discriminated union into the location; it is no key of the file.
    """
    path: list[str] = []
    owner, options = model, [model]
    for part in map(str, loc):
        tagged = [option for option in options if part in _tags(option)]
        if tagged:
            options = tagged
            owner = tagged[0]
            continue
        path.append(part)
        owner = next((option for option in options if part in option.model_fields), options[0])
        field = owner.model_fields.get(part)
        options = list(_models_in(field.annotation)) if field else options
        options = options or [owner]
    return path, owner


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _tags(model: type[BaseModel]) -> set[str]:
    field = model.model_fields.get("kind")
    literal = field is not None and get_origin(field.annotation) is Literal
    return set(get_args(field.annotation)) if field is not None and literal else set()
