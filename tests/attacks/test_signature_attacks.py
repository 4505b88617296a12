"""Signatures and keys that are hostile, damaged or another's: one typed error, and nothing is ever taken as signed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography")

from edgeinfer.errors import BundleError, DataError
from edgeinfer.model.minisign import PublicKey, parse_public_key, parse_signature
from edgeinfer.model.signature import verify
from quantize.keys import signature_of
from quantize.secretkey import SecretKey

RAW = b'{"edgeinfer": 1}'


def key_of(seed: bytes, number: bytes = b"\1" * 8) -> SecretKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SecretKey(PublicKey(number, raw), seed)


KEY = key_of(bytes(range(32)))
GOOD = signature_of(RAW, KEY, "colours:1")


def lines_with(number: int, line: bytes) -> bytes:
    """The good signature with another line in the place of one."""
    lines = GOOD.splitlines(keepends=True)
    return b"".join([*lines[:number], line, *lines[number + 1:]])


def changed(number: int, place: int) -> bytes:
    """The good signature with one bit of a base64 line changed."""
    raw = bytearray(base64.b64decode(GOOD.splitlines()[number]))
    raw[place] ^= 1
    return lines_with(number, base64.b64encode(raw) + b"\n")


SIGNATURES: dict[str, tuple[bytes, str]] = {
    "a raw signature": (bytes(64), "lines instead of 4"),
    "nothing": (b"", "1 lines instead of 4"),
    "two lines": (b"".join(GOOD.splitlines(keepends=True)[:2]), "2 lines instead of 4"),
    "a line too many": (GOOD + b"x\n", "5 lines instead of 4"),
    "too long": (lines_with(2, b"trusted comment: " + b"x" * 5000 + b"\n"), "more than 4096 bytes"),
    "no untrusted comment": (lines_with(0, b"comment\n"), "no 'untrusted comment:' in line 1"),
    "no trusted comment": (lines_with(2, b"comment: x\n"), "no 'trusted comment:' in line 3"),
    "not base64": (lines_with(1, b"!!!!\n"), "not base64"),
    "not UTF-8": (lines_with(0, b"untrusted comment: \xff\n"), "UTF-8"),
    "an escape sequence": (lines_with(2, b"trusted comment: \x1b[2J\n"), "cannot be printed"),
    "a short signature": (lines_with(1, base64.b64encode(b"ED" + bytes(20)) + b"\n"), "22 bytes in base64 instead of 74"),
    "another algorithm": (lines_with(1, base64.b64encode(b"RS" + bytes(72)) + b"\n"), "the algorithm b'RS'"),
    "another key's number": (changed(1, 5), "one by key"),
    "a bit in the signature": (changed(1, 40), "does not hold"),
    "a bit in the comment's signature": (changed(3, 40), "does not hold"),
    "another trusted comment": (lines_with(2, b"trusted comment: colours:2\n"), "does not hold"),
    "prehashed called legacy": (GOOD.replace(b"RUQ", b"RWQ"), "does not hold"),
    "by another key with the same number": (signature_of(RAW, key_of(bytes(32)), "colours:1"), "does not hold"),
    "of another manifest": (signature_of(RAW + b" ", KEY, "colours:1"), "does not hold"),
}


@pytest.mark.parametrize("attack", SIGNATURES)
def test_a_signature_is_refused(attack: str) -> None:
    """Each gives one error of a bundle that says what is wrong."""
    content, expected = SIGNATURES[attack]
    assert content != GOOD
    with pytest.raises(BundleError) as caught:
        verify(RAW, content, [KEY.public], "manifest.sig")
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_attacks_differ_from_a_good_signature_only_by_the_attack() -> None:
    """The one that they are made of is verified."""
    assert verify(RAW, GOOD, [KEY.public], "manifest.sig") == "verified"


@given(place=st.integers(0, len(GOOD)), cut=st.integers(0, 80), put=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_a_mutated_signature_is_an_error_or_the_same(place: int, cut: int, put: bytes) -> None:
    """Only the untrusted comment and the end of a line may differ in a signature that holds."""
    content = GOOD[:place] + put + GOOD[place + cut:]
    with suppress(BundleError):
        verify(RAW, content, [KEY.public], "manifest.sig")
        assert parse_signature(content, "") == parse_signature(GOOD, "")


PUBLIC = b"untrusted comment: x\n" + base64.b64encode(b"Ed" + KEY.public.number + KEY.public.raw) + b"\n"


def _without_comment() -> bytes:
    return PUBLIC.splitlines(keepends=True)[1]


KEYS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no comment": _without_comment,
    "a private key of OpenSSH": lambda: b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    "a signature": lambda: GOOD,
    "32 bytes": lambda: bytes(32),
    "a long file": lambda: PUBLIC + b" " * 4096,
    "another algorithm": lambda: PUBLIC.replace(b"RWQ", b"RUQ"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_public_key_is_refused(name: str) -> None:
    """What is no public key of minisign is one error."""
    with pytest.raises(DataError, match="a minisign public key"):
        parse_public_key(KEYS[name](), "maker.pub")
    assert parse_public_key(PUBLIC, "maker.pub") == KEY.public


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_an_error(content: bytes) -> None:
    """Random bytes are neither a key nor a signature."""
    with pytest.raises(BundleError):
        parse_signature(content, "manifest.sig")
    with pytest.raises(DataError):
        parse_public_key(content, "maker.pub")
