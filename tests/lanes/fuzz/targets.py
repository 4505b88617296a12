"""What takes bytes from outside, each behind one function: it returns, or raises an EdgeinferError, for any bytes at all."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgeinfer import commands, config, settings, store
from edgeinfer.model import bundle, manifest, minisign, signature
from edgeinfer.model.frame import Frame, FrameFormat, WindowFormat
from edgeinfer.model.framelog import FrameLogReader, FrameLogWriter
from edgeinfer.sinks import Message
from tests import bundles

__all__ = ["Target", "targets"]

_OWN = (store._REJECTED, store._PROBATION, store._HIGHEST)

_SEPARATOR = b"\n\n"  # between the topic, the response topic and the payload of a command

CONFIGS = (
    b"""node: cam
pipelines:
  door:
    bundle: door.eib
    threshold: 0.6
    runtime: {threads: 2, accelerators: []}
    gate: {min_score: 0.6, release: 0.4, on_change: true, n_of_m: [2, 3], min_interval_s: 1.0, heartbeat_s: 60, every: 2}
    source: {kind: camera, device: /dev/video0, width: 640, height: 480, fps: 30}
  motor:
    bundle: motor
    source: {kind: csv, path: x.csv, rate: 100, pace: fast}
sink:
  kind: mqtt
  host: broker.example
  username: cam
  password_file: password
  tls: {ca: ca.pem}
  keepalive_s: 30
outbox: {path: state/outbox.db, max_bytes: 1048576, commit_delay_ms: 50, live_first: true}
memory: {budget_mb: 200}
health: {interval_s: 10}
""",
    b"""pipelines: {a: {bundle: b, source: {kind: synthetic, yields: samples, rate: 400}}, c: {bundle: b, source:
  {kind: command, command: "arecord -f S16_LE", dtype: s16le, rate: 16000}}, d: {bundle: e, source: {kind: images,
  path: [a.png, b], loop: true, interval_s: 0.5}}}
sink: &sink {kind: stdout}
""",
    b'{"pipelines": {"x": {"bundle": "b", "source": {"kind": "video", "path": "rtsp://h/s"}}}, "sink": {"kind": "mqtt", '
    b'"host": "h", "plain_text": true}, "commands": {"enabled": true}, "home_assistant": {"enabled": true}}',
)
COMMANDS = (
    (b"edgeinfer/cam/command/door/enabled", b"", b"ON"),
    (b"edgeinfer/cam/command/door/threshold", b"reply/to", b"0.75"),
    (b"edgeinfer/cam/command/door/update", b"", b"install"),
    (b"edgeinfer/cam/command/request/threshold", b"reply/to", b'{"pipeline": "door", "value": 0.7, "transaction": "a1"}'),
    (b"edgeinfer/cam/command/request/enabled", b"edgeinfer/cam/response/x", b'{"pipeline": "motor", "value": true, "transaction": 7}'),
)
KEY = (b"untrusted comment: minisign public key EC8A745C03A42449\n"
       + base64.b64encode(b"Ed" + bytes(range(8)) + bytes(range(32))) + b"\n")
SIGNATURE = (b"untrusted comment: signature from minisign secret key\n" + base64.b64encode(b"ED" + bytes(range(8)) + bytes(64))
             + b"\ntrusted comment: timestamp:1 file:manifest.json\n" + base64.b64encode(bytes(64)) + b"\n")


STATES = (
    b'{"v": 1, "pipelines": {"door": {"enabled": false, "threshold": 0.8}}, "accepted": {"doors": "' + b"ab" * 32 + b'"}}',
    b'{"digest": "' + b"ab" * 32 + b'", "begun_wall": 1.5, "boot_id": "b", "starts": 2, "clean": false}',
    b'{"' + b"ab" * 32 + b'": "too slow"}',
    b"7 " + b"ab" * 32 + b" signed\n9 " + b"cd" * 32 + b" unsigned\n",
)


class Target(NamedTuple):
    """``share`` of all cases goes to it; ``words`` are what its format is made of."""

    name: str
    feed: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    share: float


def targets(folder: Path) -> tuple[Target, ...]:
    """All of them; ``folder`` is for what must be a file, and best in memory."""
    made = bundles.colours(folder)
    raw = (made.folder / "manifest.json").read_bytes()
    window = (bundles.vibration(folder).folder / "manifest.json").read_bytes()
    bundle.pack(made.folder, folder / "colours.eib")
    archive = (folder / "colours.eib").read_bytes()
    json_words = tuple(dict.fromkeys(json.dumps(word).encode() for word in _words(json.loads(raw))))
    return (
        Target("config", lambda data: config.parse(data, folder), CONFIGS,
               tuple(dict.fromkeys(b"".join(CONFIGS).replace(b"\n", b" ").split())), 0.33),
        Target("manifest", manifest.parse, (raw, window), json_words, 0.25),
        Target("bundle", _Folder(made.folder, folder / "attacked").feed, (raw,), json_words, 0.05),
        Target("archive", _Archive(folder).feed, (archive,), (b"manifest.json\0", b"ustar\x0000", b"0000644\0", bytes(512)), 0.05),
        Target("command", _command, tuple(_SEPARATOR.join(parts) for parts in COMMANDS),
               (b"edgeinfer/cam/command/", b"request/", b"door", b"/enabled", b"/threshold", b"ON", b"NaN", b"1e999", b"-0", b"null",
                b'"transaction"', b'"value"', b'"pipeline"', b"+", b"#", b"$share/", b"\0"), 0.18),
        Target("state", _State(folder / "state").feed, STATES, (b'"pipelines"', b'"accepted"', b'"threshold"', b'"enabled"', b'"digest"',
               b'"starts"', b"signed", b"unsigned"), 0.02),
        Target("framelog", _FrameLog(folder / "attack.framelog").feed, _frame_logs(folder), (b'"frames"', b'"samples"', b'"height"',
               b'"pixel_format"', b'"GREY"', b"edgeinfer-framelog 1\n"), 0.02),
        Target("signature", _signature, (SIGNATURE,), (b"untrusted comment: ", b"trusted comment: ", b"RUQ", b"=", b"\n"), 0.07),
        Target("key", lambda data: minisign.parse_public_key(data, "key"), (KEY,), (b"untrusted comment: ", b"RWQ", b"=", b"\n"), 0.03),
    )


def _words(value: object) -> list[object]:
    """Every key and every plain value of a document."""
    if isinstance(value, dict):
        return [word for key, item in value.items() for word in (key, *_words(item))]
    return [word for item in value for word in _words(item)] if isinstance(value, list) else [value]


class _Folder:
    """The bytes as the manifest of a bundle whose other files are whole."""

    def __init__(self, good: Path, folder: Path) -> None:
        self._folder = Path(shutil.copytree(good, folder))

    def feed(self, data: bytes) -> None:
        (self._folder / "manifest.json").write_bytes(data)
        bundle.read(self._folder)


class _Archive:
    """The bytes as an .eib."""

    def __init__(self, folder: Path) -> None:
        self._file, self._into = folder / "attack.eib", folder / "unpacked"

    def feed(self, data: bytes) -> None:
        self._file.write_bytes(data)
        try:
            bundle.unpack(self._file, self._into)
        finally:
            left = [path.name for path in self._into.parent.glob(".unpacked.*")]
            shutil.rmtree(self._into, ignore_errors=True)
            if left:
                raise AssertionError(f"left behind: {left}")


def _frame_logs(folder: Path) -> tuple[bytes, ...]:
    """Two records of pictures, and two of samples."""
    found = []
    for format in (FrameFormat("GREY", 4, 6), WindowFormat(8, 2)):
        path = folder / f"{format.dtype}.framelog"
        with FrameLogWriter(path, format, 1 << 16, "a camera", 10.0) as writer:
            for _ in range(2):
                writer.append(Frame(format))
        found.append(path.read_bytes())
    return tuple(found)


class _FrameLog:
    """The bytes as a recording."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def feed(self, data: bytes) -> None:
        self._file.write_bytes(data)
        with FrameLogReader(self._file) as reader:
            for _ in reader:
                pass


class _State:
    """The bytes as each of the files that a device keeps for itself: what a power cut or a bad card made of them."""

    def __init__(self, state: Path) -> None:
        self._state, self._store = state, store.Store(state / "models")
        self._files = [state / "settings.json", *(state / "models" / "doors" / name for name in _OWN)]
        self._files[-1].parent.mkdir(parents=True)

    def feed(self, data: bytes) -> None:
        for file in self._files:
            file.write_bytes(data)
        settings.Settings(self._state).thresholds()
        self._store.rejected("doors")
        self._store.probation("doors")
        self._store.highest("doors", signed=True)


def _signature(data: bytes) -> None:
    key = minisign.parse_public_key(KEY, "key")
    minisign.parse_signature(data, "signature")
    signature.verify(b"{}", data, [key], "signature")


_TARGETS = {"door": commands.Target(threshold=0.5, installed=True), "motor": commands.Target()}
_OPTIONS = commands.CommandOptions(enabled=True)


def _command(data: bytes) -> None:
    """A refusal is an answer, too; nothing is ever raised, and the answers are JSON on topics that can be published on."""
    topic, _, rest = data.partition(_SEPARATOR)
    response, _, payload = rest.partition(_SEPARATOR)
    asked = commands.parse(Message(topic=topic.decode("utf-8", "replace"), payload=payload, retained=False,
                                   response_topic=response.decode("utf-8", "replace"), correlation=hashlib.md5(data).digest()),
                           "cam", _TARGETS, _OPTIONS)
    if isinstance(asked, commands.Command) and asked.name == "threshold":
        assert isinstance(asked.value, float | int)
        assert 0.5 <= asked.value <= 1, asked
    for answer in commands.answer(asked):
        assert msgspec.json.decode(answer.payload)["status"] in {"ok", "error"}
        assert not set("+#\0") & set(answer.topic.removeprefix("edgeinfer/cam/response/")) or answer.topic.startswith("edgeinfer/cam/")
