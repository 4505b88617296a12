"""The MQTT sink: results through the outbox at QoS 1, retained values, a last will. At least once, in order of making.

    inference threads ─ put ─▶ outbox ◀─ commit, take, acknowledge ─ network thread ─ publish ─▶ link (paho) ─▶ broker
                                                                           ▲────────── events ─────────┘

One thread owns the outbox's disk, the window and the connection; paho's callbacks only post events to it. It sleeps until
an event or the next deadline.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any

from edgeinfer.errors import UnavailableError
from edgeinfer.log import log
from edgeinfer.mqtt.broker import MqttOptions, check_files
from edgeinfer.mqtt.connection import Connection
from edgeinfer.mqtt.link import Acknowledged, Address, Down, Event, Link, Trouble, Up
from edgeinfer.mqtt.listening import Listening
from edgeinfer.mqtt.message import Message
from edgeinfer.outbox import Outbox, OutboxOptions, Outgoing
from edgeinfer.sinks.retained import Retained, Value
from edgeinfer.sinks.suspects import Suspects
from edgeinfer.sinks.transient import Transient, Unstored
from edgeinfer.sinks.window import Sent, Window

__all__ = ["MqttSink", "mark_replayed"]

_GOODBYE_S = 2.0  # to get "offline" acknowledged


class MqttSink:
    """See ``Sink``. ``<topic>/status`` is retained: "online" while connected, "offline" after a stop or, by the last will, a
    death. Under MQTT 3.1.1 a broker does not tell that it refused a message: such a result counts as acknowledged."""

    Options = MqttOptions

    def __init__(self, options: MqttOptions, topic: str, outbox: OutboxOptions) -> None:
        self._options = options
        self._client_id = options.client_id or topic.replace("/", "-")
        self._status = f"{topic}/status"
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._outbox = Outbox(outbox, self._wake)
        self._retained = Retained()
        self._transient = Transient()
        self._listening = Listening()
        self._window = Window(options.in_flight, options.first_retry_s, options.last_retry_s)
        self._limit = options.in_flight  # the broker may take fewer
        self._suspects = Suspects()
        self._connection = Connection(options, self._client_id, self._status, self._events.put, self._listening.hear)
        self._condition: Callable[[], bool] | None = None  # what a caller waits for
        self._met = threading.Event()
        self._hurry = False
        self._stopping = False
        self._crashes = 0
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Raises ConfigError for credentials that are named and not there."""
        check_files(self._options)

    def probe(self, timeout_s: float) -> str:
        """Connect once, as ``<client id>-check``, and leave. Raises UnavailableError with what the broker said."""
        self.check()
        events: SimpleQueue[Event] = SimpleQueue()
        versions = ("5", "3.1.1") if self._options.protocol == "auto" else (self._options.protocol,)
        reason = ""
        for version in versions:
            link = Link(self._options, Address(f"{self._client_id}-check"), version, events.put)
            link.start()
            try:
                event = events.get(timeout=timeout_s)
            except Empty:
                link.cut("")
                reason = reason or f"nothing within {timeout_s:g} s"
                break
            if isinstance(event, Up):
                link.close(timeout_s)
                return f"the broker at {self._connection.broker} accepts, MQTT {version}"
            if isinstance(event, Down):
                reason = reason or event.reason
                if not (event.unanswered or event.unsupported):
                    break
        raise UnavailableError("sink", f"a broker at {self._connection.broker}", reason, _hint(reason))

    def start(self) -> None:
        """Open the outbox and start the network thread; the broker may come when it wants."""
        self.check()
        if self._options.plain_text:
            log.warning("broker %s: plain text: anyone on the way can read and change results", self._connection.broker)
        self._outbox.open()
        self._retained.set(self._status, b"online")
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    def listen(self, topics: Sequence[str], post: Callable[[Message], None]) -> None:
        """Before ``start``. Under MQTT 5 (and 3.1.1, where the broker keeps sessions) what is published while this device is
        away arrives when it is back, for ``session_expiry_s``."""
        if self._thread is not None:
            raise RuntimeError("listen after start")
        self._listening = Listening(tuple(topics), post)
        self._connection = Connection(self._options, self._client_id, self._status, self._events.put, self._listening.hear)
        self._connection.topics = tuple(topics)

    def publish(self, topic: str, payload: bytes, pipeline: str) -> None:
        """Stage a result, a JSON object; any thread."""
        self._outbox.put(topic, payload, pipeline)

    def send(self, topic: str, payload: bytes, *, correlation: bytes = b"", expiry_s: float = 0) -> None:
        """Any thread; at most 1024, of 1 MiB together, wait in memory."""
        if self._transient.put(Unstored(topic, payload, correlation, monotonic() + expiry_s if expiry_s else 0.0)):
            self._wake()

    def set_retained(self, topic: str, payload: bytes, expiry_s: float = 0) -> None:
        """Any thread. Only the newest value of a topic is kept, in memory; it is told again at each connection. Brokers know
        ``expiry_s`` from MQTT 5 on."""
        if self._retained.set(topic, payload, monotonic() + expiry_s if expiry_s else 0.0):
            self._wake()

    def repeat_retained(self) -> None:
        """Any thread."""
        self._retained.repeat()
        self._wake()

    def drain(self, deadline_s: float) -> bool:
        """Wait until all results are on disk, and acknowledged if there is a connection or one is just being made."""
        self._hurry = True
        try:
            return self._wait_for(self._is_drained, deadline_s)
        finally:
            self._hurry = False

    def stop(self) -> None:
        """Publish "offline", disconnect, write what is staged, close the outbox."""
        if self._thread is None:
            return
        self._retained.set(self._status, b"offline")
        self._wait_for(lambda: self._retained.settled or not self._connection.connected, _GOODBYE_S)
        self._stopping = True
        self._wake()
        self._thread.join(15.0)
        self._thread = None

    def state(self) -> dict[str, Any]:
        """For health; any thread."""
        return {**self._connection.state(), "alive": self._thread is not None and self._thread.is_alive(),
                "in_flight": len(self._window), "refused_waiting": len(self._window.waiting), "crashes": self._crashes,
                "retained_ignored": self._retained.ignored, "unstored_dropped": self._transient.dropped,
                "heard": self._listening.counts(), "outbox": self._outbox.counts()}

    def _wake(self) -> None:
        self._events.put(None)

    def _wait_for(self, condition: Callable[[], bool], deadline_s: float) -> bool:
        """Until the network thread finds ``condition`` true; False: not in time, or there is no thread."""
        if self._thread is None or not self._thread.is_alive():
            return False
        self._met.clear()
        self._condition = condition
        self._wake()
        met = self._met.wait(deadline_s)
        self._condition = None
        return met

    # The network thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._turn(self._next_event())
                except Exception as error:  # noqa: BLE001  the outermost place of this thread
                    self._recover(error)
        finally:
            if self._connection.link is not None:
                self._leave(self._connection.link)
            self._outbox.close()

    def _leave(self, link: Link) -> None:
        """With DISCONNECT there is no will: a broker that has not got our "offline" is left without one, and tells it itself."""
        if not self._retained.settled:
            link.cut("closed")
        link.close(_GOODBYE_S)

    def _recover(self, error: Exception) -> None:
        """A fault of ours costs the connection, not the sink."""
        self._crashes += 1
        if self._crashes == 1:
            log.exception("the MQTT sink failed and goes on with a new connection: %s", error)
        self._connection.cut(f"{type(error).__name__}: {error}")
        self._release()
        sleep(self._options.first_retry_s)

    def _next_event(self) -> Event | None:
        """The next event, or None at the next deadline."""
        times = [self._outbox.due(), self._connection.due(), *self._deadlines()]
        deadline = min((time for time in times if time is not None), default=None)
        try:
            return self._events.get(timeout=None if deadline is None else max(deadline - monotonic(), 0.0))
        except Empty:
            return None

    def _deadlines(self) -> tuple[float | None, float | None]:
        if not self._connection.connected:
            return None, None
        oldest = self._window.oldest()
        return None if oldest is None else oldest + self._options.ack_timeout_s, self._window.next_try()

    def _turn(self, event: Event | None) -> None:
        self._obey(event)
        while not self._events.empty():
            self._obey(self._events.get_nowait())
        if self._connection.connected and self._connection.link is not None:
            self._send_unstored(self._connection.link)  # an answer does not wait for the disk
        due, now = self._outbox.due(), monotonic()
        if due is not None and (due <= now or self._hurry):
            self._outbox.commit()
        self._connection.advance(now)
        self._leave_the_deaf(now)
        if self._connection.connected and self._connection.link is not None:
            self._send(self._connection.link)
        condition = self._condition
        if condition is not None and condition():
            self._met.set()

    def _obey(self, event: Event | None) -> None:
        if event is None or event.link is not self._connection.link:
            return
        if isinstance(event, Up):
            self._connection.up(event, monotonic())
            self._limit = min(self._options.in_flight, event.receive_maximum)
            self._set_limit()
            self._retained.all_due()
            self._outbox.rewind()
        elif isinstance(event, Acknowledged):
            self._acknowledge(event)
        elif isinstance(event, Trouble):
            self._connection.note(event.reason)
        else:
            self._blame(event)
            self._connection.down(event, monotonic())
            self._release()

    def _set_limit(self) -> None:
        self._window.limit = 1 if self._suspects.any else self._limit

    def _blame(self, event: Down) -> None:
        """Where the connection ended over a message, that one is parked, or waits until the others have passed."""
        largest = self._window.largest() if event.too_large else None
        if largest is not None:
            self._outbox.refuse(largest.row.id, event.reason)
        sent = self._suspects.hung_up(self._window.in_flight, event.patience)
        if sent is None:
            return
        self._connection.note(f"the broker hangs up over {sent.topic}: {event.reason}")
        if sent.outgoing is not None:
            self._offer_again(sent, sent.outgoing, f"the broker hangs up over it: {event.reason}")
        elif sent.unstored is not None:
            self._transient.drop(sent.unstored)
        elif sent.topic != self._status:
            self._retained.withhold(sent.topic)

    def _offer_again(self, sent: Sent, outgoing: Outgoing, refusal: str, for_now: bool = False) -> None:
        if not self._window.offer_again(sent, outgoing, monotonic(), for_now):
            self._outbox.refuse(outgoing.row.id, refusal)

    def _acknowledge(self, event: Acknowledged) -> None:
        sent = self._window.pop(event.mid)
        if sent is None:
            return
        if event.refusal:
            self._connection.note(f"{event.refusal}: {sent.topic}")
        else:
            self._connection.worked()
        self._suspects.answered(sent)
        self._set_limit()
        if sent.outgoing is None:
            self._settle(sent, event.refusal)
        elif not event.refusal:
            self._window.accept(sent.outgoing)
            self._outbox.acknowledge(sent.outgoing.row.id)
        else:
            self._offer_again(sent, sent.outgoing, event.refusal, event.for_now)

    def _settle(self, sent: Sent, refusal: str) -> None:
        """A message that is not a result: where it is refused it is not sent again over this connection."""
        if sent.unstored is None:
            self._retained.acknowledge(sent.topic)
        elif refusal:
            self._transient.drop(sent.unstored)
        else:
            self._transient.acknowledge(sent.unstored)

    def _release(self) -> None:
        self._window.clear()
        self._transient.release()
        self._outbox.release()

    def _leave_the_deaf(self, now: float) -> None:
        """A lost PUBACK never comes again while the connection is up, and paho does not ask."""
        oldest = self._window.oldest()
        if self._connection.connected and oldest is not None and now - oldest >= self._options.ack_timeout_s:
            self._connection.cut(f"no PUBACK within {self._options.ack_timeout_s:g} s")
            self._release()

    def _send(self, link: Link) -> None:
        """Fill the window: retained values first, then what is only in memory, then what was refused, then the outbox."""
        self._send_unstored(link)
        for sent in self._window.ripe(monotonic()):
            if sent.outgoing is not None:
                self._send_result(link, sent._replace(at=monotonic()), sent.outgoing)
        while room := self._window.row_room:
            outgoing = self._outbox.take(room)
            if not outgoing:
                break
            for each in outgoing:
                now = monotonic()
                sent = Sent(now, each.row.topic, each)
                if not self._window.postpone(sent, each, now):
                    self._send_result(link, sent, each)

    def _send_unstored(self, link: Link) -> None:
        while self._window.room and (due := self._retained.take()) is not None:
            self._send_other(link, Sent(monotonic(), due[0]), due[1].payload, _expiry(due[1]))
        while self._window.room and (message := self._transient.take(monotonic())) is not None:
            self._send_other(link, Sent(monotonic(), message.topic, unstored=message), message.payload, _expiry(message))

    def _send_other(self, link: Link, sent: Sent, payload: bytes, expiry_s: float) -> None:
        refusal = self._publish(link, payload, sent, expiry_s)
        if refusal:
            self._connection.note(f"{refusal}: {sent.topic}")
            self._settle(sent, refusal)

    def _send_result(self, link: Link, sent: Sent, outgoing: Outgoing) -> None:
        refusal = self._publish(link, _payload(outgoing), sent)
        if refusal:
            self._connection.note(f"{refusal}: {sent.topic}")
            self._outbox.refuse(outgoing.row.id, refusal)

    def _publish(self, link: Link, payload: bytes, sent: Sent, expiry_s: float = 0) -> str:
        """Why it cannot be sent at all, or empty."""
        limit = self._connection.maximum_packet
        correlation = sent.unstored.correlation if sent.unstored else b""
        if limit and link.packet_size(sent.topic, payload, correlation) > limit:
            return f"{len(payload)} bytes are more than the broker takes ({limit})"
        retain = sent.outgoing is None and sent.unstored is None and self._connection.retains
        try:
            mid = link.publish(sent.topic, payload, retain=retain, expiry_s=expiry_s, correlation=correlation)
        except ValueError as error:
            return str(error)
        self._window.add(mid, sent)
        return ""

    def _is_drained(self) -> bool:
        counts = self._outbox.counts()
        if self._connection.connected:
            return counts["queued"] == 0 and self._retained.settled and self._transient.settled
        return counts["staged"] == 0 and not self._connection.connecting


def _expiry(message: Value | Unstored) -> float:
    """Seconds that are left to it, at least one; 0: for ever."""
    return max(message.expires - monotonic(), 1.0) if message.expires else 0.0


def _payload(outgoing: Outgoing) -> bytes:
    return mark_replayed(outgoing.row.payload) if outgoing.replayed else outgoing.row.payload


def mark_replayed(payload: bytes) -> bytes:
    """``"replayed":true`` put before the last brace of a JSON object; anything else as it is."""
    if not (payload.startswith(b"{") and payload.endswith(b"}")):
        return payload
    comma = b"" if payload[1:-1].isspace() or payload == b"{}" else b","
    return payload[:-1] + comma + b'"replayed":true}'


def _hint(reason: str) -> str:
    """What to look at, by what the broker or the network said."""
    told = {"certificate": "sink.tls: ca must have signed the broker's certificate, which must bear the name in sink.host",
            "user name": "sink.username and sink.password_file", "authorized": "sink.username and sink.password_file",
            "refused": "is the broker running? mosquitto -v", "CONNACK": "sink.port and sink.tls"}
    return next((hint for word, hint in told.items() if word in reason), "sink.host and sink.port")
