"""One connection to a broker, over paho. When it ends it is over: the next connection is a new Link.

paho's traps, all observed with 2.2, and how this file avoids them:

- It keeps messages across reconnects and sends all at once: a new client for each connection, and no reconnect of its own.
- It holds a mutex while it calls back, so that publishing under a lock deadlocks: callbacks only ``post`` events.
- An exception ends its thread and is_connected() stays true: the thread is ours, and its end is an event in any case.
- SSLSocket.shutdown drops the encryption before it shuts down; another thread's send would go out in plain text: ``cut``
  uses the plain socket's method.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeinfer.sinks.broker import MqttOptions, password, tls_context

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["Acknowledged", "Down", "Event", "Link", "Up"]

_HEADER = 16  # bytes of a PUBLISH beyond topic and payload: type, lengths, packet identifier, empty properties; generous


class Up(NamedTuple):
    """The broker has accepted the connection. Its limits: messages in flight, bytes a packet (0: none)."""

    link: Link
    receive_maximum: int
    maximum_packet: int


class Acknowledged(NamedTuple):
    """A PUBACK. ``refusal`` is the broker's reason where it does not take the message (MQTT 5 only), else empty."""

    link: Link
    mid: int
    refusal: str


class Down(NamedTuple):
    """The connection is over, or never came to be. ``unanswered``: the broker closed it instead of answering CONNECT.
    ``code``: the reason code (MQTT 5.0, 2.4) where the broker gave one."""

    link: Link
    reason: str
    unanswered: bool
    code: int

    @property
    def unsupported(self) -> bool:
        """The broker does not speak this version of MQTT."""
        return self.code == 0x84

    @property
    def too_large(self) -> bool:
        """The broker closed because of a packet that it does not take."""
        return self.code == 0x95


Event = Up | Acknowledged | Down


class Link:
    """``start`` once; then events are posted by its own thread: Up or not, Acknowledged, and Down in any case, last.

    ``publish`` belongs to one thread, and is used between Up and Down only.
    """

    def __init__(self, options: MqttOptions, client_id: str, protocol: str, will: str,
                 post: Callable[[Event], None]) -> None:
        """``will``: the topic that gets a retained "offline" when this process dies; empty: none."""
        self.protocol = protocol
        self._options = options
        self._client_id = client_id
        self._will = will
        self._post = post
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

    def publish(self, topic: str, payload: bytes, retain: bool) -> int:
        """Hand a message to paho at QoS 1; its identifier, which comes back with the acknowledgement. Never waits.

        Raises ValueError for a topic or a payload that MQTT cannot carry.
        """
        if self._client is None:
            raise RuntimeError("publish before Up")
        return self._client.publish(topic, payload, qos=1, retain=retain).mid

    @staticmethod
    def packet_size(topic: str, payload: bytes) -> int:
        """An upper bound of the bytes of a PUBLISH."""
        return _HEADER + len(topic.encode()) + len(payload)

    def cut(self, reason: str) -> None:
        """End the connection at once, for a reason of our own; Down follows. Any thread."""
        self._reason = self._reason or reason
        self._cut = True
        connection = self._client.socket() if self._client is not None else None
        if isinstance(connection, socket.socket):
            with suppress(OSError):  # it may be over already
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self, timeout_s: float) -> None:
        """Send DISCONNECT, so that there is no will, and wait for the end. Drain first: messages may be left unsent."""
        self._reason = "closed"
        if self._client is not None and self._accepted.is_set():
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
        client.connect(*self._options.address, keepalive=self._options.keepalive_s)
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
        return Down(self, self._reason or "connection lost", unanswered, self._code)

    def _make_client(self) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        version = MQTTProtocolVersion.MQTTv5 if self.protocol == "5" else MQTTProtocolVersion.MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=version, reconnect_on_failure=False)
        client.suppress_exceptions = True
        client.connect_timeout = self._options.connect_timeout_s
        client.max_inflight_messages_set(0)  # the window is the sink's
        client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_disconnect, self._on_publish
        client.on_socket_register_write = _leave_writing_to_the_loop
        if self._options.username:
            client.username_pw_set(self._options.username, password(self._options))
        context = tls_context(self._options)
        if context is not None:
            client.tls_set_context(context)
        if self._will:
            client.will_set(self._will, "offline", qos=1, retain=True)
        return client

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, code: Any, properties: Any) -> None:
        self._code = code.value
        if code.is_failure:
            self._reason = str(code)
            return
        self._accepted.set()
        self._post(Up(self, getattr(properties, "ReceiveMaximum", 65535), getattr(properties, "MaximumPacketSize", 0)))

    def _on_disconnect(self, _client: Any, _userdata: Any, flags: Any, code: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._code = code.value
            self._reason = self._reason or f"the broker disconnected: {code}"
        elif self._accepted.is_set():
            self._reason = self._reason or ("connection lost" if str(code) == "Unspecified error" else str(code))

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, code: Any, _properties: Any) -> None:
        self._post(Acknowledged(self, mid, str(code) if code.is_failure else ""))


def _leave_writing_to_the_loop(_client: Any, _userdata: Any, _socket: Any) -> None:
    """paho calls this when there is something to write, and for having it leaves the writing to the thread in ``loop``."""
