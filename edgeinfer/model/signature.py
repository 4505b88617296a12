"""manifest.sig: an Ed25519 signature (RFC 8032, 64 bytes) over the raw bytes of manifest.json.

The manifest holds the digest of every other file, so this one signature vouches for the whole bundle. It is checked before
the manifest is parsed. Whoever opens a bundle says which keys it trusts; the daemon names none yet ("unverified").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from edgeinfer.errors import BundleError, UnavailableError

__all__ = ["SIGNATURE_BYTES", "Trust", "verify"]

SIGNATURE_BYTES = 64
Trust = Literal["unsigned", "unverified", "verified"]  # unverified: a signature is there, and no key to check it with


def verify(raw: bytes, signature: bytes | None, keys: Sequence[bytes], where: str) -> Trust:
    """What the signature is worth. ``keys`` are raw public keys of 32 bytes; with any given, only a bundle that one of them
    signed passes.

    Raises BundleError for a missing or wrong signature, UnavailableError where Ed25519 is not installed.
    """
    if not keys:
        return "unsigned" if signature is None else "unverified"
    if signature is None:
        raise BundleError(where, "a signed bundle", "one without manifest.sig")
    try:
        from cryptography.exceptions import InvalidSignature  # type: ignore[import-not-found,unused-ignore]
        from cryptography.hazmat.primitives.asymmetric import ed25519  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UnavailableError(where, "Ed25519 to check manifest.sig", str(error), "pip install cryptography") from error
    for key in keys:
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, raw)
            return "verified"
        except InvalidSignature:
            continue
    raise BundleError(where, "a signature by a trusted key", "one by another key, or of another manifest",
                      "add the signer's public key, or get the bundle anew")
