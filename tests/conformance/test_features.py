"""Features against the packages that models are trained with: librosa, tf.signal, scipy, pymicro-features.

Run by scripts/test-conformance, in environments that have one or the other; what is not there is skipped.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from edgeinfer.model.preprocess.resampling import Resampler, taps
from edgeinfer.model.tensor import Array
from tests.conformance.features import reference
from tests.features import CASES, answer, computed, spec_of, window

PACKAGES = {"librosa": "librosa", "tf": "tensorflow", "scipy": "scipy", "pymicro": "pymicro_features"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_the_reference(name: str) -> None:
    """Within 1e-5 of the greatest value ; the micro frontend equal. So are the stored answers."""
    package = PACKAGES[CASES[name][4]]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    wanted, got = reference(name), computed(spec_of(name), window(name))
    assert got.shape == wanted.shape
    allowed = 0.0 if package == "pymicro_features" else 1e-5
    assert np.abs(got - wanted).max() <= allowed * np.abs(wanted).max()
    assert np.abs(answer(name) - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize(("up", "down"), [(160, 441), (1, 3), (2, 1), (147, 160)])
def test_resampling_is_scipys_with_the_same_filter(up: int, down: int) -> None:
    """scipy.signal.resample_poly, zeros beyond the ends."""
    signals = pytest.importorskip("scipy.signal")
    x = np.random.default_rng(0).uniform(-1, 1, 4410).astype(np.float32)
    at = [0]

    def read(out: Array) -> int:
        count = min(len(out), len(x) - at[0])
        out[:count, 0] = x[at[0] : at[0] + count]
        at[0] += count
        return count

    wanted = signals.resample_poly(x.astype(np.float64), up, down, window=taps(up, down))
    got = np.empty((len(wanted), 1), np.float32)
    assert Resampler(up, down, 1, read).read_into(got) == len(wanted)
    assert np.abs(got[:, 0] - wanted).max() < 1e-6
