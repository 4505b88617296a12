"""A camera that fails in every way that vivid can be told to, and one whose writer goes away: counted, and back within five
seconds of the fault's end, on the guest's clock."""

from __future__ import annotations

import pytest

from tests.daemon import Subscriber, check_equations, until
from tests.lanes.vm.conftest import play_pictures
from tests.lanes.vm.guest import Guest, recovery_s, source

MOST_S = 5.0


@pytest.fixture(autouse=True)
def working(guest: Guest, heard: Subscriber) -> None:
    """Both cameras deliver before the fault."""
    until(lambda: bool(heard.health) and all(source(heard, name)["working"] for name in ("hall", "yard")), "both cameras", 90)


def _failed(heard: Subscriber, pipeline: str, before: int) -> None:
    until(lambda: source(heard, pipeline)["failures"] > before, "the failure is counted", 60)


def _report(name: str, seconds: float, heard: Subscriber, pipeline: str = "yard") -> None:
    print(f"\n{name}: first frame {seconds:.2f} s after the fault's end; {source(heard, pipeline)}")
    check_equations(heard.health[-1])
    assert seconds < MOST_S


def test_a_camera_that_loses_every_frame_is_noticed_and_comes_back(guest: Guest, heard: Subscriber) -> None:
    """percentage_of_dropped_buffers=100: no frame, and no error from the driver either."""
    before = source(heard, "yard")["failures"]
    guest.set("percentage_of_dropped_buffers", 100)
    _failed(heard, "yard", before)
    until(lambda: not source(heard, "yard")["working"], "health says so")
    _report("every frame lost", recovery_s(heard, "yard", guest.set("percentage_of_dropped_buffers", 0)), heard)


def test_frames_that_are_lost_now_and_then_are_counted(guest: Guest, heard: Subscriber) -> None:
    """Half of them: no failure; the gaps in the driver's numbers are in health."""
    before = source(heard, "yard")
    guest.set("percentage_of_dropped_buffers", 50)
    until(lambda: source(heard, "yard")["missed"] > before["missed"] + 10, "lost frames are counted", 60)
    guest.set("percentage_of_dropped_buffers", 0)
    assert source(heard, "yard")["failures"] == before["failures"]


def test_buffers_that_the_driver_calls_damaged_give_no_results(guest: Guest, heard: Subscriber) -> None:
    """Each injection flags one buffer: it is counted as damaged and not as captured."""
    before = source(heard, "yard")
    for _ in range(5):
        ended = guest.set("inject_v4l2_buf_flag_error")
    until(lambda: source(heard, "yard")["damaged"] >= before["damaged"] + 5, "damaged buffers are counted", 60)
    seconds = recovery_s(heard, "yard", ended)
    assert source(heard, "yard")["damaged"] == before["damaged"] + 5
    assert source(heard, "yard")["failures"] == before["failures"]
    _report("damaged buffers", seconds, heard)


ONCE = ["inject_vidioc_qbuf_error", "inject_fatal_streaming_error"]


@pytest.mark.parametrize("control", ONCE)
def test_an_error_of_a_request_is_recovered(guest: Guest, heard: Subscriber, control: str) -> None:
    """The driver refuses a buffer, or gives up streaming: opened anew at once."""
    before = source(heard, "yard")["failures"]
    ended = guest.set(control)
    _failed(heard, "yard", before)
    _report(control, recovery_s(heard, "yard", ended), heard)


@pytest.mark.parametrize("control", ["inject_vidioc_reqbufs_error", "inject_vidioc_streamon_error"])
def test_an_error_while_the_camera_opens_is_recovered(guest: Guest, heard: Subscriber, control: str) -> None:
    """Two faults in a row: the stream dies, and the first attempt to open it anew fails."""
    before = source(heard, "yard")["failures"]
    ended = float(guest.run(f"v4l2-ctl -d /dev/video0 -c {control}=1 -c inject_fatal_streaming_error=1; date +%s.%N").splitlines()[-1])
    _failed(heard, "yard", before)
    _report(control, recovery_s(heard, "yard", ended), heard)


def test_a_camera_that_is_unplugged_for_a_moment_comes_back(guest: Guest, heard: Subscriber) -> None:
    """vivid's disconnect: the device is gone until its last user has let go of it, and is there again then."""
    before = source(heard, "yard")["failures"]
    ended = guest.set("disconnect")
    _failed(heard, "yard", before)
    _report("unplugged for a moment", recovery_s(heard, "yard", ended), heard)


def test_a_camera_that_is_unplugged_and_plugged_in_again_comes_back(guest: Guest, heard: Subscriber) -> None:
    """Its driver is unloaded, between two attempts of the daemon to open it, and loaded: /dev/video0 is another device then."""
    guest.run("for i in $(seq 40); do v4l2-ctl -d /dev/video0 -c disconnect=1; "
              "for j in $(seq 8); do rmmod vivid 2>/dev/null && exit 0; done; sleep 1; done; rmmod vivid")
    until(lambda: "no such device" in source(heard, "yard")["error"], "health says that there is none", 60)
    guest.vivid()
    _report("unplugged", recovery_s(heard, "yard", guest.machine.now()), heard)


def test_a_loopback_whose_writer_goes_away_comes_back(guest: Guest, heard: Subscriber) -> None:
    """The program that plays into it ends, and begins anew."""
    before = source(heard, "hall")["failures"]
    guest.run("systemctl stop feeder")
    _failed(heard, "hall", before)
    _report("writer gone", recovery_s(heard, "hall", play_pictures(guest)), heard, "hall")


def test_an_arecord_that_is_killed_comes_back(guest: Guest, heard: Subscriber) -> None:
    """As when a card is unplugged: the child process ends."""
    before = source(heard, "sound")["failures"]
    guest.run("pkill -x arecord")
    ended = guest.machine.now()
    _failed(heard, "sound", before)
    _report("arecord killed", recovery_s(heard, "sound", ended), heard, "sound")
