"""A sensor's scans from the kernel's buffer, at the pace of a timer of the kernel, set up by root as a udev rule would."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.daemon import until
from tests.lanes.vm.conftest import PIPELINES
from tests.lanes.vm.guest import Guest, source

RATE, LENGTH = 20, 64
_TRIGGER = "/sys/kernel/config/iio/triggers/hrtimer/lane"
_DEVICE = "device=$(dirname $(grep -l '^bmp280$' /sys/bus/iio/devices/iio:device*/name))"


@pytest.fixture
def buffered(guest: Guest) -> Iterator[Guest]:
    """The daemon on the buffer of the BMP280 alone; afterwards all is as it was."""
    guest.run(f"modprobe iio-trig-hrtimer; mkdir -p {_TRIGGER}; {_DEVICE}; cd $device; "
              f"echo {RATE} > $(dirname $(grep -l '^lane$' /sys/bus/iio/devices/trigger*/name))/sampling_frequency; "
              f"echo 1 > scan_elements/in_temp_en; echo 1 > scan_elements/in_timestamp_en; echo lane > trigger/current_trigger; "
              f"echo {LENGTH} > buffer/length; echo 1 > buffer/enable; "
              "chgrp i2c /dev/$(basename $device); chmod 640 /dev/$(basename $device)")
    options = {"kind": "iio", "device": "bmp280", "channels": ["temp"], "rate": RATE, "buffer": {"length": LENGTH, "trigger": "lane"}}
    guest.start({"climate": {"bundle": "climate", "source": options}})
    yield guest
    guest.stop()
    guest.run(f"{_DEVICE}; echo 0 > $device/buffer/enable; rmdir {_TRIGGER}")
    guest.start(PIPELINES)


def test_scans_of_the_kernels_buffer_reach_results(buffered: Guest) -> None:
    """What polling gives, too: 25.08 degrees, though the service may not write below /sys."""
    with buffered.listening() as heard:
        until(lambda: sum(result["pipeline"] == "climate" for result in heard.results) >= 5, "five windows", 120)
        for result in heard.results:
            (tensor,) = result["result"]["tensors"].values()
            np.testing.assert_allclose(tensor["data"], 25080, atol=10)
        until(lambda: bool(heard.health), "health")
        print(f"\nbuffer: {source(heard, 'climate')}")
