"""Whether the folders that a comparison writes to can be written; nothing is."""

import os
import shutil
import tempfile
from pathlib import Path

from pfltune.data.home import data_root
from pfltune.doctor.finding import Finding, Place
from pfltune.tracking import own_store

LEAST = 1e9
"""Free bytes below which a comparison may not come to its end."""


def folders(place: Place) -> Finding:
    """Results, data and temporary files have a place that can be written, and room in it."""
    named = {
        "results": (place.results, "--results or PFLTUNE_RESULTS"),
        "data": (data_root(), "PFLTUNE_DATA"),
        "temporary files": (Path(tempfile.gettempdir()), "TMPDIR"),
    }
    for name, (path, option) in named.items():
        if closed := _closed(path):
            words = f"the {name} cannot be written: {closed}"
            return Finding("folders", "wrong", words, f"name another with {option}")
    store = place.results / own_store.FILE
    if store.exists() and not os.access(store, os.W_OK):
        words = f"{store} cannot be written"
        return Finding("folders", "wrong", words, "make it writable, or name another --results")
    free = {name: float(shutil.disk_usage(_there(p)).free) for name, (p, _) in named.items()}
    words = ", ".join(f"{size / 1e9:.1f} GB for {name}" for name, size in free.items())
    figures = {f"free for {name} MB": size / 1e6 for name, size in free.items()}
    if min(free.values()) < LEAST:
        return Finding("folders", "note", f"little room: {words}", "make room", figures)
    return Finding("folders", "ok", f"writable; {words}", figures=figures)


def _there(path: Path) -> Path:
    """The folder, or what is there of the way to it."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())


def _closed(path: Path) -> str:
    """What of the way to a folder keeps it from being written; empty where nothing does."""
    there = _there(path)
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else str(there)
