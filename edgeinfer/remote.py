"""What comes in from the broker: commands, and Home Assistant's birth. It ties commands and discovery to a daemon and its sink.

Two lines of a daemon: ``attach`` before the sink is started, ``tick`` at each turn of the main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgeinfer.announcer import Announcer
from edgeinfer.commands import Command, CommandOptions, Commands, Inbox, Refusal, Target, answer
from edgeinfer.discovery import Described, Device, DiscoveryOptions
from edgeinfer.errors import EdgeinferError
from edgeinfer.log import log
from edgeinfer.requests import Desk
from edgeinfer.sinks import Message, Sink

__all__ = ["Controlled", "Remote"]

_ANSWER_S = 300.0  # an answer that comes later is of no use


class Controlled(Protocol):
    """What a daemon tells and does. The main thread calls; what acts raises EdgeinferError where it cannot."""

    def device(self) -> Device: ...

    def described(self) -> Sequence[Described]: ...

    def set_enabled(self, pipeline: str, enabled: bool) -> None: ...

    def set_threshold(self, pipeline: str, threshold: float) -> None: ...

    def install_update(self, pipeline: str) -> None: ...


class Remote:
    """Belongs to the main thread. ``folder`` is the state folder; ``wake`` makes the main thread turn, from any thread."""

    def __init__(self, commands: CommandOptions, discovery: DiscoveryOptions, node: str, folder: Path,
                 wake: Callable[[], None]) -> None:
        self.commands = Commands(node, commands)
        self._announcer = Announcer(discovery, folder / "announced.json")
        self._inbox = Inbox(wake)
        self._told: set[str] = set()  # kinds of refusals that the log has
        self.desks: Sequence[Desk] = ()  # of the pipelines that run now

    def attach(self, sink: Sink, requests: Sequence[str] = ()) -> None:
        """Before ``sink.start``. ``requests``: the topics of the desks."""
        topics = (*self.commands.topics, *self._announcer.topics, *dict.fromkeys(requests))
        if topics:
            sink.listen(topics, self._post)

    def _post(self, message: Message) -> None:
        """The network thread: requests to the desks, which do not wait for the main thread; the rest into the inbox."""
        asked = [desk for desk in self.desks if desk.topic == message.topic]
        for desk in asked:
            desk.post(message)
        if not asked:
            self._inbox.post(message)

    def tick(self, daemon: Controlled, sink: Sink, now: float) -> None:
        """Carry out what came, and announce what is due. ``now`` is CLOCK_MONOTONIC in s."""
        described = daemon.described()
        for message in self._inbox.take():
            if not self._announcer.hear(message.topic, message.payload, now):
                self._obey(daemon, sink, message, described, now)
        self._announcer.describe(daemon.device(), described, now)
        state = sink.state()
        self._announcer.connected((state.get("since"), state.get("reconnects")) if state["connected"] else None, now)
        step = self._announcer.advance(now)
        for topic, payload in step.values:
            sink.set_retained(topic, payload)
        if step.repeat:
            sink.repeat_retained()

    def state(self) -> dict[str, Any]:
        """For health."""
        return {**self.commands.state(), "overflowed": self._inbox.overflowed}

    def _obey(self, daemon: Controlled, sink: Sink, message: Message, described: Sequence[Described], now: float) -> None:
        targets = {one.name: Target(one.threshold, one.most, one.installed) for one in described}
        asked = self.commands.judge(message, targets, now)
        error = self._carry_out(daemon, asked) if isinstance(asked, Command) else ""
        for each in answer(asked, error):
            sink.send(each.topic, each.payload, correlation=each.correlation, expiry_s=_ANSWER_S)
        if isinstance(asked, Refusal) and asked.kind not in self._told:
            self._told.add(asked.kind)
            log.warning("a command was refused (%s): %s", asked.kind, asked.reason)

    @staticmethod
    def _carry_out(daemon: Controlled, command: Command) -> str:
        """What went wrong, or empty. Commands are events of security: the log has each."""
        try:
            if command.name == "enabled":
                daemon.set_enabled(command.pipeline, bool(command.value))
            elif command.name == "threshold":
                daemon.set_threshold(command.pipeline, float(command.value or 0))
            else:
                daemon.install_update(command.pipeline)
        except EdgeinferError as error:
            log.warning("command %s of %s failed: %s", command.name, command.pipeline, error)
            return str(error)
        shown = "" if command.value is None else f" {command.value}"
        log.info("command: %s %s%s", command.pipeline, command.name, shown)
        return ""
