"""Which code a model is put together with: only what was compared is ever run.

Names lead to what is installed here. A file is run only if it is, byte for byte, the one that the
model was made with; and one that only somebody else's model file names only if the user names a
copy of it, too.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from pfltune.errors import UserError
from pfltune.models.kept import KeptModel
from pfltune.plugins import Plugin, is_file
from pfltune.plugins import short_name as plugin_name
from pfltune.program import file_digest, files_of
from pfltune.registry import short_name
from pfltune.variants import parsed


def references(manifest: KeptModel) -> dict[str, str]:
    """The method and what strangers brought into the scenario, by what they are called."""
    brought = {plugin.called: plugin.reference for plugin in manifest.scenario.strangers()}
    return {short_name(manifest.method): manifest.method, **brought}


def with_copies(manifest: KeptModel, copies: Collection[str]) -> KeptModel:
    """A manifest of somebody else's whose files of code are the user's own copies.

    Args:
        manifest: of the model.
        copies: ``path/to/file.py:Class`` of each.

    Raises:
        UserError: it needs a file of which there is no copy.
    """
    there = {plugin_name(copy): copy for copy in copies}

    def own(reference: str) -> str:
        if not is_file(reference):
            return reference
        name = plugin_name(reference)
        if name not in there:
            raise UserError(
                f"this model needs the code of {name}, which is not run from a file that only the "
                f"model names; name your copy with --code path/to/file.py:{_class(reference)}"
            )
        return there[name]

    method = str(parsed(manifest.method).with_parts(own))
    backbone = manifest.scenario.backbone
    named = backbone.model_copy(update={backbone.key: own(backbone.reference)})
    scenario = manifest.scenario.model_copy(update={"backbone": named})
    return manifest.model_copy(update={"method": method, "scenario": scenario})


def see_code(
    manifest: KeptModel, accept_new_code: bool = False, whole_scenario: bool = False
) -> None:
    """See that files of the method's and the backbone's code are what they were; runs none.

    Args:
        manifest: of the model.
        accept_new_code: also where they have changed.
        whole_scenario: likewise of all that the scenario names, which is run where it is built.

    Raises:
        UserError: a file is not there, or another one is.
    """
    brought = manifest.scenario.strangers() if whole_scenario else (manifest.scenario.backbone,)
    for name, path in _files(manifest, brought):
        if not path.is_file():
            raise UserError(f"the file of {name}, which {manifest.trial} needs, is not at {path}")
        if file_digest(path) != manifest.program.files.get(name) and not accept_new_code:
            raise UserError(
                f"{path} is not the file that {manifest.trial} of {manifest.name} was made with; "
                "it is not run"
            )


def _files(manifest: KeptModel, brought: Iterable[Plugin]) -> Iterator[tuple[str, Path]]:
    yield from files_of(short_name(manifest.method), manifest.method)
    for plugin in brought:
        yield from files_of(plugin.called, plugin.reference)


def _class(reference: str) -> str:
    return reference.rpartition(":")[2]
