"""A few hundred of the cases of the fuzz lane (``scripts/lanes/fuzz`` feeds a hundred thousand), anew at each run."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings

from tests.lanes.fuzz.grammar import grown
from tests.lanes.fuzz.judge import Judge
from tests.lanes.fuzz.mutations import Mutator
from tests.lanes.fuzz.targets import Target, targets

CASES = 700


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    """All targets."""
    return {target.name: target for target in targets(tmp_path_factory.mktemp("fuzz"))}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("failed"))


def test_damaged_documents_are_refused_or_read(every: dict[str, Target], judge: Judge) -> None:
    """Nothing but our errors comes out, each within a second."""
    seed = random.randrange(10**9)
    print("seed", seed)
    for target in every.values():
        mutator = Mutator(target.seeds, target.words, seed)
        for _ in range(int(CASES * target.share)):
            judge.feed(target, mutator.next())


@pytest.mark.parametrize("name", ["config", "manifest", "command"])
def test_grown_documents_are_refused_or_read(name: str, every: dict[str, Target], judge: Judge) -> None:
    """Of the right shape, and wrong within."""
    @settings(deadline=None, max_examples=40)
    @given(data=grown(every)[name])
    def feed(data: bytes) -> None:
        judge.feed(every[name], data)

    feed()
