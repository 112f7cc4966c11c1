"""What the pages of the site take from the code, filled in when mkdocs reads them.

A line ``<!-- generated: NAME -->`` in a page becomes what :data:`PARTS` says. mkdocs.yml names this
file under ``hooks``.
"""

import inspect
import json
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import annotated_types
import click
import jupytext
import yaml
from gallery import gallery
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pfltune.cli.app import COMMANDS, root
from pfltune.data.partitions import PARTITIONS, Partition
from pfltune.figures import FIGURES, Figure
from pfltune.knobs import Knob, knobs_of
from pfltune.method import Method
from pfltune.optimizers import Conditional
from pfltune.record import Record
from pfltune.registry import available_methods, title_of
from pfltune.scenario import Scenario, load_scenario, scenario_files
from pfltune.settings import NamesItsModel

MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=`|<code>)")
ARXIV = re.compile(r"\barXiv (\d{4}\.\d{5})")
NOTEBOOK = Path(__file__).parent / "notebooks" / "first-comparison.py"
BOUNDS = {
    annotated_types.Ge: ("≥", "ge"),
    annotated_types.Gt: (">", "gt"),
    annotated_types.Le: ("≤", "le"),
    annotated_types.Lt: ("<", "lt"),
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the generated parts of a page."""
    return MARKER.sub(lambda found: PARTS[found[1]](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Take Sphinx' roles out of docstrings, which are Markdown here."""
    return ROLE.sub("", html)


def methods() -> str:
    """A table of all methods, then a section for each."""
    found = available_methods()
    rows = [[f"[`{name}`](#{name})", _doc(cls).splitlines()[0]] for name, cls in found.items()]
    sections = [_method(name, cls) for name, cls in found.items()]
    return _pieces(_table(["name", "what"], rows), *sections)


def scenarios() -> str:
    """A section for each scenario."""
    return _pieces(*map(_scenario, sorted(scenario_files())))


def settings() -> str:
    """All settings of a scenario file, and the kinds of partitions with theirs."""
    rows = []
    for name, field in Scenario.model_fields.items():
        inner = _model_in(field)
        rows += [_setting(name, field)] if inner is None else _settings_of(inner, f"{name}.")
    kinds = [
        [f"`{kind}`", _doc(cls), "<br>".join(map(_inline, _settings_of(cls)))]
        for kind, cls in PARTITIONS.items()
    ]
    return _pieces(
        _table(["setting", "default", "possible", "what"], rows),
        "### Partitions { #partitions }",
        _table(["`partition.kind`", "what", "settings"], kinds),
    )


def commands() -> str:
    """A section for each command: what it does, its options, examples."""
    return _pieces(*map(_command, COMMANDS))


def notebook() -> str:
    """The cells of the notebook of a first comparison, without what they show."""
    cells = jupytext.read(NOTEBOOK).cells
    code = (cell.cell_type == "code" for cell in cells)
    return _pieces(
        *(
            f"```python\n{cell.source}\n```" if is_code else cell.source
            for cell, is_code in zip(cells, code, strict=True)
        )
    )


def record() -> str:
    """The schema of comparison.json, which every job writes."""
    schema = json.dumps(Record.model_json_schema(), indent=2)
    told = _attributes(Record)
    rows = [[f"`{name}`", told[name]] for name in Record.model_fields]
    return _pieces(
        _table(["key", "what"], rows),
        _folded("JSON schema of comparison.json", f"```json\n{schema}\n```"),
    )


def figures() -> str:
    """A table of pfltune's own figures, and one of those that methods add."""
    of_methods = [
        [f"[{title_of(cls)}](methods.md#{name})", *_figure(figure)]
        for name, cls in available_methods().items()
        for figure in cls.own_figures
    ]
    heads = ["figure", "what", "unit", "better", "when", "repeats"]
    return _pieces(
        _table(heads, map(_figure, FIGURES.values())),
        "## Of methods { #of-methods }",
        _table(["method", *heads], of_methods),
    )


def _figure(figure: Figure) -> list[str]:
    repeats = "yes" if figure.repeats else "no"
    name = f"`{figure.name}`"
    return [name, figure.words, figure.unit, figure.better, figure.when, repeats]


def _method(name: str, cls: type[Method]) -> str:
    space = files("pfltune.search_spaces").joinpath(f"{name}.yaml")
    searched = f'```yaml title="search_spaces/{name}.yaml"\n{space.read_text()}```'
    return _pieces(
        f"## {title_of(cls)} {{ #{name} }}",
        f"`{name}`, in `methods/{name}.py`" if space.is_file() else f"`{name}`",
        _doc(cls),
        f"The paper's payload: {cls.published_payload}." if cls.published_payload else "",
        _table(
            ["knob", "default", "possible", "only with", "what"], map(_knob, knobs_of(cls).values())
        ),
        searched if space.is_file() else "All knobs are searched over their whole ranges.",
    )


def _knob(knob: Knob) -> list[str]:
    beside = ", ".join(f"`{name}={value}`" for name, value in knob.when.items())
    possible = knob.describe_range() + (", log scale" if knob.log else "")
    return [f"`{knob.name}`", f"`{knob.default}`", possible, beside, knob.doc]


def _scenario(name: str) -> str:
    scenario = load_scenario(name)
    partition, protocol, backbone = scenario.partition, scenario.protocol, scenario.backbone
    split = scenario.split
    rows = [
        ["data", f"`{scenario.data.name}`"],
        ["clients", f"{partition.clients or 'as given'}, {protocol.sampled_clients} in each round"],
        ["partition", f"{partition.describe()}; data seed {scenario.data_seed}"],
        ["of a client's samples", f"{split.val:.0%} for validation, {split.test:.0%} for test"],
        ["backbone", f"`{backbone.model}`, {backbone.image_size} pixels, {backbone.weights}"],
        ["rounds", f"{protocol.rounds}, evaluated every {protocol.evaluate_every}"],
        ["local epochs, batch size", f"{protocol.local_epochs}, {protocol.batch_size}"],
    ]
    published = [[f"[`{m}`](methods.md#{m})", value] for m, value in scenario.published.items()]
    complete = yaml.safe_dump(
        scenario.model_dump(mode="json", exclude_none=True),
        sort_keys=False,
        width=90,
        allow_unicode=True,
    )
    return _pieces(
        f"## {name} {{ #{name} }}",
        f"{scenario.title}.",
        _linked(scenario.about),
        _table(["setting", "value"], rows),
        _table(["method", "accuracy in the paper, %"], published) if published else "",
        _folded(f"`pfltune scenarios {name}`: every setting", f"```yaml\n{complete}```"),
    )


def _settings_of(model: type[BaseModel], above: str = "") -> list[list[str]]:
    kept = {name: f for name, f in model.model_fields.items() if above or name != "kind"}
    rows = []
    for name, field in kept.items():
        inner, at = field.annotation, f"{above}{name}"
        is_section = isinstance(inner, type) and issubclass(inner, Conditional)
        rows += _settings_of(inner, f"{at}.") if is_section else [_setting(at, field)]
    return rows


def _setting(name: str, field: FieldInfo) -> list[str]:
    choices = [f"`{word}`" for word in get_args(field.annotation) if isinstance(word, str)]
    bounds = [
        f"{sign} {getattr(bound, key):g}"
        for bound in field.metadata
        for kind, (sign, key) in BOUNDS.items()
        if isinstance(bound, kind)
    ]
    default = field.get_default(call_default_factory=True, validated_data={})
    shown = "needed" if field.is_required() else "" if default in (None, "", {}, ()) else default
    return [f"`{name}`", str(shown), ", ".join(choices or bounds), field.description or ""]


def _inline(setting: Sequence[str]) -> str:
    name, default, possible, what = setting
    notes = ", ".join(note for note in (what, possible, default) if note)
    return f"{name} ({notes})"


def _model_in(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field is; None for a plain value and for the partition with its kinds."""
    named = [m for m in field.metadata if isinstance(m, NamesItsModel)]
    if named:
        (model,) = named[0].models({})
        return None if model is Partition else model
    options = [field.annotation, *get_args(field.annotation)]
    models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return models[0] if len(models) == 1 else None


def _command(name: str) -> str:
    with click.Context(root, info_name="pfltune") as above:
        command = root.get_command(above, name)
        assert command is not None
        context = click.Context(command, parent=above, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [[f"`{option}`", words] for option, words in filter(None, records)]
    examples = "\n".join(inspect.cleandoc(command.epilog or "").splitlines()[2:])
    return _pieces(
        f"## pfltune {name} {{ #{name} }}",
        f"```text\npfltune {name} {usage}\n```",
        inspect.cleandoc(command.help or "").replace("\b\n", ""),
        _table(["option", "what"], rows),
        f"```sh\n{inspect.cleandoc(examples)}\n```",
    )


def _attributes(cls: type) -> dict[str, str]:
    """What the docstring of a class says of each of its attributes."""
    section = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _doc(cls: type) -> str:
    return _linked(inspect.getdoc(cls) or "")


def _linked(text: str) -> str:
    plain = ROLE.sub("", text).replace("``", "`").strip()
    return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", plain)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """On one line, and with bars that end no cell; within code they do not."""
    pieces = " ".join(text.split()).split("`")
    pieces[::2] = [piece.replace("|", "\\|") for piece in pieces[::2]]
    return "`".join(pieces)


def _folded(title: str, content: str) -> str:
    return f'??? note "{title}"\n\n' + "\n".join(f"    {line}" for line in content.splitlines())


def _pieces(*pieces: str) -> str:
    return "\n\n".join(piece for piece in pieces if piece)


PARTS = {
    "methods": methods,
    "scenarios": scenarios,
    "settings": settings,
    "commands": commands,
    "figures": figures,
    "gallery": gallery,
    "notebook": notebook,
    "record": record,
}
