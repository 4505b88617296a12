"""Keys and signatures: minisign's files, made here and read there and the other way round; bundles signed whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from edgeinfer.errors import DataError, EdgeinferError, UsageError
from edgeinfer.model import bundle
from edgeinfer.model.signature import read_public_key, verify
from quantize import keys, secretkey
from tests.paper_bundles import write_bundle

CHEAP = 1 << 20  # bytes for scrypt
PASSWORD = b"correct horse"


@pytest.fixture
def signer(tmp_path: Path) -> Path:
    """A secret key without a password, its public half beside it."""
    keys.generate(tmp_path / "maker.key", None)
    return tmp_path / "maker.key"


def minisign(*arguments: object, password: bytes = b"") -> str:
    """Run the real program, or skip where it is not installed."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    run = subprocess.run(["minisign", *map(str, arguments)], input=password + b"\n" + password + b"\n", capture_output=True,
                         check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.decode()


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_a_key_is_read_as_it_was_made(password: bytes | None, tmp_path: Path) -> None:
    """Both halves hold the same key, the secret one for its owner's eyes only."""
    made = keys.generate(tmp_path / "maker.key", password, memory=CHEAP)
    assert secretkey.read(tmp_path / "maker.key", password).public == made == read_public_key(tmp_path / "maker.pub")
    assert secretkey.is_encrypted(tmp_path / "maker.key") == (password is not None)
    assert stat.S_IMODE((tmp_path / "maker.key").stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["maker.key", "maker.pub"]


def test_two_keys_differ(tmp_path: Path) -> None:
    """Neither the key nor its number nor the salt is ever the same."""
    one, two = (keys.generate(tmp_path / name, PASSWORD, memory=CHEAP) for name in ("one.key", "two.key"))
    assert one.raw != two.raw
    assert one.number != two.number
    assert (tmp_path / "one.key").read_bytes()[:150] != (tmp_path / "two.key").read_bytes()[:150]


@pytest.mark.parametrize("there", ["maker.key", "maker.pub"])
def test_a_key_is_never_overwritten_unless_forced(there: str, tmp_path: Path) -> None:
    """Either half that is there already stops it, before anything is written."""
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError, match="one that is there"):
        keys.generate(tmp_path / "maker.key", None)
    assert os.listdir(tmp_path) == [there]
    assert (tmp_path / there).read_text() == "mine"
    made = keys.generate(tmp_path / "maker.key", None, force=True)
    assert secretkey.read(tmp_path / "maker.key").public == made == read_public_key(tmp_path / "maker.pub")


@pytest.mark.parametrize(("password", "got"), [(b"tr0ub4dor", "another one"), (b"", "another one"), (None, "got none")])
def test_a_wrong_password_is_one_clear_error(password: bytes | None, got: str, tmp_path: Path) -> None:
    """It says that the password is wrong, and nothing of the key or the password."""
    keys.generate(tmp_path / "maker.key", PASSWORD, memory=CHEAP)
    write_bundle(tmp_path / "b")
    with pytest.raises(UsageError) as caught:
        keys.sign(tmp_path / "b", tmp_path / "maker.key", password)
    assert "expected the password of this key" in str(caught.value)
    assert got in str(caught.value)
    assert "tr0ub4dor" not in str(caught.value)
    assert bundle.read(tmp_path / "b").trust == "unsigned"


def test_a_secret_key_does_not_show(signer: Path) -> None:
    """Neither its representation nor an error about it holds the seed."""
    key = secretkey.read(signer)
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in repr(key)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_bundle_is_signed(form: str, signer: Path, tmp_path: Path) -> None:
    """A folder or an archive: the same bundle as before, now verified; signing it again gives the same bytes."""
    before = write_bundle(tmp_path / "b")
    bundle.pack(tmp_path / "b", tmp_path / "b.eib")
    path = tmp_path / ("b" if form == "folder" else "b.eib")
    public = keys.sign(path, signer)
    found = bundle.open_model(path, tmp_path / "cache", [public])
    assert found.signed
    assert found.digest == before.digest
    signature = (found.folder / "manifest.sig").read_bytes()
    assert b"\ntrusted comment: colours:1 sequence 0\n" in signature
    content = path.read_bytes() if form == "archive" else signature
    keys.sign(path, signer)
    assert content == (path.read_bytes() if form == "archive" else (path / "manifest.sig").read_bytes())
    assert sorted(os.listdir(tmp_path)) == (["b", "b.eib"] + (["cache"] if form == "archive" else [])) + ["maker.key", "maker.pub"]


def test_a_damaged_bundle_is_not_signed(signer: Path, tmp_path: Path) -> None:
    """What a device would refuse gets no signature."""
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / "model.tflite").write_bytes(b"rot")
    with pytest.raises(DataError):
        keys.sign(tmp_path / "b", signer)
    assert "manifest.sig" not in os.listdir(tmp_path / "b")


@pytest.mark.parametrize("comment", ["two\nlines", "\x1b[2J", "x" * 1025])
def test_a_comment_is_one_line(comment: str, signer: Path, tmp_path: Path) -> None:
    """No comment can look like a line of the signature, or move a terminal's cursor."""
    write_bundle(tmp_path / "b")
    with pytest.raises(UsageError, match="one line"):
        keys.sign(tmp_path / "b", signer, trusted_comment=comment)


@pytest.mark.parametrize("content", [
    b"", b"\0" * 300, b"untrusted comment: x\n", b"untrusted comment: x\nAAAA\n", b"x" * 5000,
    b"untrusted comment: minisign public key\nRWQMO09lEIEIRZv9HczGG2QYWSW7lzveN1i95DH6g/BErCT1Wn+ACtjZ\n",
    b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
])
def test_what_is_no_secret_key_is_refused(content: bytes, tmp_path: Path) -> None:
    """Any other file is one error, whose message does not hold the file's content."""
    (tmp_path / "some.key").write_bytes(content)
    with pytest.raises(DataError, match="expected a secret key of minisign, got something else"):
        secretkey.read(tmp_path / "some.key")


def test_limits_of_scrypt_are_bounded(tmp_path: Path) -> None:
    """A key file cannot ask for a terabyte, nor for an hour."""
    import base64

    keys.generate(tmp_path / "maker.key", PASSWORD, memory=CHEAP)
    comment, line, _ = (tmp_path / "maker.key").read_bytes().split(b"\n")
    raw = base64.b64decode(line)
    for place in (38, 46):
        hostile = raw[:place] + (1 << 40).to_bytes(8, "little") + raw[place + 8:]
        (tmp_path / "maker.key").write_bytes(comment + b"\n" + base64.b64encode(hostile) + b"\n")
        with pytest.raises(DataError, match="at most 1 GiB"):
            secretkey.read(tmp_path / "maker.key", PASSWORD)


@pytest.mark.parametrize("path", ["maker.pub", "no/such.eib", "maker.key"])
def test_what_is_no_bundle_is_not_signed(path: str, signer: Path) -> None:
    """The error says what a bundle is."""
    with pytest.raises(UsageError, match=r"an \.eib file"):
        keys.sign(signer.parent / path, signer)


def test_a_folder_that_cannot_be_written_to_is_one_error(tmp_path: Path) -> None:
    """No traceback for a disk or a folder that is not there to take it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeinferError):
        keys.generate(tmp_path / "file" / "maker.key", None)


def test_minisign_verifies_our_signature(signer: Path, tmp_path: Path) -> None:
    """The command that the documentation gives, and minisign's own copy of the public half."""
    write_bundle(tmp_path / "b")
    keys.sign(tmp_path / "b", signer)
    manifest, signature = tmp_path / "b" / "manifest.json", tmp_path / "b" / "manifest.sig"
    told = minisign("-Vm", manifest, "-x", signature, "-p", keys.public_path(signer))
    assert "Trusted comment: colours:1 sequence 0" in told
    minisign("-R", "-s", signer, "-p", tmp_path / "copy.pub")
    assert read_public_key(tmp_path / "copy.pub") == read_public_key(tmp_path / "maker.pub")


@pytest.mark.parametrize("kind", ["-S", "-Sl"])
def test_we_verify_minisigns_signature(kind: str, tmp_path: Path) -> None:
    """Of the content's hash, which is its default, and of the content, which it calls legacy; with minisign's own key."""
    write_bundle(tmp_path / "b")
    secret, public = tmp_path / "theirs.key", tmp_path / "theirs.pub"
    minisign("-G", "-W", "-s", secret, "-p", public)
    minisign(kind, "-W", "-s", secret, "-m", tmp_path / "b" / "manifest.json", "-x", tmp_path / "b" / "manifest.sig",
             "-t", "by\thand")
    assert bundle.read(tmp_path / "b", keys=[read_public_key(public)]).signed
    keys.sign(tmp_path / "b", secret)
    assert bundle.read(tmp_path / "b", keys=[read_public_key(public)]).signed


def test_minisign_uses_our_key_with_a_password(tmp_path: Path) -> None:
    """Its scrypt and ours agree; the cost is in the file."""
    made = keys.generate(tmp_path / "maker.key", PASSWORD, memory=1 << 24)
    (tmp_path / "text").write_bytes(b"hello")
    minisign("-S", "-s", tmp_path / "maker.key", "-m", tmp_path / "text", "-x", tmp_path / "sig", password=PASSWORD)
    assert verify(b"hello", (tmp_path / "sig").read_bytes(), [made], "sig") == "verified"


@pytest.mark.slow
def test_we_use_minisigns_key_with_a_password(tmp_path: Path) -> None:
    """Minisign's own cost: 1 GiB for some seconds."""
    minisign("-G", "-s", tmp_path / "theirs.key", "-p", tmp_path / "theirs.pub", password=PASSWORD)
    found = secretkey.read(tmp_path / "theirs.key", PASSWORD)
    assert found.public == read_public_key(tmp_path / "theirs.pub")
    (tmp_path / "text").write_bytes(b"hello")
    (tmp_path / "sig").write_bytes(keys.signature_of(b"hello", found, "x"))
    minisign("-Vm", tmp_path / "text", "-x", tmp_path / "sig", "-p", tmp_path / "theirs.pub")


@pytest.mark.parametrize(("typed", "code", "said"), [(b"correct horse\n", 0, "secret key"), (b"", 64, "error: password: expected a line of stdin")])
def test_without_a_terminal_the_password_is_a_line_of_stdin(tmp_path: Path, typed: bytes, code: int, said: str) -> None:
    """As in a script; where there is none it says so, and makes nothing."""
    run = subprocess.run([sys.executable, "-m", "quantize.cli", "keygen", str(tmp_path / "maker.key")], input=typed, capture_output=True,
                         check=False, start_new_session=True)
    assert (run.returncode, said in run.stderr.decode(), b"Traceback" in run.stderr) == (code, True, False)
    if code == 0:
        assert secretkey.read(tmp_path / "maker.key", typed.strip()).public == read_public_key(tmp_path / "maker.pub")
    else:
        assert not list(tmp_path.iterdir())
