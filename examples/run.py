"""All five examples at once, on a broker of their own on loopback: python -m examples.run, or make examples (about 20 s)

One daemon, six pipelines, as a device at home or in a workshop might have them. What a subscriber receives is told as it comes;
then all of it is compared with what each example's truth.json says, and the exit code is 1 where something is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import yaml

from edgeinfer.daemon import Daemon
from edgeinfer.embedded_broker import EmbeddedBroker

HERE = Path(__file__).parent
CONFIGS = ("people/config.yaml", "greeter/config.yaml", "vibration/monitor.yaml", "keyword/config.yaml", "transactions/config.yaml")
NAMES = ("ada", "grace", "alan")
NODE, ASKED = "home", "payments"


def truth(example: str) -> Any:
    return json.loads((HERE / example / "truth.json").read_text())


def configuration(port: int, state: Path) -> dict[str, Any]:
    """All pipelines of all examples, with absolute paths."""
    pipelines: dict[str, Any] = {}
    for config in CONFIGS:
        folder = (HERE / config).parent
        for name, pipeline in yaml.safe_load((HERE / config).read_text())["pipelines"].items():
            pipeline["bundle"] = str(folder / pipeline["bundle"])
            if "path" in pipeline["source"]:
                pipeline["source"]["path"] = str(folder / pipeline["source"]["path"])
            pipelines[name] = pipeline
    sink = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "plain_text": True, "protocol": "3.1.1"}  # the embedded broker's
    return {"node": NODE, "pipelines": pipelines, "sink": sink, "health": {"interval_s": 1.0}, "state_folder": str(state)}


def enroll(state: Path) -> None:
    """Teach the greeter who Ada, Grace and Alan are."""
    state.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        pictures = sorted(map(str, (HERE / "greeter" / "enrol").glob(f"{name}-*.jpg")))
        subprocess.run([sys.executable, "-m", "edgeinfer", "enroll", str(HERE / "greeter" / "bundle"), name, *pictures,
                        "--state", str(state)], check=True, capture_output=True)


class Subscriber:
    """Keeps what arrives, and tells it in words. ``ask`` sends a payment; its answer comes like everything else."""

    def __init__(self, port: int, tell: bool = True) -> None:
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.answers: dict[int, dict[str, Any]] = {}
        self._tell, self._began, self._changed = tell, time.monotonic(), threading.Condition()
        self._ready = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="examples")
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._ready.set()
        topics = [(f"edgeinfer/{NODE}/+/result", 1), (f"edgeinfer/{NODE}/response/#", 1)]
        self._client.on_connect = lambda client, *_: client.subscribe(topics)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def __enter__(self) -> Subscriber:
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, number: int, payment: dict[str, Any]) -> None:
        self._client.publish(f"edgeinfer/{NODE}/{ASKED}/request", json.dumps({**payment, "transaction": number}), 1)

    def answered(self, count: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.answers) >= count, timeout_s)

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        said = json.loads(message.payload)
        if "/response/" in message.topic:
            with self._changed:
                self.answers[said["transaction"]] = said
                self._changed.notify_all()
            return
        self.results.setdefault(said["pipeline"], []).append(said)
        words = in_words(said)
        if words and self._tell:
            print(f"{time.monotonic() - self._began:6.1f} s  {said['pipeline']:<10} {words}", flush=True)


def in_words(said: dict[str, Any]) -> str:
    """A result for people; "" for one that tells them nothing."""
    result, pipeline = said["result"], said["pipeline"]
    if "event" in result:
        event = result["event"]
        if "line" in event:
            return f"person #{event['track']} goes {event['direction']} by the {event['line']} ({event['count']} so far)"
        verb = {"enter": "comes to", "leave": "leaves", "dwell": "rests on"}.get(said["reason"])
        return f"person #{event['track']} {verb} the {event['zone']}" if verb else ""
    if pipeline == "greeter":
        return f"good morning, {result['name'].title()}" if result["known"] else "somebody whom nobody has introduced"
    if pipeline == "keyword" and result["classes"]:
        word = result["classes"][0]["label"]
        return f"'{word}': the lamp goes {word}" if word in ("on", "off") else ""
    if pipeline == "vibration":
        return f"{'UNUSUAL' if result['anomalous'] else 'as always'}, {result['score']:.3f} where {result['threshold']:g} is usual"
    return ""


def heard(results: list[dict[str, Any]]) -> list[str]:
    """The keywords, in order."""
    labels = [row["label"] for said in results for row in said["result"]["classes"][:1]]
    return [label for label in labels if label in ("on", "off")]


def compare(results: dict[str, list[dict[str, Any]]], answers: dict[int, dict[str, Any]]) -> dict[str, tuple[str, str, bool]]:
    """By example: what should be, what was, and whether that is right."""
    told = {name: results.get(name, []) for name in ("people", "greeter", "vibration", "wear", "keyword")}
    outcome: dict[str, tuple[str, str, bool]] = {}

    def same(example: str, expected: Any, seen: Any) -> None:
        outcome[example] = str(expected), str(seen), expected == seen

    events = [(said["reason"], said["result"]["event"]) for said in told["people"] if "event" in said["result"]]
    ways = [event["direction"] for reason, event in events if reason == "crossed"]
    same("person counter", truth("people"), {"in": ways.count("in"), "out": ways.count("out"),
                                            "sat": sum(reason == "dwell" for reason, _ in events)})
    doors = list(truth("greeter").values())
    same("face greeter", [name for index, name in enumerate(doors) if not index or name != doors[index - 1]],
         [said["result"]["name"] for said in told["greeter"]])
    wear = max((said["result"]["values"]["wear"] for said in told["wear"]), default=0.0)
    same("vibration monitor", ["normal", "anomaly", "normal", "worn"],
         [*("anomaly" if said["result"]["anomalous"] else "normal" for said in told["vibration"] if said["reason"] != "heartbeat"),
          "worn" if 0.7 < wear < 1.2 else f"wear {wear:.2f}"])
    same("keyword switch", [word["word"] for word in truth("keyword")], heard(told["keyword"]))
    fraud = set(truth("transactions")["fraud"])
    stopped = {number for number, answer in answers.items() if answer["data"]["result"]["classes"][0]["label"] == "fraud"}
    right = len(answers) == len(payments()) and len(fraud & stopped) >= 0.8 * len(fraud) and len(stopped - fraud) <= 5
    outcome["transaction scoring"] = (
        f"{len(payments())} answers, 4 of 5 frauds found, at most 5 honest ones stopped",
        f"{len(answers)} answers, {len(fraud & stopped)} of {len(fraud)} frauds found, {len(stopped - fraud)} honest ones stopped",
        right)
    return outcome


def payments() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / "transactions" / "payments.jsonl").read_text().splitlines()]


@contextmanager
def asking(daemon: Daemon, subscriber: Subscriber) -> Iterator[None]:
    """Ask about every payment once the daemon listens, then end it when all replays are over."""
    over = threading.Event()

    def ask() -> None:
        rows = payments()
        while not subscriber.answered(1, 0.5) and not over.is_set():
            subscriber.ask(0, rows[0])  # until somebody answers
        for number, payment in enumerate(rows):
            subscriber.ask(number, payment)
            over.wait(0.02)
        subscriber.answered(len(rows), 20)
        while not over.wait(0.2):
            if all(pipeline.capture.ended.is_set() for pipeline in daemon.assembly.pipelines if pipeline.name != ASKED):
                over.wait(0.5)  # the last frames
                daemon.request_stop()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


def run(tell: bool = True) -> dict[str, tuple[str, str, bool]]:
    """Everything; by example what should be, what was, and whether that is right. The main thread."""
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(prefix="edgeinfer-examples-") as folder, EmbeddedBroker() as broker:
        state = Path(folder) / "state"
        enroll(state)
        config = Path(folder) / "edgeinfer.yaml"
        config.write_text(yaml.safe_dump(configuration(broker.port, state)))
        daemon = Daemon(config)
        if tell:
            print(f"one daemon, a broker on 127.0.0.1:{broker.port}, and what a subscriber is told:\n", flush=True)
        with Subscriber(broker.port, tell) as subscriber, asking(daemon, subscriber):
            daemon.run()
        return compare(subscriber.results, subscriber.answers)


def main() -> int:
    outcome = run()
    print()
    for example, (expected, seen, right) in outcome.items():
        print(f"{'ok   ' if right else 'WRONG'} {example:<20} {seen}" + ("" if right else f"\n{'':26} expected {expected}"))
    return 0 if all(right for *_, right in outcome.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
