"""A small classifier, trained in numpy in a moment, and pictures for it: what a real net and its data look like to ``judge``.

Two convolutions whose channels have mean and deviation as BatchNormalization leaves them, a mean over the picture and a
linear layer that was fitted to the classes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from edgeinfer.model.preprocess.spec import ImageSpec
from edgeinfer.model.tensor import TensorSpec
from quantize.dataset import Tensors, open_dataset, tensors
from quantize.graph import Graph
from quantize.graph.execute import Runner
from tests.quantize import graphs

CLASSES, SIDE = 12, 16
CONVENTIONS = {
    "0 to 255": ((0.0,), (1.0,)), "0 to 1": ((0.0,), (255.0,)), "-1 to 1": ((127.5,), (127.5,)),
    "ImageNet's mean and deviation": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, SIDE, SIDE, 3) uint8: stripes whose direction and colour make the class, with noise and shade; and the classes."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % CLASSES
    y, x = np.mgrid[:SIDE, :SIDE]
    made = np.empty((count, SIDE, SIDE, 3))
    for picture, kind in zip(made, truth, strict=True):
        turn = np.pi * (kind % 4) / 4
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 1.2 + random.uniform(0, 6))
        tint = np.roll([1.0, 0.5, 0.1], kind // 4)
        picture[...] = 110 + random.uniform(-25, 25) + random.uniform(50, 80) * wave[..., None] * tint + random.normal(0, 8, picture.shape)
    return np.clip(made, 0, 255).astype(np.uint8), truth


def spec(convention: str, colour: str = "RGB") -> ImageSpec:
    mean, std = CONVENTIONS[convention]
    return ImageSpec(height=SIDE, width=SIDE, layout="NCHW", colour=colour, mean=mean, std=std)


@cache
def net(convention: str, inside: bool = False, fitted: bool = True) -> Graph:
    """The classifier for pictures that are normalised so, by the recipe or by the graph itself (``inside``). Not ``fitted``: its
    biases are small, as without BatchNormalization."""
    random = np.random.default_rng(5)
    made, truth = pictures(480, 1)
    mean, std = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in CONVENTIONS[convention])
    value = (made.transpose(0, 3, 1, 2).astype(np.float32) - mean) / std
    nodes: list[tuple] = [("Sub", ["image", mean], "centred"), ("Div", ["centred", std], "scaled")] if inside else []
    name = "scaled" if inside else "image"
    for place, channels in enumerate((16, 32)):
        weights = random.normal(0, 1, (channels, value.shape[1], 3, 3)).astype(np.float32)
        seen = convolved(value, weights)
        deviation = seen.std((0, 2, 3))
        weights /= deviation[:, None, None, None]
        bias = (-seen.mean((0, 2, 3)) / deviation + random.normal(0, 0.5, channels)).astype(np.float32)
        if not fitted:
            bias = random.normal(0, 0.05, channels).astype(np.float32) * np.linalg.norm(weights.reshape(channels, -1), axis=1)
        value = np.maximum(convolved(value, weights) + bias[:, None, None], 0)
        nodes += [("Conv", [name, weights, bias], f"conv{place}"), ("Relu", [f"conv{place}"], f"relu{place}")]
        name = f"relu{place}"
    pooled = np.concatenate([value.mean((2, 3)), np.ones((len(value), 1), np.float32)], 1)
    wanted = np.eye(CLASSES, dtype=np.float32)[truth] * 10
    fitted = np.linalg.solve(pooled.T @ pooled + 1e-3 * np.eye(pooled.shape[1]), pooled.T @ wanted).astype(np.float32)
    nodes += [("GlobalAveragePool", [name], "pooled"), ("Flatten", ["pooled"], "flat"),
              ("Gemm", ["flat", fitted[:-1].copy(), fitted[-1].copy()], "logits")]
    return graphs.graph(nodes, {"image": (1, 3, SIDE, SIDE)}, ["logits"])


def convolved(value: np.ndarray, weights: np.ndarray) -> np.ndarray:
    views = np.lib.stride_tricks.sliding_window_view(value, (3, 3), (2, 3))
    return np.einsum("nchwyx,ocyx->nohw", views, weights, optimize=True)


def walk(folder: Path, recipe: ImageSpec, count: int = 96, labelled: bool = False) -> Tensors:
    """New pictures in an .npz."""
    made, truth = pictures(count, 2)
    path = folder / f"{count}.npz"
    np.savez(path, pictures=made, labels=truth)
    dataset = open_dataset(path, recipe, labels="auto" if labelled else "none")
    return tensors(dataset, recipe, [TensorSpec(name="image", shape=(1, 3, SIDE, SIDE), dtype="float32")])


class Counted:
    """A float model that counts how often it is run."""

    def __init__(self, graph: Graph, outputs: list[str]) -> None:
        self._runner = Runner(graph, outputs, threads=1)
        self.runs = 0

    def __call__(self, feeds):
        self.runs += 1
        return self._runner.run(feeds)


SENSOR_LENGTH, SENSOR_CHANNELS = 8, 2


def windows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, 8, 2) in a sensor's units, about 500 and 20, and their twelve classes."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % CLASSES
    time = np.arange(SENSOR_LENGTH)
    waves = np.stack([np.sin(time * (0.3 + truth[:, None] % 4) + truth[:, None]), np.cos(time * (0.2 + truth[:, None] // 4))], 2)
    return (waves + random.normal(0, 0.1, waves.shape)) * (50.0, 3.0) + (500.0, 20.0), truth


@cache
def sensor_net() -> Graph:
    """A classifier of windows that are normalised to mean 0 and deviation 1."""
    random = np.random.default_rng(5)
    made, truth = windows(480, 1)
    value = ((made - (500.0, 20.0)) / (35.0, 2.0)).reshape(len(made), -1).astype(np.float32)
    weights = random.normal(0, 1, (value.shape[1], 64)).astype(np.float32)
    seen = value @ weights
    weights, bias = weights / seen.std(0), (-seen.mean(0) / seen.std(0) + random.normal(0, 1, 64)).astype(np.float32)
    hidden = np.concatenate([np.maximum(value @ weights + bias, 0), np.ones((len(value), 1), np.float32)], 1)
    wanted = np.eye(CLASSES, dtype=np.float32)[truth] * 10
    fitted = np.linalg.solve(hidden.T @ hidden + 1e-3 * np.eye(65), hidden.T @ wanted).astype(np.float32)
    nodes = [("Flatten", ["window"], "flat"), ("Gemm", ["flat", weights, bias], "hidden"), ("Relu", ["hidden"], "relu"),
             ("Gemm", ["relu", fitted[:-1].copy(), fitted[-1].copy()], "logits")]
    return graphs.graph(nodes, {"window": (1, SENSOR_LENGTH, SENSOR_CHANNELS)}, ["logits"])
