"""A package of plug-ins as pip would have left it in a folder: a module, and a dist-info with its entry points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["install"]


def install(site: Path, name: str, decoders: Mapping[str, str], module: str = "") -> Path:
    """``decoders``: name to "module:Class"; ``module``: the text of the module ``name``, where it is not to be found elsewhere.
    Returns ``site``, which belongs on PYTHONPATH."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = "".join(f"{decoder} = {target}\n" for decoder, target in decoders.items())
    (info / "entry_points.txt").write_text(f"[edgeinfer.decoders]\n{points}")
    if module:
        (site / f"{name}.py").write_text(module)
    return site
