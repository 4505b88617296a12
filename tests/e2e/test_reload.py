"""A reload takes its time beside inference: a model's trial may last a minute, the watchdog waits for half of one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeinfer import daemon as module
from tests.broker import Broker, until
from tests.bundles import configuration
from tests.daemon import Subscriber
from tests.e2e.conftest import picture_pipeline
from tests.e2e.running import Running


class Trials:
    """``try_models``, which from the second time on waits to be let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.go_on = threading.Event()
        self._real = module.try_models
        monkeypatch.setattr(module, "try_models", self)

    def __call__(self, *arguments: Any) -> Any:
        self.begun += 1
        if self.begun > 1:
            self.go_on.wait(60)
        return self._real(*arguments)


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What systemd is told."""
    told: list[str] = []
    for word in ("watchdog", "reloading", "ready"):
        monkeypatch.setattr(module.notify, word, lambda word=word: told.append(word))
    return told


def _signal(daemon: module.Daemon) -> None:
    daemon._reloading = True
    daemon._wake.set()


def test_the_watchdog_is_fed_and_health_is_told_while_a_reload_is_prepared(
        broker: Broker, subscriber: Subscriber, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        fed: list[str]) -> None:
    """And a signal that comes meanwhile is obeyed afterwards: the file may have changed since."""
    trials = Trials(monkeypatch)
    config = configuration(broker.port, {"door": picture_pipeline(models)})
    with Running(tmp_path, config) as daemon:
        until(lambda: subscriber.health, "health")
        more = {"door": picture_pipeline(models), "yard": picture_pipeline(models)}
        (tmp_path / "edgeinfer.yaml").write_text(yaml.safe_dump(configuration(broker.port, more)))
        _signal(daemon)
        until(lambda: trials.begun == 2, "the trial")
        seen, documents = fed.count("watchdog"), len(subscriber.health)
        until(lambda: fed.count("watchdog") > seen + 2, "the watchdog is fed")
        until(lambda: len(subscriber.health) > documents + 2, "health is told")
        _signal(daemon)
        trials.go_on.set()
        until(lambda: trials.begun == 3, "the second signal is obeyed")
        until(lambda: fed.count("ready") == 3, "both end")
        until(lambda: "yard" in subscriber.health[-1]["pipelines"], "the new configuration runs")


def test_a_stop_does_not_wait_for_a_reload(broker: Broker, models: dict[str, str], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM while a model hangs in its trial."""
    trials = Trials(monkeypatch)
    with Running(tmp_path, configuration(broker.port, {"door": picture_pipeline(models)})) as daemon:
        _signal(daemon)
        until(lambda: trials.begun == 2, "the trial")
    assert not trials.go_on.is_set()
    trials.go_on.set()
