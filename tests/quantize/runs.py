"""A small task for whole runs of the toolkit: pictures of one colour each, and a network that tells which."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import pytest

from edgeinfer.outermost import run_program
from quantize.cli import program
from tests.quantize.graphs import chain_model, weights

COLOURS = {"red": (40, 40, 220), "green": (40, 220, 40), "blue": (220, 40, 40)}  # BGR


class Ended(NamedTuple):
    """How the program ended."""

    code: int
    out: str
    err: str


def quantize(capfd: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """The program with these arguments, in this process, up to its exit code."""
    before, sys.argv = sys.argv, ["quantize", *map(str, arguments)]
    capfd.readouterr()
    try:
        run_program(program)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.argv = before
    out, err = capfd.readouterr()
    return Ended(code, out, err)


def network(seed: int = 0) -> onnx.ModelProto:
    """(1, 3, 16, 16) to (1, 3): pointwise, depthwise and pointwise again, so that the largest channel wins."""
    first = np.zeros((8, 3, 1, 1), np.float32)
    first[:3, :, 0, 0] = np.eye(3)
    first[3:] = 0.1 * weights(5, 3, 1, 1, seed=seed)
    last = np.zeros((3, 8, 1, 1), np.float32)
    last[:, :3, 0, 0] = 4 * np.eye(3)
    last[:, 3:] = 0.05 * weights(3, 5, 1, 1, seed=seed + 1)
    depth = np.full((8, 1, 3, 3), 1 / 9, np.float32)
    return chain_model((1, 3, 16, 16), ("Conv", first, np.zeros(8, np.float32)), ("Relu",),
                       ("Conv", {"group": 8, "pads": [1] * 4}, depth, np.full(8, 0.01, np.float32)), ("Relu",),
                       ("Conv", last, np.zeros(3, np.float32)), ("GlobalAveragePool",), ("Flatten", {"axis": 1}))


def save_network(path: Path) -> Path:
    path.write_bytes(network().SerializeToString())
    return path


def picture(colour: str, seed: int, size: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = np.array(COLOURS[colour]) * rng.uniform(0.6, 1.1)
    made = middle + rng.normal(0, 25, (size, size, 3))
    return np.clip(made, 0, 255).astype(np.uint8)


def save_pictures(folder: Path, count: int = 8) -> Path:
    """``count`` pictures of each colour, in folders called as the colours."""
    for place, colour in enumerate(COLOURS):
        (folder / colour).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            cv2.imwrite(str(folder / colour / f"{number:03}.png"), picture(colour, 100 * place + number))
    return folder


def save_labels(path: Path) -> Path:
    path.write_text("".join(f"{colour}\n" for colour in COLOURS))
    return path


FLAGS = ("--target", "raspberry-pi-4", "--mean", "127.5", "--std", "127.5", "--decoder", "classify", "--param", "softmax=true")
