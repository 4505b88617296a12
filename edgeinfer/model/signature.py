"""manifest.sig: a minisign signature (Ed25519, RFC 8032) of manifest.json, so that minisign checks it, too:

    minisign -Vm manifest.json -x manifest.sig -p maker.pub

The manifest holds the digest of every other file, so this one signature vouches for the whole bundle. It is checked before
the manifest is parsed. Whoever opens a bundle says which keys it trusts; the daemon names none yet ("unverified").
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from edgeinfer.errors import BundleError, UnavailableError
from edgeinfer.model.minisign import PublicKey, Signature, key_name, parse_signature, read_public_key

__all__ = ["PublicKey", "Trust", "read_public_key", "verify"]

Trust = Literal["unsigned", "unverified", "verified"]  # unverified: a signature is there, and no key to check it with


def verify(raw: bytes, signature: bytes | None, keys: Sequence[PublicKey], where: str) -> Trust:
    """What ``signature``, the content of manifest.sig, says of ``raw``, the manifest. With any key given, only a bundle that
    one of them signed passes. Both of minisign's kinds are taken: of the content, and of its BLAKE2b-512.

    Raises BundleError for a missing, malformed or wrong signature, UnavailableError where Ed25519 is not installed.
    """
    if signature is None:
        if keys:
            raise BundleError(where, "a signed bundle", "one without manifest.sig", "quantize sign BUNDLE --key KEY")
        return "unsigned"
    found = parse_signature(signature, where)
    if not keys:
        return "unverified"
    named = [key for key in keys if key.number == found.number]
    if not named:
        trusted = ", ".join(key.name for key in keys)
        raise BundleError(where, f"a signature by a trusted key: {trusted}"[:200], f"one by key {key_name(found.number)}",
                          "trust the signer's public key, too, or get a bundle that one of these signed")
    if not any(_holds(found, raw, key, where) for key in named):
        raise BundleError(where, f"a signature of this manifest by key {named[0].name}", "one that does not hold",
                          "get the bundle anew")
    return "verified"


def _holds(signature: Signature, raw: bytes, key: PublicKey, where: str) -> bool:
    """Whether the key made both signatures: of the content, and of the trusted comment."""
    try:
        from cryptography.exceptions import InvalidSignature  # type: ignore[import-not-found,unused-ignore]
        from cryptography.hazmat.primitives.asymmetric import ed25519  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UnavailableError(where, "Ed25519 to check it with", str(error), "pip install 'edgeinfer[sign]'") from error
    signed = hashlib.blake2b(raw).digest() if signature.prehashed else raw
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(signature.raw, signed)
        public.verify(signature.comment_raw, signature.raw + signature.comment.encode())
    except InvalidSignature:
        return False
    return True
