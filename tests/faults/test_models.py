"""Models and decoders that fail: a frame is skipped, a thread hangs, a process dies; what is sound beside them goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.test_bad_inputs import crashing_tflite
from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber
from tests.e2e.conftest import picture_pipeline, sensor_pipeline
from tests.faults.plugins import install, with_decoder
from tests.faults.witnessed import all_published, equations_hold, nothing_is_missing

RAISING = {"raises": "KeyError: 'no such class'", "devours": "MemoryError"}


class Watchdog:
    """What systemd would hear: when WATCHDOG=1 came last (CLOCK_MONOTONIC, s)."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.fed_at = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self.environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": f"{int(seconds * 1e6)}"}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                message = self._socket.recv(4096)
            except OSError:
                return
            if b"WATCHDOG=1" in message:
                self.fed_at = time.monotonic()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def watchdog(tmp_path: Path) -> Iterator[Watchdog]:
    """systemd's end of the socket."""
    watchdog = Watchdog(tmp_path, 2.0)
    yield watchdog
    watchdog.close()


def test_decoders_that_raise_cost_single_frames(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                tmp_path: Path, watchdog: Watchdog) -> None:
    """An exception, and an allocation beyond all memory, in each third frame: those are counted as failed and told once, the
    others are inferred, the pipeline beside them goes on, and the watchdog is fed."""
    environment = {**install(tmp_path), **watchdog.environment}
    pipelines = {name: picture_pipeline({"colours": with_decoder(models["colours"], name, tmp_path)}) for name in RAISING}
    config = configuration(broker.port, {**pipelines, "motor": sensor_pipeline(models)})
    with DaemonProcess(tmp_path, config, environment) as daemon:
        until(lambda: subscriber.health and all(subscriber.health[-1]["pipelines"][name]["skipped"]["failed"] > 9
                                                for name in RAISING), "frames that fail")
        seen = subscriber.count("motor")
        until(lambda: subscriber.count("motor") > seen + 20, "results of the sound pipeline")
        assert time.monotonic() - watchdog.fed_at < 2
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    for name, reason in RAISING.items():
        figures = subscriber.health[-1]["pipelines"][name]
        assert figures["inferred"] > figures["skipped"]["failed"] > 0
        assert daemon.log.count(f"pipeline {name}: a frame was skipped: ") == 1, daemon.log
        assert reason in daemon.log
        all_published(subscriber, name)
        nothing_is_missing(subscriber, name)
    nothing_is_missing(subscriber, "motor")
    equations_hold(subscriber)
    assert "Traceback" not in daemon.log


def test_a_decoder_that_hangs_starves_the_watchdog_and_nothing_else(broker: Broker, subscriber: Subscriber,
                                                                    models: dict[str, str], tmp_path: Path,
                                                                    watchdog: Watchdog) -> None:
    """The other engine goes on, health comes and its equations hold, but WATCHDOG=1 does not; SIGTERM ends the daemon in time."""
    environment = {**install(tmp_path), **watchdog.environment}
    hangs = picture_pipeline({"colours": with_decoder(models["colours"], "hangs", tmp_path)})
    config = configuration(broker.port, {"hangs": hangs, "motor": sensor_pipeline(models)})
    with DaemonProcess(tmp_path, config, environment) as daemon:
        until(lambda: subscriber.health and subscriber.count("hangs") == 30, "thirty frames")
        time.sleep(1.2)
        fed_at = watchdog.fed_at
        assert fed_at
        seen, told = subscriber.count("motor"), len(subscriber.health)
        time.sleep(2.2)
        assert watchdog.fed_at == fed_at, "the watchdog was fed though a thread hangs"
        assert subscriber.count("motor") > seen + 20
        assert len(subscriber.health) > told
        assert subscriber.health[-1]["pipelines"]["hangs"]["inferred"] == 30
        asked = time.monotonic()
        assert daemon.terminate(30) == 0, daemon.log
        print(f"ended {time.monotonic() - asked:.2f} s after SIGTERM")
    assert "a thread hangs in a camera driver or a model and is left behind" in daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    all_published(subscriber, "motor")
    nothing_is_missing(subscriber, "motor")
    equations_hold(subscriber)


def test_a_model_that_kills_the_process_costs_no_committed_result(broker: Broker, subscriber: Subscriber,
                                                                  models: dict[str, str], tmp_path: Path) -> None:
    """SIGSEGV in the midst of serving: the exit tells the signal, the broker the death, and the next boot goes on."""
    crashes = picture_pipeline({"colours": with_decoder(models["colours"], "crashes", tmp_path)})
    config = configuration(broker.port, {"crashes": crashes, "motor": sensor_pipeline(models)})
    with DaemonProcess(tmp_path, config, install(tmp_path)) as daemon:
        for _ in range(2):
            assert daemon.process.wait(30) == -signal.SIGSEGV, daemon.log
            until(lambda: subscriber.status[-1:] == ["offline"], "the last will")
            daemon.start()
        assert daemon.process.wait(30) == -signal.SIGSEGV, daemon.log
        daemon.write(configuration(broker.port, {"motor": sensor_pipeline(models)}))
        seen = len(subscriber.sequences("motor"))
        daemon.start()
        until(lambda: len(subscriber.sequences("motor")) == seen + 1, "results of the boot without it")
        assert daemon.terminate() == 0, daemon.log
    until(lambda: subscriber.status[-1:] == ["offline"], "the goodbye")
    all_published(subscriber, "motor")
    assert len(subscriber.sequences("crashes")) == 3
    for name in ("crashes", "motor"):
        nothing_is_missing(subscriber, name)
    equations_hold(subscriber)


def test_a_model_that_crashes_at_load_is_refused(models: dict[str, str], tmp_path: Path) -> None:
    """The trial's child dies of it, not the daemon: exit code 65 and one error that names the signal."""
    bundle = shutil.copytree(models["colours"], tmp_path / "bundle")
    document = json.loads((bundle / "manifest.json").read_text())
    content = crashing_tflite(tmp_path / "crash.tflite")
    (bundle / document["model"]).write_bytes(content)
    document["files"][document["model"]] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (bundle / "manifest.json").write_text(json.dumps(document))
    config = configuration(1, {"door": picture_pipeline({"colours": str(bundle)}), "motor": sensor_pipeline(models)})
    with DaemonProcess(tmp_path, config) as daemon:
        assert daemon.process.wait(60) == 65, daemon.log
    assert daemon.log.count("error: ") == 1, daemon.log
    assert "SIGSEGV" in daemon.log
    assert "Traceback" not in daemon.log
