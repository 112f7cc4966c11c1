"""Examples in the docs are what they say: commands exist, files are accepted."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from pfltune.cli.app import root

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^ {4,}(pfltune .*?)(?:  +#.*)?$", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """(page, command) of every indented line that begins with pfltune; long ones are joined."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s+", "", page.read_text())
        found += [(page.name, line.strip()) for line in COMMAND.findall(text)]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_in_the_docs_is_one(page, line):
    """Parsed, not run: unknown commands, options and values are errors."""
    words = shlex.split(line)[1:]
    if "…" in line or not words:
        pytest.skip("an abbreviation")
    name, *arguments = words
    with click.Context(root) as above:
        command = root.get_command(above, name)
        assert command is not None, f"{page}: {line}"
        command.make_context(name, arguments, parent=above)


def test_the_cluster_example_is_one_that_ray_accepts():
    from ray.autoscaler._private.util import prepare_config, validate_config

    example = yaml.safe_load((ROOT / "docs" / "examples" / "ray-cluster.yaml").read_text())
    config = prepare_config(example)
    config.setdefault("cluster_synced_files", [])
    validate_config(config)
    assert config["provider"]["worker_ips"] == ["192.0.2.11", "192.0.2.12"]
