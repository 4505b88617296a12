"""Rows that others ask about over MQTT, each answered with its prediction."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgeinfer.errors import Fault
from edgeinfer.requests import Desk, RequestOptions
from edgeinfer.sources import Row

__all__ = ["Requests"]


class Requests:
    """It never ends, and loses none that it has taken: the model sets the pace. ``desk`` is where they come and are answered."""

    Options = RequestOptions
    yields: ClassVar[Literal["rows"]] = "rows"
    live = False

    def __init__(self, options: RequestOptions) -> None:
        self.desk = Desk(options)
        self._interrupted = False

    def open(self) -> None:
        self._interrupted = False
        self.desk.open()

    def read(self) -> Row | None:
        """The next request; None when interrupted."""
        while not self._interrupted:
            row = self.desk.take(1.0)
            if row is not None:
                return row
        return None

    def refuse(self, fault: Fault) -> None:
        """Answer the one that was read last with an error."""
        self.desk.refuse(" ".join(str(fault).split()))

    def counts(self) -> dict[str, int]:
        """For health; any thread."""
        return self.desk.counts()

    def interrupt(self) -> None:
        self._interrupted = True
        self.desk.interrupt()

    def close(self) -> None:
        self.desk.close()
