"""An engine is exchanged under its pipelines: nothing of the old one is left, and a replacement that fails leaves it be."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from edgeinfer.assembly import Assembly, Replacement
from edgeinfer.benchmark import Discard
from edgeinfer.config import Config, parse
from edgeinfer.daemon import Daemon
from edgeinfer.errors import EdgeinferError, ModelError, UnavailableError
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.decoders.classify import Classify
from edgeinfer.plan import make_plan, make_plans
from tests import bundles
from tests.broker import until


def _config(folder: Path, bundle: Bundle) -> Config:
    source = {"kind": "synthetic", "width": 16, "height": 16, "fps": 200}
    document = {"pipelines": {name: {"bundle": str(bundle.folder), "source": source} for name in ("door", "hall")},
                "sink": {"kind": "stdout"}}
    return parse(yaml.safe_dump(document).encode(), folder)


def test_an_exchange_leaves_nothing_of_the_old_engine(tmp_path: Path) -> None:
    """It goes at once, without the garbage collector (which a daemon freezes): no cycle holds it. Both pipelines go on."""
    first = bundles.colours(tmp_path)
    config = _config(tmp_path, first)
    assembly = Assembly(config, make_plans(config), Discard(), "boot", {})
    (group,) = assembly.groups
    assembly.start()
    until(lambda: all(pipeline.inferred > 5 for pipeline in assembly.pipelines), "frames")
    second = bundles.variant(first, tmp_path / "second", "2")
    gc.disable()
    try:
        gone = weakref.ref(group.engine), weakref.ref(assembly.pipelines[0].lane)
        assert group.replace(Replacement([make_plan(config, name, second.folder, ()) for name in ("door", "hall")]))
        until(lambda: all(pipeline.tenure.inferred > 5 for pipeline in assembly.pipelines), "frames of the second")
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()
    assert assembly.models()["hall"]["model"] == "colours:2"
    assert assembly.stop()
    for pipeline in assembly.pipelines:
        captured, overwritten, waiting = pipeline.capture.ring.counts()
        assert captured == pipeline.inferred + overwritten + waiting


def test_an_exchange_after_the_end_of_a_stream_is_made_at_once(tmp_path: Path) -> None:
    """The inference thread is over: whoever asks does it, and does not wait for nobody."""
    first = bundles.colours(tmp_path)
    config = _config(tmp_path, first)
    assembly = Assembly(config, make_plans(config), Discard(), "boot", {})
    assembly.start()
    assert assembly.stop() or True
    (group,) = assembly.groups
    assert group.replace(Replacement(make_plans(config)))


def test_an_inference_thread_that_dies_ends_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the fault's own text can be had: there is no traceback, and one error with an exit code."""
    class Nameless(Exception):
        def __str__(self) -> str:
            raise ValueError

    def decode(self: Classify, *given: Any) -> Any:
        if threading.current_thread().name.startswith("inference"):
            raise Nameless
        return real(self, *given)

    real = Classify.decode
    monkeypatch.setattr(Classify, "decode", decode)
    source = {"kind": "synthetic", "width": 16, "height": 16, "fps": 50}
    path = tmp_path / "edgeinfer.yaml"
    path.write_text(yaml.safe_dump({"pipelines": {"door": {"bundle": str(bundles.colours(tmp_path).folder), "source": source}},
                                    "sink": {"kind": "stdout"}}))
    with pytest.raises(UnavailableError, match="inference: expected a thread that lives"):
        Daemon(path).run()


@pytest.mark.parametrize("error", [ZeroDivisionError("a fault on purpose"), MemoryError()], ids=lambda error: type(error).__name__)
def test_a_decoder_that_fails_at_warm_up_is_a_bundle_that_does_not_work(error: Exception, tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a third party raises becomes one typed error, before the old engine is touched."""
    config = _config(tmp_path, bundles.colours(tmp_path))

    def decode(*_: object) -> object:
        raise error

    monkeypatch.setattr(Classify, "decode", decode)
    with pytest.raises(ModelError, match=rf"expected a model that runs, got {type(error).__name__}"):
        Replacement(make_plans(config))


def test_a_plan_tells_whether_the_ring_can_stay(tmp_path: Path) -> None:
    """Another hop or length means other windows; another normalisation, threshold or version does not."""
    first = bundles.vibration(tmp_path)
    document = {"pipelines": {"motor": {"bundle": str(first.folder), "source": {"kind": "synthetic", "yields": "samples"}}},
                "sink": {"kind": "stdout"}}
    config = parse(yaml.safe_dump(document).encode(), tmp_path)
    plan = make_plan(config, "motor", first.folder, ())
    for name, changes, stays in (("same", {}, True), ("mean", {"normalize": "standardize", "mean": (3.0,)}, True),
                                 ("hop", {"hop": 2}, False)):
        spec = msgspec.structs.replace(first.manifest.preprocess, **changes)
        other = bundles.variant(first, tmp_path / name, "2", preprocess=spec)
        assert make_plan(config, "motor", other.folder, ()).fits_ring_of(plan) is stays, name


def test_an_installed_model_shares_no_engine_with_a_path(tmp_path: Path) -> None:
    """The same bundle, once followed and once named by its path: only the one may be exchanged."""
    from edgeinfer.store import Store

    first = bundles.colours(tmp_path)
    (tmp_path / "state").mkdir()
    bundles.deploy(Store(tmp_path / "state/models"), first)
    source = {"kind": "synthetic", "width": 8, "height": 8}
    document = {"pipelines": {"door": {"model": "colours", "source": source}, "hall": {"bundle": str(first.folder), "source": source},
                              "yard": {"model": "colours", "source": source}}, "sink": {"kind": "stdout"}}
    door, hall, yard = make_plans(parse(yaml.safe_dump(document).encode(), tmp_path))
    assert door.engine_key == yard.engine_key != hall.engine_key
    with pytest.raises(EdgeinferError, match=r"edgeinfer install other\.eib"):
        make_plans(parse(yaml.safe_dump({**document, "pipelines": {"door": {"model": "other", "source": source}}}).encode(), tmp_path))
