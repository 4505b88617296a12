"""Bundles to install: real ones (the mean colour of a picture, on LiteRT), numbered, and signed by keys that are made here."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgeinfer.model import bundle
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.consistency import SIGNATURE
from edgeinfer.model.minisign import UNTRUSTED, PublicKey
from edgeinfer.model.trial import Verdict
from quantize.keys import signature_of
from quantize.secretkey import SecretKey
from tests.bundles import colours

__all__ = ["MAKER", "STRANGER", "key_of", "make_bundle", "make_eib", "public_key", "sign", "stub_trial"]


@cache
def key_of(number: int) -> SecretKey:
    seed = bytes([number]) * 32
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SecretKey(PublicKey(bytes([number]) * 8, raw), seed)


MAKER, STRANGER = key_of(1), key_of(2)


def make_bundle(folder: Path, sequence: int = 1, **fields: Any) -> Bundle:
    """A bundle that runs, at ``folder``; ``fields`` take the place of its manifest's."""
    packed = folder.parent / "packed"
    if not packed.is_dir():
        packed.mkdir()
        colours(packed)
    first = bundle.read(packed / "colours")
    plain = {**msgspec.to_builtins(first.manifest), "sequence": sequence, "version": f"v{sequence}", **fields}
    members: dict[str, Path | bytes] = {name: first.folder / name for name in first.manifest.files}
    return bundle.write(folder, msgspec.convert(plain, type(first.manifest)), members)


def sign(folder: Path, key: SecretKey) -> None:
    (folder / SIGNATURE).write_bytes(signature_of((folder / "manifest.json").read_bytes(), key, "a test"))


def make_eib(folder: Path, sequence: int = 1, key: SecretKey | None = MAKER, **fields: Any) -> Path:
    """A bundle as one file below ``folder``, signed unless ``key`` is None."""
    made = make_bundle(folder / f"bundle-{sequence}", sequence, **fields)
    if key is not None:
        sign(made.folder, key)
    elif (made.folder / SIGNATURE).exists():
        (made.folder / SIGNATURE).unlink()
    target = folder / f"{sequence}-{key.public.name if key else 'unsigned'}.eib"
    bundle.pack(made.folder, target)
    return target


def stub_trial(made: Bundle, options: RuntimeOptions, verdicts: Path | None) -> Verdict:
    """In the place of a trial: everything passes."""
    return Verdict(digest=made.digest, versions="", options=options, runs_on="nothing", fallbacks=(), memory_bytes=0)


def public_key(folder: Path, key: SecretKey = MAKER) -> Path:
    """The file of the key's public half, in ``folder``, which is made."""
    folder.mkdir(exist_ok=True)
    raw = base64.b64encode(b"Ed" + key.public.number + key.public.raw).decode()
    path = folder / f"{key.public.name}.pub"
    path.write_text(f"{UNTRUSTED}a test\n{raw}\n")
    return path
