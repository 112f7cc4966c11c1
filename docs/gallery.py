"""The figures of the gallery: ``python docs/gallery.py`` draws them anew, by the real commands.

docs/gallery.yaml says which. ``--only WORD`` runs those whose commands contain the word, and
``--keep`` runs none: it takes what the last run left in results/.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

HERE = Path(__file__).parent
IMAGES = HERE / "images"
WIDEST = 1000
COLOURS = 64


def entries() -> list[dict[str, Any]]:
    """Groups of commands, each with the figures that they make."""
    return yaml.safe_load((HERE / "gallery.yaml").read_text())


def gallery() -> str:
    """The page: commands, and those of their figures that have been drawn."""
    parts = []
    for entry in entries():
        drawn = [f for f in entry["figures"] if (IMAGES / f["image"]).is_file()]
        if drawn:
            commands = "\n".join(entry["commands"])
            parts += [f"## {entry['title']}", f"```sh\n{commands}\n```", *map(_shown, drawn)]
    return "\n\n".join(parts)


def _shown(figure: dict[str, str]) -> str:
    image = f"![{figure['alt']}](images/{figure['image']}){{ loading=lazy }}"
    caption = f"<figcaption markdown='span'>{figure['caption'].strip()}</figcaption>"
    return f"<figure markdown>\n{image}\n{caption}\n</figure>"


def draw(entry: dict[str, Any], *, keep: bool) -> list[str]:
    """Run an entry's commands and take over its figures.

    Returns:
        The files that it did not make.
    """
    for command in [] if keep else entry["commands"]:
        print(command, flush=True)
        words = shlex.split(command)
        subprocess.run([str(Path(sys.executable).with_name(words[0])), *words[1:]], check=True)
    missing = []
    for figure in entry["figures"]:
        file = Path(figure["file"])
        if file.is_file():
            _small(file, IMAGES / figure["image"])
        else:
            missing.append(str(file))
    return missing


def _small(file: Path, target: Path) -> None:
    """A copy for the page: not too wide, with as many colours as a drawing has."""
    target.parent.mkdir(exist_ok=True)
    with Image.open(file) as image:
        white = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    flat.thumbnail((WIDEST, 10 * WIDEST), Image.Resampling.LANCZOS)
    flat.quantize(COLOURS).save(target, optimize=True)
    size = target.stat().st_size / 1000
    print(f"    {target.relative_to(HERE.parent)}: {size:.0f} kB", flush=True)


def main() -> None:
    """Draw what is asked for; end with an error if a command made less than the page wants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run the commands that contain this word")
    parser.add_argument("--keep", action="store_true", help="run nothing; copy what is in results/")
    asked = parser.parse_args()
    chosen = [entry for entry in entries() if asked.only in " ".join(entry["commands"])]
    missing = [file for entry in chosen for file in draw(entry, keep=asked.keep)]
    if missing:
        sys.exit("not made by their commands: " + ", ".join(missing))


if __name__ == "__main__":
    main()
