"""A broker of MQTT 5 that answers as a test tells it: for reason codes that a real one gives only in trouble."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A packet shorter than 16 KiB (MQTT 5.0, 2.1)."""
    length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 127 | 128, len(body) >> 7])
    return bytes([kind << 4 | flags]) + length + body


def disconnect(code: int, properties: bytes = b"") -> bytes:
    """DISCONNECT, with a reason (3.14)."""
    return packet(14, bytes([code, len(properties)]) + properties)


class ScriptedBroker:
    """``connack``: the reason of each CONNACK. ``suback``: of each subscription. ``puback``: a function of a PUBLISH's number.
    ``after``: sent once a client is connected. ``poison``: a PUBLISH that holds it is answered with ``goodbye`` and the end. ``taken``:
    the others, in order."""

    def __init__(self, connack: int = 0, properties: bytes = b"", suback: int = 1, puback: Callable[[int], int] = lambda _: 0,
                 after: bytes = b"", poison: bytes = b"", goodbye: bytes = b"") -> None:
        self.connections = self.published = self.subscribed = self.pings = 0
        self.connects: list[bytes] = []
        self.taken: list[bytes] = []
        self._connack, self._properties, self._suback, self._puback, self._after = connack, properties, suback, puback, after
        self.poison, self._goodbye = poison, goodbye
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, IndexError), client.makefile("rb") as stream:
            while True:
                first = stream.read(1)[0]
                length = shift = 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                self._answer(client, first, stream.read(length))

    def _answer(self, client: socket.socket, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == CONNECT:
            self.connects.append(body)
            client.sendall(packet(2, bytes([0, self._connack, len(self._properties)]) + self._properties))
            client.sendall(self._after)
        elif kind == SUBSCRIBE:
            self.subscribed += 1
            client.sendall(packet(9, body[:2] + bytes([0, self._suback])))
        elif kind == PUBLISH:
            self.published += 1
            if self.poison and self.poison in body:
                client.sendall(self._goodbye)
                client.shutdown(socket.SHUT_RDWR)
                return
            self.taken.append(body)
            (topic,) = struct.unpack(">H", body[:2])
            client.sendall(packet(4, body[2 + topic: 4 + topic] + bytes([self._puback(self.published), 0])))
        elif kind == PINGREQ:
            self.pings += 1
            client.sendall(packet(13, b""))

    def __enter__(self) -> ScriptedBroker:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
