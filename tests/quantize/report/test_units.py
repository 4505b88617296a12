"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from quantize.metrics import Figure
from quantize.report import units


def plain(text: str) -> str:
    """With an ordinary space and minus, so that a test can be read."""
    return text.replace("\u202f", " ").replace("\u2212", "-").replace("\u2013", "none").replace("\u00d7", "x")


@pytest.mark.parametrize(("value", "unit", "shown"), [
    (93.149, "%", "93.1 %"), (0.04, "points", "0.0 points"), (-0.04, "points", "0.0 points"), (-1.25, "points", "-1.2 points"),
    (17.16, "dB", "17.2 dB"), (200.0, "dB", "identical"), (-200.0, "dB", "-200.0 dB"), (2.0, "LSB", "2 LSB"), (2.5, "LSB", "2.5 LSB"),
    (0.02134, "nats", "0.0213 nats"), (0.85391, "", "0.8539"), (0.0, "", "0"), (12345.6, "", "12346"), (1e-7, "", "1e-07"),
    (math.nan, "%", "none"), (math.inf, "", "none"),
])
def test_a_quantity(value: float, unit: str, shown: str) -> None:
    """Few digits; what rounds to nothing has no sign; what is not a number is a dash."""
    assert plain(units.quantity(value, unit)) == shown


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0 %"), (1.0, "100 %"), (0.00001, "< 0.01 %"), (0.99999, "> 99.99 %"), (0.0012, "0.12 %"), (0.25, "25.0 %"),
    (0.999, "99.90 %")])
def test_a_share(value: float, shown: str) -> None:
    """A little is never nothing, almost all never all."""
    assert plain(units.share(value)) == shown


@pytest.mark.parametrize(("low", "high", "shown"), [
    (0.0, 6.9637, "0 to 6.96"), (-8.9912, 13.24, "-9.0 to 13.2"), (0.0000187, 14.3, "0.0 to 14.3"), (-312.7, 1290.2, "-313 to 1290"),
    (0.0, 0.0, "0 to 0"), (-2e7, 3e9, "-2e+07 to 3e+09")])
def test_a_range_has_the_digits_that_matter_beside_its_larger_end(low: float, high: float, shown: str) -> None:
    """Three digits of the larger end; the smaller one gets as many decimals."""
    assert plain(units.ends(low, high)) == shown


@pytest.mark.parametrize(("made", "shown"), [
    (units.signed(2.2, "points"), "+2.2 points"), (units.signed(-2.2, "points"), "-2.2 points"), (units.signed(0.01, "points"), "0.0 points"),
    (units.size(812), "812 B"), (units.size(76_400), "76.4 kB"), (units.size(999_600), "1 MB"), (units.size(18_580_112), "18.6 MB"),
    (units.seconds(0.44), "0.4 s"), (units.seconds(31.2), "31 s"), (units.seconds(75), "1 min 15 s"),
    (units.milliseconds(0.04512), "0.0451 ms"), (units.count(1, "pictures"), "1 picture"), (units.count(2, "pictures"), "2 pictures"),
    (units.ratio(18.6, 5.0, "smaller", "larger"), "3.7x smaller"), (units.ratio(5.0, 10.0, "faster", "slower"), "2x slower"),
    (units.ratio(10.0, 10.01, "faster", "slower"), "the same"),
    (units.ratio(0.0, 10.0, "faster", "slower"), ""), (units.title("top-1"), "Top-1"), (units.title("mAP50"), "mAP50"),
    (units.interval(Figure(name="", value=1.0)), ""),
    (units.interval(Figure(name="", value=1.0, low=-0.5, high=2.0, unit="points")), "-0.5 to 2.0"),
])
def test_other_figures(made: str, shown: str) -> None:
    """Signs, sizes, times, counts, ratios."""
    assert plain(made) == shown
