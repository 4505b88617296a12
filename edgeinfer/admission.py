"""What a bundle must pass before this device uses it, in the order of trust: each check relies only on those before it.

    size cap ▶ signature ▶ manifest ▶ name ▶ does it fit this device? ▶ rejected before? ▶ sequence ▶ digests, unpacked ▶
    trial and probes in a sandboxed child ▶ its place in the store ▶ the switch

Who may replace what. Only a bundle that a key of this device signed is taken, unless the caller says ``allow_unsigned``; then
an unsigned one is, also in the place of a signed one. A signature that does not hold, or by a key that is not trusted here
while any is, is refused in any case. The sequence of a signed bundle is measured by the highest signed one: an unsigned one
can claim any number, so it never bars the way of a signed one. An unsigned one is measured by all.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.errors import BundleError, DataError, ManifestError, StorageError
from edgeinfer.fetch import Readable, opened
from edgeinfer.fitness import check_fits
from edgeinfer.model import bundle as bundles
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.bundle import Bundle
from edgeinfer.model.consistency import SIGNATURE
from edgeinfer.model.manifest import Manifest, parse
from edgeinfer.model.signature import PublicKey, Trust, read_public_key, verify
from edgeinfer.model.trial import trial
from edgeinfer.store import Installed, Store

__all__ = ["MOST_BYTES", "Terms", "install", "trusted_keys"]

MOST_BYTES = 1 << 30  # of an .eib
_MOST_KEYS = 64
_MOST_SEQUENCE = 2**63 - 1
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Terms:
    """On which a bundle is taken: see ``install``."""

    keys: tuple[PublicKey, ...]
    allow_unsigned: bool
    stage: bool
    options: RuntimeOptions
    expected: str
    retry: bool
    verdicts: Path | None


@dataclass(frozen=True)
class _Claim:
    """What the signed part of a bundle says, before anything is unpacked."""

    manifest: Manifest
    signature: bytes | None
    digest: str
    keys: tuple[PublicKey, ...]  # to check it with
    trust: Trust


def trusted_keys(folder: Path) -> tuple[PublicKey, ...]:
    """The keys of the ``*.pub`` files in a folder; none where there is no such folder. Raises DataError for a file that holds
    no key, StorageError for a folder that cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".pub") if os.path.lexists(folder) else []
        strange = [path for path in paths if not stat.S_ISREG(path.stat().st_mode)]
    except OSError as error:  # also a link to a key that is gone: one key less must never be none at all
        raise StorageError(str(folder), "a folder of public keys", str(error), f"ls -l '{folder}'") from error
    if strange or len(paths) > _MOST_KEYS:
        raise DataError(str(folder), f"at most {_MOST_KEYS} files of minisign public keys",
                        strange[0].name if strange else f"{len(paths)}", f"ls -l '{folder}'")
    return tuple(map(read_public_key, paths))


def install(store: Store, source: Path | Readable, *, keys: Sequence[PublicKey] = (), allow_unsigned: bool = False,
            stage: bool = False, options: RuntimeOptions | None = None, expected: str = "", retry: bool = False,
            verdicts: Path | None = None) -> Installed:
    """Check the .eib in ``source`` and switch to it, or with ``stage`` only keep it as the candidate.

    ``expected``: the name that it must have; ``retry``: also one that was rejected here; ``options``: how the trial runs it;
    ``verdicts``: the folder where the trial's verdict is kept (the daemon's is ``<state>/trials``).

    Raises, before anything in use has changed: BundleError, ManifestError, ModelError, ProbeError and DataError for what the
    bundle is, UnavailableError for a runtime that is missing, UsageError while another installation runs, StorageError.
    """
    terms = Terms(keys=tuple(keys), allow_unsigned=allow_unsigned, stage=stage, options=options or RuntimeOptions(),
                  expected=expected, retry=retry, verdicts=verdicts)
    with store.installing() as incoming:
        eib = incoming / "bundle.eib"
        _copy_from(source, eib)
        claim = _claim(eib, terms)
        name = claim.manifest.name
        check_fits(claim.manifest)
        _check_history(store, claim, terms)
        if (present := _present(store, claim, terms)) is not None:
            return Installed(name, present, "present")
        bundle = bundles.unpack(eib, incoming / "bundle", max_bytes=MOST_BYTES, keys=claim.keys)
        eib.unlink()  # its room may be needed
        verdict = trial(bundle, terms.options, terms.verdicts)
        folder = store.place(name, bundle)
        store.accept(name, folder, signed=claim.trust == "verified", stage=terms.stage, force=terms.retry)
        store.prune(name)
        kept = bundles.read(folder, verify=False, keys=claim.keys)
        return Installed(name, kept, "staged" if terms.stage else "switched", verdict.runs_on, verdict.sandbox)


def _copy_from(source: Path | Readable, eib: Path) -> None:
    """Into a file of our own: what is checked is what is installed, whatever becomes of the source."""
    if isinstance(source, Path):
        with opened(str(source), MOST_BYTES) as stream:
            _copy(stream, eib)
    else:
        _copy(source, eib)


def _copy(stream: Readable, eib: Path) -> None:
    size = 0
    with eib.open("xb") as target:
        while chunk := stream.read(_CHUNK):
            size += target.write(chunk)
            if size > MOST_BYTES:
                raise BundleError("bundle", f"at most {MOST_BYTES} bytes", "more")


def _claim(eib: Path, terms: Terms) -> _Claim:
    raw, signature = bundles.head(eib)
    keys = terms.keys
    if terms.allow_unsigned and signature is None:
        keys = ()
    elif not keys and not terms.allow_unsigned:
        raise BundleError(SIGNATURE, "a bundle signed by a key that this device trusts", "no trusted key here",
                          "put the maker's .pub file into /etc/edgeinfer/keys, or say --allow-unsigned")
    trust = verify(raw, signature, keys, SIGNATURE)
    manifest, _ = parse(raw)
    if terms.expected and manifest.name != terms.expected:
        raise BundleError("name", f"a bundle named {terms.expected}", manifest.name, "edgeinfer models")
    if manifest.sequence > _MOST_SEQUENCE:
        raise ManifestError("sequence", f"at most {_MOST_SEQUENCE}", "more")
    return _Claim(manifest, signature, hashlib.sha256(raw).hexdigest(), keys, trust)


def _check_history(store: Store, claim: _Claim, terms: Terms) -> None:
    """Neither one that failed here, nor an old one, nor another of the same number."""
    name, sequence = claim.manifest.name, claim.manifest.sequence
    store.check_rejected(name, claim.digest, terms.retry)
    highest = store.highest(name, signed=claim.trust == "verified")
    if highest is None:
        return
    if sequence < highest.sequence:
        raise BundleError(f"{name}: sequence", f"{highest.sequence} or more: that one was here already", str(sequence),
                          f"edgeinfer rollback {name} goes back to the version before")
    if sequence == highest.sequence and claim.digest != highest.digest:
        raise BundleError(f"{name}: sequence", f"more than {sequence} for another bundle",
                          f"{sequence}, which bundle {highest.digest[:12]} has", "pack it with a higher sequence")


def _present(store: Store, claim: _Claim, terms: Terms) -> Bundle | None:
    """The bundle in use, or with --stage the candidate, where it is this very one and whole."""
    links = [store.current, store.candidate] if terms.stage else [store.current]
    for link in links:
        folder = link(claim.manifest.name)
        if folder is None or not folder.name.endswith(f"-{claim.digest[:12]}"):
            continue
        try:
            found = bundles.read(folder, keys=claim.keys)
        except DataError:  # damaged, or without the signature that this one has
            continue
        if found.digest == claim.digest:
            return found
    return None
