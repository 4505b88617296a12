"""A TCP proxy on loopback that breaks connections on demand. It reads MQTT on the way from the broker to the client."""

from __future__ import annotations

import enum
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType

PUBACK = 4
_SLICE_S = 0.1


class Fault(enum.Enum):
    """What the network does."""

    NONE = "all is forwarded"
    REFUSE = "new connections are reset, existing ones too"
    BLACK_HOLE = "connections stay open, nothing is forwarded"
    NO_PUBACK = "acknowledgements of the broker are swallowed"
    HALF_OPEN = "the broker's end is gone for good, and nobody tells the client"
    TORN = "connections are reset in the middle of a packet"
    SLOW = "a few kB a second"
    LATE = "each packet takes its time"


class _Pair:
    """The two ends of one connection through the proxy. ``abandoned``: the client is never told that the broker is gone."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.client, self.broker = client, broker
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True
        _reset(self.broker)

    def reset(self) -> None:
        _reset(self.client)
        _reset(self.broker)


class FaultProxy:
    """Listens on ``port`` and forwards to ``target``, a port of 127.0.0.1. ``fault`` may be set at any time.

    ``sent`` is every byte that clients sent, where ``record`` is true. ``rate`` is of SLOW, in bytes a second; ``delay_s`` of
    LATE.
    """

    def __init__(self, target: int, tls: bool = False, record: bool = False, rate: int = 3000, delay_s: float = 0.5) -> None:
        """With ``tls`` it cannot read what it forwards: NO_PUBACK is then not to be had."""
        self._tls = tls
        self.connections = 0
        self.swallowed = 0
        self.sent = bytearray()
        self._record, self._rate, self._delay_s = record, rate, delay_s
        self._target = target
        self._changed = threading.Condition()
        self._fault = Fault.NONE
        self._pairs: set[_Pair] = set()
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
        if fault is Fault.HALF_OPEN:
            with self._changed:
                pairs = set(self._pairs)
            for pair in pairs:
                pair.abandon()

    def cut(self) -> None:
        """Reset every connection."""
        with self._changed:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.reset()

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
            pair = _Pair(client, broker)
            with self._changed:
                self._pairs.add(pair)
                if self._fault is Fault.HALF_OPEN:
                    pair.abandon()
            threading.Thread(target=self._pump, args=(pair, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, True), daemon=True).start()

    def _pump(self, pair: _Pair, from_broker: bool) -> None:
        """Forward until one side ends; then both do."""
        source, sink = (pair.broker, pair.client) if from_broker else (pair.client, pair.broker)
        received = bytearray()
        reads = from_broker and not self._tls
        try:
            while chunk := source.recv(65536):
                if self._record and not from_broker:
                    self.sent += chunk
                self._wait_out_the_black_hole()
                if pair.abandoned:
                    continue
                received += chunk
                through = self._let_through(received) if reads else bytes(received)
                if not reads:
                    received.clear()
                for piece in self._pieces(through):
                    sink.sendall(piece)
        except OSError:
            pass
        if pair.abandoned and from_broker:
            return
        with self._changed:
            self._pairs.discard(pair)
        pair.reset()

    def _wait_out_the_black_hole(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not Fault.BLACK_HOLE)

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk as the network lets it through: at once, late, bit by bit, or half of it and then a reset (OSError)."""
        while chunk:
            size = len(chunk)
            if self._fault is Fault.TORN:
                yield chunk[: size // 2]
                raise ConnectionResetError
            if self._fault is Fault.SLOW:
                self._pause(Fault.SLOW, _SLICE_S)
                size = max(int(self._rate * _SLICE_S), 1)
            elif self._fault is Fault.LATE:
                self._pause(Fault.LATE, self._delay_s)
            yield chunk[:size]
            chunk = chunk[size:]

    def _pause(self, fault: Fault, seconds: float) -> None:
        """For the time, or until the fault is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not fault, seconds)

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
