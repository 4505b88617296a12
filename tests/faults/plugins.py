"""Decoders as a third party would bring them, and would better not: installed for one daemon, through entry points."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests import third_party

__all__ = ["install", "with_decoder"]

_DECODERS = '''
import os, signal, threading
import numpy as np
from edgeinfer.model.decoders.classify import Classify


class Counting(Classify):
    """Well-behaved for thirty frames."""

    frames = 0

    def decode(self, *arrays):
        self.frames += 1
        if self.frames > 30:
            self.misbehave(self.frames)
        return super().decode(*arrays)


class Raises(Counting):
    def misbehave(self, frame):
        if frame % 3 == 0:
            raise KeyError("no such class")


class Devours(Counting):
    def misbehave(self, frame):
        if frame % 3 == 0:
            np.empty(1 << 55, np.uint8)


class Hangs(Counting):
    def misbehave(self, frame):
        threading.Event().wait()


class Crashes(Counting):
    def misbehave(self, frame):
        os.kill(os.getpid(), signal.SIGSEGV)


class Leaks(Classify):
    """Pixels as a label, which is short enough for a payload, and in a file of their own."""

    def decode(self, outputs, inputs, geometry):
        import base64
        result = super().decode(outputs, inputs, geometry)
        pixels = inputs[0].tobytes()
        result.rows[0].label = base64.b64encode(pixels[:96]).decode()
        with open(os.path.join(os.environ["TMPDIR"], "kept"), "wb") as file:
            file.write(pixels)
        return result
'''
_NAMES = ("raises", "devours", "hangs", "crashes", "leaks")


def install(folder: Path) -> dict[str, str]:
    """The environment of a process that has them: they are named in _NAMES."""
    decoders = {name: f"misbehaving:{name.capitalize()}" for name in _NAMES}
    return {"PYTHONPATH": str(third_party.install(folder / "site", "misbehaving", decoders, _DECODERS))}


def with_decoder(bundle: str, name: str, folder: Path) -> str:
    """A copy of a bundle that names another decoder."""
    copy = shutil.copytree(bundle, folder / f"bundle-{name}")
    manifest = copy / "manifest.json"
    document = json.loads(manifest.read_text())
    document["decoder"]["name"] = name
    manifest.write_text(json.dumps(document))
    return str(copy)
