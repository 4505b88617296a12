"""Files of sysfs that tell of an Industrial I/O channel: its own, or one that it shares."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["attribute", "number"]


def attribute(folder: Path, channel: str, kind: str) -> Path | None:
    """The channel's own (in_accel_x_scale), else what its type shares (in_accel_scale; voltage0: in_voltage_scale;
    voltage0-voltage1: in_voltage-voltage_scale), else what all share; None where there is none."""
    plain = re.sub(r"_.*", "", channel)
    owners = dict.fromkeys((channel, plain, re.sub(r"\d+", "", plain)))
    for name in (*(f"in_{owner}_{kind}" for owner in owners), f"in_{kind}", kind):
        if (folder / name).is_file():
            return folder / name
    return None


def number(folder: Path, channel: str, kind: str, default: float) -> float:
    """What stands there; ``default`` where there is no such file, or no number in it."""
    file = attribute(folder, channel, kind)
    try:
        return float(file.read_text()) if file is not None else default
    except (OSError, ValueError):
        return default
