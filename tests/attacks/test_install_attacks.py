"""Attacks on an installation by what the bundle is and by who sent it. Each is refused with one typed error; what is installed stays as it
is, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("ai_edge_litert")

from edgeinfer import admission, fitness
from edgeinfer.admission import install
from edgeinfer.errors import (
    BundleError,
    DataError,
    EdgeinferError,
    ManifestError,
    UnavailableError,
)
from edgeinfer.model import bundle
from quantize.secretkey import SecretKey
from tests.attacks.test_bundle_attacks import ARCHIVES, MANIFESTS, manifested
from tests.attacks.yard import Yard, made, never, patched, raw_signed, refused, rejected, signed, swapped
from tests.installs import MAKER, STRANGER, stub_trial
from tests.paper_bundles import write_bundle


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
