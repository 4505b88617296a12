"""What a long run says: each step, what it does and why it chose so; bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TextIO, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Lines", "Progress", "Silent", "on"]

Item = TypeVar("Item")
_EVERY = 10.0  # seconds between lines of a long step where nobody watches a bar


class Progress(Protocol):
    """Told by the thread that works. Nothing it does may fail the run."""

    def step(self, title: str) -> None:
        """A new step begins."""
        ...

    def say(self, text: str) -> None:
        """A sentence about the step: a figure, a choice and its reason."""
        ...

    def count(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """The same items, counted as they are taken."""
        ...


class Silent:
    """Says nothing."""

    def step(self, title: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def count(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """The items."""
        yield from items


class Lines:
    """Plain lines, for files and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def step(self, title: str) -> None:
        """One line."""
        print(title, file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """One line, set in."""
        print(f"  {text}", file=self._stream, flush=True)

    def count(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """A line now and then, where it takes long."""
        said = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - said >= _EVERY:
                said = time.monotonic()
                self.say(f"{what}: {number} of {total}")


class _Bars(Lines):
    """Lines, and a bar while items are counted."""

    def step(self, title: str) -> None:
        """One line, bold."""
        self._console().print(f"[bold]{_escaped(title)}[/bold]", highlight=False)

    def say(self, text: str) -> None:
        """One line, set in."""
        self._console().print(f"  {_escaped(text)}", highlight=False, soft_wrap=True)

    def count(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """A bar with an estimate, gone when it is full."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Bar(*columns, console=self._console(), transient=True) as bar:
            task = bar.add_task(_escaped(what), total=total)
            for item in items:
                yield item
                bar.advance(task)

    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=self._stream)


def on(stream: TextIO = sys.stderr) -> Progress:
    """Bars where ``stream`` is a terminal and rich is installed, else lines."""
    if stream.isatty():
        try:
            import rich  # noqa: F401  only whether it is there
        except ImportError:
            return Lines(stream)
        return _Bars(stream)
    return Lines(stream)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
