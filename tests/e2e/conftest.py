"""Bundles made once, a broker and a subscriber for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bundles
from tests.broker import Broker
from tests.daemon import Subscriber


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of the tiny bundles by name."""
    folder = tmp_path_factory.mktemp("models")
    return {"colours": str(bundles.colours(folder).folder), "vibration": str(bundles.vibration(folder).folder)}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A real mosquitto."""
    with Broker(tmp_path / "broker", settings="max_queued_messages 100000") as broker:
        yield broker


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    """A witness that keeps what it receives."""
    subscriber = Subscriber(broker.port).ready()
    yield subscriber
    subscriber.close()


def picture_pipeline(models: dict[str, str], fps: float = 50, **more: Any) -> dict[str, Any]:
    """A camera that is not there: synthetic frames at a camera's pace."""
    source = {"kind": "synthetic", "yields": "frames", "width": 64, "height": 48, "fps": fps, **more.pop("source", {})}
    return {"bundle": models["colours"], "source": source, **more}


def sensor_pipeline(models: dict[str, str], rate: float = 400, **more: Any) -> dict[str, Any]:
    """A sensor that is not there: synthetic samples at a sensor's pace; a window each 8 samples."""
    source = {"kind": "synthetic", "yields": "samples", "channels": 1, "rate": rate, **more.pop("source", {})}
    return {"bundle": models["vibration"], "source": source, **more}
