"""The bundle: written whole or not at all, read with nothing taken on trust, packed to the same bytes every time."""

from __future__ import annotations

import os
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import BundleError, DataError, ManifestError, UnavailableError, UsageError
from edgeinfer.model import bundle
from edgeinfer.model.manifest import parse, serialise
from edgeinfer.model.minisign import PublicKey
from quantize import keys
from tests.paper_bundles import LABELS, MODEL, manifest_of, write_bundle


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    """A bundle comes back with its facts, its labels and its model's bytes."""
    written = write_bundle(tmp_path / "b")
    found = bundle.read(tmp_path / "b")
    assert found == written
    assert found.labels == ("red", "green", "blue")
    assert found.model_path.read_bytes() == MODEL
    assert not found.signed
    assert found.trust == "unsigned"


def test_an_archive_and_its_folder_are_the_same_bundle(tmp_path: Path) -> None:
    """Packed and unpacked, a bundle keeps every byte and its digest."""
    written = write_bundle(tmp_path / "b")
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    found = bundle.unpack(tmp_path / "b.eib", tmp_path / "c")
    assert found.digest == written.digest
    for name in os.listdir(tmp_path / "b"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["b", "b.eib", "c"]


def test_the_same_bundle_gives_the_same_archive(tmp_path: Path) -> None:
    """Times, owners and the order of the folder leave no trace."""
    for name in ("one", "two"):
        write_bundle(tmp_path / name)
        os.utime(tmp_path / name / "labels.txt", (len(name), len(name) * 1000))
        (tmp_path / name / "labels.txt").chmod(0o600 if name == "one" else 0o644)
        bundle.pack(tmp_path / name, tmp_path / f"{name}.eib")
    assert (tmp_path / "one.eib").read_bytes() == (tmp_path / "two.eib").read_bytes()


def test_an_archive_is_a_tar_that_tar_reads(tmp_path: Path) -> None:
    """tarfile lists the members, manifest first, as regular files of nobody's."""
    write_bundle(tmp_path / "b")
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    with tarfile.open(tmp_path / "b.eib", "r:") as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == ["manifest.json", "labels.txt", "model.tflite"]
        assert all(member.isreg() and (member.mtime, member.uid, member.mode) == (0, 0, 0o644) for member in members)
        assert archive.extractfile("model.tflite").read() == MODEL


def test_an_archive_that_tar_made_is_read(tmp_path: Path) -> None:
    """A plain ustar by another program, records of 20 blocks and all, is as good as ours."""
    write_bundle(tmp_path / "b")
    with tarfile.open(tmp_path / "b.eib", "w:", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("manifest.json", "model.tflite", "labels.txt"):
            archive.add(tmp_path / "b" / name, name)
    assert bundle.unpack(tmp_path / "b.eib", tmp_path / "c").labels == ("red", "green", "blue")


def test_a_bundle_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    """Writing over a bundle exchanges it whole; a folder of anything else is left alone."""
    write_bundle(tmp_path / "b")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "diary.txt").write_text("mine")
    assert write_bundle(tmp_path / "b", version="2").manifest.version == "2"
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "d")
    assert sorted(os.listdir(tmp_path)) == ["b", "d"]
    assert os.listdir(tmp_path / "d") == ["diary.txt"]


def test_a_wrong_manifest_is_never_written(tmp_path: Path) -> None:
    """What reading would refuse, writing refuses, and leaves nothing."""
    with pytest.raises(ManifestError, match="state"):
        bundle.write(tmp_path / "b", manifest_of(state=({"input": "nowhere", "output": "means"},)), {"model.tflite": MODEL})
    with pytest.raises(ManifestError, match="flat file names"):
        bundle.write(tmp_path / "b", manifest_of(), {"../model.tflite": MODEL})
    assert os.listdir(tmp_path) == []


def test_a_model_is_opened_from_a_folder_or_an_archive(tmp_path: Path) -> None:
    """An archive is unpacked once, and again when what was unpacked is damaged."""
    write_bundle(tmp_path / "b")
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    assert bundle.open_model(tmp_path / "b", tmp_path / "cache").folder == tmp_path / "b"
    first = bundle.open_model(tmp_path / "b.eib", tmp_path / "cache")
    assert bundle.open_model(tmp_path / "b.eib", tmp_path / "cache") == first
    first.model_path.write_bytes(b"rot")
    assert bundle.open_model(tmp_path / "b.eib", tmp_path / "cache").model_path.read_bytes() == MODEL
    assert len(os.listdir(tmp_path / "cache")) == 1


@pytest.mark.parametrize("name", ["model.tflite", "nothing.tflite"])
def test_a_bare_model_is_not_a_bundle(name: str, tmp_path: Path) -> None:
    """The error names the command that makes one."""
    (tmp_path / "model.tflite").write_bytes(MODEL)
    with pytest.raises(UsageError, match="quantize pack"):
        bundle.open_model(tmp_path / name, tmp_path / "cache")


def test_labels_have_one_line_each(tmp_path: Path) -> None:
    """DOS line ends are ends; other separators of Unicode are not printable, and refused."""
    dos = {**LABELS, "labels.txt": "röd\r\ngrön\r\nblå".encode()}
    assert write_bundle(tmp_path / "a", dos).labels == ("röd", "grön", "blå")
    with pytest.raises(BundleError, match="printable"):
        write_bundle(tmp_path / "b", {**LABELS, "labels.txt": "red\u2028green\nblue\n".encode()})


def test_unknown_fields_survive_at_every_depth() -> None:
    """An older tool never strips what a newer one wrote: at the top, in a tensor, in a probe."""
    document = msgspec.json.decode(serialise(manifest_of()))
    document["colour_of_box"] = "red"
    document["inputs"][0]["unit"] = "lux"
    document["decoder"]["since"] = 3
    manifest, kept = parse(msgspec.json.encode(document))
    again = msgspec.json.decode(serialise(manifest, kept))
    assert again["colour_of_box"] == "red"
    assert again["inputs"][0]["unit"] == "lux"
    assert again["decoder"]["since"] == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)
UNKNOWN = st.dictionaries(st.text(min_size=1, max_size=8).map("x_{}".format), JSON, max_size=4)


@given(extra=UNKNOWN, version=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True),
       scale=st.floats(1e-30, 1e30), zero_point=st.integers(0, 255),
       accuracy=st.dictionaries(st.text(max_size=5), JSON, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_manifest_round_trips(extra: dict, version: str, scale: float, zero_point: int, accuracy: dict) -> None:
    """Any consistent manifest with any unknown fields is the same after writing and reading, floats to the last bit."""
    manifest = manifest_of(version=version, scale=scale, zero_point=zero_point, accuracy=accuracy)
    found, document = parse(serialise(manifest, extra))
    assert found == manifest
    assert {key: document[key] for key in extra} == extra
    assert serialise(found, document) == serialise(manifest, extra)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_manifest_or_a_typed_error(raw: bytes) -> None:
    """No bytes bring down the parser."""
    with pytest.raises(ManifestError):
        parse(raw)


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_any_json_is_a_manifest_or_a_typed_error(value: object) -> None:
    """Neither does any JSON in the place of any field."""
    document = msgspec.json.decode(serialise(manifest_of()))
    for field in document:
        if field != "edgeinfer":
            with suppress(ManifestError):
                parse(msgspec.json.encode({**document, field: value}))


STRANGER = PublicKey(bytes(8), bytes(32))


def signed(folder: Path) -> PublicKey:
    """A bundle in ``folder`` / "b", signed by a new key, whose public half is returned."""
    pytest.importorskip("cryptography")
    write_bundle(folder / "b")
    key = keys.generate(folder / "maker.key", None)
    keys.sign(folder / "b", folder / "maker.key")
    return key


def test_a_device_that_trusts_keys_refuses_what_is_not_signed(tmp_path: Path) -> None:
    """With keys an unsigned bundle is refused; without, a signature is reported as not verified."""
    write_bundle(tmp_path / "a")
    with pytest.raises(BundleError, match="signed"):
        bundle.read(tmp_path / "a", keys=[STRANGER])
    signed(tmp_path)
    assert bundle.read(tmp_path / "b").trust == "unverified"
    assert not bundle.read(tmp_path / "b").signed


def test_a_signature_that_cannot_be_checked_is_never_taken_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Ed25519 is not installed, a signed bundle is refused by a device that trusts keys, with what to install."""
    key = signed(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(UnavailableError, match=r"pip install 'edgeinfer\[sign\]'"):
        bundle.read(tmp_path / "b", keys=[key])


def test_a_signature_by_a_trusted_key_is_verified(tmp_path: Path) -> None:
    """The folder and the archive both say so, whichever of the trusted keys it was; another key ends it."""
    key = signed(tmp_path)
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    assert bundle.read(tmp_path / "b", keys=[STRANGER, key]).signed
    assert bundle.unpack(tmp_path / "b.eib", tmp_path / "c", keys=[key]).signed
    with pytest.raises(BundleError, match=f"one by key {key.name}"):
        bundle.unpack(tmp_path / "b.eib", tmp_path / "d", keys=[STRANGER])
    with pytest.raises(BundleError, match="one that does not hold"):
        bundle.unpack(tmp_path / "b.eib", tmp_path / "d", keys=[PublicKey(key.number, bytes(32))])
    assert not (tmp_path / "d").exists()


def test_an_archive_is_opened_anew_once_its_signature_counts(tmp_path: Path) -> None:
    """What was unpacked while it was not signed does not stand in the way of the same bundle signed."""
    key = signed(tmp_path)
    (tmp_path / "b" / "manifest.sig").rename(tmp_path / "sig")
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    assert bundle.open_model(tmp_path / "b.eib", tmp_path / "cache").trust == "unsigned"
    (tmp_path / "sig").rename(tmp_path / "b" / "manifest.sig")
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    assert bundle.open_model(tmp_path / "b.eib", tmp_path / "cache", [key]).signed


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_mutated_archive_is_the_same_bundle_or_a_typed_error(tmp_path_factory: pytest.TempPathFactory,
                                                               data: st.DataObject) -> None:
    """Bytes changed, cut, doubled or put in: never another bundle, never another exception, nothing left behind."""
    folder = tmp_path_factory.mktemp("mutated")
    whole = archive_bytes(folder)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 600)))
    (folder / "m.eib").write_bytes(whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:])
    with suppress(DataError):
        bundle.unpack(folder / "m.eib", folder / "into")
    if (folder / "into").exists():
        assert bundle.read(folder / "into").model_path.read_bytes() == MODEL
    else:
        assert sorted(os.listdir(folder)) == ["b", "b.eib", "m.eib"]


def archive_bytes(folder: Path) -> bytes:
    write_bundle(folder / "b")
    bundle.pack(folder / "b", folder / "b.eib")
    return (folder / "b.eib").read_bytes()
