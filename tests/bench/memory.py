"""Memory: PSS of the daemon itself, as it says in health, once it has run for a while against a real broker."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.broker import Broker
from tests.daemon import DaemonProcess, Subscriber, until
from tests.zoo_bundles import kws, mobilenet_tflite

__all__ = ["memory"]


def memory(zoo: Path, folder: Path) -> None:
    """A sensor pipeline (kws) and a camera pipeline (mobilenet_v2, a video through OpenCV at 15 frames a second)."""
    kws(zoo, folder / "sensor")
    mobilenet_tflite(zoo, folder / "camera")
    np.save(folder / "mfcc.npy", np.random.default_rng(1).normal(0, 30, (49 * 400, 10)).astype(np.float32))
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=640x480:rate=15", "-t", "4",
                    str(folder / "video.mp4")], check=True)
    sources = {
        "sensor": {"kind": "npy", "path": "mfcc.npy", "rate": 490, "pace": "realtime", "loop": True},
        "camera": {"kind": "video", "path": "video.mp4", "pace": "realtime", "loop": True},
    }
    for name, source in sources.items():
        measure(name, {"bundle": name, "source": source, "gate": {"every": 3}}, folder)


def measure(name: str, pipeline: dict[str, Any], folder: Path, seconds: float = 25.0) -> None:
    """Print the daemon's PSS before and after it trims, and what its largest mappings are."""
    with Broker(folder / f"broker-{name}") as broker:
        subscriber = Subscriber(broker.port).ready()
        config = {"node": "bench", "pipelines": {name: pipeline}, "health": {"interval_s": 1.0},
                  "sink": {"kind": "mqtt", "host": "127.0.0.1", "port": broker.port, "plain_text": True},
                  "state_folder": f"state-{name}"}
        with DaemonProcess(folder, config) as daemon:
            until(lambda: subscriber.health, "the first health message", 60)
            started = time.monotonic()
            while time.monotonic() - started < seconds:
                time.sleep(0.5)
            figures = [health["process"]["pss_bytes"] for health in subscriber.health]
            inferred = subscriber.health[-1]["pipelines"][name]["inferred"]
            print(f"{name}: PSS at most {max(figures) / 1e6:.1f} MB, now {figures[-1] / 1e6:.1f} MB, {inferred} inferred, "
                  f"{len(subscriber.results)} results received", flush=True)
            for size, mapping in largest(daemon.process.pid)[:8]:
                print(f"    {size / 1e6:5.1f} MB  {mapping}")
            daemon.terminate()
        subscriber.close()


def largest(pid: int) -> list[tuple[int, str]]:
    """PSS bytes by mapped file of a process, largest first."""
    sizes: dict[str, int] = {}
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0] and not fields[0].endswith(":"):
            name = fields[5].rsplit("/", 1)[-1] if len(fields) > 5 else "anonymous"
        elif fields[0] == "Pss:":
            sizes[name] = sizes.get(name, 0) + int(fields[1]) * 1024
    return sorted(((size, mapping) for mapping, size in sizes.items()), reverse=True)
