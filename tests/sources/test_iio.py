"""Industrial I/O sensors from folders that look as sysfs does; a real driver is tried in the virtual machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.sources import SampleFormat, iio
from edgeinfer.sources.iio import Iio, IioOptions

Fails = Callable[..., str]


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A thermometer that scales by itself, and an accelerometer with what its axes share."""
    for number, (name, files) in enumerate([
        ("bmp280", {"in_temp_input": "25080\n", "in_pressure_input": "100.653\n"}),
        ("mpu6050", {"in_accel_x_raw": "100\n", "in_accel_y_raw": "-200\n", "in_accel_scale": "0.5\n", "in_accel_y_offset": "10\n",
                     "in_voltage0_raw": "7\n", "in_voltage_scale": "2\n", "in_voltage0_scale": "3\n",
                     "in_voltage0-voltage1_raw": "5\n", "in_voltage-voltage_scale": "4\n", "in_voltage2_vbat_raw": "9\n"}),
    ]):
        folder = tmp_path / f"iio:device{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        for file, content in files.items():
            (folder / file).write_text(content)
    monkeypatch.setattr(iio, "_DEVICES", tmp_path)
    return tmp_path


def _read(source: Iio, count: int = 1) -> list[list[float]]:
    samples = np.full((count, source.format().channels), np.nan, np.float32)
    source.open()
    assert source.read_into(samples) == count
    source.close()
    return samples.tolist()


VALUES = [("bmp280", ("temp", "pressure"), [25080.0, 100.653]), ("iio:device0", ("temp",), [25080.0]),
          ("mpu6050", ("accel_y", "accel_x"), [-95.0, 50.0]), ("mpu6050", ("voltage0",), [21.0]),
          ("mpu6050", ("voltage0-voltage1", "voltage2_vbat"), [20.0, 18.0])]


@pytest.mark.parametrize(("device", "channels", "expected"), VALUES)
def test_a_value_is_what_the_driver_scaled_or_the_raw_number_scaled(
        devices: Path, device: str, channels: tuple[str, ...], expected: list[float]) -> None:
    """(raw + offset) * scale, with the channel's own scale before the one that its type shares."""
    source = Iio(IioOptions(device=device, channels=channels, rate=5.0))
    assert source.format() == SampleFormat(len(channels), 5.0)
    np.testing.assert_allclose(_read(source, 2), [expected] * 2, rtol=1e-6)


def test_a_sensor_or_channel_that_is_not_there_is_told_with_those_that_are(devices: Path, fails: Fails) -> None:
    """The names to choose from are in the message."""
    fails(Iio(IioOptions(device="lm75", channels=("temp",), rate=1.0)).open, "only bmp280, mpu6050")
    fails(Iio(IioOptions(device="bmp280", channels=("humidity",), rate=1.0)).open, "channel humidity", "only pressure, temp")


@pytest.mark.parametrize("content", ["", "no number\n"])
def test_a_sensor_that_answers_nonsense_is_an_error(devices: Path, content: str, fails: Fails) -> None:
    """The channel is named."""
    source = Iio(IioOptions(device="bmp280", channels=("temp",), rate=1000.0))
    source.open()
    (devices / "iio:device0" / "in_temp_input").write_text(content)
    fails(lambda: source.read_into(np.zeros((1, 1), np.float32)), "bmp280.temp: expected a value")
    source.close()


def test_ticks_that_were_missed_are_a_gap(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polled ten times a second, at 0, 0.1, 0.5 and 0.6 s: three are missing, and no read goes over the gap."""
    times = iter([1.0, 1.1, 1.5, 1.6, 1.7])
    source = Iio(IioOptions(device="bmp280", channels=("temp",), rate=10.0))
    source.open()
    monkeypatch.setattr(source._pace, "wait", lambda _: True)
    monkeypatch.setattr(iio.time, "monotonic", lambda: next(times))
    samples = np.zeros((3, 1), np.float32)
    assert [source.read_into(samples), source.gaps, source.counts()] == [2, 1, {"missed": 3}]
    assert [source.read_into(samples), source.gaps] == [3, 1]
    source.close()
