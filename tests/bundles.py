"""Bundles of the tiny models, made by ``quantize pack``, and configurations that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgeinfer.model import bundle as bundles
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.manifest import DecoderSpec, Manifest
from edgeinfer.store import Store
from quantize.pack import Given, pack
from tests import third_party
from tests.models import tiny_onnx, tiny_tflite, window_tflite

__all__ = ["colours", "colours_onnx", "configuration", "deploy", "faulty_decoder", "variant", "vibration",
           "with_manifest"]


def colours(folder: Path, dtype: str = "uint8") -> Bundle:
    """Pictures: the mean of red, green and blue as three classes, on LiteRT."""
    model = tiny_tflite(folder / "colours.tflite", dtype=dtype)
    return pack(model, folder / "colours", _colours(folder)).bundle


def colours_onnx(folder: Path) -> Bundle:
    """The same on ONNX Runtime: float, NCHW."""
    given = _colours(folder, preprocess={"mean": [0.0], "std": [255.0]})
    return pack(tiny_onnx(folder / "colours.onnx"), folder / "colours_onnx", given).bundle


def _colours(folder: Path, **said: Any) -> Given:
    labels = folder / "labels.txt"
    labels.write_text("red\ngreen\nblue\n")
    return Given(decoder="classify", labels=str(labels), **said)


def vibration(folder: Path) -> Bundle:
    """Windows of 16 samples of one channel, a new one each 8, through a model that reconstructs them: never an anomaly."""
    model = window_tflite(folder / "vibration.tflite")
    given = Given(decoder="anomaly", parameters={"threshold": 0.5},
                  preprocess={"kind": "window", "length": 16, "channels": 1, "hop": 8, "normalize": "none"})
    return pack(model, folder / "vibration", given).bundle


def with_manifest(bundle: Bundle, folder: Path, manifest: Manifest) -> Bundle:
    """The same files under another manifest."""
    return bundles.write(folder, manifest, {name: bundle.folder / name for name in bundle.manifest.files})


def variant(bundle: Bundle, folder: Path, version: str, decoder: DecoderSpec | None = None, **facts: Any) -> Bundle:
    """The same model under another version (and sequence: the number in it), with another decoder or other facts."""
    manifest = msgspec.structs.replace(bundle.manifest, version=version, sequence=int(version),
                                       decoder=decoder or bundle.manifest.decoder, **facts)
    return with_manifest(bundle, folder, manifest)


def deploy(store: Store, bundle: Bundle, *, stage: bool = False) -> Path:
    """Make ``bundle`` the current one of its model (or the candidate), as an installation does at its end: nothing of it is
    tried here."""
    name = bundle.manifest.name
    with store.installing() as incoming:
        copy = bundles.write(incoming / "bundle", bundle.manifest,
                             {file: bundle.folder / file for file in bundle.manifest.files}, bundle.document)
        folder = store.place(name, copy)
    store.accept(name, folder, stage=stage, signed=False)
    return folder


def faulty_decoder(site: Path) -> Path:
    """A third party's decoder package in a folder for PYTHONPATH: ``faulty`` does what its parameters say, each so many frames.

    DecoderSpec("faulty", {"does": "raise", "each": 3})   also "abort" (kills the process) and "sleep" (20 ms)
    """
    return third_party.install(
        site, "faulty_decoder", {"faulty": "faulty_decoder:Faulty"},
        "import os, time\n"
        "from edgeinfer.model.decoders.classify import Classify\n"
        "class Faulty(Classify):\n"
        "    def __init__(self, parameters, *rest):\n"
        "        super().__init__({}, *rest)\n"
        "        self.does, self.each, self.frames = parameters['does'], parameters.get('each', 1), 0\n"
        "    def decode(self, *given):\n"
        "        self.frames += 1\n"
        "        if self.frames > 1 and self.frames % self.each == 0:\n"
        "            if self.does == 'abort': os.abort()\n"
        "            if self.does == 'sleep': time.sleep(0.02)\n"
        "            if self.does == 'raise': raise ValueError('a fault on purpose')\n"
        "        return super().decode(*given)\n")


def configuration(port: int, pipelines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration on a broker of this machine, with quick retries."""
    sink = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "plain_text": True, "first_retry_s": 0.2, "last_retry_s": 1.0}
    return {"node": "test", "pipelines": pipelines, "sink": {**sink, **more.pop("sink", {})}, "health": {"interval_s": 0.5},
            **more}
