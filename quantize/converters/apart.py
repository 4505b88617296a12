"""A converter in a process of its own: what it prints stays out of the way, and its memory goes when it is done.

Parent and child: ``convert`` starts ``python -m MODULE MODEL OUT SHAPES``; the module calls ``run_apart``, which says what
went wrong as one line of JSON, the last of its output.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeinfer.errors import ModelError, UnavailableError

__all__ = ["convert", "run_apart"]


def convert(module: str, path: Path, out: Path, *, packages: Sequence[str], extra: str,
            environment: Mapping[str, str], shapes: Mapping[str, Sequence[int]] | None = None) -> None:
    """Write ``out`` with ``module``. Raises ModelError with the converter's words where it fails, UnavailableError where one
    of ``packages`` is not installed."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:  # no origin: a folder of that name lies about
            raise UnavailableError(path.name, f"the package {package}, which reads such files", "none installed",
                                   f"pip install 'edgeinfer[{extra}]'")
    given = json.dumps({name: list(sides) for name, sides in (shapes or {}).items()})
    done = subprocess.run([sys.executable, "-m", module, str(path.absolute()), str(out), given], check=False,
                          capture_output=True, text=True, errors="replace", env={**os.environ, **environment},
                          cwd=out.parent)  # so that no module of the user's folder is imported
    if done.returncode == 0 and out.is_file():
        return
    said = _last(done.stdout)
    if said is None:
        lines = done.stderr.strip().splitlines() or ["nothing"]
        said = {"where": path.name, "expected": f"a model that {packages[0]} converts", "hint": "",
                "got": f"exit code {done.returncode}, {lines[-1][:300]}"}
    raise ModelError(**said)


def run_apart(export: Callable[[Path, Path, Mapping[str, Sequence[int]]], None]) -> None:
    """The child's whole main program. Exits with 1 once it has said what is wrong."""
    path, out, shapes = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    warnings.simplefilter("ignore")
    try:
        export(path, out, shapes)
    except ModelError as error:
        fault = error.faults[0]
        said = {"where": fault.where, "expected": fault.expected, "got": fault.got, "hint": fault.hint}
    except Exception as error:  # noqa: BLE001 - whatever the other package raises, its first line says what it met
        lines = str(error).strip().splitlines() or [""]
        said = {"where": path.name, "expected": "a model that its own package loads and converts",
                "got": f"{type(error).__name__}: {lines[0][:300]}",
                "hint": "load and run it with the version of the package that saved it"}
    else:
        return
    sys.stdout.write("\n" + json.dumps(said) + "\n")
    sys.stdout.flush()
    sys.exit(1)


def _last(output: str) -> dict[str, Any] | None:
    lines = output.strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (ValueError, IndexError):
        return None
    return said if isinstance(said, dict) and {"where", "expected", "got", "hint"} == set(said) else None
