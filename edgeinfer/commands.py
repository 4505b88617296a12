"""Remote commands. Pure: a message, the time and plain facts come in, a command or a refusal goes out.

Two forms, both below ``edgeinfer/<node>/command/`` only (docs/topics-and-payloads.md tells them in full):

    command/<pipeline>/enabled      ON or OFF                       what a switch, a number and an update entity send
    command/<pipeline>/threshold    0.7
    command/<pipeline>/update       install
    command/request/<name>          {"pipeline": "door", "value": 0.7, "transaction": "a1"}     what a program sends

A command is no more than a wish: whoever carries it out says in the answer what became of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edgeinfer.bucket import Bucket
from edgeinfer.mqtt.message import Message, answered, own_response_topic

__all__ = ["Answer", "Command", "CommandOptions", "Commands", "Inbox", "Refusal", "Target", "answer", "parse", "topic"]

NAMES = ("enabled", "threshold", "update")
KINDS = ("disabled", "retained", "too_long", "too_many", "unknown", "invalid")  # of refusals
_WAITING = 64  # messages between two ticks
_TEXT = 200  # characters of a stranger's text that are repeated


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Off unless the configuration says otherwise: whoever may publish under ``command/`` acts on this device."""

    enabled: bool = False
    max_bytes: int = 1024  # a longer command is refused unread
    per_minute: int = 60  # more are refused; a burst of as many is fine

    def __post_init__(self) -> None:
        if not 16 <= self.max_bytes <= 65536:
            raise ValueError(f"expected max_bytes between 16 and 65536, got {self.max_bytes}")
        if not 1 <= self.per_minute <= 6000:
            raise ValueError(f"expected per_minute between 1 and 6000, got {self.per_minute}")


class Target(msgspec.Struct, frozen=True):
    """What may be done to a pipeline. ``threshold`` is the bundle's own, the least that is taken; None: it has none.
    ``most`` is the largest. ``installed``: its model comes from this device's store, so that it can be updated."""

    threshold: float | None = None
    most: float = 1.0
    installed: bool = False


class Sender(msgspec.Struct, frozen=True):
    """Where the answer goes, and what makes it known to whoever asked."""

    topic: str  # below response/
    response_topic: str = ""
    correlation: bytes = b""
    transaction: str | int | None = None


class Command(msgspec.Struct, frozen=True):
    """A wish that is well formed and within bounds. ``value``: a boolean for enabled, a number for threshold, None for update."""

    pipeline: str
    name: str
    value: bool | float | None
    sender: Sender


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing is done. ``kind`` counts it; ``sender`` is None where no answer is due."""

    kind: str  # of KINDS
    reason: str
    sender: Sender | None = None


class Answer(msgspec.Struct, frozen=True):
    """One message for ``Sink.send``."""

    topic: str
    payload: bytes
    correlation: bytes = b""


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    pipeline: str
    value: bool | float | str | None = None
    transaction: str | int | None = None


def topic(node: str) -> str:
    """What the sink shall listen to."""
    return f"edgeinfer/{node}/command/#"


def parse(message: Message, node: str, targets: Mapping[str, Target], options: CommandOptions) -> Command | Refusal:
    """What a message asks for, or why it is refused; never raises, whatever the message holds."""
    root = f"edgeinfer/{node}/"
    levels = message.topic.removeprefix(f"{root}command/").split("/")
    if not message.topic.startswith(f"{root}command/") or len(levels) != 2:
        return Refusal("unknown", f"no command has the topic {message.topic[:_TEXT]!r}")
    if message.retained:
        return Refusal("retained", "a retained command would be carried out again at each connection: publish it without retain")
    sender = Sender(f"{root}response/{levels[0]}/{levels[1]}", own_response_topic(message.response_topic, f"edgeinfer/{node}"),
                    message.correlation)
    if not options.enabled:
        return Refusal("disabled", "commands are switched off: commands: {enabled: true}")
    if len(message.payload) > options.max_bytes:
        return Refusal("too_long", f"{len(message.payload)} bytes are more than {options.max_bytes}", sender)
    if levels[0] == "request" and "request" not in targets:
        return _requested(message.payload, levels[1], sender, targets)
    text = message.payload.decode("utf-8", "replace").strip()
    return _checked(levels[0], levels[1], text, sender, targets)


def _requested(payload: bytes, name: str, sender: Sender, targets: Mapping[str, Target]) -> Command | Refusal:
    try:
        request = msgspec.json.decode(payload, type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal("invalid", f'expected {{"pipeline": NAME, "value": VALUE, "transaction": ANY}}: {error}'[:_TEXT], sender)
    if isinstance(request.transaction, str) and len(request.transaction) > _TEXT:
        return Refusal("invalid", f"expected a transaction of at most {_TEXT} characters", sender)
    sender = msgspec.structs.replace(sender, transaction=request.transaction)
    return _checked(request.pipeline, name, request.value, sender, targets)


def _checked(pipeline: str, name: str, value: Any, sender: Sender, targets: Mapping[str, Target]) -> Command | Refusal:
    target = targets.get(pipeline)
    if target is None:
        return Refusal("unknown", f"expected a pipeline ({', '.join(targets)[:_TEXT]}), got {pipeline[:64]!r}", sender)
    if name not in NAMES:
        return Refusal("unknown", f"expected one of {', '.join(NAMES)}, got {name[:64]!r}", sender)
    check: Callable[[Any, Target], Any] = {"enabled": _enabled, "threshold": _threshold, "update": _update}[name]
    try:
        return Command(pipeline, name, check(value, target), sender)
    except ValueError as error:
        return Refusal("invalid", str(error), sender)


def _enabled(value: Any, _target: Target) -> bool:
    if isinstance(value, bool):
        return value
    if value not in {"ON", "OFF"}:
        raise ValueError(f"expected ON or OFF, got {_show(value)}")
    return bool(value == "ON")


def _threshold(value: Any, target: Target) -> float:
    """A number that is stricter than the bundle's own: what the maker of the model held for too little stays out."""
    if target.threshold is None:
        raise ValueError("expected a pipeline whose decoder has a threshold")
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except ValueError:
        number = math.nan
    if not target.threshold <= number <= target.most:
        raise ValueError(f"expected a number from {target.threshold} to {target.most:g}, got {_show(value)}")
    return number


def _update(value: Any, target: Target) -> None:
    if value not in ("install", None):
        raise ValueError(f"expected install, got {_show(value)}")
    if not target.installed:
        raise ValueError("expected a pipeline with an installed model (model: NAME), got one with a bundle's path")


def _show(value: Any) -> str:
    return repr(value)[:64]


def answer(asked: Command | Refusal, error: str = "", data: Mapping[str, Any] | None = None) -> tuple[Answer, ...]:
    """What became of it, for the sender's response topic and for ``response/``: status, error, data, transaction. A refusal
    brings its own error."""
    if asked.sender is None:
        return ()
    if isinstance(asked, Refusal):
        error = error or asked.reason
    payload = answered(error, dict(data or {}), asked.sender.transaction)
    topics = dict.fromkeys((asked.sender.topic, asked.sender.response_topic))
    return tuple(Answer(topic, payload, asked.sender.correlation) for topic in topics if topic)


class Inbox:
    """Between the network thread, which posts, and the main thread, which takes. Bounded; what finds no room is counted."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.overflowed = 0
        self._messages: deque[Message] = deque()
        self._wake = wake

    def post(self, message: Message) -> None:
        """Any one thread."""
        if len(self._messages) >= _WAITING:
            self.overflowed += 1
        else:
            self._messages.append(message)
            self._wake()

    def take(self) -> list[Message]:
        """All that came since the last time."""
        return [self._messages.popleft() for _ in range(len(self._messages))]


class Commands:
    """``parse`` with a cap on the rate, and counters. Belongs to the main thread; time is CLOCK_MONOTONIC in s."""

    def __init__(self, node: str, options: CommandOptions) -> None:
        self.accepted = 0
        self.refused = dict.fromkeys(KINDS, 0)
        self._node, self._options = node, options
        self._rate = Bucket(options.per_minute / 60, options.per_minute)  # a minute's commands at once

    @property
    def topics(self) -> tuple[str, ...]:
        """What the sink shall listen to."""
        return (topic(self._node),) if self._options.enabled else ()

    def judge(self, message: Message, targets: Mapping[str, Target], now: float) -> Command | Refusal:
        """The command, or why it is refused. One too many gets no answer: that would only double the flood."""
        asked = parse(message, self._node, targets, self._options)
        if asked.sender is not None and not self._rate.take(now):
            asked = Refusal("too_many", f"more than {self._options.per_minute} commands a minute")
        if isinstance(asked, Refusal):
            self.refused[asked.kind] += 1
        else:
            self.accepted += 1
        return asked

    def state(self) -> dict[str, Any]:
        """For health."""
        return {"accepted": self.accepted, "refused": dict(self.refused)}
