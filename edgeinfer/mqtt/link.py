"""One connection to a broker, over paho. When it ends it is over: the next connection is a new Link.

paho's traps, all observed with 2.2, and how this file avoids them:

- It keeps messages across reconnects and sends all at once: a new client for each connection, and no reconnect of its own.
- It holds a mutex while it calls back, so that publishing under a lock deadlocks: callbacks only ``post`` events.
- An exception ends its thread and is_connected() stays true: the thread is ours, and its end is an event in any case.
- SSLSocket.shutdown drops the encryption before it shuts down; another thread's send would go out in plain text: ``cut``
  uses the plain socket's method.

Under MQTT 5 the session outlives a connection, so that a short absence is not told as "offline" (will delay) and what is
published for us while we are away waits at the broker. We announce how large a packet we take: a longer one never comes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeinfer.mqtt.broker import MqttOptions, password, tls_context
from edgeinfer.mqtt.listening import MAX_PAYLOAD
from edgeinfer.mqtt.message import Message
from edgeinfer.mqtt.properties import of_connect, of_publish, of_will

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["Acknowledged", "Address", "Down", "Event", "Link", "Trouble", "Up"]

_HEADER = 32  # bytes of a PUBLISH beyond topic, payload and correlation: type, lengths, packet identifier, properties; generous
_INCOMING = 16  # messages that the broker may send before we acknowledge
_ELSEWHERE = {0x9C: "for now", 0x9D: "for good"}  # Use another server, Server moved
# Server busy, Banned, Session taken over, Quota exceeded, Use another server, Server moved, Connection rate exceeded
_STAY_AWAY = {0x89, 0x8A, 0x8E, 0x97, 0x9C, 0x9D, 0x9F}
# Malformed packet, Protocol error, Not authorized, Topic name invalid, Payload format invalid, QoS not supported
_OVER_A_MESSAGE = {0x81, 0x82, 0x87, 0x90, 0x99, 0x9B}
_REASONS = {0x8E: "another client took over the session: two devices use one client_id (or one node's name)"}


class Up(NamedTuple):
    """The broker has accepted the connection. Its limits: messages in flight, bytes a packet (0: none), whether it retains."""

    link: Link
    receive_maximum: int
    maximum_packet: int
    retains: bool


class Acknowledged(NamedTuple):
    """A PUBACK. ``refusal`` is the broker's reason where it does not take the message (MQTT 5 only), else empty; ``for_now``:
    because of a quota, which says nothing of the message."""

    link: Link
    mid: int
    refusal: str
    for_now: bool


class Trouble(NamedTuple):
    """Something that the broker does not do for us, and that does not end the connection."""

    link: Link
    reason: str


class Down(NamedTuple):
    """The connection is over, or never came to be. ``unanswered``: the broker closed it instead of answering CONNECT.
    ``code``: the reason code (MQTT 5.0, 2.4) where the broker gave one. ``hung_up``: it was accepted, and not ended by us."""

    link: Link
    reason: str
    unanswered: bool
    code: int
    hung_up: bool = False

    @property
    def unsupported(self) -> bool:
        """The broker does not speak this version of MQTT."""
        return self.code == 0x84

    @property
    def too_large(self) -> bool:
        """The broker closed because of a packet that it does not take."""
        return self.code == 0x95

    @property
    def patience(self) -> int:
        """How often this may happen before what we sent is suspected to be why; 0: it has another reason. Without a reason code
        (none in MQTT 3.1.1) it may well be the network."""
        if self.code in _OVER_A_MESSAGE:
            return 3
        return 10 if self.hung_up and not self.code else 0

    @property
    def stay_away(self) -> bool:
        """The broker wants no new connection soon."""
        return self.code in _STAY_AWAY


Event = Up | Acknowledged | Trouble | Down


class Address(NamedTuple):
    """Who we are and what we hear. ``will``: the topic that gets a retained "offline" when this process dies; empty: none.

    ``clean``: begin with a new session. ``session_s``: how long the broker shall keep it without us.
    """

    client_id: str
    will: str = ""
    topics: tuple[str, ...] = ()
    clean: bool = True
    session_s: int = 0


class Link:
    """``start`` once; then events are posted by its own thread: Up or not, Acknowledged, and Down in any case, last.

    ``publish`` belongs to one thread, and is used between Up and Down only. ``hear`` gets each message on our topics.
    """

    def __init__(self, options: MqttOptions, address: Address, protocol: str, post: Callable[[Event], None],
                 hear: Callable[[Message], None] | None = None) -> None:
        self.protocol = protocol
        self._options = options
        self._address = address
        self._post = post
        self._hear = hear
        self._accepted = threading.Event()
        self._deadline = monotonic() + options.connect_timeout_s
        self._reason = ""
        self._code = 0
        self._asked = False  # CONNECT is sent
        self._client: Client | None = None
        self._cut = False
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, expiry_s: float = 0, correlation: bytes = b"") -> int:
        """Hand a message to paho at QoS 1; its identifier, which comes back with the acknowledgement. Never waits.

        ``expiry_s`` and ``correlation`` are for MQTT 5, and left out under 3.1.1. Raises ValueError for a topic or a payload
        that MQTT cannot carry.
        """
        if self._client is None:
            raise RuntimeError("publish before Up")
        properties = of_publish(expiry_s, correlation) if self.protocol == "5" else None
        return self._client.publish(topic, payload, qos=1, retain=retain, properties=properties).mid

    @staticmethod
    def packet_size(topic: str, payload: bytes, correlation: bytes = b"") -> int:
        """An upper bound of the bytes of a PUBLISH."""
        return _HEADER + len(topic.encode()) + len(payload) + len(correlation)

    def cut(self, reason: str) -> None:
        """End the connection at once, for a reason of our own; Down follows. Any thread."""
        self._reason = self._reason or reason
        self._cut = True
        connection = self._client.socket() if self._client is not None else None
        if isinstance(connection, socket.socket):
            with suppress(OSError):  # it may be over already
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self, timeout_s: float) -> None:
        """Send DISCONNECT, so that there is no will, and wait for the end; after ``cut`` only wait. Drain first: messages may be
        left unsent."""
        self._reason = "closed"
        if self._client is not None and self._accepted.is_set() and not self._cut:
            self._client.disconnect()
        else:
            self._cut = True
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._connect_and_loop()
        except (OSError, ValueError) as error:  # name, route, refusal, TLS; unreadable credentials
            self._reason = self._reason or str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001  the outermost place of this thread: paho's fault costs the connection
            self._reason = self._reason or f"{type(error).__name__} in the MQTT client: {error}"
        finally:
            self._let_go()
            self._post(self._down())

    def _let_go(self) -> None:
        """Close what the client holds: the socket of a connection that we ended, and the pair that wakes paho's loop. paho
        leaves both to the garbage collector, three descriptors for each try."""
        if self._client is not None:
            self._client._reset_sockets()  # what its own __del__ does

    def _connect_and_loop(self) -> None:
        self._client = client = self._make_client()
        client.connect(*self._options.address, keepalive=self._options.keepalive_s, **self._session())
        self._asked = True
        while client.loop(1.0) == 0 and not self._cut:
            if not self._accepted.is_set() and monotonic() > self._deadline:
                self._reason = self._reason or f"no CONNACK within {self._options.connect_timeout_s:g} s"
                return
        if not self._accepted.is_set() and not self._reason:
            question = "" if self._options.plain_text else ": does it want a client certificate?"
            self._reason = f"the broker closed the connection without CONNACK{question}"

    def _down(self) -> Down:
        unanswered = self._asked and not self._code and not self._accepted.is_set() and not self._cut
        hung_up = self._accepted.is_set() and not self._cut and self._reason != "closed"
        return Down(self, self._reason or "connection lost", unanswered, self._code, hung_up)

    def _make_client(self) -> Client:
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        from edgeinfer.mqtt.client import BoundedClient

        five = self.protocol == "5"
        version = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
        clean = None if five else self._address.clean
        client = BoundedClient(CallbackAPIVersion.VERSION2, client_id=self._address.client_id, clean_session=clean,
                               protocol=version, reconnect_on_failure=False)
        client.suppress_exceptions = True
        _give_wake_up_pair(client)
        client.connect_timeout = self._options.connect_timeout_s
        client.max_inflight_messages_set(0)  # the window is the sink's
        client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_disconnect, self._on_publish
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_socket_open = _send_at_once
        client.on_socket_register_write = _leave_writing_to_the_loop
        if self._options.username:
            client.username_pw_set(self._options.username, password(self._options))
        context = tls_context(self._options)
        if context is not None:
            client.tls_set_context(context)
        if self._address.will:
            delayed = of_will(self._options.will_delay_s) if five else None
            client.will_set(self._address.will, "offline", qos=1, retain=True, properties=delayed)
        return client

    def _session(self) -> dict[str, Any]:
        """The rest of CONNECT under MQTT 5 (3.1.2.11)."""
        if self.protocol != "5":
            return {}
        properties = of_connect(self._address.session_s, _INCOMING, MAX_PAYLOAD + 1024)
        return {"clean_start": self._address.clean, "properties": properties}

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, code: Any, properties: Any) -> None:
        self._code = code.value
        if code.is_failure:
            self._reason = _reason(code, properties)
            return
        if self._address.topics:  # before Up, so that what is stored there comes before what we publish
            self._subscribe(client)
        self._accepted.set()
        self._post(Up(self, getattr(properties, "ReceiveMaximum", 65535), getattr(properties, "MaximumPacketSize", 0),
                      bool(getattr(properties, "RetainAvailable", 1))))

    def _subscribe(self, client: Client) -> None:
        """At each connection: a broker that kept the session only gets told again what it knows."""
        from paho.mqtt.subscribeoptions import SubscribeOptions

        for topic in self._address.topics:
            if self.protocol == "5":  # a message keeps its retain flag, so that a command with one is known at any time
                client.subscribe(topic, options=SubscribeOptions(qos=1, retainAsPublished=True))
            else:
                client.subscribe(topic, qos=1)

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, codes: Sequence[Any], _properties: Any) -> None:
        for code in codes:
            if code.is_failure:
                self._post(Trouble(self, f"the broker refuses a subscription ({code}); one of {', '.join(self._address.topics)}"))

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        if self._hear is None:
            return
        properties = message.properties
        self._hear(Message(message.topic, message.payload, bool(message.retain), getattr(properties, "ResponseTopic", ""),
                           getattr(properties, "CorrelationData", b"")))

    def _on_disconnect(self, _client: Any, _userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._code = code.value
            self._reason = self._reason or f"the broker disconnected: {_reason(code, properties)}"
        elif self._accepted.is_set():
            self._reason = self._reason or ("connection lost" if str(code) == "Unspecified error" else str(code))

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, code: Any, _properties: Any) -> None:
        self._post(Acknowledged(self, mid, str(code) if code.is_failure else "", code.value == 0x97))


def _reason(code: Any, properties: Any) -> str:
    """What a person can do something with."""
    text = _REASONS.get(code.value, str(code))
    if code.value in _ELSEWHERE:
        other = getattr(properties, "ServerReference", "") or "another one"
        text = f"it sends us to {other} {_ELSEWHERE[code.value]}, which is not followed: change sink.host"
    said = getattr(properties, "ReasonString", "")
    return f"{text} ({said[:200]})" if said else text


def _give_wake_up_pair(client: Client) -> None:
    """paho makes the pair that wakes its loop out of TCP sockets, and listens on 127.0.0.1 for a moment; this one listens
    nowhere. What paho finds in place it keeps, and ``_reset_sockets`` closes."""
    client._sockpairR, client._sockpairW = socket.socketpair()
    for end in (client._sockpairR, client._sockpairW):
        end.setblocking(False)


def _send_at_once(_client: Any, _userdata: Any, connection: Any) -> None:
    """Our acknowledgement of a request would hold its answer back until TCP acknowledged it, which a broker delays by 40 ms."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_writing_to_the_loop(_client: Any, _userdata: Any, _socket: Any) -> None:
    """paho calls this when there is something to write, and for having it leaves the writing to the thread in ``loop``."""
