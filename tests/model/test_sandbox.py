"""The confinement of the first load: what holds, and that it goes on where something cannot be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer.model import seccomp
from edgeinfer.model.backends import RuntimeOptions
from edgeinfer.model.trial import remembered, runtime_versions, trial
from tests.bundles import colours, colours_onnx
from tests.conftest import ROOT

SYSTEM = "/usr/bin/python3"  # below no home folder, so that nobody may read it

def confined(tmp_path: Path, body: str, python: str = sys.executable, devices: bool = False) -> dict[str, object]:
    """What the module ``body`` prints of itself from inside; it has ``held``, and fills ``found``."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "probe_of_sandbox.py").write_text(
        "import json, os\n\ndef main(held):\n    found = {}\n" + "".join(f"    {line}\n" for line in body.splitlines())
        + "    print(json.dumps({'held': list(held), 'uid': os.getuid(), **found}))\n")
    confinement = json.dumps({"folder": str(inside), "devices": devices, "memory": 1 << 29, "cpu_s": 30})
    done = subprocess.run([python, "-m", "edgeinfer.model.sandbox", confinement, "probe_of_sandbox"], cwd=ROOT, text=True,
                          env={**os.environ, "PYTHONPATH": f"{inside}:{ROOT}"}, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_both_runtimes_run_in_it(tmp_path: Path) -> None:
    """LiteRT with XNNPACK, and ONNX Runtime, with two threads; the verdict says what held."""
    for made, runs_on in ((colours(tmp_path), "XNNPACK"), (colours_onnx(tmp_path), "CPUExecutionProvider")):
        verdict = trial(made, RuntimeOptions(threads=2))
        assert runs_on in verdict.runs_on
        assert verdict.fallbacks == ()
        assert {"limits", "no new privileges"} <= set(verdict.sandbox)


def test_a_full_disk_says_nothing_of_a_model(tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the child's answer nor the verdict has room in a file, a good model passes all the same; with room again
    the verdict is kept."""
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    made, trials = colours(tmp_path), small_disk / "trials"
    trials.mkdir()
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=4k"], capture_output=True, check=False)
    assert trial(made, RuntimeOptions(), trials).digest == made.digest
    assert not list(trials.iterdir())
    (small_disk / "filler").unlink()
    verdict = trial(made, RuntimeOptions(), trials)
    assert remembered(trials, made.digest, runtime_versions(), RuntimeOptions()) == verdict


def test_with_accelerators_devices_stay_open(tmp_path: Path) -> None:
    """A driver opens /dev, starts threads and maps more than it uses."""
    found = confined(tmp_path, "found['null'] = os.open('/dev/null', os.O_RDWR) > 0\nimport resource\n"
                               "found['data'] = resource.getrlimit(resource.RLIMIT_DATA)[0]", devices=True)
    assert found["null"]
    assert found["data"] == -1
    assert not {"calls", "no network"} & set(found["held"])


@pytest.mark.skipif(os.geteuid() != 0 or not Path(SYSTEM).exists(), reason="needs root, and a Python of the system")
def test_started_by_root_it_is_nobody(tmp_path: Path) -> None:
    """Also in a folder that only root may enter, as a state folder is; and it cannot start processes without end."""
    body = ("found['read'] = len(os.listdir('.'))\n"
            "try:\n"
            "    for _ in range(4000):\n"
            "        os.fork() or os._exit(0)\n"  # nobody waits for them, so that they count
            "except OSError as error:\n"
            "    found['stopped'] = str(error)")
    found = confined(tmp_path, body, SYSTEM)
    assert found["uid"] == 65534
    assert "user nobody" in found["held"]
    assert found["read"] == 1
    assert "temporarily unavailable" in str(found["stopped"])


@pytest.mark.skipif(not Path(SYSTEM).exists(), reason="needs a Python of the system")
def test_without_namespaces_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As below systemd's RestrictNamespaces: the filter still keeps it off the network."""
    program = ("import sys; from edgeinfer.model import sandbox; sandbox._CLONE_NEWNET = 1; "
               "print(sandbox.confine(sys.argv[1], devices=False, memory=1 << 29, cpu_s=30)); import socket\n"
               "try:\n    socket.socket()\nexcept PermissionError:\n    print('no socket')")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "no network" not in done.stdout
    assert ("calls" in done.stdout) == ("no socket" in done.stdout)


@pytest.mark.skipif(not Path(SYSTEM).exists(), reason="needs a Python of the system")
def test_the_process_that_started_it_cannot_be_looked_into() -> None:
    """Neither its memory nor its environment, by another process of the same user, which no Landlock and no namespace holds;
    afterwards all is as it was."""
    look = "import os\nfor name in ('mem', 'environ'):\n    open(f'/proc/{os.getppid()}/{name}', 'rb').close()"
    program = ("import ctypes, subprocess, sys; sys.path.insert(0, sys.argv[1]); from edgeinfer.model.sandbox import unseen\n"
               "look = lambda: subprocess.run([sys.executable, '-c', sys.argv[2]], capture_output=True, text=True).stderr\n"
               "with unseen():\n    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), 'PermissionError' in look())\nprint(look() == '')")
    whose = {"user": 1234, "group": 1234, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run([SYSTEM, "-c", program, str(ROOT), look], cwd="/", capture_output=True, text=True, check=True, **whose)
    if not done.stdout.startswith("0 "):
        pytest.skip("this kernel, or what emulates it, does not take PR_SET_DUMPABLE")
    assert done.stdout.split() == ["0", "True", "True"]


def test_the_filter_refuses_a_foreign_architecture_and_ends() -> None:
    """Every jump of the program lands inside it, and both ends are returns, for each architecture."""
    for architecture, numbers, own in seccomp._NUMBERS.values():
        steps = seccomp._steps(architecture, numbers, own)
        for place, (code, yes, no, _) in enumerate(steps):
            assert code == seccomp._RETURN or place + 1 + max(yes, no) < len(steps)
        assert steps[-1] == (seccomp._RETURN, 0, 0, seccomp._ALLOW)
        assert len({*numbers, *own}) == len(numbers) + len(own)
