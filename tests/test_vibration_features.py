"""The injected fault of examples/vibration is plain in features of the envelope, without any network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.model.frame import Frame
from edgeinfer.model.preprocess.features import features_of
from edgeinfer.model.preprocess.featurespec import StatisticsSpec
from edgeinfer.model.preprocess.spec import WindowSpec
from edgeinfer.model.tensor import Array
from edgeinfer.sliding import SlidingWindow
from edgeinfer.sources.csv import Csv, CsvOptions

EXAMPLE = Path(__file__).parents[1] / "examples/vibration"
# The housing rings at 310 Hz each time a ball strikes, 3.585 x 24.6 a second: 88 Hz in the envelope.
FEATURES = StatisticsSpec(frame=800, step=800, values=("rms", "kurtosis", "envelope_kurtosis"), envelope_low=260.0, envelope_high=360.0,
                          bands=((260.0, 360.0),), envelope_bands=((78.0, 94.0),))


@pytest.fixture(scope="module")
def features() -> tuple[Array, Array]:
    """(windows, 5) of the axis x, and whether each lies within the fault (True), outside (False) or across its ends (left out)."""
    spec = WindowSpec(length=800, channels=1, hop=200, rate=800.0, features=FEATURES)
    source = SlidingWindow(Csv(CsvOptions(path=str(EXAMPLE / "vibration.csv"), columns=("x",), rate=800.0, pace="fast")), spec, "test")
    truth, frame, made = json.loads((EXAMPLE / "truth.json").read_text()), Frame(source.format()), features_of(spec)
    rows, broken = [], []
    source.open()
    while source.read_into(frame):
        begins, ends = frame.position / 800, frame.position / 800 + 1
        inside, outside = begins >= truth["fault"][0] and ends <= truth["fault"][1], ends <= truth["fault"][0] or begins >= truth["fault"][1]
        if inside or outside:
            rows.append(made.of(frame)[0].copy())
            broken.append(inside)
    source.close()
    return np.array(rows), np.array(broken)


def test_the_fault_is_plain_in_the_band_where_the_housing_rings(features: tuple[Array, Array]) -> None:
    """Every second with the fault is beyond every second without it."""
    rows, broken = features
    assert broken.sum() > 10
    for column, name in ((3, "ringing"), (4, "envelope at the ball pass frequency")):
        healthy, faulty = rows[~broken, column], rows[broken, column]
        assert faulty.min() > 1.2 * healthy.max(), name


def test_the_level_alone_does_not_tell(features: tuple[Array, Array]) -> None:
    """Load moves it more than the fault does, as the example says."""
    rows, broken = features
    assert rows[broken, 0].min() < rows[~broken, 0].max()
