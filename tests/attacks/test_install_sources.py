"""Attacks on an installation by where the bundle comes from: files that are none, servers that lie, stall or lead elsewhere."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("ai_edge_litert")

from edgeinfer import admission, fetch
from edgeinfer.admission import install
from edgeinfer.errors import (
    BundleError,
    EdgeinferError,
    SourceError,
    UnavailableError,
    UsageError,
)
from tests.attacks.yard import (
    Yard,
    refused,
    signed,
)
from tests.certificates import Certificates
from tests.installs import MAKER, stub_trial

FILES: dict[str, tuple[Callable[[Yard], str], type[EdgeinferError], str]] = {
    "a FIFO": (lambda y: (os.mkfifo(y.made / "x.eib"), str(y.made / "x.eib"))[1], SourceError, "no regular file"),
    "a FIFO by URL": (lambda y: (os.mkfifo(y.made / "x.eib"), f"file://{y.made}/x.eib")[1], SourceError, "no regular file"),
    "/dev/zero": (lambda y: "/dev/zero", SourceError, "no regular file"),
    "/dev/zero by URL": (lambda y: "file:///dev/zero", SourceError, "no regular file"),
    "/dev/zero by an escaped URL": (lambda y: "file:///%64ev/zero", SourceError, "no regular file"),
    "a file without end in /proc": (lambda y: "/proc/self/pagemap", BundleError, ""),
    "a folder": (lambda y: str(y.made), SourceError, "quantize pack"),
    "a link": (lambda y: ((y.made / "x.eib").symlink_to("/etc/passwd"), str(y.made / "x.eib"))[1], SourceError, "a link"),
    "nothing": (lambda y: str(y.made / "none.eib"), SourceError, "No such file"),
    "a NUL": (lambda y: "a\0b.eib", SourceError, "null"),
    "a NUL by URL": (lambda y: "file:///etc/passwd%00.eib", SourceError, "null"),
    "a file of another host": (lambda y: "file://server/x.eib", UsageError, "file:///PATH"),
    "a sparse terabyte": (lambda y: sparse(y.made / "x.eib"), BundleError, "at most"),
    "ftp": (lambda y: "ftp://127.0.0.1/x.eib", UsageError, "http or https"),
    "no scheme at all": (lambda y: "://x", UsageError, "http or https"),
    "gopher in capitals": (lambda y: "GOPHER://127.0.0.1/x", UsageError, "http or https"),
    "a port beyond all": (lambda y: "http://127.0.0.1:99999/x", UsageError, "a URL"),
    "brackets": (lambda y: "http://[127.0.0.1/x", UsageError, "a URL"),
    "a password in the URL": (lambda y: "http://me:secret@127.0.0.1/x", UsageError, "http://HOST/FILE"),
    "no host": (lambda y: "http:///x.eib", UsageError, "http://HOST/FILE"),
    "a line break in the path": (lambda y: "http://127.0.0.1:9/x HTTP/1.1\r\nX: y", UnavailableError, ""),
    "a public address": (lambda y: "http://8.8.8.8/x.eib", UsageError, "the public address 8.8.8.8"),
    "a public address of IPv6": (lambda y: "https://[2606:4700::1111]/x.eib", UsageError, "the public address"),
    "a public address, mapped": (lambda y: "http://[::ffff:8.8.8.8]/x.eib", UsageError, "the public address"),
    "a public address in hexadecimal": (lambda y: "http://0x08080808/x.eib", UsageError, "the public address 8.8.8.8"),
    "6to4": (lambda y: "http://[2002:7f00:1::1]/x.eib", UsageError, "the public address"),
    "NAT64": (lambda y: "http://[64:ff9b::808:808]/x.eib", UsageError, "the public address"),
    "address zero": (lambda y: "http://0.0.0.0:9/x.eib", UsageError, "the public address 0.0.0.0"),
    "broadcast": (lambda y: "http://255.255.255.255/x.eib", UsageError, "the public address"),
    "multicast": (lambda y: "http://224.0.0.1/x.eib", UsageError, "the public address"),
}


def sparse(path: Path) -> str:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    return str(path)


@pytest.mark.parametrize("attack", FILES)
def test_a_source_is_refused(attack: str, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file, or no server of the local network. Nothing blocks, and nobody outside is spoken to."""
    make, kind, expected = FILES[attack]
    source = make(yard)
    with pytest.raises(EdgeinferError) as caught, fetch.opened(source, 1 << 30) as stream:
        install(yard.store, stream, keys=[MAKER.public])
    assert isinstance(caught.value, kind)
    assert expected in str(caught.value)
    assert not (yard.store.folder / ".incoming").exists()


def test_a_name_with_one_public_address_is_refused(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers with both does not get to choose."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("192.168.1.7", "93.184.216.34")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert "93.184.216.34" in str(refused(yard, "http://nas.lan/x.eib"))


Script = Callable[[socket.socket], None]


@contextmanager
def server(*scripts: Script, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Plays one script for each connection, the last one for all that follow; yields the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def play(connected: socket.socket, script: Script) -> None:
        with connected, suppress(OSError):
            if context is not None:
                connected = context.wrap_socket(connected, server_side=True)
            with connected:
                connected.settimeout(10)
                connected.recv(4096)
                script(connected)

    def accept() -> None:
        count = 0
        with suppress(OSError):
            while True:
                connected, _ = listening.accept()
                threads.append(threading.Thread(target=play, args=(connected, scripts[min(count, len(scripts) - 1)])))
                threads[-1].start()
                count += 1

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def says(*lines: str, body: bytes = b"") -> Script:
    return lambda connected: connected.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode() + body)


def redirect(to: str) -> Script:
    return says("HTTP/1.1 302 Found", f"Location: {to}")


def again(first: bytes, piece: bytes, pause_s: float = 0.0) -> Script:
    """``first``, then ``piece`` for ever, until the other side goes away."""
    def script(connected: socket.socket) -> None:
        connected.sendall(first)
        gone = threading.Event()
        while not gone.wait(pause_s):
            connected.sendall(piece)
    return script


OK = b"HTTP/1.1 200 OK\r\n"
SERVERS: dict[str, tuple[Script, type[EdgeinferError], str]] = {
    "a redirect to a public address": (redirect("http://8.8.8.8/x.eib"), UsageError, "the public address"),
    "a redirect to a file": (redirect("file:///etc/passwd"), UnavailableError, "redirects"),
    "a redirect to ftp": (redirect("ftp://127.0.0.1/x"), UnavailableError, "redirects"),
    "a redirect nowhere": (says("HTTP/1.1 302 Found"), UnavailableError, "at most 5 redirects"),
    "redirects for ever": (redirect("/again"), UnavailableError, "at most 5 redirects"),
    "404": (says("HTTP/1.1 404 Not Found", "Content-Length: 0"), UnavailableError, "404"),
    "a part": (says("HTTP/1.1 206 Partial Content", "Content-Length: 1", body=b"x"), UnavailableError, "206"),
    "a web page": (says("HTTP/1.1 200 OK", "Content-Length: 600", body=b"<html>".ljust(600)), BundleError, "a bundle"),
    "a length beyond the cap": (says("HTTP/1.1 200 OK", "Content-Length: 99999999999"), BundleError, "at most 1048576 bytes"),
    "a body without end": (again(OK + b"\r\n", bytes(1 << 16)), BundleError, "at most 1048576 bytes"),
    "chunks without end": (again(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(1 << 16) + b"\r\n"), BundleError, "at most"),
    "a length that is too long": (says("HTTP/1.1 200 OK", "Content-Length: 5000", body=bytes(600)), UnavailableError, "5000 bytes"),
    "a length that is too short": (says("HTTP/1.1 200 OK", "Content-Length: 100", body=bytes(6000)), BundleError, "ends early"),
    "a length below zero": (says("HTTP/1.1 200 OK", "Content-Length: -5", body=bytes(600)), BundleError, ""),
    "a chunk of nonsense": (says("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"zz\r\n"), UnavailableError, ""),
    "gzip": (says("HTTP/1.1 200 OK", "Content-Encoding: gzip", "Content-Length: 4", body=b"\x1f\x8b00"), UnavailableError, "encoded"),
    "no HTTP": (lambda c: c.sendall(b"SSH-2.0-OpenSSH\r\n"), UnavailableError, ""),
    "nothing": (lambda c: None, UnavailableError, ""),
    "silence": (lambda c: (c.settimeout(5), c.recv(1)), UnavailableError, "timed out"),
    "a header a second, for ever": (again(OK, b"X: y\r\n", 0.1), UnavailableError, ""),
    "a header line without end": (again(OK + b"X: ", b"y" * 4096), UnavailableError, ""),
    "headers without end": (again(OK, b"X: y\r\n"), UnavailableError, ""),
    "a byte a moment": (again(OK + b"\r\n", b"x", 0.05), UnavailableError, "KiB a second"),
    "trailers without end": (again(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.05), UnavailableError, ""),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_STALL_S", 0.3)
    monkeypatch.setattr(fetch, "_HEADER_S", 0.5)
    monkeypatch.setattr(fetch, "_GRACE_S", 0.3)
    monkeypatch.setattr(fetch, "_TOTAL_S", 1.0)


@pytest.mark.parametrize("attack", SERVERS)
@pytest.mark.usefixtures("impatient")
def test_a_server_is_refused(attack: str, yard: Yard) -> None:
    """Whatever it answers, or does not: an end comes, and one error."""
    script, kind, expected = SERVERS[attack]
    with server(script) as port:
        error = refused(yard, f"http://127.0.0.1:{port}/x.eib")
    assert isinstance(error, kind)
    assert expected in str(error)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_nobody_vouches_for_is_refused(yard: Yard) -> None:
    """https checks the certificate, and does not follow a redirect to http."""
    made = Certificates(yard.made / "certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made.server)
    with server(says("HTTP/1.1 200 OK"), context=context) as port:
        assert "certificate" in str(refused(yard, f"https://127.0.0.1:{port}/x.eib"))
    yard.patch.setenv("SSL_CERT_FILE", str(made.ca))
    with server(redirect("http://127.0.0.1/x"), context=context) as port:
        assert "none from https to http" in str(refused(yard, f"https://localhost:{port}/x.eib"))


@pytest.mark.usefixtures("impatient")
def test_the_attacks_differ_from_a_good_server_only_by_the_attack(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file from a server that says what it is, by way of a redirect, is installed; no proxy is asked."""
    monkeypatch.setenv("http_proxy", "http://8.8.8.8:1")
    yard.patch.setattr(admission, "trial", stub_trial)
    content = signed(yard).read_bytes()
    with server(redirect("/there"), says("HTTP/1.1 200 OK", f"Content-Length: {len(content)}", body=content)) as port, \
            fetch.opened(f"http://127.0.0.1:{port}/x.eib", 1 << 20) as stream:
        assert install(yard.store, stream, keys=[MAKER.public]).outcome == "switched"


def test_a_name_that_changes_its_address_leads_nowhere_else(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once, and the address that was checked is the one connected to."""
    asked = []

    def rebound(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "93.184.216.34"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with server(says("HTTP/1.1 404 Not Found", "Content-Length: 0")) as port:
        assert "404" in str(refused(yard, f"http://nas.lan:{port}/x.eib"))
    assert asked == ["nas.lan"]
