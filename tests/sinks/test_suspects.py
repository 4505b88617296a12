"""Which message a broker hangs up over: found with patience, and never a healthy one for a network that fails."""

from __future__ import annotations

from edgeinfer.outbox import Outgoing
from edgeinfer.sinks.suspects import Suspects
from edgeinfer.sinks.window import Sent
from edgeinfer.storage import Row


def rows(*numbers: int) -> list[Sent]:
    return [Sent(0.0, "t", Outgoing(Row(number, "t", b"{}", "door", 0), False)) for number in numbers]


def test_nothing_is_suspected_while_the_broker_takes_something_each_time() -> None:
    """Cuts under load, each with other results in flight: one at a time is never asked for."""
    suspects = Suspects()
    for cut in range(50):
        assert suspects.hung_up(rows(*range(cut * 20, cut * 20 + 20)), 10) is None
        assert not suspects.any


def test_what_was_in_flight_each_time_is_tried_alone_and_then_blamed() -> None:
    """Two of three were in flight each time; the one that is alone at the next end is it."""
    suspects = Suspects()
    for in_flight in (rows(1, 2, 3), rows(2, 3, 4), rows(2, 3, 9)):
        assert suspects.hung_up(in_flight, 3) is None
    assert suspects.any
    suspects.answered(rows(2)[0])
    assert suspects.any
    assert suspects.hung_up(rows(3), 3) == rows(3)[0]
    assert not suspects.any, "the rest goes at full speed"
    assert suspects.hung_up(rows(20, 3, 21), 3) == rows(3)[0], "and is known again among others"


def test_an_end_for_another_reason_says_nothing() -> None:
    """A broker that shuts down, or a connection that we cut: patience 0."""
    suspects = Suspects()
    for _ in range(100):
        assert suspects.hung_up(rows(1), 0) is None
    assert not suspects.any


def test_one_at_a_time_ends_even_if_a_suspect_never_comes_again() -> None:
    """The outbox was full, and the oldest had to go."""
    suspects = Suspects()
    for _ in range(3):
        suspects.hung_up(rows(1, 2), 3)
    for number in range(3, 1003):
        assert suspects.any
        suspects.answered(rows(number)[0])
    assert not suspects.any
