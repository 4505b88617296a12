"""One machine for all tests, with the daemon on every device that the kernel can make up."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Subscriber
from tests.lanes.vm.guest import Guest
from tests.lanes.vm.machine import Machine, lanes_folder

# what a BMP280 has in its registers in the example of its data sheet: 25.08 degrees, 100653 Pa
CALIBRATION = struct.pack("<HhhHhhhhhhhh", 27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
REGISTERS = {0xD0: 0x58, **{0x88 + index: value for index, value in enumerate(CALIBRATION)}}
for _address, _raw in ((0xFA, 519888 << 4), (0xF7, 415148 << 4)):
    REGISTERS |= {_address: _raw >> 16 & 255, _address + 1: _raw >> 8 & 255, _address + 2: _raw & 255}

PIPELINES = {
    "hall": {"bundle": "colours", "source": {"kind": "camera", "device": 10, "width": 64, "height": 48, "pixel_format": "YUYV"}},
    "yard": {"bundle": "colours", "source": {"kind": "camera", "device": 0, "width": 320, "height": 180, "pixel_format": "YUYV"}},
    "climate": {"bundle": "climate", "source": {"kind": "iio", "device": "bmp280", "channels": ["temp"], "rate": 20}},
    "sound": {"bundle": "sound", "source": {"kind": "audio", "device": "hw:Loopback,1,0", "rate": 16000}},
}


READY = "ready"  # the name of a snapshot


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """The daemon runs there on four devices: a camera with known pictures, vivid, an I2C sensor, a sound card.

    EDGEINFER_VM_RESUME=1 takes the machine as an earlier run had made it ready, with the daemon of then."""
    machine = Machine(lanes_folder() / "vm", tmp_path_factory.mktemp("vm"))
    made = Guest(machine)
    try:
        if "EDGEINFER_VM_RESUME" in os.environ:
            machine.resume(READY)
        else:
            machine.resume()
            _make_ready(made)
            machine.save(READY)
        machine.write("/opt/lane/feeder.py", (Path(__file__).parent / "feeder.py").read_bytes())
        play_pictures(made)
        yield made
    finally:
        machine.stop()


def _make_ready(guest: Guest) -> None:
    guest.deploy("sound", "i2c")
    guest.vivid()
    guest.run("modprobe v4l2loopback video_nr=10 && udevadm settle")
    _sensor(guest.machine)
    _sound(guest.machine)
    guest.start(PIPELINES)


@pytest.fixture
def heard(guest: Guest) -> Iterator[Subscriber]:
    with guest.listening() as subscriber:
        yield subscriber


def play_pictures(guest: Guest) -> float:
    """Into /dev/video10; the guest's time when it began."""
    guest.run("systemctl stop feeder", check=False)
    return float(guest.run("systemd-run -q --collect --unit feeder python3 /opt/lane/feeder.py /dev/video10 64 48 10; "
                           "date +%s.%N"))


def _sensor(machine: Machine) -> None:
    """A bus that only exists in memory, with a BMP280 on it, and the kernel's driver for that."""
    sets = "; ".join(f"i2cset -y $bus 0x76 {register} {value} b" for register, value in REGISTERS.items())
    machine.run("modprobe i2c-dev; modprobe i2c-stub chip_addr=0x76; "
                f"bus=$(i2cdetect -l | awk '/SMBus stub/ {{print $1}}' | sed s/i2c-//); {sets}; "
                "modprobe bmp280-i2c && echo bmp280 0x76 > /sys/bus/i2c/devices/i2c-$bus/new_device && udevadm settle")


_TONE = """
import math, struct, wave
with wave.open("/opt/lane/tone.wav", "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    second = struct.pack("<16000h", *(round(16384 * math.sin(2 * math.pi * 2000 * n / 16000)) for n in range(16000)))
    file.writeframes(second * 3600)
"""


def _sound(machine: Machine) -> None:
    """A card whose output is its input, playing 2 kHz at half of full scale."""
    machine.write("/opt/lane/tone.py", _TONE)
    machine.run("python3 /opt/lane/tone.py; modprobe snd-aloop && udevadm settle; "
                "systemd-run -q --collect --unit tone -p Restart=always aplay -q -D hw:Loopback,0,0 /opt/lane/tone.wav")
