"""Installed models change under a running daemon: between two frames, watched, and back by themselves."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeinfer.config import parse
from edgeinfer.model import bundle as bundles
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.manifest import DecoderSpec
from edgeinfer.model.preprocess.fingerprint import fingerprint
from edgeinfer.settings import Settings
from edgeinfer.store import Store
from tests.broker import Broker, until
from tests.bundles import configuration, deploy, faulty_decoder, variant
from tests.conftest import ROOT
from tests.daemon import DaemonProcess, Subscriber, check_equations
from tests.e2e.conftest import picture_pipeline, sensor_pipeline

QUICK = {"WATCHDOG_USEC": "200000"}  # a tick each 50 ms


class Rig:
    """A store with a first bundle, and daemons that follow it."""

    def __init__(self, folder: Path, broker: Broker, models: dict[str, str]) -> None:
        self.folder, self.broker, self.models = folder, broker, models
        (folder / "state").mkdir()
        self.store = Store(folder / "state" / "models")
        self.site = faulty_decoder(folder / "site")
        self.first = bundles.read(Path(models["colours"]))
        deploy(self.store, self.first)

    def other(self, version: str, decoder: DecoderSpec | None = None, **facts: Any) -> Bundle:
        return variant(self.first, self.folder / f"colours-{version}", version, decoder, **facts)

    def run(self, pipelines: dict[str, Any] | None = None, **more: Any) -> DaemonProcess:
        config = configuration(self.broker.port, pipelines or {"door": self.pipeline()}, **more)
        environment = {**QUICK, "PYTHONPATH": f"{self.site}:{ROOT}"}
        return DaemonProcess(self.folder, config, environment)

    def pipeline(self, fps: float = 30) -> dict[str, Any]:
        made = picture_pipeline(self.models, fps)
        return {"model": "colours", "source": made["source"]}

    @property
    def current(self) -> str:
        folder = self.store.current("colours")
        assert folder is not None
        return bundles.read(folder).manifest.version


@pytest.fixture
def rig(tmp_path: Path, broker: Broker, models: dict[str, str]) -> Rig:
    return Rig(tmp_path, broker, models)


def _models(subscriber: Subscriber, pipeline: str = "door") -> list[str]:
    """The models that gave results, in order, each run of the same one once."""
    told = [result["model"] for result in list(subscriber.results) if result["pipeline"] == pipeline]
    return [model for model, _ in itertools.groupby(told)]


def _health(subscriber: Subscriber) -> dict[str, Any]:
    return subscriber.health[-1] if subscriber.health else {"models": {"door": {"probation": {"state": ""}}}, "updates": {}}


def _state(subscriber: Subscriber, state: str) -> bool:
    return bool(_health(subscriber)["models"]["door"]["probation"]["state"] == state)


def test_a_new_bundle_takes_over_between_two_frames(rig: Rig, subscriber: Subscriber) -> None:
    """At 30 frames a second results go on in sequence, the model's name changes once, and no frame is unaccounted for; a
    rollback by hand, which only changes the link, is followed as well."""
    with rig.run({"door": rig.pipeline(), "hall": rig.pipeline()}, updates={"probation_s": 1}) as daemon:
        until(lambda: subscriber.count("door") > 30, "results of the first")
        deploy(rig.store, rig.other("2"))
        until(lambda: _models(subscriber)[-1] == "colours:2", "results of the second")
        until(lambda: _state(subscriber, "watching"), "the probation in health")
        until(lambda: _state(subscriber, "accepted"), "the end of the probation")
        assert Settings(rig.folder / "state").accepted("colours", rig.other("2").digest)
        rig.store.rollback("colours")
        until(lambda: _models(subscriber)[-1] == "colours:1", "results of the first again")
        assert daemon.terminate() == 0, daemon.log
    for pipeline in ("door", "hall"):
        (numbers,) = subscriber.sequences(pipeline).values()
        assert numbers == list(range(1, len(numbers) + 1))
        assert _models(subscriber, pipeline) == ["colours:1", "colours:2", "colours:1"]
    check_equations(subscriber.health[-1])
    figures = subscriber.health[-1]["pipelines"]["door"]
    assert figures["skipped"]["failed"] == 0
    print(f"frames overwritten: {figures['skipped']['overwritten']} of {figures['captured']}")
    assert daemon.log.count("between two frames") == 2
    assert {health["models"]["door"]["sequence"] for health in subscriber.health} == {0, 2}


RETURNS: dict[str, tuple[DecoderSpec, dict[str, Any], str]] = {
    "latency over the deadline": (DecoderSpec("faulty", {"does": "sleep"}), {"deadline_ms": 12}, "95 % of frames take"),
    "error rate": (DecoderSpec("faulty", {"does": "raise", "each": 4}), {"max_failed": 0.1}, "frames failed"),
}


@pytest.mark.parametrize("name", RETURNS)
def test_a_worse_model_goes_back_by_itself(name: str, rig: Rig, subscriber: Subscriber) -> None:
    """What was there before takes over again, the bundle is rejected with the reason, and health tells it."""
    decoder, limits, reason = RETURNS[name]
    with rig.run(updates={"min_frames": 20, **limits}) as daemon:
        until(lambda: subscriber.count("door") > 10, "results of the first")
        bad = rig.other("2", decoder)
        deploy(rig.store, bad)
        until(lambda: _models(subscriber) == ["colours:1", "colours:2", "colours:1"], "the first one's results again")
        until(lambda: _state(subscriber, "rolled back"), "the reason in health")
        assert daemon.terminate() == 0, daemon.log
    told = subscriber.health[-1]
    assert reason in told["models"]["door"]["probation"]["reason"]
    assert told["updates"]["rolled_back"] == 1
    assert reason in rig.store.rejected("colours")[bad.digest]
    assert rig.current == "1"
    (numbers,) = subscriber.sequences("door").values()
    assert numbers == list(range(1, len(numbers) + 1))
    check_equations(told)


def _wrong_probe(bundle: Bundle) -> dict[str, Any]:
    expected = tuple(msgspec.structs.replace(one, values=tuple(value + 100 for value in one.values))
                     for one in bundle.manifest.probes[0].expected)
    return {"probes": (msgspec.structs.replace(bundle.manifest.probes[0], expected=expected),)}


def test_a_bundle_that_fails_its_trial_never_serves(rig: Rig, subscriber: Subscriber) -> None:
    """Wrong known answers: rejected before a frame reached it, and the running model goes on."""
    with rig.run() as daemon:
        until(lambda: subscriber.count("door") > 10, "results")
        bad = rig.other("2", **_wrong_probe(rig.first))
        deploy(rig.store, bad)
        until(lambda: bad.digest in rig.store.rejected("colours"), "the rejection")
        seen = subscriber.count("door")
        until(lambda: subscriber.count("door") > seen + 10, "results after it")
        assert daemon.terminate() == 0, daemon.log
    assert _models(subscriber) == ["colours:1"]
    assert subscriber.health[-1]["updates"] == {"swapped": 0, "rejected": 1, "rolled_back": 0}
    assert rig.current == "1"


def test_a_model_that_kills_the_daemon_is_left_before_it_is_loaded_again(rig: Rig, subscriber: Subscriber) -> None:
    """It dies with the model, and dies again; the third start goes back to the one before and runs."""
    with rig.run(updates={"probation_s": 60}) as daemon:
        until(lambda: subscriber.count("door") > 10, "results of the first")
        bad = rig.other("2", DecoderSpec("faulty", {"does": "abort", "each": 9}))
        deploy(rig.store, bad)
        assert daemon.process.wait(30) == -6
        daemon.start()
        assert daemon.process.wait(30) == -6
        seen = len(subscriber.results)
        daemon.start()
        until(lambda: len(subscriber.results) > seen + 20 and _models(subscriber)[-1] == "colours:1", "the first one's results")
        assert daemon.terminate() == 0, daemon.log
    assert "died 2 times with it" in rig.store.rejected("colours")[bad.digest]
    assert rig.current == "1"


def test_another_window_is_taken_up_with_a_stop(rig: Rig, subscriber: Subscriber, models: dict[str, str]) -> None:
    """A new hop means other windows: everything is stopped and started, which the log says; numbers go on."""
    first = bundles.read(Path(models["vibration"]))
    deploy(rig.store, first)
    pipeline = {**sensor_pipeline(models), "model": "vibration"}
    del pipeline["bundle"]
    with rig.run({"motor": pipeline}) as daemon:
        until(lambda: subscriber.count("motor") > 10, "results of the first")
        spec = msgspec.structs.replace(first.manifest.preprocess, hop=4)
        deploy(rig.store, variant(first, rig.folder / "hop", "2", preprocess=spec,
                                  fingerprint=fingerprint(spec, first.manifest.inputs[0])))
        until(lambda: _models(subscriber, "motor") == ["vibration:1", "vibration:2"], "results of the second")
        assert daemon.terminate() == 0, daemon.log
    assert "with a stop" in daemon.log
    (numbers,) = subscriber.sequences("motor").values()
    assert numbers == list(range(1, len(numbers) + 1))


def test_twenty_exchanges_leave_no_memory_behind(rig: Rig, subscriber: Subscriber) -> None:
    """Back and forth: the process's own memory after the first few exchanges and after twenty differs by less than 1 % (PSS would
    tell of other processes, too, whose share of a library goes to this one when they end); threads and descriptors not at all."""
    folders = [rig.store.current("colours"), deploy(rig.store, rig.other("2"))]
    seen: list[dict[str, Any]] = []
    own: list[int] = []
    with rig.run(updates={"probation_s": 0}, health={"interval_s": 0.2}) as daemon:
        until(lambda: subscriber.count("door") > 5, "results")
        for number in range(25):
            folder = folders[number % 2]
            assert folder is not None
            rig.store.switch("colours", folder)
            until(functools.partial(_swapped, subscriber, number + 1), f"exchange {number + 1}")
            seen.append(subscriber.health[-1]["process"])
            own.append(_anonymous_kb(daemon.process.pid))
        assert daemon.terminate() == 0, daemon.log
    early, late = seen[4], seen[24]
    print(f"PSS after 5 exchanges {early['pss_bytes'] / 1e6:.2f} MB, after 25 {late['pss_bytes'] / 1e6:.2f} MB; anonymous {own} kB")
    assert min(own[20:]) < 1.01 * max(own[:5])
    assert late["threads"] == early["threads"]
    assert late["descriptors"] == early["descriptors"]


def _anonymous_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def _swapped(subscriber: Subscriber, number: int) -> bool:
    return bool(subscriber.health[-1]["updates"].get("swapped", 0) >= number)


def test_the_bill_has_room_for_a_second_engine(tmp_path: Path, rig: Rig) -> None:
    """``edgeinfer check`` shows it, and only where a model is followed."""
    import yaml

    from edgeinfer.plan import bill_of, make_plans, try_models

    config = configuration(1, {"door": rig.pipeline()}, state_folder=str(rig.folder / "state"))
    settings = parse(yaml.safe_dump(config).encode(), tmp_path)
    plans = make_plans(settings)
    bill = bill_of(settings, plans, try_models(settings, plans), 1)
    (room,) = [line for line in bill.lines if "while it is exchanged" in line.what]
    assert room.nbytes > plans[0].lane_bytes
