"""A small RTSP server: one MPEG transport stream, interleaved over TCP as RFC 2326 (10.12) and RFC 2250 have it, paced as it is
watched. UDP is refused."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
from pathlib import Path

_PACKETS = 7  # of a transport stream in one of RTP


def stream(ffmpeg: str, folder: Path, width: int, height: int) -> bytes:
    """Two seconds of FFmpeg's test picture, 10 a second."""
    path = folder / "stream.ts"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc=size={width}x{height}:rate=10:duration=2", "-c:v", "mpeg2video",
                    "-g", "5", "-f", "mpegts", str(path)], check=True, timeout=60)
    return path.read_bytes()


class RtspServer:
    """``stall``: connections stay, and nothing comes over them any more. ``transports``: what clients asked for."""

    def __init__(self, port: int, content: bytes) -> None:
        self.transports: list[str] = []
        self.stall = threading.Event()
        self._content = content
        self._over = threading.Event()
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as lines:
            while request := lines.readline().decode():
                headers = {}
                while (line := lines.readline().strip()) and b":" in line:
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                method = request.split()[0]
                client.sendall(self._answer(method, headers))
                if method == "PLAY":
                    threading.Thread(target=self._play, args=(client,), daemon=True).start()
                    while client.recv(4096):  # keep-alives and RTCP
                        pass

    def _answer(self, method: str, headers: dict[str, str]) -> bytes:
        status, more, body = "200 OK", "", b""
        if method == "DESCRIBE":
            body = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
            more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            self.transports.append(headers["transport"])
            tcp = "TCP" in headers["transport"]
            status, more = ("200 OK", "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n") if tcp else ("461 Unsupported transport", "")
        elif method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        return f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}\r\n".encode() + body

    def _play(self, client: socket.socket) -> None:
        sequence, size = 0, _PACKETS * 188
        with contextlib.suppress(OSError):
            while True:
                for start in range(0, len(self._content), size):
                    if self.stall.is_set():
                        self._over.wait()
                        return
                    packet = struct.pack(">BBHII", 0x80, 33, sequence % 65536, sequence * 900 % 2**32, 1) + self._content[start : start + size]
                    client.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                    sequence += 1
                    if self._over.wait(0.01):
                        return

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
