"""Which message is why a broker hangs up: some end the connection over one instead of refusing it. One thread."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.sinks.window import Sent

__all__ = ["Suspects"]

_BLAMED = 1024  # messages that are remembered
_LONGEST = 1000  # messages sent one at a time: a suspect may have left the outbox, which was full


class Suspects:
    """Messages that were in flight each time that the broker hung up are suspects: when that was often enough they are sent one
    at a time, until each was answered, or was alone when the broker hung up again. That one is to blame.

    A network that fails looks the same but for the reason code, so that order is only changed after much patience without one.
    """

    def __init__(self) -> None:
        self._suspects: set[int | str] = set()
        self._times = 0  # that the broker hung up over these
        self._left = 0  # messages to be sent one at a time
        self._blamed: dict[int | str, None] = {}

    @property
    def any(self) -> bool:
        """One at a time, please."""
        return self._left > 0

    def hung_up(self, in_flight: Sequence[Sent], patience: int) -> Sent | None:
        """The message that is to blame, if one is known to be. ``in_flight``: in the order of sending; ``patience``: how often the
        same may happen before anything is suspected."""
        sent = {_name(one): one for one in in_flight}
        if not sent or not patience:
            return None
        blamed = [name for name in sent if name in self._blamed]
        if blamed or (self.any and len(sent) == 1):
            return self._blame(sent, (blamed or list(sent))[0])
        again = self._suspects & sent.keys()
        self._suspects, self._times = (again, self._times + 1) if again else (set(sent), 1)
        if self._times >= patience:
            self._left = _LONGEST
        return None

    def _blame(self, sent: dict[int | str, Sent], name: int | str) -> Sent:
        self._clear(name)
        self._blamed[name] = None
        if len(self._blamed) > _BLAMED:
            del self._blamed[next(iter(self._blamed))]
        return sent[name]

    def answered(self, sent: Sent) -> None:
        """The broker took this one, or refused it as it should."""
        self._blamed.pop(_name(sent), None)
        self._clear(_name(sent))

    def _clear(self, name: int | str) -> None:
        self._suspects.discard(name)
        self._left = max(self._left - 1, 0) if self._suspects else 0


def _name(sent: Sent) -> int | str:
    """A result's row, another message's topic."""
    return sent.outgoing.row.id if sent.outgoing is not None else sent.topic
