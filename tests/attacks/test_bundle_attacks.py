"""Hostile and damaged bundles: one typed error with exit code 65, and no file where none belongs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import resource
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.errors import DataError
from edgeinfer.model import bundle
from edgeinfer.model.manifest import serialise
from tests.paper_bundles import LABELS, MODEL, manifest_of, write_bundle

Member = tuple[tarfile.TarInfo, bytes]
Members = list[Member]
FILES = {name: {"sha256": hashlib.sha256(LABELS[name]).hexdigest(), "bytes": len(LABELS[name])} for name in sorted(LABELS)}
RAW = serialise(manifest_of(files=FILES))
SIGNATURE = b"".join([b"untrusted comment: x\n", base64.b64encode(b"ED" + bytes(72)), b"\ntrusted comment: x\n",
                      base64.b64encode(bytes(64)), b"\n"])  # well-formed, by nobody


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    write_bundle(folder / "b")
    bundle.pack(folder / "b", folder / "b.eib")
    return (folder / "b.eib").read_bytes()


@pytest.fixture
def yard(tmp_path: Path) -> Path:
    """A folder two levels down, with a file above it that an archive may not touch."""
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "in" / "here").mkdir(parents=True)
    return tmp_path / "in" / "here"


def refused(content: bytes, yard: Path) -> DataError:
    """What unpacking raises; fails where anything but the archive is left, inside or outside."""
    (yard / "attack.eib").write_bytes(content)
    with pytest.raises(DataError) as caught:
        bundle.unpack(yard / "attack.eib", yard / "into")
    assert caught.value.exit_code == 65
    root = yard.parent.parent
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert left == ["in", "in/here", "in/here/attack.eib", "victim"]
    assert (root / "victim").read_text() == "untouched"
    return caught.value


def members_of(whole: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        return [(member, archive.extractfile(member).read()) for member in archive.getmembers()]


def tar(members: Members, format: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=format) as archive:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, content


def added(whole: bytes, *more: Member) -> bytes:
    """The good members and ``more``."""
    return tar([*members_of(whole), *more])


def instead(whole: bytes, place: int, *other: Member) -> bytes:
    """The good members with the one at ``place`` (0 manifest, 1 labels, 2 model) exchanged."""
    members = members_of(whole)
    return tar([*members[:place], *other, *members[place + 1:]])


def renamed(whole: bytes, name: str, format: int = tarfile.USTAR_FORMAT) -> bytes:
    """The model under another name."""
    members = members_of(whole)
    members[2][0].name = name
    return tar(members, format)


def manifested(document: dict[str, Any] | bytes) -> bytes:
    """An archive with this manifest, and the members that it should have."""
    raw = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return tar([member("manifest.json", raw), *(member(name, content) for name, content in LABELS.items())])


def stated(**fields: Any) -> dict[str, Any]:
    """The good manifest with some fields changed."""
    return {**msgspec.json.decode(RAW), **fields}


ARCHIVES: dict[str, Callable[[bytes], bytes]] = {
    "a symbolic link for the model": lambda w: instead(w, 2, member("model.tflite", kind=tarfile.SYMTYPE, link="/etc/motd")),
    "a symbolic link as manifest": lambda w: instead(w, 0, member("manifest.json", kind=tarfile.SYMTYPE, link="/etc/motd")),
    "a symbolic link beside all": lambda w: added(w, member("x", kind=tarfile.SYMTYPE, link="../../victim")),
    "a hard link": lambda w: instead(w, 2, member("model.tflite", kind=tarfile.LNKTYPE, link="../../victim")),
    "a folder": lambda w: added(w, member("model", kind=tarfile.DIRTYPE)),
    "a folder for the model": lambda w: instead(w, 2, member("model.tflite", kind=tarfile.DIRTYPE)),
    "a character device": lambda w: added(w, member("zero", kind=tarfile.CHRTYPE)),
    "a block device": lambda w: added(w, member("disk", kind=tarfile.BLKTYPE)),
    "a FIFO for the labels": lambda w: instead(w, 1, member("labels.txt", kind=tarfile.FIFOTYPE)),
    "a contiguous file": lambda w: instead(w, 2, member("model.tflite", MODEL, kind=tarfile.CONTTYPE)),
    "a GNU sparse file": lambda w: instead(w, 2, member("model.tflite", MODEL, kind=tarfile.GNUTYPE_SPARSE)),
    "an absolute path": lambda w: renamed(w, "/tmp/model.tflite"),
    "a path upwards": lambda w: renamed(w, "../../victim"),
    "a path through here": lambda w: renamed(w, "./model.tflite"),
    "a path below": lambda w: renamed(w, "sub/model.tflite"),
    "a backslash": lambda w: renamed(w, "..\\victim"),
    "a newline": lambda w: renamed(w, "model.tflite\n"),
    "a homoglyph": lambda w: renamed(w, "m\u043edel.tflite"),
    "a right-to-left override": lambda w: renamed(w, "\u202emodel.tflite"),
    "no name": lambda w: renamed(w, ""),
    "a NUL within the name": lambda w: with_field(w, 0, b"manifest.json\0/x".ljust(100, b"\0")),
    "a prefix of ustar": lambda w: renamed(w, "a" * 90 + "/" + "b" * 90),
    "a manifest that is not first": lambda w: tar(members_of(w)[::-1]),
    "a manifest twice": lambda w: added(w, members_of(w)[0]),
    "the model twice": lambda w: added(w, members_of(w)[2]),
    "an unknown member": lambda w: added(w, member("extra.py", b"import os")),
    "a missing member": lambda w: tar(members_of(w)[:2]),
    "a signature after the model": lambda w: added(w, member("manifest.sig", bytes(64))),
    "a signature of a megabyte": lambda w: instead(w, 1, member("manifest.sig", bytes(1 << 20)), members_of(w)[1]),
    "other content of the same size": lambda w: w.replace(MODEL[:256], bytes(256), 1),
    "one byte more than stated": lambda w: instead(w, 2, member("model.tflite", MODEL + b"x")),
    "one byte less than stated": lambda w: instead(w, 2, member("model.tflite", MODEL[:-1])),
    "a manifest of 65 KiB": lambda w: manifested(RAW + b" " * (65 * 1024)),
    "a manifest that claims 2 GB": lambda w: with_field(w, 124, b"%011o\0" % (2 << 30)),
    "a size in base 256": lambda w: with_field(w, 124, b"\x80" + bytes(7) + struct.pack(">I", 100)),
    "a negative size": lambda w: with_field(w, 124, b"\xff" * 12),
    "a size with a sign": lambda w: with_field(w, 124, b"-0000000001\0"),
    "a size of no digits": lambda w: with_field(w, 124, b" " * 12),
    "a wrong checksum": lambda w: with_field(w, 124, w[124:136])[:148] + b"000001\0 " + w[156:],
    "a pax header": lambda w: pax(w, {"path": "model.tflite"}),
    "a pax header with a size": lambda w: pax(w, {"size": "99999999999"}),
    "a GNU long name": lambda w: added(w, member("x", b"y" * 200, kind=tarfile.GNUTYPE_LONGNAME)),
    "a GNU archive": lambda w: tar(members_of(w), tarfile.GNU_FORMAT),
    "a gzip'ed archive": gzip.compress,
    "a zip": lambda w: b"PK\x03\x04" + bytes(2000),
    "not an archive": lambda w: b"hello, world\n" * 100,
    "an empty file": lambda w: b"",
    "zeros": lambda w: bytes(10240),
    "something in the second block of the end": lambda w: w[:-512] + b"#!/bin/sh".ljust(512, b"\0"),
    "something after the end": lambda w: w + b"#!/bin/sh",
    "a megabyte of zeros after the end": lambda w: w + bytes(1 << 20),
    "content in the padding": lambda w: w.replace(b"blue\n\0", b"blue\nX", 1),
}


def with_field(whole: bytes, place: int, field: bytes) -> bytes:
    """The first header with other bytes at ``place`` (0 name, 124 size), and a checksum that is right."""
    block = whole[:place] + field + whole[place + len(field):512]
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:] + whole[512:]


def pax(whole: bytes, headers: dict[str, str]) -> bytes:
    members = members_of(whole)
    members[2][0].pax_headers = headers
    return tar(members, tarfile.PAX_FORMAT)


@pytest.mark.parametrize("attack", ARCHIVES)
def test_an_archive_is_refused(attack: str, whole: bytes, yard: Path) -> None:
    """Each hostile or damaged archive gives one typed error, and leaves no file inside or outside."""
    error = refused(ARCHIVES[attack](whole), yard)
    assert len(str(error)) < 1500


def test_the_attacks_differ_from_a_good_archive_only_by_the_attack(whole: bytes, yard: Path) -> None:
    """The same members, put together by the same means without an attack, are accepted."""
    for name, content in (("whole", whole), ("tar", tar(members_of(whole))), ("manifest", manifested(stated()))):
        (yard / "good.eib").write_bytes(content)
        assert bundle.unpack(yard / "good.eib", yard / name).manifest.name == "colours"


@pytest.mark.parametrize("share", [0.0001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_truncated_archive_is_refused(share: float, whole: bytes, yard: Path) -> None:
    """Wherever it ends early."""
    refused(whole[: int(len(whole) * share)], yard)


QUANTIZED = {"name": "image", "shape": [1, 8, 8, 3], "dtype": "uint8"}
PROBE = {"seed": 1, "tolerance": 1.0}
MANIFESTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a newer format": (lambda: stated(edgeinfer=2), "format version 1"),
    "no format": (lambda: {}, "format version 1"),
    "a list": (lambda: b"[1, 2]", "format version 1"),
    "nothing": (lambda: b"", "JSON"),
    "half of it": (lambda: RAW[:200], "JSON"),
    "latin-1": (lambda: RAW.replace(b"colours", b"colou\xe9s"), "JSON"),
    "NaN as scale": (lambda: RAW.replace(b'"scale": [', b'"scale": [NaN, '), "JSON"),
    "infinity as scale": (lambda: RAW.replace(b'"scale": [', b'"scale": [1e999, '), "JSON"),
    "100 000 brackets": (lambda: b"[" * 60_000, "JSON"),
    "nesting in an unknown field": (lambda: b'{"edgeinfer":1,"x":' + b'{"a":' * 8000 + b"1" + b"}" * 8000 + b"}", "manifest.json"),  # 3.13 parses it, and finds fields missing
    "an integer of 5000 digits": (lambda: RAW.replace(b'"sequence": 0', b'"sequence": ' + b"9" * 5000), ""),
    "a side of 300 digits": (lambda: stated(inputs=[{**QUANTIZED, "shape": [1, 10**300]}]), "shape"),
    "zero scale": (lambda: scaled(0.0), "above 0"),
    "a negative scale": (lambda: scaled(-1.0), "above 0"),
    "a zero point outside": (lambda: scaled(1.0, 256), "0 to 255"),
    "scales without zero points": (lambda: stated(inputs=[{**QUANTIZED, "quantization": {
        "scale": [1.0], "zero_point": []}}]), "zero point"),
    "an axis that is not there": (lambda: stated(inputs=[{**QUANTIZED, "quantization": {
        "scale": [1.0, 2.0, 3.0], "zero_point": [0, 0, 0], "axis": 9}}]), "axis"),
    "a quantised float": (lambda: stated(inputs=[{**QUANTIZED, "dtype": "float32",
                                                  "quantization": {"scale": [1.0], "zero_point": [0]}}]), "not quantised"),
    "a dynamic input": (lambda: stated(inputs=[{**QUANTIZED, "shape": [-1, 8, 8, 3]}]), "fixed sides"),
    "a tensor of a terabyte": (lambda: stated(inputs=[{**QUANTIZED, "shape": [1, 1 << 20, 1 << 20, 3]}]), "fixed sides"),
    "no inputs": (lambda: stated(inputs=[]), "at least one"),
    "an unknown dtype": (lambda: stated(inputs=[{**QUANTIZED, "dtype": "complex64"}]), "dtype"),
    "a name upwards": (lambda: stated(name="../../etc"), "letters"),
    "a name that ends a topic": (lambda: stated(name="a/#"), "letters"),
    "an empty version": (lambda: stated(version=""), "letters"),
    "a model that is no member": (lambda: stated(model="other.tflite"), "one of the files"),
    "labels that are no member": (lambda: stated(labels="/etc/passwd"), "one of the files"),
    "a member upwards": (lambda: with_file("../x"), "flat file names"),
    "an absolute member": (lambda: with_file("/etc/cron.d/x"), "flat file names"),
    "a hidden member": (lambda: with_file(".bashrc"), "flat file names"),
    "the manifest as its own member": (lambda: with_file("manifest.json"), "flat file names"),
    "a negative size": (lambda: with_file("x", size=-1), "a size"),
    "members of a terabyte": (lambda: with_file("x", size=1 << 40), "at most"),
    "a short digest": (lambda: with_file("x", sha256="abc"), "64 hexadecimal"),
    "a std of zero": (lambda: stated(preprocess={"kind": "image", "height": 8, "width": 8, "std": [0.0]}), "other than 0"),
    "two means for three channels": (lambda: stated(preprocess={
        "kind": "image", "height": 8, "width": 8, "mean": [1, 2]}), "1 or 3"),
    "a window without samples": (lambda: stated(preprocess={"kind": "window", "length": 0}), "1 or more"),
    "a preprocess of another kind": (lambda: stated(preprocess={"kind": "video"}), "preprocess"),
    "a mistyped preprocess": (lambda: stated(preprocess={"kind": "image", "hight": 8, "width": 8}), "did you mean"),
    "a state that is not there": (lambda: stated(state=[{"input": "h", "output": "means"}]), "an input after the first"),
    "a state in the frame's input": (lambda: stated(state=[{"input": "image", "output": "means"}]), "after the first"),
    "a probe of another output": (lambda: stated(probes=[{**PROBE, "expected": [
        {"output": "x", "indices": [0], "values": [1]}]}]), "an output"),
    "a probe outside the output": (lambda: stated(probes=[{**PROBE, "expected": [
        {"output": "means", "indices": [3], "values": [1]}]}]), "indices"),
    "a probe at minus one": (lambda: stated(probes=[{**PROBE, "expected": [
        {"output": "means", "indices": [-1], "values": [1]}]}]), "indices"),
    "a probe with a value too few": (lambda: stated(probes=[{**PROBE, "expected": [
        {"output": "means", "indices": [0, 1], "values": [1]}]}]), "a value for each index"),
    "a probe's file that is no member": (lambda: stated(probes=[{**PROBE, "expected": [], "file": "p.npy"}]), "one of"),
    "a negative tolerance": (lambda: stated(probes=[{"seed": 1, "tolerance": -1.0, "expected": []}]), "0 or more"),
}


def scaled(scale: float, zero_point: int = 0) -> dict[str, Any]:
    return stated(inputs=[{**QUANTIZED, "quantization": {"scale": [scale], "zero_point": [zero_point]}}])


def with_file(name: str, sha256: str = "0" * 64, size: int = 1) -> dict[str, Any]:
    document = stated()
    return {**document, "files": {**document["files"], name: {"sha256": sha256, "bytes": size}}}


@pytest.mark.parametrize("attack", MANIFESTS)
def test_a_manifest_is_refused(attack: str, yard: Path) -> None:
    """Each wrong manifest gives one typed error that says what was expected."""
    make, expected = MANIFESTS[attack]
    error = refused(manifested(make()), yard)
    assert expected in str(error)
    assert len(str(error)) < 3000


def test_several_faults_of_a_manifest_are_told_at_once(yard: Path) -> None:
    """Missing and wrong fields are listed together, each with its place."""
    document = stated(sequence=-1)
    del document["model"], document["decoder"]
    document["inputs"][0]["dtype"] = "int3"
    error = refused(manifested(document), yard)
    assert len(error.faults) == 3
    assert [fault.where.rpartition(": ")[2] for fault in error.faults] == ["model", "inputs[0].dtype", "decoder"]


@pytest.mark.parametrize("labels", [b"\xff\xfe", b"red\n\nblue\n", b"red\x1b[2Jgreen\nblue\n", b"\n", b""])
def test_labels_are_refused(labels: bytes, yard: Path) -> None:
    """Labels that are not UTF-8, empty, or that would move a terminal's cursor."""
    document = stated()
    document["files"]["labels.txt"] = {"sha256": hashlib.sha256(labels).hexdigest(), "bytes": len(labels)}
    raw = msgspec.json.encode(document)
    refused(tar([member("manifest.json", raw), member("labels.txt", labels), member("model.tflite", MODEL)]), yard)


FOLDERS: dict[str, Callable[[Path], object]] = {
    "a stranger": lambda folder: (folder / "extra.py").write_text("import os"),
    "a folder": lambda folder: (folder / "model").mkdir(),
    "a missing model": lambda folder: (folder / "model.tflite").unlink(),
    "a changed model": lambda folder: (folder / "model.tflite").write_bytes(MODEL[::-1]),
    "a shorter model": lambda folder: (folder / "model.tflite").write_bytes(MODEL[:-1]),
    "a link to the model": lambda folder: ((folder / "model.tflite").rename(folder.parent / "m"),
                                           (folder / "model.tflite").symlink_to(folder.parent / "m")),
    "a FIFO for the model": lambda folder: ((folder / "model.tflite").unlink(), os.mkfifo(folder / "model.tflite")),
    "a link to the manifest": lambda folder: ((folder / "manifest.json").rename(folder.parent / "m"),
                                              (folder / "manifest.json").symlink_to(folder.parent / "m")),
    "a FIFO for the manifest": lambda folder: ((folder / "manifest.json").unlink(), os.mkfifo(folder / "manifest.json")),
    "a huge manifest": lambda folder: os.truncate(folder / "manifest.json", 1 << 40),
    "a long signature": lambda folder: (folder / "manifest.sig").write_bytes(SIGNATURE + b" " * 4096),
    "a signature of zeros": lambda folder: (folder / "manifest.sig").write_bytes(bytes(64)),
    "an empty signature": lambda folder: (folder / "manifest.sig").write_bytes(b""),
    "a FIFO for the signature": lambda folder: os.mkfifo(folder / "manifest.sig"),
    "a link to a signature": lambda folder: ((folder.parent / "s").write_bytes(SIGNATURE),
                                             (folder / "manifest.sig").symlink_to(folder.parent / "s")),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.parametrize("attack", FOLDERS)
def test_a_folder_is_refused(attack: str, tmp_path: Path) -> None:
    """What was changed after the bundle was written is found when it is read."""
    write_bundle(tmp_path / "b")
    FOLDERS[attack](tmp_path / "b")
    with pytest.raises(DataError) as caught:
        bundle.read(tmp_path / "b")
    assert caught.value.exit_code == 65
    assert "expected" in str(caught.value)


def test_an_archive_that_lies_about_sizes_takes_no_memory(whole: bytes, yard: Path) -> None:
    """Where a member claims 8 GiB, nothing of that size is asked for."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), limits[1]))
    try:
        refused(with_field(whole, 124, b"77777777777\0"), yard)
        document = with_file("x", size=(1 << 33) - 1)
        refused(manifested(document), yard)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@given(st.binary(max_size=2000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Random bytes are no bundle, and leave nothing."""
    folder = tmp_path_factory.mktemp("random")
    (folder / "r.eib").write_bytes(content)
    with pytest.raises(DataError):
        bundle.unpack(folder / "r.eib", folder / "into")
    assert os.listdir(folder) == ["r.eib"]


def test_the_manifest_of_the_attacks_is_the_one_that_is_written(whole: bytes) -> None:
    """The cases above start from a manifest that is good."""
    assert [content for _, content in members_of(whole)] == [RAW, LABELS["labels.txt"], MODEL]
