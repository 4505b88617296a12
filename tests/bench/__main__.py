"""Side-by-side measurements: ``make bench``. Figures and ratios of one run, no assertions; the models are the zoo's.

    hand-written   the whole pipeline over the best loop one can write by hand, on mobilenet_v2 INT8
    window         what a window costs over bare invoke, on kws
    sharing        four pipelines on one engine over one pipeline
    decoders       each decoder on a head as large as a real one
    memory         PSS of the daemon, sensor and camera
    motion         CPU of an empty scene with the motion gate and without
    requests       from a transaction published over MQTT 5 to its answer
    swap           the longest gap between two results while installed models are exchanged

Two more are long and run only when named; scripts/bench-accuracy does it, with the environment that NNCF wants:

    accuracy       INT8 of EfficientNet-Lite0 by this toolkit, ONNX Runtime's and NNCF
    photos         seconds and memory of quantize, with all photos and with twice as many
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import accuracy, decoders, memory, motion, requests, speed, swap
from tests.conftest import ROOT

_BENCHES: dict[str, Callable[[Path, Path], None]] = {
    "hand-written": speed.hand_written,
    "window": speed.window,
    "sharing": speed.sharing,
    "decoders": decoders.decoders,
    "memory": memory.memory,
    "motion": motion.motion,
    "requests": requests.requests,
    "swap": swap.swap,
}
_ASKED: dict[str, Callable[[Path, Path], None]] = {"accuracy": accuracy.accuracy, "photos": accuracy.photos}


def main(names: list[str]) -> None:
    """Run the named benches, or those that are neither long nor want more packages."""
    zoo = Path(os.environ.get("EDGEINFER_ZOO", ROOT.parent / "shared" / "zoo"))
    if not zoo.is_dir():
        sys.exit(f"no model zoo at {zoo}: set EDGEINFER_ZOO")
    sys.setswitchinterval(0.0005)  # as the daemon does
    with tempfile.TemporaryDirectory(prefix="edgeinfer-bench-") as folder:
        for name in names or _BENCHES:
            print(f"== {name}", flush=True)
            (_BENCHES | _ASKED)[name](zoo, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
