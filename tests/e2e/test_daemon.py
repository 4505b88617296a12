"""The daemon as a process, a real broker, real models: what a user sees."""

from __future__ import annotations

import functools
import json
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.broker import PATIENCE, Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber, check_equations
from tests.e2e.conftest import picture_pipeline, sensor_pipeline


def _last_state_is(subscriber: Subscriber, pipeline: str, sequence: int) -> bool:
    return bool(subscriber.states[pipeline]["seq"] == sequence)


def test_frames_and_windows_reach_the_broker(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                             tmp_path: Path) -> None:
    """A picture and a sensor pipeline publish results, health and status; SIGTERM drains, says goodbye and exits 0."""
    config = configuration(broker.port, {"door": picture_pipeline(models), "motor": sensor_pipeline(models)})
    with DaemonProcess(tmp_path, config) as daemon:
        until(lambda: min(subscriber.count("door"), subscriber.count("motor")) > 30, "results of both")
        until(lambda: len(subscriber.health) >= 3, "three health documents")
        assert daemon.terminate() == 0, daemon.log
    for health in subscriber.health:
        check_equations(health)
    until(lambda: subscriber.status == ["online", "offline"], "the goodbye")
    for name in ("door", "motor"):
        (numbers,) = subscriber.sequences(name).values()
        assert numbers == list(range(1, len(numbers) + 1))
        assert subscriber.health[-1]["pipelines"][name]["published"] == len(numbers)
        until(functools.partial(_last_state_is, subscriber, name, len(numbers)), "the last state")
    assert set(subscriber.results[0]["result"]) <= {"classes", "anomalous", "score", "threshold"}


def test_a_replay_ends_the_daemon_when_all_is_acknowledged(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                           tmp_path: Path) -> None:
    """A finite source's every frame is inferred, none is overwritten, every result arrives, and the daemon exits 0."""
    source = {"count": 400, "pace": "fast", "fps": 0}
    with DaemonProcess(tmp_path, configuration(broker.port, {"door": picture_pipeline(models, source=source)})) as daemon:
        assert daemon.process.wait(60) == 0, daemon.log
    until(lambda: len(subscriber.results) >= 400, "all results")
    assert list(subscriber.sequences("door").values()) == [list(range(1, 401))]


def test_pipelines_of_one_bundle_share_one_engine(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                  tmp_path: Path) -> None:
    """Four pipelines that name the same bundle have one inference thread; all four publish."""
    pipelines = {f"door{index}": picture_pipeline(models, fps=20) for index in range(4)}
    with DaemonProcess(tmp_path, configuration(broker.port, pipelines)) as daemon:
        until(lambda: {result["pipeline"] for result in list(subscriber.results)} == set(pipelines), "results of all")
        assert daemon.log.count(" runs on ") == 1, daemon.log
        assert daemon.terminate() == 0
    assert {model["model"] for model in subscriber.health[-1]["models"].values()} == {"colours:1"}


def test_sighup_reads_the_configuration_again(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                              tmp_path: Path) -> None:
    """A faulty configuration is told and the old one goes on; a good one replaces it; sequence numbers go on without a gap."""
    door, motor = picture_pipeline(models), sensor_pipeline(models)
    with DaemonProcess(tmp_path, configuration(broker.port, {"door": door})) as daemon:
        until(lambda: len(subscriber.results) > 10, "results")
        daemon.write(configuration(broker.port, {"door": {**door, "treshold": 1}}))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "did you mean 'threshold'?" in daemon.log, "the fault in the log")
        seen = len(subscriber.results)
        until(lambda: len(subscriber.results) > seen + 10, "results of the old configuration")
        daemon.write(configuration(broker.port, {"door": door, "motor": motor}))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: subscriber.count("motor") > 10, "results of the new pipeline")
        assert daemon.terminate() == 0, daemon.log
    (numbers,) = subscriber.sequences("door").values()
    assert numbers == list(range(1, len(numbers) + 1))


RELOADS = {
    "a password file that is missing": ({"sink": {"username": "u", "password_file": "nowhere"}}, "sink.password"),
    "an outbox in a missing folder": ({"outbox": {"path": "no/such/folder/outbox.db"}}, "is taken up again"),
    "an outbox that is another program's file": ({"outbox": {"path": "edgeinfer.yaml"}}, "another program's file"),
}


@pytest.mark.parametrize("name", RELOADS)
def test_a_reload_that_cannot_run_leaves_the_old_configuration_running(name: str, broker: Broker, subscriber: Subscriber,
                                                                       models: dict[str, str], tmp_path: Path) -> None:
    """What is found only when the new sink starts is told as well, and results go on without a gap."""
    changes, told = RELOADS[name]
    pipelines = {"door": picture_pipeline(models)}
    with DaemonProcess(tmp_path, configuration(broker.port, pipelines)) as daemon:
        until(lambda: subscriber.count("door") > 10, "results")
        daemon.write(configuration(broker.port, pipelines, **changes))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: told in daemon.log, f"'{told}' in the log")
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 20, "results of the old configuration")
        assert daemon.terminate() == 0, daemon.log
    (numbers,) = subscriber.sequences("door").values()
    assert numbers == list(range(1, len(numbers) + 1))


def test_systemd_hears_ready_status_watchdog_and_stopping(broker: Broker, models: dict[str, str], tmp_path: Path) -> None:
    """READY without a broker that answers; WATCHDOG while inference moves; STATUS with rates; STOPPING at the end."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20 * PATIENCE)
        broker.stop()
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        config = configuration(broker.port, {"door": picture_pipeline(models)})
        with DaemonProcess(tmp_path, config, environment) as daemon:
            while sum("WATCHDOG=1" in line for line in heard) < 5:
                heard.append(manager.recv(4096).decode())
            assert daemon.terminate() == 0
        manager.settimeout(1)
        while "STOPPING=1" not in heard[-1]:
            heard.append(manager.recv(4096).decode())
    assert "READY=1" in heard[0] or "READY=1" in heard[1]
    assert any("STATUS=" in line and "door" in line for line in heard)


def test_the_watchdog_is_not_fed_while_a_model_hangs(models: dict[str, str], tmp_path: Path) -> None:
    """An inference thread that hangs in a decoder's plug-in stops WATCHDOG messages though everything else lives."""
    plug_in = tmp_path / "hang.py"
    plug_in.write_text(
        "import threading, edgeinfer.model.decoders.classify as c\n"
        "decode = c.Classify.decode\n"
        "def hang(self, *a, n=[0]):\n"
        "    n[0] += 1\n"
        "    if n[0] > 40: threading.Event().wait()\n"
        "    return decode(self, *a)\n"
        "c.Classify.decode = hang\n")
    script = tmp_path / "run.py"
    script.write_text("import hang, sys; from pathlib import Path; from edgeinfer.daemon import Daemon\n"
                      "Daemon(Path(sys.argv[1])).run()\n")
    import os
    import subprocess
    import sys

    import yaml

    from tests.conftest import ROOT

    config = configuration(1, {"door": picture_pipeline(models, fps=50)}, sink={"kind": "stdout"})
    config["sink"] = {"kind": "stdout"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(15 * PATIENCE)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000",
                       "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        with subprocess.Popen([sys.executable, str(script), str(tmp_path / "c.yaml")], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                last = fed = 0.0
                started = None
                while started is None or time.monotonic() - started < 6:
                    try:
                        line = manager.recv(4096).decode()
                    except TimeoutError:
                        break
                    if "READY=1" in line:
                        started = time.monotonic()
                    if "WATCHDOG=1" in line:
                        fed += 1
                        last = time.monotonic()
                assert started is not None
                assert fed >= 1
                assert last - started < 4, "the watchdog was fed though the model hung"
            finally:
                process.kill()


CONFIG_FAULTS = {
    "unknown key": ({"pipelines.door.treshold": 0.5}, 78, "did you mean 'threshold'?"),
    "wrong type": ({"health.interval_s": "often"}, 78, "health.interval_s: expected float, got str 'often'"),
    "unknown source": ({"pipelines.door.source.kind": "camra"}, 78, "did you mean 'camera'?"),
    "threshold below the bundle's": ({"pipelines.motor.threshold": 0.1}, 78, "threshold"),
    "over budget": ({"memory.budget_mb": 5}, 78, "memory.budget_mb: expected a bill within 5.0 MB"),
    "bundle missing": ({"pipelines.door.bundle": "nowhere"}, 64, "expected a bundle"),
    "samples for a model of pictures": ({"pipelines.door.source.yields": "samples"}, 78, "a source of frames"),
}


@pytest.mark.parametrize("name", CONFIG_FAULTS)
def test_a_faulty_configuration_is_one_clear_error(name: str, models: dict[str, str], tmp_path: Path) -> None:
    """Each fault ends with its exit code and a message that names the place; there is no traceback."""
    changes, code, message = CONFIG_FAULTS[name]
    config = configuration(1, {"door": picture_pipeline(models), "motor": sensor_pipeline(models)})
    for path, value in changes.items():
        place = config
        *parents, last = path.split(".")
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = value
    with DaemonProcess(tmp_path, json.loads(json.dumps(config))) as daemon:
        assert daemon.process.wait(60) == code, daemon.log
        until(lambda: message in daemon.log, f"'{message}' in the log")
        assert "Traceback" not in daemon.log
