"""A TCP proxy on loopback that breaks connections on demand. It reads MQTT on the way from the broker to the client."""

from __future__ import annotations

import enum
import socket
import struct
import threading
from types import TracebackType

PUBACK = 4


class Fault(enum.Enum):
    """What the network does."""

    NONE = "all is forwarded"
    REFUSE = "new connections are reset, existing ones too"
    BLACK_HOLE = "connections stay open, nothing is forwarded"
    NO_PUBACK = "acknowledgements of the broker are swallowed"


class FaultProxy:
    """Listens on ``port`` and forwards to ``target``, a port of 127.0.0.1. ``fault`` may be set at any time."""

    def __init__(self, target: int, tls: bool = False) -> None:
        """With ``tls`` it cannot read what it forwards: NO_PUBACK is then not to be had."""
        self._tls = tls
        self.connections = 0
        self.swallowed = 0
        self._target = target
        self._changed = threading.Condition()
        self._fault = Fault.NONE
        self._sockets: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()
        if fault is Fault.REFUSE:
            self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        with self._changed:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            _reset(one)

    def close(self) -> None:
        """End for good."""
        _reset(self._listening)
        self.fault = Fault.NONE
        self.cut()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            try:
                if self._fault is Fault.REFUSE:
                    raise ConnectionRefusedError
                broker = socket.create_connection(("127.0.0.1", self._target), 2.0)
            except OSError:
                _reset(client)
                continue
            broker.settimeout(None)
            with self._changed:
                self._sockets |= {client, broker}
            threading.Thread(target=self._pump, args=(client, broker, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(broker, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_broker: bool) -> None:
        """Forward until one side ends; then both do."""
        received = bytearray()
        reads = from_broker and not self._tls
        try:
            while chunk := source.recv(65536):
                self._wait_out_the_black_hole()
                received += chunk
                sink.sendall(self._let_through(received) if reads else bytes(received))
                if not reads:
                    received.clear()
        except OSError:
            pass
        with self._changed:
            self._sockets -= {source, sink}
        _reset(sink)
        _reset(source)

    def _wait_out_the_black_hole(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not Fault.BLACK_HOLE)

    def _let_through(self, received: bytearray) -> bytes:
        """The whole packets at the front of ``received``, which loses them, without those that are to be swallowed."""
        through = bytearray()
        while (length := _packet_length(received)) and length <= len(received):
            if self._fault is Fault.NO_PUBACK and received[0] >> 4 == PUBACK:
                self.swallowed += 1
            else:
                through += received[:length]
            del received[:length]
        return bytes(through)


def _packet_length(start: bytearray) -> int:
    """Bytes of the packet that begins here (MQTT 5.0, 2.1.4); 0 while its length is not there yet."""
    length = 0
    for index, byte in enumerate(start[1:5]):
        length |= (byte & 127) << (7 * index)
        if byte < 128:
            return 2 + index + length
    return 0


def _reset(one: socket.socket) -> None:
    """Close with RST. A thread in recv keeps the socket alive: shutdown wakes it."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    one.close()
