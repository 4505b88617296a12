"""Samples that were lost: no window has a hole, and what is remembered of before is forgotten."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import SourceError
from edgeinfer.model.frame import Frame
from edgeinfer.model.preprocess.resampling import Resampler, ratio
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array
from edgeinfer.sliding import SlidingWindow
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.csv import Csv, CsvOptions


class Leaky:
    """A sensor that loses samples: ``pieces`` that have nothing to do with each other. It tells of a gap when it meets it."""

    live = False
    yields = "samples"

    def __init__(self, pieces: list[Array], rate: float = 100.0) -> None:
        self.gaps = 0
        self._pieces = [piece.copy() for piece in pieces]
        self._rate = rate

    def format(self) -> SampleFormat:
        return SampleFormat(1, self._rate)

    def open(self) -> None: ...

    def read_into(self, samples: Array) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces[0]
        count = min(len(samples), len(piece))
        samples[:count, 0] = piece[:count]
        self._pieces[0] = piece[count:]
        if count == len(piece) and len(self._pieces) > 1:
            self._pieces.pop(0)
            self.gaps += 1
        return count

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def windows(source: SlidingWindow) -> list[tuple[list[float], int, int]]:
    frame, found = Frame(source.format()), []
    source.open()
    while source.read_into(frame):
        found.append((frame.view[:, 0].tolist(), frame.position, frame.breaks))
    source.close()
    return found


@settings(max_examples=80, deadline=None)
@given(sizes=st.lists(st.integers(0, 15), min_size=1, max_size=5), length=st.integers(1, 6), hop=st.integers(1, 8))
def test_a_window_never_spans_a_gap(sizes: list[int], length: int, hop: int) -> None:
    """The windows are those of each piece by itself, wherever a gap falls; each gap is counted."""
    pieces = [np.arange(size, dtype=np.float32) + 100 * index for index, size in enumerate(sizes)]
    source = SlidingWindow(Leaky(pieces), WindowSpec(length=length, hop=hop), "test")  # type: ignore[arg-type]
    wanted = [piece[start : start + length].tolist() for piece in pieces for start in range(0, len(piece) - length + 1, hop)]
    found = windows(source)
    assert [window for window, _, _ in found] == wanted
    assert source.gaps == source.counts()["gaps"] == len(pieces) - 1
    for (samples, position, breaks), (others, later, more) in itertools.pairwise(found):
        assert (more == breaks) == (int(samples[0]) // 100 == int(others[0]) // 100)
        assert later - position >= length or later - position == others[0] - samples[0]  # those that overlap say by how much


def test_no_window_spans_what_a_replay_could_not_read(tmp_path: Path) -> None:
    """A replay is not opened anew: it goes on behind a line that is no number, and its windows begin anew there."""
    lines = ["x" if row == 7 else str(row) for row in range(14)]
    (tmp_path / "samples.csv").write_text("\n".join(["value", *lines, ""]))
    source = SlidingWindow(Csv(CsvOptions(path=str(tmp_path / "samples.csv"), pace="fast")), WindowSpec(length=4, hop=2), "test")
    frame, found = Frame(source.format()), []
    source.open()
    while True:
        with suppress(SourceError):
            if not source.read_into(frame):
                break
            found.append((frame.view[:, 0].tolist(), frame.breaks))
    source.close()
    assert found == [([0, 1, 2, 3], 0), ([2, 3, 4, 5], 0), ([8, 9, 10, 11], 1), ([10, 11, 12, 13], 1)]


def test_opening_anew_breaks_the_stream() -> None:
    """What was remembered of before the outage has nothing to do with what comes."""
    source = SlidingWindow(Leaky([np.arange(20, dtype=np.float32)]), WindowSpec(length=4, hop=2), "test")  # type: ignore[arg-type]
    frame = Frame(source.format())
    source.open()
    source.read_into(frame)
    assert (frame.position, frame.breaks) == (0, 0)
    source.read_into(frame)
    assert (frame.position, frame.breaks) == (2, 0)
    source.close()
    source.open()
    source.read_into(frame)
    assert frame.position >= 6
    assert frame.breaks == 1


def test_another_rate_is_resampled_where_that_is_said() -> None:
    """Each piece between gaps by itself; else it is refused, with what to do."""
    spec = WindowSpec(length=10, hop=10, rate=100.0)
    pieces = [np.random.default_rng(seed).uniform(-1, 1, 90).astype(np.float32) for seed in range(2)]
    with pytest.raises(SourceError, match="resample: true"):
        SlidingWindow(Leaky(pieces, 300.0), spec, "test").format()  # type: ignore[arg-type]
    found = windows(SlidingWindow(Leaky(pieces, 300.0), spec, "test", resample=True))  # type: ignore[arg-type]
    share = ratio(100.0, 300.0)
    assert share is not None
    wanted = []
    for piece in pieces:
        whole = np.empty((30, 1), np.float32)
        leaky = Leaky([piece])
        assert Resampler(share.numerator, share.denominator, 1, leaky.read_into).read_into(whole) == 30
        wanted += [whole[start : start + 10, 0].tolist() for start in (0, 10, 20)]
    assert [window for window, _, _ in found] == wanted


def test_a_rate_without_a_ratio_is_refused() -> None:
    """There is no resampling by measured rates."""
    with pytest.raises(SourceError, match="or a ratio of numbers up to 4096 to it"):
        SlidingWindow(Leaky([], 100.731), WindowSpec(length=4, rate=16000.0), "t", resample=True).format()  # type: ignore[arg-type]
