"""How much memory a repeated step leaves behind."""

import tracemalloc
from collections.abc import Callable


def growth(step: Callable[[], object], times: int = 1000, rounds: int = 4) -> int:
    """Bytes that the least growing of `rounds` rounds of `times` steps leaves allocated, as tracemalloc sees it.

    A leak grows in every round. What the interpreter, a test runner's own threads or a first call keep for themselves
    (2 to 4 kB were seen, on some runs only) falls into one round, which is why one round alone can't be trusted.
    """
    tracemalloc.start()
    try:
        least: int | None = None
        for _ in range(rounds):
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(times):
                step()
            grown = tracemalloc.get_traced_memory()[0] - before
            least = grown if least is None else min(least, grown)
    finally:
        tracemalloc.stop()
    assert least is not None
    return least
