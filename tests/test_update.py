"""Following installed models: what is counted at a start, and stores that cannot be written to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgeinfer.config import Config, parse
from edgeinfer.daemon import Daemon
from edgeinfer.errors import EdgeinferError, StorageError
from edgeinfer.model.bundle import Bundle, read
from edgeinfer.model.manifest import DecoderSpec
from edgeinfer.settings import Settings
from edgeinfer.settlement import kernel_boot, settle
from edgeinfer.store import Probation as Record
from edgeinfer.store import Store
from tests import bundles
from tests.broker import until
from tests.bundles import deploy, faulty_decoder, variant
from tests.e2e.running import Running


@pytest.fixture
def first(tmp_path: Path) -> Bundle:
    (tmp_path / "state").mkdir()
    return bundles.colours(tmp_path)


def _document() -> dict[str, Any]:
    source = {"kind": "synthetic", "width": 16, "height": 16, "fps": 100}
    return {"node": "test", "pipelines": {"door": {"model": "colours", "source": source}}, "sink": {"kind": "stdout"},
            "updates": {"min_frames": 20, "max_failed": 0.1}}


def _config(folder: Path) -> Config:
    return parse(yaml.safe_dump(_document()).encode(), folder)


def _store(folder: Path) -> Store:
    return Store(folder / "state/models")


def _settled(folder: Path) -> dict[str, str]:
    """One start of the daemon, as far as ``settle`` sees it; the end that nobody asked for follows by itself."""
    return settle(_config(folder), Settings(folder / "state"))


def test_the_first_bundle_of_a_model_needs_no_probation(first: Bundle, tmp_path: Path) -> None:
    """There is none to go back to."""
    deploy(_store(tmp_path), first)
    assert _settled(tmp_path) == {}
    assert _store(tmp_path).probation("colours") is None
    assert Settings(tmp_path / "state").accepted("colours", first.digest)


# the kernel's boot ids of the starts, and at which start (from 1) the new bundle is left; 0: at none of them
STARTS: dict[str, tuple[list[str], int]] = {
    "a second crash": (["a", "a", "a"], 3),
    "a crash, a restart of the device, another crash": (["a", "a", "b", "b"], 4),
    "four power cuts": (["a", "b", "c", "d", "e"], 0),
    "power cuts without end": (["a", "b", "c", "d", "e", "f"], 6),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_new_bundle_is_left_when_the_daemon_keeps_dying(name: str, first: Bundle, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Crashes count at once, power cuts only when they do not end: that may be the model's doing, too."""
    boots, left = STARTS[name]
    store = _store(tmp_path)
    deploy(store, first)
    deploy(store, variant(first, tmp_path / "second", "2"))
    for number, boot in enumerate(boots, 1):
        monkeypatch.setattr("edgeinfer.settlement.kernel_boot", lambda boot=boot: boot)
        assert bool(_settled(tmp_path)) == (number == left), number
    current = store.current("colours")
    assert current is not None
    assert read(current).manifest.version == ("1" if left else "2")


def test_a_start_that_fails_before_any_model_runs_is_held_against_nobody(first: Bundle, tmp_path: Path) -> None:
    """A second daemon on the same outbox, a pipeline that cannot be: however often it is tried. A crash before it still counts."""
    store = _store(tmp_path)
    deploy(store, first)
    second = variant(first, tmp_path / "second", "2")
    deploy(store, second)
    document = _document()
    document["pipelines"]["hall"] = {**document["pipelines"]["door"], "bundle": "nowhere"}
    del document["pipelines"]["hall"]["model"]
    (tmp_path / "edgeinfer.yaml").write_text(yaml.safe_dump(document))
    for crashed in (False, True):
        if crashed:
            store.save_probation("colours", Record(digest=second.digest, boot_id=kernel_boot(), clean=False))
        before = store.probation("colours")
        for _ in range(3):
            with pytest.raises(EdgeinferError, match="nowhere"):
                Daemon(tmp_path / "edgeinfer.yaml").run()
            assert store.probation("colours") == before
    assert _settled(tmp_path) == {}
    record = store.probation("colours")
    assert record is not None
    assert record.starts == 1


@pytest.mark.parametrize("damage", ["manifest cut", "manifest gone", "model"])
def test_a_new_bundle_that_is_damaged_gives_way_to_the_one_before(damage: str, first: Bundle, tmp_path: Path) -> None:
    """Whichever of its files the card lost: the daemon starts."""
    store = _store(tmp_path)
    deploy(store, first)
    assert _settled(tmp_path) == {}
    folder = deploy(store, variant(first, tmp_path / "second", "2"))
    if damage == "manifest gone":
        (folder / "manifest.json").unlink()
    else:
        victim = folder / ("manifest.json" if damage == "manifest cut" else first.manifest.model)
        os.truncate(victim, 100)
    assert folder.name in _settled(tmp_path)["colours"]
    current = store.current("colours")
    assert current is not None
    assert read(current).digest == first.digest


def test_an_orderly_end_is_held_against_nobody(first: Bundle, tmp_path: Path) -> None:
    """However often the daemon is restarted."""
    store = _store(tmp_path)
    deploy(store, first)
    deploy(store, variant(first, tmp_path / "second", "2"))
    for _ in range(9):
        assert _settled(tmp_path) == {}
        record = store.probation("colours")
        assert record is not None
        store.save_probation("colours", Record(digest=record.digest, boot_id=record.boot_id, starts=record.starts, clean=True))


def test_a_bundle_that_comes_back_by_hand_is_not_judged_by_the_one_it_replaces(first: Bundle, tmp_path: Path,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is quick and wrong, which a person sees; the first, four times as slow, stays when it is back, and after it
    the second when that comes back."""
    monkeypatch.syspath_prepend(str(faulty_decoder(tmp_path / "site")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    store = _store(tmp_path)
    deploy(store, variant(first, tmp_path / "slow", "1", DecoderSpec("faulty", {"does": "sleep"})))
    document = {**_document(), "updates": {"min_frames": 20, "probation_s": 1}}
    with Running(tmp_path, document) as daemon:
        for number, version in enumerate(("2", "1", "2", "1"), 1):
            if number == 1:
                deploy(store, variant(first, tmp_path / "quick", "2"))
            else:
                store.rollback("colours")
            until(lambda number=number: daemon.updates.counts["swapped"] == number, "the exchange")
            until(lambda: daemon.health()["models"]["door"]["probation"]["state"] == "accepted", "the end of the probation")
            seen = daemon.health()["pipelines"]["door"]["inferred"]
            until(lambda seen=seen: daemon.health()["pipelines"]["door"]["inferred"] > seen + 30, "frames")
            assert daemon.health()["models"]["door"]["model"] == f"colours:{version}"
        assert daemon.updates.counts == {"swapped": 4, "rejected": 0, "rolled_back": 0}
    assert store.rejected("colours") == {}


def test_a_restart_does_not_hide_what_a_new_model_does_worse(first: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of the one before are kept: the daemon that is started anew goes back by them."""
    monkeypatch.syspath_prepend(str(faulty_decoder(tmp_path / "site")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    store = _store(tmp_path)
    deploy(store, first)
    document = {**_document(), "updates": {"min_frames": 20, "probation_s": 60}}
    with Running(tmp_path, document) as daemon:
        until(lambda: daemon.health()["pipelines"]["door"]["inferred"] > 30, "frames")
        deploy(store, variant(first, tmp_path / "second", "2", DecoderSpec("faulty", {"does": "sleep"})))
        until(lambda: daemon.updates.counts["swapped"] == 1, "the exchange")
        daemon.request_stop()
    assert daemon.updates.counts["rolled_back"] == 0
    document["updates"]["probation_s"] = 2
    with Running(tmp_path, document) as daemon:
        until(lambda: daemon.updates.counts["rolled_back"] == 1, "the verdict")
        until(lambda: daemon.health()["models"]["door"]["model"] == "colours:1", "the first one again")
    assert "95 % of frames take" in next(iter(store.rejected("colours").values()))


def test_a_bundle_that_comes_while_another_is_refused_is_watched_like_any_other(first: Bundle, tmp_path: Path,
                                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody installs the third at the moment when the daemon gives up the second: it is new, and not what was there before."""
    monkeypatch.syspath_prepend(str(faulty_decoder(tmp_path / "site")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    store, rollback = _store(tmp_path), Store.rollback
    deploy(store, first)
    third = variant(first, tmp_path / "third", "3")

    def overtaken(self: Store, *given: Any, **named: Any) -> Path:
        monkeypatch.setattr(Store, "rollback", rollback)
        deploy(store, third)
        return rollback(self, *given, **named)

    with Running(tmp_path, _document()) as daemon:
        until(lambda: daemon.health()["pipelines"]["door"]["inferred"] > 30, "frames")
        monkeypatch.setattr(Store, "rollback", overtaken)
        deploy(store, variant(first, tmp_path / "second", "2", DecoderSpec("faulty", {"does": "raise", "each": 2})))
        until(lambda: daemon.health()["models"]["door"]["model"] == "colours:3", "the third")
        assert daemon.health()["models"]["door"]["probation"]["state"] == "watching"
    assert not Settings(tmp_path / "state").accepted("colours", third.digest)


def test_a_store_that_cannot_be_written_to_does_not_keep_a_bad_model(first: Bundle, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The link stays on the bad bundle; this process goes back all the same, once, and says why the link stayed."""
    monkeypatch.syspath_prepend(str(faulty_decoder(tmp_path / "site")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    store = _store(tmp_path)
    deploy(store, first)

    def rollback(*_: object, **__: object) -> Path:
        raise StorageError("colours", "a place that can be written to", "a read-only file system")

    with Running(tmp_path, _document()) as daemon:
        until(lambda: daemon.health()["pipelines"]["door"]["inferred"] > 30, "frames")
        monkeypatch.setattr(Store, "rollback", rollback)
        deploy(store, variant(first, tmp_path / "second", "2", DecoderSpec("faulty", {"does": "raise", "each": 2})))
        until(lambda: daemon.updates.counts["rolled_back"] == 1, "the verdict")
        until(lambda: daemon.health()["models"]["door"]["model"] == "colours:1", "the first one again")
        seen = daemon.health()["pipelines"]["door"]["inferred"]
        until(lambda: daemon.health()["pipelines"]["door"]["inferred"] > seen + 50, "its frames")
        assert daemon.updates.counts == {"swapped": 2, "rejected": 0, "rolled_back": 1}
        assert daemon.health()["models"]["door"]["probation"]["state"] == "rolled back"
