"""Samples that others publish over MQTT: each channel a topic, and a place in its JSON."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec

from edgeinfer.errors import SourceError
from edgeinfer.jsonpath import number_at, steps
from edgeinfer.model.tensor import Array
from edgeinfer.mqtt.broker import MqttOptions, check_files
from edgeinfer.mqtt.message import Message
from edgeinfer.mqtt.subscription import Subscription
from edgeinfer.sources import SampleFormat
from edgeinfer.sources.pacing import Pace

__all__ = ["MqttValues"]

_WAITING = 1024  # samples, where each message is one
_SLICE_S = 0.5  # how soon silence is noticed
_WORDS = {"ON": 1.0, "OFF": 0.0, "on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0, "open": 1.0, "closed": 0.0}


class ChannelOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One channel. ``values``: numbers for texts, beside ON, OFF, true, false, open and closed."""

    topic: str
    path: str = ""  # temperature, acceleration.x, sensors[0].value; empty: the payload is the number
    values: dict[str, float] = {}

    def __post_init__(self) -> None:
        if not self.topic or any(sign in self.topic for sign in "+#\0") or len(self.topic) > 1024:
            raise ValueError(f"expected topic to be one topic without + and #, got {self.topic[:80]!r}")
        steps(self.path)


class MqttValuesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``broker`` has the options of the MQTT sink; without it, it is the sink's."""

    broker: MqttOptions
    channels: tuple[ChannelOptions, ...]
    rate: float = 0.0  # samples a second, each value held until the next comes; 0: each message is a sample
    stale_s: float = 3600.0  # seconds that a value is good for
    retained: bool = False  # also take what the broker kept, which may be of any age

    def __post_init__(self) -> None:
        if not 1 <= len(self.channels) <= 256:
            raise ValueError(f"expected channels, 1 to 256, got {len(self.channels)}")
        if not 0 <= self.rate <= 1000:
            raise ValueError(f"expected rate from 0 to 1000, got {self.rate}")
        if not 0 < self.stale_s <= 1e7:
            raise ValueError(f"expected stale_s above 0 and up to 1e7, got {self.stale_s}")


class Values:
    """The newest value of each channel, and when it came. ``hear`` is for the network thread, the rest for the reader's."""

    def __init__(self, options: MqttValuesOptions) -> None:
        self.bad = 0
        self.overflowed = 0
        self.gaps = 0  # that ``next`` has met
        self._options = options
        self._channels = [(channel.topic, steps(channel.path), {**_WORDS, **channel.values}) for channel in options.channels]
        self._values = [0.0] * len(self._channels)
        self._came = [0.0] * len(self._channels)  # CLOCK_MONOTONIC in s; 0: never
        self._begun = time.monotonic()
        self._samples: deque[tuple[float, ...] | None] = deque()  # None: here some found no room
        self._changed = threading.Condition()

    def hear(self, message: Message) -> None:
        """Take the numbers of a message. Those that are not there are counted, and leave the value before them."""
        if message.retained and not self._options.retained:
            return
        document, any_came = _document(message.payload), False
        with self._changed:
            for index, (topic, path, words) in enumerate(self._channels):
                if topic != message.topic:
                    continue
                try:
                    self._values[index] = number_at(document, path, words)
                except ValueError:
                    self.bad += 1
                else:
                    self._came[index] = time.monotonic()
                    any_came = True
            if any_came and not self._options.rate and self.stale() is None:
                self._keep(tuple(self._values))
            self._changed.notify()

    def _keep(self, sample: tuple[float, ...]) -> None:
        if len(self._samples) < _WAITING:
            self._samples.append(sample)
            return
        self.overflowed += 1
        if self._samples[-1] is not None:
            self._samples.append(None)

    def stale(self) -> str | None:
        """The topic and path of a channel that has no value, or an old one; None where all are good."""
        now = time.monotonic()
        for came, channel in zip(self._came, self._options.channels, strict=True):
            if not came or now - came > self._options.stale_s:
                return f"{channel.topic} {channel.path}".rstrip()
        return None

    def overdue(self) -> str | None:
        """The same, where it is time to say so: at first values are waited for."""
        return self.stale() if time.monotonic() - self._begun > self._options.stale_s else None

    def now(self) -> Sequence[float] | None:
        """A sample of the values held; None while one is missing."""
        with self._changed:
            return None if self.stale() is not None else tuple(self._values)

    def next(self, timeout_s: float) -> Sequence[float] | None:
        """The next message's sample; None after the time, when woken, or at a gap, which is counted."""
        with self._changed:
            if not self._samples:
                self._changed.wait(timeout_s)
            if not self._samples:
                return None
            sample = self._samples.popleft()
            self.gaps += sample is None
            return sample

    def wake(self) -> None:
        """Any thread."""
        with self._changed:
            self._changed.notify()


class MqttValues:
    """float32 samples. No broker for its connect_timeout_s while a message or a value is waited for, and a channel without a value
    for ``stale_s``, are SourceErrors: the subscription is made anew, and windows begin anew with it. Values that are held outlive
    an absence of the broker."""

    Options = MqttValuesOptions
    yields: ClassVar[Literal["frames", "samples"]] = "samples"
    live = True
    retry_s: ClassVar[float] = 2.0

    def __init__(self, options: MqttValuesOptions) -> None:
        self._options = options
        self._values = Values(options)
        self._pace = Pace()
        self._interrupted = False
        self._subscription: Subscription | None = None
        self._bad = self._overflowed = self._gaps = 0  # of subscriptions that are over

    def check(self, where: str) -> None:
        """Raises ConfigError for the broker's credentials, as the MQTT sink does. ``where``: the source's place."""
        check_files(self._options.broker, f"{where}.broker")

    @property
    def gaps(self) -> int:
        """Where messages found no room."""
        return self._gaps + self._values.gaps

    def format(self) -> SampleFormat:
        """As the options state it."""
        return SampleFormat(len(self._options.channels), self._options.rate)

    def counts(self) -> dict[str, int]:
        """For health: messages without a number where one was expected, and those that found no room. Any thread."""
        return {"bad": self._bad + self._values.bad, "overflowed": self._overflowed + self._values.overflowed}

    def open(self) -> None:
        """Begin to hear; a broker that is not there is told by ``read_into``."""
        self.close()
        self._bad, self._overflowed = self._bad + self._values.bad, self._overflowed + self._values.overflowed
        self._gaps = self.gaps
        self._values = Values(self._options)
        self._interrupted = False
        self._pace.start()
        topics = tuple(dict.fromkeys(channel.topic for channel in self._options.channels))
        self._subscription = Subscription(self._options.broker, topics, self._values.hear, "its values are missing")
        self._subscription.start()

    def read_into(self, samples: Array) -> int:
        """Fill float32 (n, channels) from the front; fewer before a gap, 0 when interrupted. Raises SourceError."""
        done, gaps = 0, self.gaps
        while done < len(samples):
            sample = self._sample()
            if self._interrupted:
                return 0
            if self.gaps != gaps:
                return done
            if sample is None:
                self._check()
                continue
            samples[done] = sample
            done += 1
        return done

    def _sample(self) -> Sequence[float] | None:
        if not self._options.rate:
            return self._values.next(_SLICE_S)
        if not self._pace.wait(1 / self._options.rate):
            return None
        sample = self._values.now()
        if sample is None:
            self._values.next(_SLICE_S)  # wait for a message
        return sample

    def _check(self) -> None:
        assert self._subscription is not None
        options = self._options
        if self._subscription.down_s() > options.broker.connect_timeout_s:
            host, port = options.broker.address
            raise SourceError(f"broker {self._subscription.broker}", "a connection", self._subscription.last_error or "none",
                              f"mosquitto_sub -h {host} -p {port} -t '{options.channels[0].topic}' -v")
        overdue = self._values.overdue()
        if overdue is not None:
            raise SourceError(overdue, f"a value within {options.stale_s:g} s", self._got(),
                              f"mosquitto_sub -h {options.broker.host} -t '{overdue.split()[0]}' -v")

    def _got(self) -> str:
        return "none" if not self._values.bad else f"none, and {self._values.bad} messages without a number there"

    def interrupt(self) -> None:
        """Make a read return at once; any thread."""
        self._interrupted = True
        self._pace.interrupt()
        self._values.wake()

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None


def _document(payload: bytes) -> Any:
    """JSON, or the text itself."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload.decode("utf-8", "replace").strip()
