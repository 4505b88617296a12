"""The claims of a long run: everything arrives, in order, balanced, and nothing grows. ``scripts/lanes/soak`` runs it."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import models
from tests.lanes.soak.samples import Sample
from tests.lanes.soak.soak import PIPELINES, Soak

__all__ = ["models"]

SECONDS = float(os.environ.get("EDGEINFER_SOAK_S", "3600"))
SEED = int(os.environ.get("EDGEINFER_SOAK_SEED", "4"))
SETTLED_S = min(300.0, SECONDS / 4)  # of a boot's life: then its memory is what it will be
MOST_GROWTH = 0.01

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Soak:
    """The run itself."""
    soak = Soak(tmp_path_factory.mktemp("soak"), models, SECONDS, SEED, Path(ROOT, "out", "soak.csv"))
    soak.run()
    print_figures(soak)
    return soak


def print_figures(soak: Soak) -> None:
    streams = soak.witness.streams
    print(f"\n{soak.sampler.seconds:.0f} s, seed {SEED}: {soak.kills} SIGKILLs, "
          + ", ".join(f"{count} x {name}" for name, count in sorted(soak.disturbances.items())))
    print(f"{len(soak.witness.health)} boots with health, {soak.witness.documents} health documents")
    for name in PIPELINES:
        of_it = [stream for (_, pipeline), stream in streams.items() if pipeline == name]
        print(f"{name:8} {sum(s.last for s in of_it):7} results, {sum(s.duplicates for s in of_it):5} duplicates, "
              f"{sum(s.replayed for s in of_it):6} replayed, {sum(len(s.faults) for s in of_it)} out of order or missing, "
              f"{sum(absent(soak, name).values())} staged and lost with a SIGKILL, at most "
              f"{max(absent(soak, name).values(), default=0)} at once")
    calm = [sample for sample in soak.sampler.samples if sample.seconds > soak.calm_from + SETTLED_S]
    print("PSS is of files that no other process maps" if soak.alone else "PSS is of files that other processes map, too")
    for what, values in (("PSS kB", [s.pss for s in calm]), ("anonymous kB", [s.anonymous for s in calm]),
                         ("threads", [s.threads for s in soak.quiet]), ("descriptors", [s.descriptors for s in soak.quiet])):
        if values:
            print(f"{what:12} first {values[0]}, last {values[-1]}, least {min(values)}, most {max(values)}, "
                  f"median {median(values):g}")


def absent(soak: Soak, pipeline: str) -> dict[str, int]:
    """By boot, results that its last health document told of and that never came."""
    return {boot: missing for boot, health in soak.witness.health.items()
            if (stream := soak.witness.streams.get((boot, pipeline))) is not None
            and (missing := health["pipelines"][pipeline]["published"] - stream.last) > 0}


def test_everything_made_arrives_once_or_more_in_order(soak: Soak) -> None:
    """Each boot's numbers begin at 1 and have no gap; those that come again are the same results."""
    assert set(PIPELINES) == {pipeline for _, pipeline in soak.witness.streams}
    for key, stream in soak.witness.streams.items():
        assert not stream.faults, (key, stream.faults[:5])


def test_what_a_killed_daemon_left_on_disk_arrives(soak: Soak) -> None:
    """Only results that were still staged, for 100 ms at most (and while the disk did its work), may end a boot early."""
    assert soak.kills > 0
    assert soak.stored, "no kill left anything in the outbox: the run saw nothing"
    for key, last in soak.stored.items():
        assert soak.witness.streams[key].last >= last, key
    for name in PIPELINES:
        assert max(absent(soak, name).values(), default=0) <= 20, absent(soak, name)


def test_the_last_boot_loses_nothing(soak: Soak) -> None:
    """It ends with 0, and every result that it published has arrived."""
    assert soak.exit_code == 0
    last = soak.witness.health[list(soak.witness.health)[-1]]
    for name in PIPELINES:
        assert soak.witness.streams[last["boot"], name].last == last["pipelines"][name]["published"]
    assert not last["sink"]["outbox"]["dropped"], last["sink"]["outbox"]
    assert last["sink"]["crashes"] == 0
    assert "Traceback" not in soak.log


def test_both_equations_hold_in_every_health_document(soak: Soak) -> None:
    """captured = inferred + skipped + waiting; produced = acknowledged + queued + dropped."""
    assert soak.witness.documents > 10
    assert not soak.witness.unbalanced, soak.witness.unbalanced[:3]


def test_memory_is_flat(soak: Soak) -> None:
    """From five minutes after the last kill on, each minute's median PSS is at most 1 % above the first one's; so is what no other
    process can share. (Where the daemon could not be given files of its own, PSS also rises when another process that shared a
    library ends: then what is resident must not have risen.)"""
    calm = [sample for sample in soak.sampler.samples if sample.seconds > soak.calm_from + SETTLED_S]
    assert len({sample.process for sample in calm}) == 1
    growth = {what: growth_of(calm, what) for what in ("pss", "resident", "anonymous")}
    print("most growth of a minute over the first one:", ", ".join(f"{what} {share:+.2%}" for what, share in growth.items()))
    assert (growth["pss"] if soak.alone else min(growth["pss"], growth["resident"])) <= MOST_GROWTH
    assert growth["anonymous"] <= MOST_GROWTH


def growth_of(samples: list[Sample], what: str) -> float:
    """The share by which the largest of the minutes' medians exceeds the first one's."""
    minute = 60.0 if SECONDS > 600 else 10.0
    medians = [median(getattr(sample, what) for sample in of_it)
               for _, of_it in groupby(samples, lambda sample: int(sample.seconds // minute))]
    assert len(medians) > 2
    return max(medians) / medians[0] - 1


def test_threads_and_descriptors_are_constant(soak: Soak) -> None:
    """Whenever nothing has been disturbed for a while, there are as many as ever."""
    settled = soak.quiet[len(soak.quiet) // 4 :]
    assert len(settled) > 2
    usual = [(sample.threads, sample.descriptors) for sample in settled]
    assert usual[-1] == usual[0], usual
    assert sum(each == usual[0] for each in usual) >= 0.9 * len(usual), usual  # a link may be under way in some
