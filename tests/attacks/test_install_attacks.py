"""Attacks on an installation: by the bundle, by who sent it, by where it comes from and by the place it goes to. Each is
refused with one typed error; what is installed stays as it is, and nothing is left behind."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("ai_edge_litert")

from edgeinfer import admission, fetch, fitness
from edgeinfer.admission import install, trusted_keys
from edgeinfer.errors import (
    BundleError,
    DataError,
    EdgeinferError,
    ManifestError,
    ModelError,
    ProbeError,
    SourceError,
    StorageError,
    UnavailableError,
    UsageError,
)
from edgeinfer.model import bundle
from edgeinfer.model.trial import trial
from edgeinfer.ownership import become_owner
from edgeinfer.store import Store
from quantize.secretkey import SecretKey
from tests.attacks.test_bundle_attacks import ARCHIVES, LABELS, MANIFESTS, manifested
from tests.certificates import Certificates
from tests.installs import MAKER, STRANGER, make_bundle, make_eib, sign, stub_trial
from tests.paper_bundles import write_bundle

Yard = SimpleNamespace  # store: one that has door 5 (current) and 4 (previous); made: a folder for what the attack makes


@pytest.fixture(scope="module")
def eibs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eibs")
    for sequence in (3, 4, 5, 6):
        make_eib(folder, sequence, name="door")
    make_eib(folder, 3, None, name="door")
    make_eib(folder, 7, None, name="door")
    make_eib(folder, 6, STRANGER, name="door")
    return folder


@pytest.fixture(scope="module")
def two(eibs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with door 5 in use, and 4 before it."""
    state = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "trial", stub_trial)
        for sequence in (4, 5):
            install(Store(state / "models"), eibs / f"{sequence}-{MAKER.public.name}.eib", keys=[MAKER.public])
    return state


@pytest.fixture
def yard(tmp_path: Path, eibs: Path, two: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """No attack here may get as far as the trial, unless it says so."""
    shutil.copytree(two, tmp_path / "state", symlinks=True)
    monkeypatch.setattr(admission, "trial", never)
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "made").mkdir()
    return SimpleNamespace(root=tmp_path, store=Store(tmp_path / "state" / "models"), made=tmp_path / "made", eibs=eibs,
                           patch=monkeypatch)


def never(*_: object) -> None:
    pytest.fail("an attack came as far as the trial")


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: links as such, files by content."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else path.stat().st_mode
    return found


def refused(yard: Yard, source: Any, **terms: Any) -> EdgeinferError:
    """What an installation raises; fails where anything has changed but for the lock."""
    before = tree(yard.root)
    terms = {"keys": [MAKER.public], **terms}
    with pytest.raises(EdgeinferError) as caught, opened(source) as stream:
        install(yard.store, stream, **terms)
    assert type(caught.value) is not EdgeinferError
    assert len(str(caught.value)) < 3500
    assert tree(yard.root) == before
    return caught.value


@contextmanager
def opened(source: Any) -> Iterator[Any]:
    if isinstance(source, str):
        with fetch.opened(source, 1 << 20) as stream:
            yield stream
    else:
        yield source


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    write_bundle(folder / "b")
    bundle.pack(folder / "b", folder / "b.eib")
    return (folder / "b.eib").read_bytes()


@pytest.mark.parametrize("attack", ARCHIVES)
def test_an_archive_is_refused(attack: str, whole: bytes, yard: Yard) -> None:
    """Every hostile archive, also where unsigned bundles are taken."""
    (yard.made / "attack.eib").write_bytes(ARCHIVES[attack](whole))
    assert isinstance(refused(yard, yard.made / "attack.eib", allow_unsigned=True, keys=[]), DataError)


@pytest.mark.parametrize("attack", MANIFESTS)
def test_a_manifest_is_refused(attack: str, yard: Yard) -> None:
    """Every wrong manifest, also where unsigned bundles are taken."""
    (yard.made / "attack.eib").write_bytes(manifested(MANIFESTS[attack][0]()))
    assert isinstance(refused(yard, yard.made / "attack.eib", allow_unsigned=True, keys=[]), DataError)


def signed(yard: Yard, sequence: int = 6, key: SecretKey | None = MAKER) -> Path:
    return Path(yard.eibs / f"{sequence}-{key.public.name if key else 'unsigned'}.eib")


def patched(yard: Yard, change: Callable[[bytes], bytes], source: Path | None = None) -> Path:
    """A good bundle of sequence 6 whose bytes were changed on the way."""
    content = (source or signed(yard)).read_bytes()
    assert change(content) != content
    (yard.made / "attack.eib").write_bytes(change(content))
    return Path(yard.made / "attack.eib")


def made(yard: Yard, sequence: int = 6, key: SecretKey | None = MAKER, **fields: Any) -> Path:
    """A bundle of that manifest by the maker."""
    return make_eib(yard.made, sequence, key, **{"name": "door", **fields})


def swapped(yard: Yard) -> Path:
    """The signature of 6 beside the manifest of another bundle."""
    good, other = make_bundle(yard.made / "good", 6, name="door"), make_bundle(yard.made / "other", 6, name="door", version="evil")
    sign(good.folder, MAKER)
    (other.folder / "manifest.sig").write_bytes((good.folder / "manifest.sig").read_bytes())
    bundle.pack(other.folder, yard.made / "swapped.eib")
    return Path(yard.made / "swapped.eib")


def raw_signed(yard: Yard, change: Callable[[bytes], bytes]) -> Path:
    """The maker signed what ``bundle.write`` would have refused."""
    good = make_bundle(yard.made / "good", 6, name="door")
    manifest = good.folder / "manifest.json"
    assert change(manifest.read_bytes()) != manifest.read_bytes()
    manifest.write_bytes(change(manifest.read_bytes()))
    sign(good.folder, MAKER)
    from edgeinfer.model.archive import write_entries

    with (yard.made / "raw.eib").open("wb") as stream:
        write_entries(stream, [(name, good.folder / name) for name in ("manifest.json", "manifest.sig", *good.manifest.files)])
    return Path(yard.made / "raw.eib")


def rejected(yard: Yard) -> Path:
    install(yard.store, signed(yard, 5), keys=[MAKER.public])
    current = yard.store.current("door")
    yard.store.rollback("door", "it saw ghosts")
    assert yard.store.current("door") != current
    return signed(yard, 5)


BUNDLES: dict[str, tuple[Callable[[Yard], Any], dict[str, Any], type[EdgeinferError], str]] = {
    "unsigned": (lambda y: signed(y, 7, None), {}, BundleError, "a signed bundle"),
    "unsigned, and no key here": (lambda y: signed(y, 7, None), {"keys": []}, BundleError, "no trusted key here"),
    "signed, and no key here": (signed, {"keys": []}, BundleError, "no trusted key here"),
    "signed by a stranger": (lambda y: signed(y, 6, STRANGER), {}, BundleError, "one by key 0202"),
    "signed by a stranger, unsigned ones taken": (lambda y: signed(y, 6, STRANGER), {"allow_unsigned": True}, BundleError, "0202"),
    "a stranger's key under the maker's number": (
        lambda y: made(y, 6, SecretKey(type(MAKER.public)(MAKER.public.number, STRANGER.public.raw), STRANGER.seed)), {},
        BundleError, "does not hold"),
    "another manifest under the signature": (swapped, {}, BundleError, "does not hold"),
    "another manifest, unsigned ones taken": (swapped, {"allow_unsigned": True}, BundleError, "does not hold"),
    "a byte of the manifest changed": (lambda y: patched(y, lambda c: c.replace(b'"v6"', b'"v7"', 1)), {}, BundleError, "does not hold"),
    "a higher sequence written over": (lambda y: patched(y, lambda c: c.replace(b'"sequence": 4', b'"sequence": 9', 1),
                                                         signed(y, 4)), {}, BundleError, "does not hold"),
    "another model under the digests": (lambda y: patched(y, lambda c: c.replace(b"TFL3", b"TFL9", 1)), {}, BundleError, "SHA-256"),
    "other labels under the digests": (lambda y: patched(y, lambda c: c.replace(b"green\n", b"ghost\n", 1)), {}, BundleError, "SHA-256"),
    "cut in the middle": (lambda y: patched(y, lambda c: c[:len(c) // 2]), {}, BundleError, "ends early"),
    "an older one": (lambda y: signed(y, 3), {}, BundleError, "5 or more"),
    "the one before": (lambda y: signed(y, 4), {}, BundleError, "rollback door"),
    "an older one, unsigned": (lambda y: signed(y, 3, None), {"allow_unsigned": True}, BundleError, "5 or more"),
    "the same sequence again": (lambda y: made(y, 5, version="other"), {}, BundleError, "more than 5"),
    "a sequence that no file name holds": (lambda y: raw_signed(y, lambda r: r.replace(b'"sequence": 6', b'"sequence": ' + b"9" * 30)),
                                           {}, ManifestError, "sequence"),
    "a sequence of 2^63": (lambda y: raw_signed(y, lambda r: r.replace(b'"sequence": 6', b'"sequence": 9223372036854775808')), {},
                           ManifestError, "sequence"),
    "a sequence below zero": (lambda y: raw_signed(y, lambda r: r.replace(b'"sequence": 6', b'"sequence": -6')), {}, ManifestError, "0 or more"),
    "a name upwards, signed": (lambda y: raw_signed(y, lambda r: r.replace(b'"door"', b'"../x"')), {}, ManifestError, "letters"),
    "a name with a NUL, signed": (lambda y: raw_signed(y, lambda r: r.replace(b'"door"', b'"do\\u0000or"')), {}, ManifestError, "letters"),
    "a name in Cyrillic, signed": (lambda y: raw_signed(y, lambda r: r.replace(b'"door"', '"d\u043eor"'.encode())), {}, ManifestError, "letters"),
    "a name with a newline, signed": (lambda y: raw_signed(y, lambda r: r.replace(b'"door"', b'"door\\n"')), {}, ManifestError, "letters"),
    "a hidden name, signed": (lambda y: raw_signed(y, lambda r: r.replace(b'"door"', b'".incoming"')), {}, ManifestError, "letters"),
    "one that failed here": (rejected, {}, DataError, "it saw ghosts"),
    "another name than the pipeline's": (signed, {"expected": "window"}, BundleError, "a bundle named window"),
    "for another processor": (lambda y: made(y, target="jetson-orin-nano"), {}, BundleError, "one for jetson-orin-nano"),
    "for a device unheard of": (lambda y: made(y, target="toaster-9000"), {}, BundleError, "a device that this version knows"),
    "a target upwards": (lambda y: made(y, target="../../etc/passwd"), {}, BundleError, "a device that this version knows"),
    "a target that moves the cursor": (lambda y: made(y, target="\x1b[2J"), {}, BundleError, r"'\x1b[2J'"),
    "larger than the memory": (lambda y: raw_signed(y, lambda r: r.replace(b'"bytes": 15', b'"bytes": 1125899906842624')), {},
                               BundleError, "a model that fits"),
    "a number in place of the name": (lambda y: raw_signed(y, lambda r: r.replace(b'"door"', b"17")), {}, ManifestError, "name"),
}


@pytest.mark.parametrize("attack", BUNDLES)
def test_a_bundle_is_refused(attack: str, yard: Yard) -> None:
    """Whoever made it, whatever it claims: one error that says what was expected."""
    make, terms, kind, expected = BUNDLES[attack]
    error = refused(yard, make(yard), **terms)
    assert isinstance(error, kind)
    assert expected in str(error)


def test_a_runtime_that_is_missing_is_said_before_anything_is_unpacked(yard: Yard) -> None:
    """What to install is in the hint."""
    yard.patch.setattr(fitness, "find_spec", lambda name: None)
    error = refused(yard, signed(yard))
    assert isinstance(error, UnavailableError)
    assert "pip install 'edgeinfer[" in str(error)


def test_the_attacks_differ_from_a_good_bundle_only_by_the_attack(yard: Yard) -> None:
    """Version 6 as it came from the maker is taken."""
    yard.patch.setattr(admission, "trial", stub_trial)
    assert install(yard.store, signed(yard), keys=[MAKER.public]).outcome == "switched"
    assert yard.store.current("door").name.startswith("6-")


def test_an_unsigned_one_never_bars_the_way_of_a_signed_one(yard: Yard) -> None:
    """It may claim any sequence: signed ones are measured by signed ones."""
    yard.patch.setattr(admission, "trial", stub_trial)
    high = made(yard, 2**62, None)
    assert install(yard.store, high, keys=[MAKER.public], allow_unsigned=True).outcome == "switched"
    assert install(yard.store, signed(yard), keys=[MAKER.public]).outcome == "switched"
    yard.patch.setattr(admission, "trial", never)
    assert "4611686018427387904 or more" in str(refused(yard, signed(yard, 7, None), allow_unsigned=True))


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


def linked(at: str, to: str) -> Callable[[Yard], None]:
    """A link in the place of something of the store's, which is moved away."""
    def attack(yard: Yard) -> None:
        place = yard.root / "state" / at
        if os.path.lexists(place):
            place.rename(yard.made / "moved")
        place.symlink_to(yard.root / to if to else yard.made / "moved")
    return attack


def written(at: str, content: bytes) -> Callable[[Yard], None]:
    return lambda yard: (yard.root / "state" / at).write_bytes(content) and None


SURROUNDINGS: dict[str, tuple[Callable[[Yard], Any], type[EdgeinferError], str]] = {
    "the models folder is a link": (linked("models", ""), StorageError, "a link"),
    "the model's folder is a link": (linked("models/door", ""), StorageError, "a link"),
    "the lock is a link": (linked("models/.installing", "victim"), StorageError, ""),
    "the models folder is a file": (lambda y: ((y.store.folder).rename(y.made / "m"), y.store.folder.write_text("")), StorageError, "a folder"),
    "everybody writes to the models folder": (lambda y: y.store.folder.chmod(0o777), StorageError, "not everybody"),
    "everybody writes to the model's folder": (lambda y: (y.store.folder / "door").chmod(0o777), StorageError, "not everybody"),
    "the highest sequence was damaged": (written("models/door/highest", b"\xff\0"), StorageError, "remove it"),
    "the highest sequence is a word": (written("models/door/highest", b"five abc signed\n"), StorageError, "remove it"),
    "the highest sequence is a link": (linked("models/door/highest", "victim"), StorageError, ""),
    "the rejected ones are a link": (linked("models/door/rejected.json", "victim"), StorageError, ""),
}


@pytest.mark.parametrize("attack", SURROUNDINGS)
def test_a_store_that_was_tampered_with_is_refused(attack: str, yard: Yard) -> None:
    """No link is followed, and nothing is written where others write."""
    prepare, kind, expected = SURROUNDINGS[attack]
    prepare(yard)
    yard.patch.setattr(admission, "trial", stub_trial)
    with pytest.raises(EdgeinferError) as caught:
        install(yard.store, signed(yard), keys=[MAKER.public])
    assert isinstance(caught.value, kind)
    assert expected in str(caught.value)
    assert (yard.root / "victim").read_text() == "untouched"


def test_links_in_the_way_of_an_installation_lead_nowhere(yard: Yard) -> None:
    """What a link in the store points to is neither written, removed nor taken as a bundle."""
    yard.patch.setattr(admission, "trial", stub_trial)
    (yard.root / "elsewhere").mkdir()
    (yard.root / "elsewhere" / "kept").write_text("kept")
    door = yard.store.folder / "door"
    for name in (".incoming", "door/.current.new", "door/99-000000000000", f"door/{bundle_name(yard)}"):
        (yard.store.folder / name).symlink_to(yard.root / "elsewhere")
    assert install(yard.store, signed(yard), keys=[MAKER.public]).outcome == "switched"
    assert (yard.root / "elsewhere" / "kept").read_text() == "kept"
    (door / "current").unlink()
    (door / "current").symlink_to("../../../elsewhere")
    assert yard.store.current("door") is None


def bundle_name(yard: Yard) -> str:
    import hashlib

    return f"6-{hashlib.sha256(bundle.head(signed(yard))[0]).hexdigest()[:12]}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_store_of_somebody_else_is_refused(yard: Yard) -> None:
    """Root that writes there would follow what they made: it becomes the owner first, or refuses."""
    os.chown(yard.store.folder, 1234, 1234)
    assert isinstance(refused(yard, signed(yard)), StorageError)
    os.chown(yard.store.folder, 0, 0)
    os.chown(yard.store.folder / "door", 1234, 1234)
    yard.patch.setattr(admission, "trial", stub_trial)
    assert isinstance(refused(yard, signed(yard)), StorageError)


def test_a_state_folder_that_is_not_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that somebody else made, a file, a folder that everybody writes to, one that cannot be made, another's."""
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name, expected in (("file", "something else"), ("open", "chmod o-w"), ("none/below", "ls -ld")):
        with pytest.raises(StorageError, match=expected):
            become_owner(tmp_path / name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    become_owner(tmp_path / "link")
    if os.geteuid() == 0:
        os.chown(tmp_path / "link", 1234, 1234, follow_symlinks=False)
        with pytest.raises(StorageError, match="a link that user 1234 made"):
            become_owner(tmp_path / "link")
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(StorageError, match="sudo edgeinfer"):
        become_owner(tmp_path / "mine")


KEYS: dict[str, Callable[[Path], object]] = {
    "garbage": lambda folder: (folder / "x.pub").write_bytes(b"\xff" * 50),
    "a FIFO": lambda folder: os.mkfifo(folder / "x.pub"),
    "a folder": lambda folder: (folder / "x.pub").mkdir(),
    "a secret key": lambda folder: (folder / "x.pub").write_text("untrusted comment: x\n" + base64.b64encode(bytes(158)).decode()),
    "a thousand": lambda folder: [(folder / f"{number}.pub").touch() for number in range(1000)],
}


@pytest.mark.parametrize("attack", KEYS)
def test_a_folder_of_keys_is_refused(attack: str, tmp_path: Path) -> None:
    """A key that cannot be read is an error, not one key less."""
    KEYS[attack](tmp_path)
    with pytest.raises(DataError):
        trusted_keys(tmp_path)


def test_a_second_installation_waits_for_nobody(yard: Yard) -> None:
    """It is refused while the first one runs."""
    with yard.store.installing():
        before = tree(yard.store.folder)
        with pytest.raises(UsageError, match="another that is running"):
            install(yard.store, signed(yard), keys=[MAKER.public])
        assert tree(yard.store.folder) == before


def noise(yard: Yard) -> Path:
    good = make_bundle(yard.made / "good", 6, name="door")
    members: dict[str, Path | bytes] = {name: good.folder / name for name in good.manifest.files}
    members[good.manifest.model] = b"\x18\0\0\0TFL3" + bytes(range(256)) * 4
    bad = bundle.write(yard.made / "bad", good.manifest, members)
    sign(bad.folder, MAKER)
    bundle.pack(bad.folder, yard.made / "bad.eib")
    return Path(yard.made / "bad.eib")


WRONG: dict[str, tuple[Callable[[Yard], Path], type[EdgeinferError], str]] = {
    "a probe that does not match": (lambda y: raw_signed(y, lambda r: r.replace(b'"tolerance": 3.0', b'"tolerance": 0.0').replace(
        b'"values": [', b'"values": [255.0, ').replace(b'"indices": [', b'"indices": [0, ')), ProbeError, "probe"),
    "another fingerprint": (lambda y: made(y, fingerprint="0" * 64), ProbeError, "fingerprint"),
    "a model of noise": (noise, ModelError, ""),
}


@pytest.mark.parametrize("attack", WRONG)
def test_a_model_that_does_not_do_what_it_says_is_refused(attack: str, yard: Yard) -> None:
    """Signed by the maker, and refused by the trial all the same."""
    yard.patch.setattr(admission, "trial", trial)
    make, kind, expected = WRONG[attack]
    error = refused(yard, make(yard))
    assert isinstance(error, kind)
    assert expected in str(error)


EVIL: dict[str, tuple[str, str]] = {
    "crashes": ("os.kill(os.getpid(), 11) if False else ctypes.string_at(0)", "SIGSEGV"),
    "hangs": ("time.sleep(60)", "within 1 s"),
    "forks without end": ("[attempt(fork) for _ in range(200)]; time.sleep(60)", "within 1 s"),
    "leaves a process": ("fork(); fork(); time.sleep(60)", "within 1 s"),
    "leaves the process group": ("attempt(os.setsid)", "PermissionError"),
    "writes to the victim": ("attempt(open, VICTIM, 'w')", "PermissionError"),
    "writes beside itself": ("attempt(open, 'model.tflite', 'w')", "Error"),
    "removes itself": ("attempt(os.unlink, 'manifest.json')", "PermissionError"),
    "reads the store": ("attempt(open, VICTIM)", "PermissionError"),
    "reads the environment of its parent": ("attempt(open, f'/proc/{os.getppid()}/environ')", "PermissionError"),
    "opens the network": ("attempt(socket.create_connection, ('127.0.0.1', PORT), 2)", "PermissionError"),
    "sends a datagram": ("attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)", "PermissionError"),
    "starts a shell": ("attempt(subprocess.run, ['/bin/sh', '-c', 'true'])", "PermissionError"),
    "kills its parent": ("attempt(os.kill, os.getppid(), 9)", "PermissionError"),
    "takes all memory": ("attempt(lambda: [bytearray(1 << 28) for _ in range(1 << 12)])", "MemoryError"),
    "needs more memory than there is": ("[bytearray(1 << 28) for _ in range(1 << 12)]", "fits into the memory"),
    "takes all descriptors": ("attempt(lambda: [os.dup(1) for _ in range(100000)])", "Too many open files"),
    "fills its standard output": ("attempt(lambda: [os.write(2, bytes(1 << 16)) for _ in range(1 << 12)])", "ended with 1"),
    "gives no verdict": ("os._exit(0)", "ended with 0"),
    "gives half a verdict": ("os.write(3, b'{\"verdict\": {}}'); os._exit(0)", "ended with 0"),
}
PRELUDE = """
import ctypes, os, signal, socket, subprocess, time
attempted = []
def fork():
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
def attempt(call, *arguments):
    try:
        call(*arguments)
    except BaseException as error:
        attempted.append(repr(error))
    else:
        attempted.append('held nothing back')
def report(text):
    raise RuntimeError(text)
"""


@pytest.mark.parametrize("attack", EVIL)
def test_a_model_that_takes_over_its_loader_is_held(attack: str, yard: Yard) -> None:
    """It is a program of somebody else's now; here it runs when the runtime is loaded. It does nothing but fail."""
    body, expected = EVIL[attack]
    with server(lambda connected: None) as port:
        package = yard.made / "evil" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        names = f"VICTIM, PORT = {str(yard.root / 'victim')!r}, {port}\n"
        (package / "interpreter.py").write_text(f"{PRELUDE}{names}{body}\nreport('; '.join(attempted)[-1000:])\n")
        yard.patch.setenv("PYTHONPATH", str(yard.made / "evil"))
        yard.patch.setattr(admission, "trial", partial(trial, timeout_s=1.0 if expected == "within 1 s" else 30.0))
        yard.patch.setattr("edgeinfer.model.trial.memory_limit", lambda: 512 << 20)
        error = refused(yard, signed(yard))
    assert isinstance(error, ModelError | UnavailableError)
    assert expected in str(error)
    deadline = time.monotonic() + 10
    while (left := commands(str(yard.root))) and time.monotonic() < deadline:
        time.sleep(0.02)  # a process that was killed needs a moment to be gone
    assert not left


def commands(part: str) -> list[str]:
    """Of all processes that have ``part`` in theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_text().replace("\0", " "))
    return [command for command in found if part in command]


def test_there_are_more_than_forty_attacks() -> None:
    """Those that are data in this file, without those on archives and manifests."""
    assert sum(map(len, (BUNDLES, FILES, SERVERS, SURROUNDINGS, KEYS, WRONG, EVIL))) > 100
    assert LABELS
