"""Only results leave: everything that a daemon sends and writes while it looks at known pictures, searched for their pixels."""

from __future__ import annotations

import base64
import re
import shlex
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgeinfer.model.bundle import read
from edgeinfer.model.frame import Frame, FrameFormat
from edgeinfer.model.preprocess import build
from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.faults.faultproxy import FaultProxy
from tests.faults.plugins import install, with_decoder
from tests.pixels import PixelSearch, noise, representations
from tests.systemcalls import SystemCalls

HEIGHT, WIDTH, PICTURES = 48, 64, 3
FORMATS = ("RGB", "GREY", "YUYV", "NV12", "I420")
WRITTEN = (r"{state}/(outbox\.db(-wal|-shm|-journal|-ballast|\.lock)?|trials/.*|\.?(settings|announced)\.json.*)", r"{run}/\.?health\.json.*",
           r"{tmp}(/.*)?", r"/dev/null", r"/proc/self/oom_score_adj", r"memfd:(verdict|messages)")


@pytest.fixture(scope="module")
def pictures() -> list[npt.NDArray[np.uint8]]:
    return [noise(seed, HEIGHT, WIDTH) for seed in range(PICTURES)]


@pytest.fixture(scope="module")
def search(pictures: list[npt.NDArray[np.uint8]], models: dict[str, str]) -> PixelSearch:
    """Every picture in every format, and as the model's own input."""
    search = PixelSearch()
    manifest = read(Path(models["colours"])).manifest
    frame = Frame(FrameFormat("BGR", HEIGHT, WIDTH))
    preprocess = build(manifest.preprocess, manifest.inputs[0], frame.format)
    tensor = np.zeros(manifest.inputs[0].shape, manifest.inputs[0].dtype)
    for number, picture in enumerate(pictures):
        for name, pixels in representations(picture).items():
            search.add(f"picture {number} in {name}", pixels)
        np.copyto(frame.view, picture)
        preprocess.run(frame, tensor)
        search.add(f"picture {number} as the model sees it", tensor)
    return search


DISGUISES: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "within a text": lambda row: b'{"v":1,"x":"' + row[5:40] + b'"}',
    "base64": base64.b64encode,
    "base64 that begins elsewhere": lambda row: b"ab" + base64.b64encode(row[1:31]) + b"==",
    "base64 of URLs": base64.urlsafe_b64encode,
    "hexadecimal": lambda row: row.hex().encode(),
    "hexadecimal with colons": lambda row: row.hex(":").upper().encode(),
    "a list of numbers": lambda row: str(list(row)).encode(),
    "a list of shares": lambda row: str([round(value / 255, 6) for value in row]).encode(),
    "int8": lambda row: (np.frombuffer(row, np.uint8) ^ 0x80).tobytes(),
    "int8 in a list": lambda row: str((np.frombuffer(row, np.uint8) ^ 0x80).view(np.int8).tolist()).encode(),
    "float32": lambda row: (np.frombuffer(row, np.uint8) / np.float32(255)).astype(np.float32).tobytes(),
    "deflated": lambda row: b"header" + zlib.compress(row),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("format", ["BGR", *FORMATS, "planes"])
def test_the_search_finds_what_is_planted(format: str, disguise: str, search: PixelSearch,
                                          pictures: list[npt.NDArray[np.uint8]]) -> None:
    """One row of one picture in any format and disguise, within other data."""
    row = representations(pictures[1])[format].reshape(-1)[WIDTH * 7 : WIDTH * 8].tobytes()
    assert search.found(b"\x00" * 99 + DISGUISES[disguise](row) + b"\xff" * 99)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_search_finds_a_picture_file(suffix: str, search: PixelSearch, pictures: list[npt.NDArray[np.uint8]]) -> None:
    """Compressed pixels are told by how the file begins, in base64 too."""
    import cv2

    content = cv2.imencode(suffix, pictures[0])[1].tobytes()
    assert search.found(b"x" * 10 + content)
    assert search.found(b'{"image":"' + base64.b64encode(content) + b'"}')


def pipelines(folder: Path, pictures: list[npt.NDArray[np.uint8]], bundle: str) -> dict[str, Any]:
    """The pictures as files, and as a camera's raw frames in every format."""
    import cv2

    (folder / "pictures").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
    sources: dict[str, Any] = {"files": {"kind": "images", "path": "pictures", "loop": True, "interval_s": 0.05}}
    for format in FORMATS:
        (folder / format).write_bytes(b"".join(representations(picture)[format].tobytes() for picture in pictures))
        line = f"while cat {shlex.quote(str(folder / format))}; do sleep 0.2; done"
        sources[format] = {"kind": "command", "command": ["sh", "-c", line], "width": WIDTH, "height": HEIGHT,
                           "pixel_format": format}
    return {name: {"bundle": bundle, "source": source} for name, source in sources.items()}


class Watched:
    """A daemon under strace, its state, runtime and temporary folders, and a recorder between it and the broker."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folders = {name: folder / name for name in ("state", "run", "tmp")}
        for path in self.folders.values():
            path.mkdir()
        self.calls = SystemCalls(folder / "calls", others=("sh", "dash", "bash", "cat", "sleep"))
        self.environment = {"RUNTIME_DIRECTORY": str(folder / "run"), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.wire = FaultProxy(broker.port, record=True)
        self.log = ""

    def everything(self) -> dict[str, bytes]:
        """All that left or stayed, by where it was found."""
        self.calls.read()
        kept = {f"the file {path}": path.read_bytes() for folder in self.folders.values()
                for path in folder.rglob("*") if path.is_file()}
        return {"the wire": bytes(self.wire.sent), "the log": self.log.encode(), **kept,
                "what it asked the kernel to write": b"\n".join(self.calls.written)}


def watch(folder: Path, broker: Broker, subscriber: Subscriber, config: dict[str, Any], results: int,
          environment: dict[str, str] | None = None) -> Watched:
    """Run until every pipeline has published ``results``, then to the end."""
    watched = Watched(folder, broker)
    document = configuration(watched.wire.port, config, state_folder="state", home_assistant={"enabled": True},
                             commands={"enabled": True})
    with watched.wire, DaemonProcess(folder, document, {**watched.environment, **(environment or {})},
                                     watched.calls.under) as daemon:
        until(lambda: subscriber.health and all(subscriber.count(name) >= results for name in config), "results of all", 60)
        assert not listening(daemon.process.pid)
        assert daemon.terminate() == 0, daemon.log
    watched.log = daemon.log
    return watched


def listening(process: int) -> list[str]:
    """Lines of /proc/net/{tcp,tcp6,udp,udp6} of this process's sockets that listen (or take datagrams from anybody)."""
    inodes = {match[1] for path in Path(f"/proc/{process}/fd").iterdir()
              if (match := re.match(r"socket:\[(\d+)\]", str(path.readlink())))}
    found = []
    for name, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and fields[3] == state:
                found.append(line)
    return found


def test_no_pixel_leaves_or_stays(broker: Broker, subscriber: Subscriber, models: dict[str, str], tmp_path: Path,
                                  search: PixelSearch, pictures: list[npt.NDArray[np.uint8]]) -> None:
    """Nothing of the pictures is on the wire, in a file or in the log; no file but the known ones is opened for writing;
    nothing listens."""
    config = pipelines(tmp_path, pictures, models["colours"])
    watched = watch(tmp_path, broker, subscriber, config, 10)
    everything = watched.everything()
    print(", ".join(f"{where}: {len(data)} bytes" for where, data in everything.items() if not where.startswith("the file")))
    assert len(everything["the wire"]) > 6 * 10 * 100
    assert b'"pipeline":"NV12"' in everything["what it asked the kernel to write"]
    for where, data in everything.items():
        assert not search.found(data), where
    places = {name: re.escape(str(path)) for name, path in watched.folders.items()}
    known = re.compile("|".join(f"(?:{pattern.format(**places)})" for pattern in WRITTEN))
    assert not [path for path in watched.calls.opened if not known.fullmatch(path)]
    assert not watched.calls.around
    assert not watched.calls.listening


def test_a_decoder_that_leaks_is_caught(broker: Broker, subscriber: Subscriber, models: dict[str, str], tmp_path: Path,
                                        search: PixelSearch, pictures: list[npt.NDArray[np.uint8]]) -> None:
    """A plug-in that puts pixels into a label and into a file is seen in each of the places where the test above looks."""
    config = pipelines(tmp_path, pictures, with_decoder(models["colours"], "leaks", tmp_path))
    watched = watch(tmp_path, broker, subscriber, {"files": config["files"]}, 5, install(tmp_path))
    found = {where: search.found(data) for where, data in watched.everything().items()}
    assert "in base64" in found["the wire"]
    assert found[f"the file {tmp_path}/tmp/kept"]
    assert found["what it asked the kernel to write"]
    assert not found["the log"]
