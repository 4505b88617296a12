"""The real daemon and a real broker that dies, is absent, or refuses: nothing is lost, and inference does not notice.

Short by default; ``make faults`` runs them at full length (a broker gone for 60 s, twenty SIGKILLs).
"""

from __future__ import annotations

import functools
import json
import random
import sqlite3
import time
from pathlib import Path

from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import DaemonProcess, Subscriber, check_equations
from tests.e2e.conftest import picture_pipeline, sensor_pipeline
from tests.faults.faultproxy import Fault, FaultProxy
from tests.faults.witnessed import FULL, nothing_is_missing, rate

OUTAGE_S = 60.0 if FULL else 4.0
KILLS = 20 if FULL else 4


def _restart(broker: Broker, proxy: FaultProxy, subscriber: Subscriber) -> None:
    """The daemon reaches the broker only when the witness is back: a broker that was killed has forgotten its session."""
    proxy.fault = Fault.REFUSE
    broker.start()
    subscriber.ready()
    proxy.fault = Fault.NONE


def test_a_broker_killed_under_load_costs_nothing(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                  tmp_path: Path) -> None:
    """Killed, gone, back: frames go on at the same rate, every result arrives once or more, in order, and the equations hold."""
    pipelines = {"door": picture_pipeline(models, fps=30), "motor": sensor_pipeline(models, rate=800)}
    with FaultProxy(broker.port) as proxy, DaemonProcess(tmp_path, configuration(proxy.port, pipelines)) as daemon:
        until(lambda: subscriber.count("motor") > 50, "results before the outage")
        quiet_from = time.time()
        time.sleep(OUTAGE_S)
        killed = time.time()
        broker.kill()
        time.sleep(OUTAGE_S)
        back = time.time()
        _restart(broker, proxy, subscriber)
        until(lambda: any(result.get("replayed") for result in list(subscriber.results)), "replayed results", 30)
        time.sleep(2)
        assert daemon.terminate(60) == 0, daemon.log
    made = {}
    for name in pipelines:
        nothing_is_missing(subscriber, name)
        made[name] = subscriber.count(name)
        before, during = rate(subscriber, name, quiet_from, killed), rate(subscriber, name, killed, back)
        print(f"{name}: {before:.2f} a second before, {during:.2f} while the broker was gone {OUTAGE_S:g} s, "
              f"ratio {during / before:.4f}; {made[name]} results, "
              f"{len([1 for r in subscriber.results if r['pipeline'] == name]) - made[name]} duplicates")
        assert during / before >= 0.95 or not FULL
    until(lambda: all(subscriber.health[-1]["pipelines"][name]["published"] == made[name] for name in pipelines), "last health")
    for health in subscriber.health:
        check_equations(health)


def test_a_broker_absent_at_boot_does_not_matter(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                 tmp_path: Path) -> None:
    """The daemon starts, infers and keeps; when the broker comes, everything from the first frame on arrives."""
    broker.stop()
    config = {"motor": sensor_pipeline(models)}
    with FaultProxy(broker.port) as proxy, DaemonProcess(tmp_path, configuration(proxy.port, config)) as daemon:
        until(lambda: "runs on" in daemon.log, "the model to run")
        time.sleep(2)
        _restart(broker, proxy, subscriber)
        until(lambda: subscriber.count("motor") > 100, "results from the first one on")
        assert daemon.terminate() == 0, daemon.log
    nothing_is_missing(subscriber, "motor")


def test_a_broker_that_refuses_the_password_and_later_accepts_it(models: dict[str, str], tmp_path: Path) -> None:
    """A refused password is told once, retried, and when the broker knows it all results arrive."""
    (tmp_path / "password").write_text("of-my-own\n")
    with Broker(tmp_path / "broker", passwords={"witness": "w", "device": "other"},
                settings="max_queued_messages 100000") as broker:
        subscriber = Subscriber(broker.port, "witness", "w").ready()
        proxy = FaultProxy(broker.port).__enter__()
        config = configuration(proxy.port, {"motor": sensor_pipeline(models)},
                               sink={"username": "device", "password_file": "password"})
        with DaemonProcess(tmp_path, config) as daemon:
            until(lambda: "authori" in daemon.log.lower(), "the refusal in the log")
            time.sleep(3)
            assert daemon.log.lower().count("authori") == 1, daemon.log
            broker.stop()
            broker.set_passwords({"witness": "w", "device": "of-my-own"})
            _restart(broker, proxy, subscriber)
            until(lambda: subscriber.count("motor") > 100, "results from the first one on", 40)
            assert daemon.terminate() == 0, daemon.log
        proxy.close()
        subscriber.close()
    nothing_is_missing(subscriber, "motor")


def _boots(subscriber: Subscriber, count: int) -> bool:
    return len(subscriber.sequences("motor")) >= count


def test_sigkill_loses_no_result_that_was_in_the_outbox(broker: Broker, subscriber: Subscriber, models: dict[str, str],
                                                        tmp_path: Path) -> None:
    """Killed again and again at random moments: what the database holds afterwards is all that had not arrived; no boot has a
    gap; the database is whole each time."""
    pipelines = {"door": picture_pipeline(models, fps=60), "motor": sensor_pipeline(models, rate=1600)}
    generator = random.Random(5)
    database = tmp_path / "state" / "outbox.db"
    stored: set[tuple[str, str]] = set()
    with DaemonProcess(tmp_path, configuration(broker.port, pipelines)) as daemon:
        for index in range(KILLS):
            until(functools.partial(_boots, subscriber, index + 1), "results of this boot", 40)
            time.sleep(generator.uniform(0.1, 1.5))
            daemon.kill()
            with sqlite3.connect(database) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                stored |= _rows(connection)
            connection.close()
            daemon.start()
        until(functools.partial(_boots, subscriber, KILLS + 1), "the last boot", 40)
        assert daemon.terminate(60) == 0, daemon.log
    for name in pipelines:
        nothing_is_missing(subscriber, name)
    received = {(result["id"], result["pipeline"]) for result in list(subscriber.results)}
    assert stored, "no kill left anything in the outbox: the test saw nothing"
    print(f"{KILLS} kills: {len(stored)} results were in the database after one of them, {len(stored - received)} lost, "
          f"{len(subscriber.results)} received, {len(subscriber.results) - len(received)} duplicates")
    assert stored <= received


def _rows(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    documents = [json.loads(payload) for (payload,) in connection.execute("SELECT payload FROM results")]
    return {(document["id"], document["pipeline"]) for document in documents}
