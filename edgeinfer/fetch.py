"""Where a bundle comes from: a file, or a server on the local network.

Only addresses of the local network are connected to (RFC 1918, RFC 4193, link-local, loopback), also after a redirect, and
the connection goes to the very address that was checked, so that a name that changes its address in between leads nowhere
else. No proxy is used. Nothing here trusts what comes: size, time and rate are bounded, the signature is checked later.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from edgeinfer.errors import BundleError, SourceError, UnavailableError, UsageError

__all__ = ["Readable", "is_remote", "opened"]

_LOCAL: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")),
    *map(IPv6Network, ("fc00::/7", "fe80::/10", "::1/128")))
_REDIRECTS, _MOST_REDIRECTS = {301, 302, 303, 307, 308}, 5
_STALL_S = 10.0  # without a byte
_HEADER_S = 20.0  # until the answer begins
_GRACE_S = 20.0  # then at least ...
_LEAST_BYTES_PER_S = 16 * 1024
_TOTAL_S = 3600.0  # whatever happens
_HINT = "copy the file here, and install that: edgeinfer install X.eib"


class Readable(Protocol):
    """What a bundle is copied from. ``read`` gives at most ``count`` bytes, none at the end. Raises EdgeinferError."""

    def read(self, count: int, /) -> bytes: ...


@contextmanager
def opened(source: str, most: int) -> Iterator[Readable]:
    """The bundle at ``source``: a path, a file:// URL, or an http(s):// URL on the local network; of ``most`` bytes at most.

    Raises UsageError for any other scheme or a public address, SourceError for what is no regular file, BundleError for one
    that is too large, UnavailableError where the network does not deliver, each at once or while it is read.
    """
    url = _split(source)
    if url is None or url.scheme == "file":
        with _opened_file(source if url is None else _path_of(url), most) as stream:
            yield stream
    elif url.scheme in {"http", "https"}:
        with _answered(url, most) as answer:
            yield answer
    else:
        raise UsageError("SOURCE", "an .eib file, or a file, http or https URL", repr(url.scheme)[:40], _HINT)


def is_remote(source: str) -> bool:
    """Whether ``opened`` will speak to a server. Raises UsageError for what is no URL."""
    url = _split(source)
    return url is not None and url.scheme != "file"


def _split(source: str) -> SplitResult | None:
    """None for a path: a URL has a scheme with ``:`` behind it and two slashes, which no path has that is written plainly."""
    if "://" not in source:
        return None
    try:
        url = urlsplit(source)
        _ = url.port
    except ValueError as error:
        raise UsageError("SOURCE", "a URL", f"{source[:120]!r}: {error}", _HINT) from error
    return url


def _path_of(url: SplitResult) -> str:
    if url.netloc not in {"", "localhost"} or url.query or url.fragment:
        raise UsageError("SOURCE", "file:///PATH", url.geturl()[:200], "file:///home/pi/model.eib")
    return unquote(url.path)


@contextmanager
def _opened_file(path: str, most: int) -> Iterator[Readable]:
    """A regular file. A FIFO does not block, and no link is followed: who installs as root names the file itself."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        is_link = getattr(error, "errno", 0) == errno.ELOOP
        got = "a link: name the file itself" if is_link else str(getattr(error, "strerror", error))
        raise SourceError(path[:200], "an .eib file", got, "ls -l FILE") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise SourceError(path[:200], "an .eib file", "a folder", f"pack it: quantize pack {path} -o X.eib")
        raise SourceError(path[:200], "an .eib file", "no regular file", f"ls -l '{path}'")
    with os.fdopen(descriptor, "rb") as stream:
        _check_size(found.st_size, most, path)
        yield stream


@contextmanager
def _answered(url: SplitResult, most: int) -> Iterator[Readable]:
    """The answer of the server, after redirects."""
    seen = 0
    while True:
        with _connection(url) as (connection, connected):
            with _cut_after(connected, _HEADER_S) as cut:
                answer = _ask(connection, url)
            with closing(answer):  # it outlives its connection
                if cut.is_set():  # what had come by then may look like all of it
                    raise UnavailableError(url.geturl()[:200], f"an answer within {_HEADER_S:g} s", "its beginning", _HINT)
                if answer.status not in _REDIRECTS:
                    with _cut_after(connected, _TOTAL_S):
                        yield _Body(answer, url, most)
                    return
            moved = _split(urljoin(url.geturl(), answer.headers.get("Location", "")))
        seen += 1
        if moved is None or seen > _MOST_REDIRECTS or moved.scheme not in {"http", "https"} or (
                url.scheme == "https" and moved.scheme != "https"):
            raise UnavailableError(url.geturl()[:200], f"at most {_MOST_REDIRECTS} redirects, none from https to http",
                                   f"one to {answer.headers.get('Location', 'nowhere')}"[:200], _HINT)
        url = moved


class _Body:
    """The content, at a rate and of a size that are bounded."""

    def __init__(self, answer: http.client.HTTPResponse, url: SplitResult, most: int) -> None:
        self._where = url.geturl()[:200]
        if answer.status != http.client.OK:
            raise UnavailableError(self._where, "an answer with the file", f"{answer.status} {answer.reason}"[:80], _HINT)
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise UnavailableError(self._where, "the file as it is", "one that is encoded", _HINT)
        if answer.length is not None:
            _check_size(answer.length, most, self._where)
        self._answer, self._stated, self._most = answer, answer.length, most
        self._begun, self._received = time.monotonic(), 0

    def read(self, count: int, /) -> bytes:
        with _network(self._where):
            chunk = self._answer.read1(count)
        self._received += len(chunk)
        _check_size(self._received, self._most, self._where)
        if not chunk and self._stated is not None and self._received != self._stated:
            raise UnavailableError(self._where, f"{self._stated} bytes", f"{self._received}, then the end", "try again")
        if time.monotonic() - self._begun > _GRACE_S + self._received / _LEAST_BYTES_PER_S:
            raise UnavailableError(self._where, f"at least {_LEAST_BYTES_PER_S // 1024} KiB a second", "less", _HINT)
        return chunk


@contextmanager
def _connection(url: SplitResult) -> Iterator[tuple[http.client.HTTPConnection, socket.socket]]:
    if url.username is not None or not url.hostname:
        raise UsageError("SOURCE", f"{url.scheme}://HOST/FILE", f"{url.scheme}://…, with a password or without a host", _HINT)
    with ExitStack() as opened:
        with _network(url.geturl()[:200]):
            port = url.port or (443 if url.scheme == "https" else 80)
            connected = opened.enter_context(_connect(url.hostname, port))
            if url.scheme == "https":
                connected = opened.enter_context(
                    ssl.create_default_context().wrap_socket(connected, server_hostname=url.hostname))
            connection = opened.enter_context(closing(http.client.HTTPConnection(url.hostname, port)))
            connection.sock = connected
        yield connection, connected


def _connect(host: str, port: int) -> socket.socket:
    """To an address that was checked. A name that has any public address is refused: which one answers is not ours to say."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    public = [str(address[0]) for *_, address in found if not _is_local(str(address[0]))]
    if public:
        raise UsageError(host[:200], "a server on the local network", f"the public address {public[0]}", _HINT)
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        candidate = socket.socket(family, kind, protocol)
        candidate.settimeout(_STALL_S)
        try:
            candidate.connect(address)
        except OSError as error:
            candidate.close()
            failure = error
        else:
            return candidate
    raise failure


def _is_local(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in _LOCAL)


def _ask(connection: http.client.HTTPConnection, url: SplitResult) -> http.client.HTTPResponse:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    with _network(url.geturl()[:200]):
        connection.request("GET", target, headers={"User-Agent": "edgeinfer", "Accept-Encoding": "identity"})
        return connection.getresponse()


@contextmanager
def _cut_after(connected: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """A server that sends a byte now and then never runs into a time-out of the socket: cut it. Yields whether it was."""
    was = threading.Event()

    def cut() -> None:
        was.set()
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield was
    finally:
        timer.cancel()


@contextmanager
def _network(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: bytes in a URL that none may have
        what = getattr(error, "verify_message", "") or str(error) or type(error).__name__
        raise UnavailableError(where, "a server that delivers the file", what[:200], _HINT) from error


def _check_size(size: int, most: int, where: str) -> None:
    if size > most:
        raise BundleError(where[:200], f"at most {most} bytes", f"{size} bytes or more")
