"""A hundred thousand damaged configurations, manifests, archives, signatures and commands: ``scripts/lanes/fuzz`` runs it."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.lanes.fuzz.grammar import grown
from tests.lanes.fuzz.judge import Judge
from tests.lanes.fuzz.mutations import Mutator
from tests.lanes.fuzz.targets import Target, targets

CASES = int(os.environ.get("EDGEINFER_FUZZ_CASES", "100000"))
SEED = int(os.environ.get("EDGEINFER_FUZZ_SEED", str(time.time_ns() % 10**9)))
GRAMMAR = ("config", "manifest", "command")
SHARE_OF_GRAMMAR = 0.15
FAILED = ROOT / "out" / "fuzz"

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def every() -> Iterator[dict[str, Target]]:
    """In a file system in memory where there is one: an archive is unpacked with many an fsync."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="edgeinfer-fuzz.", dir=memory) as folder:
        yield {target.name: target for target in targets(Path(folder))}


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", ["config", "manifest", "bundle", "archive", "command", "state", "framelog", "signature", "key"])
def test_damaged_documents(name: str, every: dict[str, Target]) -> None:
    """Bytes, spans, lines and words changed: nothing but our errors, each case within a second, and memory stays flat."""
    target = every[name]
    count = int(CASES * target.share * (1 - SHARE_OF_GRAMMAR * (name in GRAMMAR)))
    judge, mutator = Judge(FAILED), Mutator(target.seeds, target.words, SEED)
    begun, warm = time.monotonic(), 0
    for number in range(count):
        if number == count // 4:
            warm = resident_bytes()
        judge.feed(target, mutator.next())
    grown = resident_bytes() - warm
    print(f"\n{name}: seed {SEED}, {judge.fed} cases in {time.monotonic() - begun:.1f} s, {judge.refused} refused, slowest "
          f"{judge.slowest_s * 1000:.0f} ms, memory {grown:+d} bytes since a quarter of them")
    assert grown <= 4 * 2**20


@pytest.mark.parametrize("name", GRAMMAR)
def test_grown_documents(name: str, every: dict[str, Target]) -> None:
    """Documents of the right shape, with what is wrong in the places that the shape does not show."""
    target, judge = every[name], Judge(FAILED)
    count = int(CASES * target.share * SHARE_OF_GRAMMAR)

    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))
    @given(data=grown(every)[name])
    def feed(data: bytes) -> None:
        judge.feed(target, data)

    begun = time.monotonic()
    feed()
    print(f"\n{name}: {judge.fed} grown cases in {time.monotonic() - begun:.1f} s, {judge.refused} refused, slowest "
          f"{judge.slowest_s * 1000:.0f} ms")
    assert judge.fed >= count


def test_plain_noise(every: dict[str, Target]) -> None:
    """Any bytes at all, to all of them."""
    judge = Judge(FAILED)

    @given(data=st.binary(max_size=2000))
    @settings(max_examples=max(CASES // 200, 50), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def feed(data: bytes) -> None:
        for target in every.values():
            judge.feed(target, data)

    feed()
    print(f"\nnoise: {judge.fed} cases, {judge.refused} refused")
