"""The measure of growth sees a leak of eight bytes a step, and is not deceived by what is kept once."""

from tests.growth import growth


def test_a_leak_is_seen() -> None:
    """A list that gets an element each step grows by eight bytes a step in every round."""
    kept: list[int] = []
    assert growth(lambda: kept.append(1), times=1000) > 1000


def test_what_is_kept_once_is_no_growth() -> None:
    """A cache that is filled in one round does not count."""
    kept: dict[str, bytes] = {}
    assert growth(lambda: kept.setdefault("once", bytes(100_000))) < 1000
