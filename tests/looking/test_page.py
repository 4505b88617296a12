"""A page for the person at this machine is for nobody else."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest

from edgeinfer.errors import UnavailableError
from edgeinfer.looking.live import Live
from edgeinfer.looking.page import LocalPage, Reply


@pytest.fixture(scope="module")
def page() -> Iterator[LocalPage]:
    routes = {"GET ": lambda _: Reply("text/html", b"hello"), "POST done": lambda body: Reply("application/json", body),
              "GET stream": lambda _: Reply("text/plain", iter([b"one", b"two"]))}
    with LocalPage(routes) as served:
        yield served


def ask(page: LocalPage, name: str = "", method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    path = name if name.startswith("/") else urlsplit(page.address).path + name
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def test_who_has_the_address_is_served(page: LocalPage) -> None:
    """The page, what it sends, a stream in parts; with headers that keep other sites out, and nothing in a cache."""
    status, body, headers = ask(page)
    assert (status, body) == (200, b"hello")
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(page, "done", "POST", b"{}")[:2] == (200, b"{}")
    assert ask(page, "stream")[:2] == (200, b"onetwo")
    assert ask(page, Host=f"localhost:{page.port}", Origin=f"http://localhost:{page.port}")[0] == 200


@pytest.mark.parametrize(("name", "method", "headers"), [
    ("/", "GET", {}), ("/wrong/", "GET", {}), ("/wrong/done", "POST", {}), ("/%2e%2e/etc/passwd", "GET", {}), ("other", "GET", {}),
    ("", "GET", {"Host": "evil.example"}), ("", "GET", {"Origin": "http://evil.example"}), ("done", "POST", {"Origin": "null"}),
    ("done", "GET", {}), ("", "GET", {"Host": ""}), ("", "GET", {"Host": "[::1"}), ("", "GET", {"Host": "localhost.evil.example"}),
])
def test_all_others_find_nothing(page: LocalPage, name: str, method: str, headers: dict[str, str]) -> None:
    """Another word, another name, a page of another site, a name that was bound to this address."""
    assert ask(page, name, method, **headers)[0] == 404


def test_a_body_without_end_is_not_read(page: LocalPage) -> None:
    """It is refused by its stated length, or for having none."""
    assert ask(page, "done", "POST", Content_Length=str(1 << 40))[0] == 413
    assert ask(page, "done", "POST", Content_Length="-1")[0] == 413


@pytest.mark.parametrize("said", ["GET ", "GET /x HTTP/1.1\r\n", "POST {path}done HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{"])
def test_who_goes_away_in_the_middle_is_not_told_to_the_terminal(page: LocalPage, capsys: pytest.CaptureFixture[str], said: str) -> None:
    """A window that is closed, a scanner of ports: the connection is reset while it is read."""
    with socket.create_connection(("127.0.0.1", page.port)) as client:
        client.sendall(said.format(path=urlsplit(page.address).path).encode())
        assert ask(page)[0] == 200  # that one was accepted before
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for thread in threading.enumerate():
        if "process_request" in thread.name:
            thread.join(10)
    assert capsys.readouterr().err == ""


def test_a_window_that_stops_reading_holds_up_nobody() -> None:
    """Pictures are shown, and another window sees the newest, while the first one's buffers are full."""
    live, noise = Live(), np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    with LocalPage({"GET stream": lambda _: live.stream()}) as page:
        asked = f"GET {urlsplit(page.address).path}stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", page.port)) as stuck, socket.create_connection(("127.0.0.1", page.port), 20) as other:
            stuck.sendall(asked)
            for _ in range(60):  # far more than the buffers of a connection
                live.show(noise)
            live.show(np.zeros((10, 10, 3), np.uint8))
            other.sendall(asked)
            live.end()
            told = b"".join(iter(lambda: other.recv(1 << 16), b""))
    assert b"image/jpeg" in told
    assert len(told) < 10_000, "the newest, a small one"


def test_it_listens_on_this_machine_only(page: LocalPage) -> None:
    """On 127.0.0.1, not even on the machine's other loopback addresses; a taken port is told."""
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", page.port), 1):
        pass
    with pytest.raises(UnavailableError, match="--port"):
        LocalPage({}, page.port)


def test_every_page_has_a_word_of_its_own() -> None:
    """At least 128 bits of it."""
    pages = [LocalPage({}) for _ in range(3)]
    words = {urlsplit(page.address).path for page in pages}
    assert len(words) == 3
    assert all(len(word) >= 22 for word in words)
    for page in pages:
        page._server.server_close()
