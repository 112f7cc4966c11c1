"""A function of a benchmark in a process of its own, for what cannot be measured twice in one."""

import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def call(function: Callable[..., Any], *arguments: Any, threads: int | None = None) -> Any:
    """``function(*arguments)`` in a fresh process; arguments and result travel as JSON.

    Args:
        function: of the top level of a module in this folder.
        arguments: numbers and texts.
        threads: torch threads of that process; by default as many as here.
    """
    module = Path(inspect.getfile(function)).stem
    given = json.dumps([module, function.__name__, threads or torch.get_num_threads(), *arguments])
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back
    done = subprocess.run(
        [sys.executable, __file__, given],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """The fresh process."""
    module, function, threads, *arguments = json.loads(sys.argv[1])
    torch.set_num_threads(threads)
    print(json.dumps(getattr(importlib.import_module(module), function)(*arguments)))


if __name__ == "__main__":
    main()
