"""A page for the person at this machine: 127.0.0.1 only, behind a random word in its address, nothing from elsewhere.

Other users of the machine do not know the word; pages of other sites cannot ask (no CORS, and a foreign Host or Origin is
refused, which also stops DNS rebinding), cannot frame it, and learn no address from it.
"""

from __future__ import annotations

import hmac
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from edgeinfer.errors import UnavailableError

__all__ = ["LocalPage", "Reply"]

_MOST_BYTES = 256 * 1024  # of what a page sends
_NAMES = ("127.0.0.1", "localhost")
_HEADERS = {
    "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy":
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class Reply(NamedTuple):
    """An answer whole, or in parts that come for as long as there are any."""

    kind: str
    body: bytes | Iterator[bytes]


Route = Callable[[bytes], Reply]


class LocalPage:
    """Serves in threads of its own between ``with`` and its end. ``routes``: by "GET " or "POST " and the name behind the word
    ("" is the page itself); each is called in a thread of its request with the body."""

    def __init__(self, routes: Mapping[str, Route], port: int = 0) -> None:
        """Raises UnavailableError where the port is taken. 0: any that is free."""
        token = secrets.token_urlsafe(16)
        try:
            self._server = _Server(("127.0.0.1", port), _handler(routes, token))
        except (OSError, OverflowError) as error:
            raise UnavailableError("--port", "a port that is free on 127.0.0.1", f"{port}: {error}",
                                   "leave --port out: any that is free is taken") from error
        self.port: int = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}/{token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="page", daemon=True)

    def __enter__(self) -> LocalPage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who has gone away is no fault; a fault of a route is one, and is told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler(routes: Mapping[str, Route], token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 20  # seconds that a silent client is waited for
        server_version, sys_version = "edgeinfer", ""

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def log_message(self, *_: Any) -> None:
            """Nothing: the address must not be in a log."""

        def _answer(self, method: str) -> None:
            word, _, name = self.path.lstrip("/").partition("/")
            route = routes.get(f"{method} {name}")
            if not hmac.compare_digest(word.encode(), token.encode()) or not self._from_here() or route is None:
                self.send_error(404)
                return
            size = int(length) if (length := self.headers.get("Content-Length", "0")).isdecimal() else _MOST_BYTES + 1
            if size > _MOST_BYTES:
                self.send_error(413)
                return
            try:
                self._send(route(self.rfile.read(size)))
            except OSError:  # the window was closed
                self.close_connection = True

        def _from_here(self) -> bool:
            host = self.headers.get("Host", "")
            return host.partition(":")[0].lower() in _NAMES and self.headers.get("Origin") in (None, f"http://{host}")

        def _send(self, reply: Reply) -> None:
            whole = isinstance(reply.body, bytes)
            self.send_response(200)
            self.send_header("Content-Type", reply.kind)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            if isinstance(reply.body, bytes):
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            for part in [reply.body] if isinstance(reply.body, bytes) else reply.body:
                self.wfile.write(part)
            self.close_connection = self.close_connection or not whole

    return Handler
