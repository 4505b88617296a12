"""Whether ranges had stopped growing when the samples ended."""

from __future__ import annotations

from collections.abc import Mapping

from quantize.judging.finding import Finding

__all__ = ["Growth", "growth_finding"]

Range = tuple[float, float]  # least and greatest

_NOTED = 0.01  # of a value's range
# Of samples in a random order the last quarter has the greatest element in every fourth case, so that up to 44 % of the
# ranges grow at one end or the other however many samples there are (on three nets, 8 to 556 samples: 16 to 45 %, by 1 to 6 %).
_MOST_SHARE = 0.5
_MOST_MEAN = 0.07


class Growth:
    """Fed by the calibration pass with each sample's least and greatest element of each value, in the same order as the
    samples; remembers the ranges that three quarters of them gave."""

    def __init__(self, samples: int) -> None:
        """``samples``: how many will come."""
        self._mark = samples - samples // 4
        self._seen = 0
        self._ranges: dict[str, Range] = {}
        self._before: dict[str, Range] = {}

    def add(self, ranges: Mapping[str, Range]) -> None:
        """One sample's."""
        for name, (low, high) in ranges.items():
            known = self._ranges.get(name, (low, high))
            self._ranges[name] = min(low, known[0]), max(high, known[1])
        self._seen += 1
        if self._seen == self._mark:
            self._before = dict(self._ranges)

    def finding(self) -> Finding:
        return growth_finding(self._before, self._ranges, self._seen)


def growth_finding(before: Mapping[str, Range], after: Mapping[str, Range], samples: int) -> Finding:
    """From the ranges after three quarters of the samples, and after all."""
    if samples < 4 or not after:
        return Finding("note", "ranges", f"{samples} samples are too few to tell whether the ranges still grow")
    grown = [_grown(before.get(name, (0.0, 0.0)), range) for name, range in after.items()]
    share, mean = sum(value > _NOTED for value in grown) / len(grown), sum(grown) / len(grown)
    text = f"{share:.0%} of the ranges grew by over 1 % in the last quarter of the samples, by {mean:.1%} on average of all"
    if share <= _MOST_SHARE and mean <= _MOST_MEAN:
        return Finding("ok", "ranges", text)
    return Finding("warning" if mean > 2 * _MOST_MEAN else "note", "ranges", f"{text}: what came last was not seen before",
                   "add samples until the ranges settle, and let each kind of scene come early and late")


def _grown(before: Range, after: Range) -> float:
    width = after[1] - after[0]
    return (width - (before[1] - before[0])) / width if width > 0 else 0.0
