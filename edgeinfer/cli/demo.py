"""edgeinfer demo: both examples on an embedded broker, results shown as they arrive, then a summary and a picture."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from edgeinfer.daemon import Daemon
from edgeinfer.embedded_broker import EmbeddedBroker
from edgeinfer.errors import UnavailableError
from edgeinfer.fitness import has_runtime
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import read
from edgeinfer.model.engine import Engine
from edgeinfer.oneshot import answers

_EXAMPLES = {"digits": "tflite", "vibration": "onnx"}  # the formats of their models


@click.command("demo")
@click.option("--save", default="edgeinfer-demo.png", show_default=True, type=click.Path(path_type=Path),
              help="Where the annotated picture goes.")
@click.option("--write-config", type=click.Path(path_type=Path), help="Only write a configuration to start from, and end.")
def command(save: Path, write_config: Path | None) -> None:
    """Run a picture pipeline and a sensor pipeline, each with an INT8 model, on a broker of its own on loopback."""
    if write_config is not None:
        write_config.write_text(_starting_point())
        click.echo(f"{write_config} written; next: edgeinfer check {write_config}", err=True)
        return
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(prefix="edgeinfer-demo-") as folder, EmbeddedBroker() as broker:
        click.echo(f"embedded broker on 127.0.0.1:{broker.port}; results as a subscriber sees them:\n")
        config = Path(folder) / "edgeinfer.yaml"
        config.write_text(yaml.safe_dump(_configuration(broker.port)))
        for name, format in _left_out().items():
            click.echo(f"{name}: left out, no runtime for {format} models is installed here", err=True)
        daemon = Daemon(config)
        with _subscriber(broker.port) as arrived:
            daemon.run()
        _summary(daemon.health(), arrived)
    click.echo(f"\nannotated picture: {_annotate(save)}")


def examples_folder() -> Path:
    """The examples of the wheel, or those of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_examples", package.parent / "examples"):
        if folder.is_dir():
            return folder
    raise UnavailableError("demo", "the examples beside the package", f"nothing in {package}",
                           "pip install 'edgeinfer[demo]'")


def _configuration(port: int) -> dict[str, Any]:
    """The examples' own pipelines, with absolute paths, on the embedded broker. Raises UnavailableError without any runtime."""
    pipelines: dict[str, Any] = {}
    runnable = [name for name in _EXAMPLES if name not in _left_out()]
    if not runnable:
        raise UnavailableError("demo", "a runtime", "neither LiteRT nor ONNX Runtime", "pip install 'edgeinfer[demo]'")
    for name in runnable:
        folder = examples_folder() / name
        document = yaml.safe_load((folder / "config.yaml").read_text())
        for pipeline in document["pipelines"].values():
            pipeline["bundle"] = str(folder / pipeline["bundle"])
            pipeline["source"]["path"] = str(folder / pipeline["source"]["path"])
        pipelines.update(document["pipelines"])
    sink = {"kind": "mqtt", "host": "127.0.0.1", "port": port, "plain_text": True, "protocol": "3.1.1"}  # amqtt's
    return {"node": "demo", "pipelines": pipelines, "sink": sink, "health": {"interval_s": 1.0}}


def _left_out() -> dict[str, str]:
    """The examples that cannot run here, and the format of their models: 32-bit ARM has no ONNX Runtime."""
    return {name: format for name, format in _EXAMPLES.items() if not has_runtime(format)}


def _starting_point() -> str:
    folder = examples_folder() / "digits"
    text = (folder / "config.yaml").read_text()
    return text.replace("bundle: ", f"bundle: {folder}/").replace("path: ", f"path: {folder}/")


@contextmanager
def _subscriber(port: int) -> Iterator[dict[str, int]]:
    """Prints results as they arrive; yields the counts by pipeline."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    arrived: dict[str, int] = {}
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="edgeinfer-demo-subscriber")

    def on_message(_client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        payload = msgspec.json.decode(message.payload)
        arrived[payload["pipeline"]] = arrived.get(payload["pipeline"], 0) + 1
        click.echo(f"{message.topic}  #{payload['seq']:<4} {payload['latency_ms']:8.2f} ms  {_describe(payload['result'])}")

    def on_connect(*_: Any) -> None:
        client.subscribe("edgeinfer/demo/+/result", 1)

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_connect = on_connect
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        subscribed.wait(10)
        yield arrived
    finally:
        client.disconnect()
        client.loop_stop()


def _describe(result: dict[str, Any]) -> str:
    if "detections" in result:
        return "  ".join(f"{row['label']} {row['score']:.2f}" for row in result["detections"]) or "nothing"
    if "classes" in result:
        return "  ".join(f"{row['label']} {row['score']:.2f}" for row in result["classes"])
    return f"{'ANOMALY' if result['anomalous'] else 'normal'}  score {result['score']:.3f}"


def _summary(health: dict[str, Any], arrived: dict[str, int]) -> None:
    """A table of what happened; raises UnavailableError when results went missing."""
    click.echo("")
    header = ("pipeline", "frames", "inferred", "published", "arrived", "p50 ms", "p95 ms", "p99 ms")
    click.echo("{:12} {:>8} {:>9} {:>10} {:>8} {:>9} {:>9} {:>9}".format(*header))
    for name, figures in health["pipelines"].items():
        stages = figures["latency_ms"]
        total = {key: sum(stages[stage][key] for stage in ("preprocess", "invoke", "decode"))
                 for key in ("p50", "p95", "p99")}
        click.echo(f"{name:12} {figures['captured']:8} {figures['inferred']:9} {figures['published']:10} "
                   f"{arrived.get(name, 0):8} {total['p50']:9.3f} {total['p95']:9.3f} {total['p99']:9.3f}")
    for name, model in health["models"].items():
        click.echo(f"{name}: {model['model']} ran on {model['runs_on']}")
    click.echo(f"memory: {health['process']['pss_bytes'] / 1e6:.1f} MB (PSS of the whole daemon)")
    for name, figures in health["pipelines"].items():
        if not figures["published"] or arrived.get(name, 0) < figures["published"]:
            raise UnavailableError(f"demo: {name}", f"{figures['published']} results, and at least one",
                                   f"{arrived.get(name, 0)} at the subscriber")


def _annotate(target: Path) -> Path:
    """The first picture of the digits, with what the model found drawn on it."""
    from edgeinfer.annotate import annotate, save, to_bgr

    folder = examples_folder() / "digits"
    engine = Engine(read(folder / "bundle"), RuntimeOptions())
    target.parent.mkdir(parents=True, exist_ok=True)
    for answer in answers(engine, folder / "pictures"):
        save(target, annotate(to_bgr(answer.frame), answer.result, "digits, INT8"))
        break
    engine.close()
    return target
