"""Slow lanes: each needs more than Python (a container, a virtual machine, an hour), so its tests are collected only when its
script, ``scripts/lanes/NAME``, asks for them with EDGEINFER_LANE=NAME."""

from __future__ import annotations

import os
from pathlib import Path

_LANE = os.environ.get("EDGEINFER_LANE", "")

collect_ignore = [str(entry) for entry in Path(__file__).parent.iterdir() if entry.is_dir() and entry.name != _LANE]
