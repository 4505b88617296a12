"""Bad inputs, as a user gives them: a real process, one clear error with its exit code, no traceback, no signal, no hang.

A case is a row: the exit code, what the message must name, and a function that makes the input and returns the command line.
What a running daemon must outlive (sources that fail, a full disk, a rival for its outbox): test_bad_surroundings.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import math
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edgeinfer.model import bundle
from tests import bundles
from tests.conftest import ROOT
from tests.models import Op, Tensor, tiny_tflite, window_tflite, write_tflite

TIME_LIMIT_S = 60
FAULT = re.compile(r"(error: )?\S.*: expected .+, got .+")
FRAMES = {"kind": "synthetic", "yields": "frames", "width": 64, "height": 48, "fps": 20, "count": 5, "pace": "fast"}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound bundles, as folders and as a file: every attack starts from one."""
    folder = tmp_path_factory.mktemp("good")
    bundles.colours(folder)
    bundles.vibration(folder)
    bundle.pack(folder / "colours", folder / "colours.eib")
    write_pictures(folder / "pictures", 3)
    return folder


class Yard:
    """An empty folder for one case, and the sound bundles."""

    def __init__(self, folder: Path, good: Path) -> None:
        self.folder = folder
        self.good = good

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def config(self, *command: str, source: Any = FRAMES, model: Path | str = "", sink: Any = None, pipeline: Any = None,
               **more: Any) -> list[str]:
        """``edgeinfer COMMAND`` (check) on one pipeline, good but for what is given."""
        door = {"bundle": str(model or self.good / "colours"), "source": source, **(pipeline or {})}
        return self.text(yaml.safe_dump({"pipelines": {"door": door}, "sink": sink or {"kind": "stdout"}, **more}), *command)

    def text(self, content: bytes | str, *command: str) -> list[str]:
        return ["edgeinfer", *(command or ("check",)), str(self.file("edgeinfer.yaml", content))]

    def bundle(self, name: str = "colours", members: dict[str, bytes] | None = None, **fields: Any) -> Path:
        """A copy with other members, their digests put right, and other fields in the manifest."""
        folder = shutil.copytree(self.good / name, self.folder / name)
        document: Document = {**json.loads((folder / "manifest.json").read_text()), **fields}
        for member, content in (members or {}).items():
            (folder / member).write_bytes(content)
            document["files"][member] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        (folder / "manifest.json").write_text(json.dumps(document))
        return folder

    def manifest(self) -> Document:
        document: Document = json.loads((self.good / "colours" / "manifest.json").read_text())
        return document

    def archive(self, change: Callable[[bytes], bytes]) -> list[str]:
        return self.config("run", model=self.file("attack.eib", change((self.good / "colours.eib").read_bytes())))

    def infer(self, path: Path, *options: str, model: str = "colours") -> list[str]:
        return ["edgeinfer", "infer", str(self.good / model), str(path), *options]

    def inspect(self, name: str, content: bytes) -> list[str]:
        return ["edgeinfer", "inspect", str(self.file(name, content))]

    def pack(self, name: str, content: bytes) -> list[str]:
        return ["quantize.cli", "pack", str(self.file(name, content)), "-o", str(self.folder / "out.eib"), "--decoder", "raw"]

    def model(self) -> bytes:
        return tiny_tflite(self.folder / "tiny.tflite").read_bytes()


def write_pictures(folder: Path, count: int) -> Path:
    import cv2

    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((12, 16, 3), 40 * index, np.uint8))
    return folder


def crashing_tflite(path: Path) -> bytes:
    """Well-formed, with the tensors of ``tiny_tflite``; LiteRT looks for SPLIT's second input without asking how many there are."""
    quantised = ("uint8", 1 / 255, 0)
    tensors = [Tensor("image", (1, 8, 8, 3), *quantised), Tensor("means", (1, 3), *quantised)]
    return write_tflite(path, tensors, [Op("SPLIT", ("image",), ("means",))], ("image",), ("means",)).read_bytes()


def with_scale(model: bytes, scale: float) -> bytes:
    return model.replace(struct.pack("<f", 1 / 255), struct.pack("<f", scale))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def with_member(archive: bytes, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """The archive with one member exchanged, or added at its end."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as old:
        members = [(info, old.extractfile(info).read()) for info in old.getmembers()]  # type: ignore[union-attr]
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    names = [known.name for known, _ in members]
    place = names.index(name) if name in names else len(members)
    members[place : place + 1] = [(info, content)]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:", format=tarfile.USTAR_FORMAT) as new:
        for info, content in members:
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return made.getvalue()


def pickled(yard: Yard) -> Path:
    """An array whose unpickling would make the file "executed"."""
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(yard.folder / "executed"),)

    np.save(yard.folder / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    return yard.folder / "x.npy"


def array(yard: Yard, values: Any) -> Path:
    np.save(yard.folder / "x.npy", values)
    return yard.folder / "x.npy"


def aliases(first: str, line: str) -> str:
    """Ten times ten times … : 10**9 values in 400 bytes."""
    rows = (line.format(i=i, before=",".join([f"*a{i - 1}"] * 10)) for i in range(1, 9))
    return f"a0: &a0 {first}\n" + "\n".join(rows) + "\n"


def wrong_answers(yard: Yard) -> list[Document]:
    probes: list[Document] = yard.manifest()["probes"]
    for probe in probes:
        for expected in probe["expected"]:
            expected["values"] = [(value + 100) % 256 for value in expected["values"]]
    return probes


def tensor(yard: Yard, side: str, **changed: Any) -> list[Document]:
    (first,) = yard.manifest()[side]
    return [{**first, **changed}]


def command(line: str, **more: Any) -> Document:
    return {"kind": "command", "command": line, "width": 64, "height": 48, **more}


def mqtt(**more: Any) -> Document:
    return {"kind": "mqtt", "host": "127.0.0.1", "port": 1, "plain_text": True, **more}


SIX_FAULTS = """
pipelines:
  do/or: {bundle: 3, source: {kind: camera, width: -5}}
  win: {bundle: b, source: {kind: camra}, tresh: 1}
sink: {kind: mqtt, hots: x}
memory: {budget_mb: lots}
"""
DOOR_TWICE = "pipelines:\n  door: {bundle: a, source: {kind: camera}}\n  door: {bundle: b, source: {kind: camera}}\nsink: {}\n"

# tflite-runtime 2.14 refuses the adversarial model by itself
KILLED = "the loader was killed by SIG" if importlib.util.find_spec("ai_edge_litert") else "a model that LiteRT loads"
CASES: dict[str, tuple[int, str, Callable[[Yard], list[str]]]] = {
    # model files
    "an empty model": (65, "an empty file", lambda y: y.inspect("m.tflite", b"")),
    "a truncated model": (65, "m.tflite: expected a whole", lambda y: y.inspect("m.tflite", y.model()[:500])),
    "a truncated model to infer": (65, "m.tflite", lambda y: [
        "edgeinfer", "infer", str(y.file("m.tflite", y.model()[:500])), str(y.good / "pictures")]),
    "a PyTorch file": (65, "a zip archive", lambda y: y.inspect("m.onnx", b"PK\x03\x04" + bytes(500))),
    "a web page": (65, "a web page", lambda y: y.pack("m.tflite", b"<!doctype html>" + bytes(99))),
    "noise": (65, "TFL3", lambda y: y.pack("m.tflite", bytes(range(256)) * 9)),
    "no such model": (64, "nothing.tflite", lambda y: ["edgeinfer", "inspect", str(y.folder / "nothing.tflite")]),
    "a scale of zero in the model": (65, "scale", lambda y: y.pack("m.tflite", with_scale(y.model(), 0.0))),
    "a scale of NaN in the model": (65, "scale", lambda y: y.pack("m.tflite", with_scale(y.model(), math.nan))),
    "a model that kills the runtime": (65, KILLED, lambda y: y.config("run", model=y.bundle(members={
        "colours.tflite": crashing_tflite(y.folder / "crash")}))),
    "such a model, in one shot": (65, KILLED, lambda y: ["edgeinfer", "infer", str(y.bundle(members={
        "colours.tflite": crashing_tflite(y.folder / "crash")})), str(y.good / "pictures")]),
    # bundles
    "another model with the right digest": (65, "image", lambda y: y.config("run", model=y.bundle(members={
        "colours.tflite": window_tflite(y.folder / "w.tflite").read_bytes()}))),
    "a wrong scale in the manifest": (65, "scale", lambda y: y.config("run", model=y.bundle(
        inputs=tensor(y, "inputs", quantization={"scale": [0.5], "zero_point": [0]})))),
    "a scale of zero in the manifest": (65, "inputs[0]", lambda y: y.config(model=y.bundle(
        inputs=tensor(y, "inputs", quantization={"scale": [0.0], "zero_point": [0]})))),
    "a wrong shape in the manifest": (65, "image", lambda y: y.config("run", model=y.bundle(
        inputs=tensor(y, "inputs", shape=[1, 9, 9, 3])))),
    "wrong known answers": (65, "probe", lambda y: y.config("run", model=y.bundle(probes=wrong_answers(y)))),
    "a wrong fingerprint": (65, "fingerprint", lambda y: y.config("run", model=y.bundle(fingerprint="0" * 64))),
    "labels of the wrong length": (65, "labels", lambda y: y.config("run", model=y.bundle(members={
        "labels.txt": b"red\ngreen\n"}))),
    "a wrong digest": (65, "labels.txt: expected SHA-256", lambda y: y.archive(lambda a: a.replace(b"blue", b"blau"))),
    "a symbolic link in the tar": (65, "a symbolic link", lambda y: y.archive(
        lambda a: with_member(a, "colours.tflite", kind=tarfile.SYMTYPE, link="/etc/hostname"))),
    "a hard link in the tar": (65, "a hard link", lambda y: y.archive(
        lambda a: with_member(a, "x", kind=tarfile.LNKTYPE, link="../../x"))),
    "an absolute path in the tar": (65, "/abs/x", lambda y: y.archive(lambda a: with_member(a, "/abs/x", b"x"))),
    "a path upwards in the tar": (65, "../up", lambda y: y.archive(lambda a: with_member(a, "../up", b"x"))),
    "a huge manifest": (65, "at most 65536 bytes", lambda y: y.archive(
        lambda a: with_member(a, "manifest.json", b" " * 2**21))),
    "half an archive": (65, "ends early", lambda y: y.archive(lambda a: a[: len(a) // 2])),
    "an empty archive": (65, "attack.eib", lambda y: y.archive(lambda _: b"")),
    "a compressed archive": (65, "a gzip file", lambda y: y.archive(gzip.compress)),
    "a folder that is no bundle": (65, "manifest.json", lambda y: ["edgeinfer", "inspect", str(y.good / "pictures")]),
    # inputs of one shot
    "a broken picture": (66, "x.png", lambda y: y.infer(y.file("x.png", png_that_claims(16, 12)[:40]))),
    "a picture of 10**18 pixels, it says": (66, "x.png", lambda y: y.infer(y.file("x.png", png_that_claims(2**30, 2**30)))),
    "an empty folder": (66, "pictures", lambda y: y.infer(y.folder)),
    "a corrupt video": (66, "x.mp4", lambda y: y.infer(y.file("x.mp4", bytes(range(256)) * 20))),
    "a bad cell": (66, "x.csv: line 4", lambda y: y.infer(y.file("x.csv", "x\n1\n2\noops\n4\n"), model="vibration")),
    "pickled objects": (66, "x.npy", lambda y: y.infer(pickled(y), model="vibration")),
    "a truncated array": (66, "x.npy", lambda y: y.infer(y.file("x.npy", b"\x93NUMPY\x01\x00v\x00{'descr'"), model="vibration")),
    "an array of three channels": (66, "1 channels", lambda y: y.infer(array(y, np.zeros((99, 3))), model="vibration")),
    "a file that is nothing": (64, "x.xyz", lambda y: y.infer(y.file("x.xyz", b"x"))),
    "a million threads": (64, "--threads", lambda y: y.infer(y.good / "pictures", "--threads", "1000000")),
    "no threads": (64, "--threads", lambda y: y.infer(y.good / "pictures", "--threads", "0")),
    "a threshold of NaN": (78, "threshold", lambda y: y.infer(y.good / "pictures", "--threshold", "nan")),
    "a frame of 3 PB": (78, "--size", lambda y: ["edgeinfer", "bench", str(y.good / "colours"), "--size", "9" * 8 + "x" + "9" * 8]),
    "every 0th frame": (64, "--every", lambda y: [*y.config("record"), "-o", str(y.folder / "log"), "--every", "0"]),
    "a framelog nowhere": (74, "nowhere", lambda y: [*y.config("record"), "-o", str(y.folder / "nowhere" / "log")]),
    # sources
    "a camera that is missing": (66, "video77", lambda y: y.config("check", "--online", source={
        "kind": "camera", "device": "/dev/video77"})),
    "a command that is missing": (66, "no-such-program", lambda y: y.config("check", "--online", source=command("no-such-program"))),
    "a command that fails": (66, "exit code 3", lambda y: y.config("check", "--online", source=command("sh -c 'exit 3'"))),
    "half a frame": (66, "5000 bytes", lambda y: y.config("check", "--online", source=command(
        "head -c 5000 /dev/zero", live=False))),
    "a frame of 9 EB": (78, "pipelines.door.source", lambda y: y.config(source=command("cat", width=10**9, height=10**9))),
    "a frame whose size wraps around": (78, "pipelines.door.source", lambda y: y.config(source=command(
        "cat", width=10**15, height=10**15))),
    "windows for a picture model": (78, "pipelines.door.source", lambda y: y.config(source={**FRAMES, "yields": "samples"})),
    # runtime, outbox, broker
    "a strict delegate that is missing": (69, "/no/libdelegate.so", lambda y: y.config("run", pipeline={
        "runtime": {"accelerators": ["/no/libdelegate.so"], "strict": True}})),
    "an outbox in a missing folder": (74, "outbox.db", lambda y: y.config("run", sink=mqtt(), outbox={
        "path": str(y.folder / "no" / "such" / "outbox.db")})),
    "another program's database": (74, "another program", lambda y: y.config("run", sink=mqtt(), outbox={
        "path": str(foreign_database(y))})),
    "a password that is missing": (78, "sink.password", lambda y: y.config("run", sink=mqtt(
        username="u", password_file="no-password"))),
    "certificates that are missing": (78, "sink.tls.key", lambda y: y.config("run", sink=mqtt(plain_text=False, tls={
        "ca": "no-ca", "certificate": "no-cert", "key": "no-key"}))),
    "no broker": (69, "127.0.0.1:1", lambda y: y.config("check", "--online", sink=mqtt())),
    # configurations
    "no configuration": (78, "none.yaml", lambda y: ["edgeinfer", "run", str(y.folder / "none.yaml")]),
    "a folder": (78, "a configuration file", lambda y: ["edgeinfer", "run", str(y.folder)]),
    "an empty configuration": (78, "pipelines and sink", lambda y: y.text("")),
    "a bomb of aliases": (78, "at most", lambda y: y.text(aliases("[x]", "a{i}: &a{i} [{before}]"))),
    "a bomb of merge keys": (78, "at most", lambda y: y.text(aliases("{x: 1}", "a{i}: &a{i}\n  <<: [{before}]"))),
    "an alias of itself": (78, "at most", lambda y: y.text("pipelines: &p [*p]\nsink: *p\n")),
    "5000 brackets": (78, "edgeinfer.yaml", lambda y: y.text("[" * 5000)),
    "tabs": (78, "line 2", lambda y: y.text("pipelines:\n\tdoor: 1\n")),
    "a binary file": (78, "YAML", lambda y: y.text(bytes(range(128, 256)) * 20)),
    "2 MB": (78, "at most 1048576 bytes", lambda y: y.text("#" * 2**21)),
    "python/object": (78, "python/object", lambda y: y.text(f"!!python/object/apply:os.mkdir ['{y.folder}/executed']")),
    "a tag that does not fit": (78, "YAML", lambda y: y.text("node: !!bool maybe\n")),
    "NUL in a path": (78, "line 1", lambda y: y.text('pipelines: {door: {bundle: "a\\0b", source: {kind: camera}}}\nsink: {}\n')),
    "no pipelines": (78, "at least one pipeline", lambda y: y.text("pipelines: {}\nsink: {kind: stdout}\n")),
    "a name given twice": (78, "'door' 2 times", lambda y: y.text(DOOR_TWICE)),
    "a name with a slash": (78, "pipelines.a/b", lambda y: y.text("pipelines: {a/b: {bundle: x, source: {kind: camera}}}\nsink: {}\n")),
    "an unknown key": (78, "did you mean 'threshold'?", lambda y: y.config(pipeline={"treshold": 1})),
    "wrong types": (78, "pipelines.door.threshold", lambda y: y.config(pipeline={"threshold": "high"})),
    "a negative size": (78, "-64x48", lambda y: y.config(source={**FRAMES, "width": -64})),
    "a budget of NaN": (78, "budget_mb", lambda y: y.config(memory={"budget_mb": math.nan})),
    "an interval of NaN": (78, "interval_s", lambda y: y.config(health={"interval_s": math.nan})),
    "a budget exceeded": (78, "memory.budget_mb", lambda y: y.config(memory={"budget_mb": 1})),
    "a threshold below the bundle's": (78, "threshold", lambda y: y.config(pipeline={"threshold": 0.1}, model=y.bundle(
        decoder={"name": "classify", "parameters": {"threshold": 0.5}}))),
}


def foreign_database(yard: Yard) -> Path:
    path = yard.folder / "foreign.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE precious (x)")
    database.close()
    return path


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """As a user would; a hang fails the test."""
    environment = {name: value for name, value in os.environ.items() if name != "STATE_DIRECTORY"}
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, text=True, errors="replace",
                          capture_output=True, timeout=TIME_LIMIT_S, check=False)


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_gives_one_clear_error(name: str, good: Path, tmp_path: Path) -> None:
    """The exit code is the kind's, the message says where, what was expected and what was found; nothing was executed."""
    code, named, make = CASES[name]
    ended = run(make(Yard(tmp_path, good)))
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout, ended.stderr
    lines = ended.stderr.splitlines()
    (start,) = (place for place, line in enumerate(lines) if line.startswith("error: "))
    assert FAULT.match(lines[start]), lines[start]
    assert named in "\n".join(lines[start:])
    assert not (tmp_path / "executed").exists()


def test_all_faults_of_a_configuration_are_listed_at_once(good: Path, tmp_path: Path) -> None:
    """Seven faults in five parts: one error that has a line for each."""
    ended = run(Yard(tmp_path, good).text(SIX_FAULTS))
    assert ended.returncode == 78
    for place in ("pipelines.do/or: ", "do/or.bundle", "do/or.source", "win.source.kind", "win.tresh", "sink.hots",
                  "memory.budget_mb"):
        assert any(place in line and FAULT.match(line) for line in ended.stderr.splitlines()), (place, ended.stderr)


def test_the_adversarial_model_does_kill_a_runtime_that_loads_it(tmp_path: Path) -> None:
    """Or the case above would show nothing."""
    pytest.importorskip("ai_edge_litert.interpreter", reason="it is LiteRT that this model kills")
    crashing_tflite(tmp_path / "crash.tflite")
    code = "import sys\nfrom ai_edge_litert.interpreter import Interpreter\nInterpreter(sys.argv[1]).allocate_tensors()"
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "crash.tflite")], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGSEGV
