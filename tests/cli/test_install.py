"""install, models and rollback as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("ai_edge_litert")

from edgeinfer.errors import EdgeinferError, StorageError
from tests.conftest import ROOT
from tests.installs import MAKER, STRANGER, make_eib, public_key


@pytest.fixture(scope="module")
def eibs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eibs")
    for sequence in (1, 2, 3):
        make_eib(folder, sequence, name="door").rename(folder / f"{sequence}.eib")
    make_eib(folder, 4, None, name="door").rename(folder / "4.eib")
    make_eib(folder, 5, STRANGER, name="window", target="x86-64\x1b[2J").rename(folder / "5.eib")
    public_key(folder / "keys")
    return folder


class Shell:
    """Runs the commands in this process, on a state folder of its own."""

    def __init__(self, state: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.state, self.keys, self.capsys = state, keys, capsys

    def __call__(self, name: str, *arguments: str) -> str:
        module = __import__(f"edgeinfer.cli.{name}", fromlist=["command"])
        keys = [] if name == "rollback" else ["--keys", str(self.keys)]
        module.command([*arguments, "--state", str(self.state), *keys], standalone_mode=False)
        return self.capsys.readouterr().out


@pytest.fixture
def shell(tmp_path: Path, eibs: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "state", eibs / "keys", capsys)


def test_install_update_look_and_go_back(shell: Shell, eibs: Path) -> None:
    """The whole way of two versions, one staged and one unsigned, in words and as JSON."""
    said = shell("install", str(eibs / "1.eib"))
    assert "door v1 (sequence 1," in said
    assert "is installed\n  runs on LiteRT" in said
    assert "limits" in said
    assert "installed already" in shell("install", str(eibs / "1.eib"))
    document = json.loads(shell("install", (eibs / "2.eib").as_uri(), "--json"))
    assert {key: document[key] for key in ("v", "name", "version", "sequence", "signature", "outcome")} == {
        "v": 1, "name": "door", "version": "v2", "sequence": 2, "signature": "verified", "outcome": "switched"}
    assert Path(document["folder"]).is_dir()
    assert "door is at v1 again" in shell("rollback", "door")
    assert json.loads(shell("rollback", "door", "--json"))["version"] == "v2"
    assert "door is at v1 again" in shell("rollback", "door", "--reject", "it saw ghosts")
    assert "rejected: it saw ghosts" in shell("models")
    with pytest.raises(EdgeinferError, match="it saw ghosts"):
        shell("install", str(eibs / "2.eib"))
    assert "is installed" in shell("install", str(eibs / "2.eib"), "--retry")
    assert "is staged" in shell("install", str(eibs / "3.eib"), "--stage", "--name", "door")
    rows = [row.split(maxsplit=5) for row in shell("models").splitlines()]
    assert rows[0][:4] == ["name", "version", "sequence", "digest"]
    assert [(row[1], row[2], row[4], row[5].split()[-1]) for row in rows[1:]] == [
        ("v3", "3", MAKER.public.name, "candidate"), ("v2", "2", MAKER.public.name, "current"), ("v1", "1", MAKER.public.name, "previous")]
    assert "unsigned) is installed" in shell("install", str(eibs / "4.eib"), "--allow-unsigned")
    document = json.loads(shell("models", "--json"))
    assert document["v"] == 1
    assert [(made["version"], made["roles"], made["signature"]) for made in document["models"][0]["bundles"]] == [
        ("v4", ["current"], "unsigned"), ("v3", ["candidate"], "verified"), ("v2", ["previous"], "verified")]


def test_models_shows_what_is_wrong_with_one(shell: Shell, eibs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged bundle, a key that is not trusted, and a target that would move the cursor."""
    shell("install", str(eibs / "1.eib"))
    monkeypatch.setattr("edgeinfer.admission.check_fits", lambda manifest: None)
    shell.keys = public_key(tmp_path / "other", STRANGER).parent
    shell("install", str(eibs / "5.eib"))
    shell.keys = eibs / "keys"
    current = shell.state / "models" / "door" / "current"
    (current / "manifest.json").write_bytes(b"{")
    said = shell("models")
    assert "damaged: " in said
    assert f"{STRANGER.public.name} (untrusted)" in said
    assert "\x1b" not in said


def test_models_of_nothing(shell: Shell) -> None:
    """No state folder is an error that says how to make one; an empty one is no error."""
    with pytest.raises(StorageError, match="edgeinfer install"):
        shell("models")
    shell.state.mkdir()
    assert json.loads(shell("models", "--json")) == {"v": 1, "models": []}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_root_becomes_the_owner_of_the_state_folder(eibs: Path, tmp_path: Path) -> None:
    """What it leaves belongs to the service's user, and the source may be one that only root reads."""
    state = Path("/tmp" if tmp_path.is_relative_to("/root") else tmp_path) / "state"
    state.mkdir()
    os.chown(state, 12345, 12345)
    for folder in [state, *state.parents]:
        folder.chmod(folder.stat().st_mode | 0o711)
    (eibs / "1.eib").chmod(0o600)
    program = ("import edgeinfer.admission as a; from tests.installs import stub_trial; a.trial = stub_trial;"
               "import edgeinfer.ownership as o; o._can_read_programs = lambda: True;"
               "from edgeinfer.outermost import run_program; from edgeinfer.cli.install import command; run_program(command)")
    command = [sys.executable, "-c", program, str(eibs / "1.eib"), "--state", str(state), "--keys", str(eibs / "keys")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.lstat().st_uid for path in state.rglob("*")} == {12345}
    refused = subprocess.run([*command[:2], program.replace("lambda: True", "lambda: False"), *command[3:]], cwd=ROOT,
                             capture_output=True, text=True, check=False)
    assert refused.returncode == 69
    assert "below /opt" in refused.stderr
