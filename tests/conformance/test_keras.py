"""Keras files and SavedModel folders come out as the network that they are, by way of TensorFlow's own converter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import ModelError
from quantize.converters import load
from quantize.graph.execute import Runner

pytest.importorskip("tensorflow", reason="needs TensorFlow: scripts/test-conformance")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SAVE = """
import sys, numpy as np, tensorflow as tf
L, folder = tf.keras.layers, sys.argv[1]
tf.keras.utils.set_random_seed(0)
nets = {
    "picture": tf.keras.Sequential([
        tf.keras.Input((24, 20, 3)), L.Rescaling(1 / 127.5, offset=-1), L.Conv2D(8, 3, strides=2, padding="same"),
        L.BatchNormalization(), L.ReLU(6.0), L.DepthwiseConv2D(3, padding="same", dilation_rate=2), L.Activation("hard_swish"),
        L.Conv2DTranspose(6, 3, strides=2, padding="same"), L.UpSampling2D(2, interpolation="bilinear"), L.Conv2D(2, 1),
        L.Softmax()]),
    "window": tf.keras.Sequential([
        tf.keras.Input((64, 6)), L.Conv1D(16, 5, padding="same", activation="relu"), L.MaxPool1D(2), L.SeparableConv1D(24, 3),
        L.GlobalAveragePooling1D(), L.Dense(5, activation="softmax")]),
    "recurrent": tf.keras.Sequential([tf.keras.Input((10, 3)), L.LSTM(8), L.Dense(2)]),
    "code": tf.keras.Sequential([tf.keras.Input((4,)), L.Lambda(lambda x: x * 2)]),
}
for name, net in nets.items():
    x = np.random.default_rng(0).uniform(0, 255 if name == "picture" else 1, (1, *net.input_shape[1:])).astype(np.float32)
    np.savez(f"{folder}/{name}.npz", x=x, y=net(x, training=False).numpy())
    net.save(f"{folder}/{name}.keras")
    if name in ("picture", "window"):
        net.save(f"{folder}/{name}.h5")
        net.export(f"{folder}/{name}", verbose=False)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nets saved in a process of its own: TensorFlow's chatter and its memory stay there."""
    made = tmp_path_factory.mktemp("keras")
    subprocess.run([sys.executable, "-c", SAVE, str(made)], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
@pytest.mark.parametrize("name", ["picture", "window"])
def test_a_keras_net_computes_what_keras_computes(name: str, suffix: str, folder: Path) -> None:
    """A batch that is open becomes 1, channels come second, and nothing is transposed inside."""
    loaded = load(folder / f"{name}{suffix}")
    saved, graph = np.load(folder / f"{name}.npz"), loaded.graph
    perm = loaded.input_perms[graph.inputs[0]]
    assert perm == ((0, 2, 3, 1) if name == "picture" else (0, 2, 1))
    x = np.ascontiguousarray(saved["x"].transpose(np.argsort(perm)))
    [y] = Runner(graph).run({graph.inputs[0]: x}).values()
    perm = loaded.output_perms[graph.outputs[0]]
    np.testing.assert_allclose(y if perm is None else y.transpose(perm), saved["y"], atol=1e-5)
    assert loaded.format == "keras"
    assert "Transpose" not in [node.op for node in graph.nodes]


def test_a_layer_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"recurrent\.keras"):
        load(folder / "recurrent.keras")


def test_code_in_a_file_is_not_run(folder: Path) -> None:
    """Keras itself refuses a Lambda layer's bytes."""
    with pytest.raises(ModelError, match=r"(?i)lambda"):
        load(folder / "code.keras")
