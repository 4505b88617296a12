"""Nothing that ships holds a secret: no key, no token, no password with a value."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SECRETS = {
    "a private key": rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{20}",
    "a minisign or age secret key": rb"minisign encrypted secret key\s*\n[A-Za-z0-9+/=]{40}|AGE-SECRET-KEY-1[A-Z0-9]{20}",
    "a token of a forge or a cloud": rb"gh[pousr]_[A-Za-z0-9]{30}|AKIA[0-9A-Z]{16}|xox[baprs]-[0-9A-Za-z-]{20}|hf_[A-Za-z0-9]{30}",
    "a URL with a password": rb"[a-z]+://[^\s/:@'\"{}<>]+:[^\s/:@'\"{}<>]{6,}@(?!example|192\.0\.2|camera|host|broker)[\w.-]+\.(?:com|net|org|io)",
}


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


@pytest.mark.parametrize("kind", SECRETS)
def test_no_tracked_file_holds(kind: str) -> None:
    """No file of the repository holds one, the tests' own included: they make theirs anew."""
    pattern = re.compile(SECRETS[kind])
    found = [str(path.relative_to(ROOT)) for path in _tracked() if path.is_file() and pattern.search(path.read_bytes())]
    assert not found


@pytest.mark.parametrize(("kind", "planted"), [
    ("a private key", b"-----BEGIN " + b"PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBAQEBAQEBAQ"),
    ("a token of a forge or a cloud", b"token: ghp_" + b"0123456789abcdefghij0123456789abcd"),
    ("a URL with a password", b"rtsp://admin:" + b"hunter22@nas.home.org/stream"),
])
def test_a_planted_secret_is_found(kind: str, planted: bytes) -> None:
    """The patterns do find what they are for."""
    assert re.search(SECRETS[kind], planted)
