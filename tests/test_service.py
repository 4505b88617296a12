"""Rendering and planning of the systemd unit; what systemd makes of it is tests/lanes/container."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.cli.service import command
from edgeinfer.config import parse
from edgeinfer.errors import (
    ConfigError,
    DataError,
    EdgeinferError,
    ModelError,
    StorageError,
    UnavailableError,
    UsageError,
)
from edgeinfer.service import account, systemd
from edgeinfer.service import install as installing
from edgeinfer.service.files import write
from edgeinfer.service.install import install, make_plan
from edgeinfer.service.layout import Layout, drop_in, drop_ins, template
from edgeinfer.service.needs import Needs, needs_of
from edgeinfer.service.rehearsal import raise_as_said
from edgeinfer.service.report import report
from edgeinfer.service.unit import MARK, directives, memory_max, render, replaced, word
from tests.bundles import colours, vibration
from tests.conftest import ROOT

STATE = Path("/var/lib/edgeinfer")
NOTHING = Needs((), (Path("/etc/edgeinfer"),), (), (), 0)
PYTHON = ["/opt/edgeinfer/bin/python3", "-m", "edgeinfer", "run", "/etc/edgeinfer/edgeinfer.yaml"]


def config(**source: Any) -> dict[str, Any]:
    return {"node": "box", "sink": {"kind": "mqtt", "host": "h"},
            "pipelines": {"one": {"bundle": "bundle", "source": source or {"kind": "synthetic"}}}}


def needs(document: dict[str, Any], folder: Path = Path("/etc/edgeinfer")) -> Needs:
    parsed = parse(yaml.safe_dump({"state_folder": str(STATE), **document}).encode(), folder)
    return needs_of(parsed, folder / "edgeinfer.yaml", STATE)


def rendered(what: Needs, python: tuple[Path, ...] = (), name: str = "") -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for key, value in directives(render(template(Layout(name)), PYTHON, what, python, ["MemoryMax=1"])):
        values.setdefault(key, []).append(value)
    return values


class Device(NamedTuple):
    """A source or a runtime, and the drop-ins that it calls for."""

    source: dict[str, Any]
    drop_ins: tuple[str, ...] = ()
    accelerators: tuple[str, ...] = ()


DEVICES: dict[str, Device] = {
    "made up": Device({"kind": "synthetic"}),
    "V4L2": Device({"kind": "camera", "device": "/dev/video0"}),  # the unit itself allows it
    "libcamera": Device({"kind": "command", "command": "rpicam-vid -t 0 --codec yuv420 -o -", "width": 64, "height": 64}, ("camera",)),
    "serial port": Device({"kind": "serial", "device": "/dev/ttyUSB0", "columns": [0]}, ("serial",)),
    "values": Device({"kind": "mqtt", "broker": {"host": "h"}, "channels": [{"topic": "t"}]}),
    "microphone": Device({"kind": "audio"}, ("sound",)),
    "kernel's sensor": Device({"kind": "iio", "device": "bmp280", "channels": ["temp"], "rate": 10}),  # sysfs can be read
    "kernel's buffer": Device({"kind": "iio", "device": "lis3dh", "channels": ["accel_x"], "rate": 400, "buffer": {}}, ("i2c",)),
    "ALSA": Device({"kind": "command", "command": "arecord -q -t raw -f S16_LE", "dtype": "s16le"}, ("sound",)),
    "ffmpeg's ALSA": Device({"kind": "command", "command": ["ffmpeg", "-f", "alsa", "-i", "hw:1"], "dtype": "s16le"}, ("sound",)),
    "I2C": Device({"kind": "command", "command": "read-bme280 /dev/i2c-1", "dtype": "f32le"}, ("i2c",)),
    "IIO": Device({"kind": "command", "command": "/usr/bin/iio_readdev accel", "dtype": "s16le"}, ("i2c",)),
    "GPIO": Device({"kind": "command", "command": "count-pulses --chip /dev/gpiochip0", "dtype": "f32le"}, ("gpio",)),
    "other program": Device({"kind": "command", "command": "cat", "dtype": "f32le"}),
    "Edge TPU": Device({"kind": "synthetic"}, ("edge-tpu",), ("edgetpu",)),
    "Jetson": Device({"kind": "camera"}, ("jetson",), ("TensorRT", "cuda")),
}


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_configuration_picks_its_drop_ins(device: Device) -> None:
    document = config(**device.source)
    document["pipelines"]["one"]["runtime"] = {"accelerators": list(device.accelerators)}
    assert needs(document).drop_ins == device.drop_ins
    assert set(device.drop_ins) <= set(drop_ins())


def test_a_trigger_needs_its_line() -> None:
    document = config(kind="camera")
    document["pipelines"]["one"]["trigger"] = {"line": 17}
    assert needs(document).drop_ins == ("gpio",)


def test_the_two_units_differ_in_the_instance_only() -> None:
    one = template(Layout()).replace("/edgeinfer.yaml", "/%i.yaml")
    many = (ROOT / "systemd/edgeinfer@.service").read_text()
    same = {("StateDirectory", "edgeinfer/%i"): "edgeinfer", ("WorkingDirectory", "/var/lib/edgeinfer/%i"): "/var/lib/edgeinfer",
            ("RuntimeDirectory", "edgeinfer-%i"): "edgeinfer"}
    assert [(key, same.get((key, value), value)) for key, value in directives(many)] == directives(one)


def test_the_unit_runs_this_interpreter_on_this_configuration() -> None:
    values = rendered(NOTHING)
    assert values["ExecStart"] == ["/opt/edgeinfer/bin/python3 -m edgeinfer run /etc/edgeinfer/edgeinfer.yaml"]
    assert (values["Type"], values["User"], values["StateDirectory"]) == (["notify"], ["edgeinfer"], ["edgeinfer"])
    assert values["RestartPreventExitStatus"] == ["64 65 78"]


def test_an_instance_has_folders_of_its_own() -> None:
    values = rendered(NOTHING, name="barn")
    assert (values["StateDirectory"], values["RuntimeDirectory"]) == (["edgeinfer/barn"], ["edgeinfer-barn"])
    assert Layout("barn").unit_file == Path("/etc/systemd/system/edgeinfer@barn.service")


@pytest.mark.parametrize("name", ["a b", "../x", "x" * 65, "%i", "a.b"])
def test_a_name_that_a_unit_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--name: expected letters"):
        Layout(name)


def test_only_the_credentials_that_are_named_are_loaded() -> None:
    assert "LoadCredential" not in rendered(NOTHING)
    document = config()
    document["sink"] |= {"username": "u", "password_credential": "broker"}
    assert rendered(needs(document))["LoadCredential"] == ["broker:/etc/edgeinfer/broker"]
    assert "SetCredential" not in rendered(NOTHING)


def test_what_the_sandbox_hides_is_shown_where_it_is_needed() -> None:
    """The configuration's folder, its bundle in there, the interpreter; nothing else of a home."""
    home = Path("/home/pi/edge")
    values = rendered(needs(config(), home), (Path("/home/pi/venv"), Path("/usr")))
    assert values["ProtectHome"] == ["tmpfs"]
    assert values["BindReadOnlyPaths"] == ["-/home/pi/edge", "-/home/pi/venv"]


def test_a_configuration_right_in_a_home_does_not_show_the_home() -> None:
    values = rendered(needs(config(), Path("/home/pi")))
    assert values["BindReadOnlyPaths"] == ["-/home/pi/bundle", "-/home/pi/edgeinfer.yaml"]


def test_without_such_paths_all_homes_stay_hidden() -> None:
    values = rendered(needs(config()))
    assert values["ProtectHome"] == ["yes"]
    assert "BindReadOnlyPaths" not in values


def test_a_state_folder_elsewhere_can_be_written_to() -> None:
    assert rendered(needs({**config(), "state_folder": "/data/edge"}))["ReadWritePaths"] == ["-/data/edge"]
    assert rendered(needs({**config(), "outbox": {"path": "/home/pi/o/box.db"}}))["BindPaths"] == ["-/home/pi/o"]


def bill(process: int, model: int, ring: int) -> list[dict[str, object]]:
    return [{"owner": "process", "what": "Python, libraries", "bytes": process, "measured": True},
            {"owner": "one", "what": "ring", "bytes": ring, "measured": False},
            {"owner": "digits", "what": "model and runtime", "bytes": model, "measured": True}]


MB = 10**6
LIMITS = {  # bill, programs: limit in MB, by hand
    "small": (bill(30 * MB, 20 * MB, 0), 0, 192),  # 50 + 50 + 20 = 120, + 64 = 184
    "large": (bill(40 * MB, 400 * MB, 10 * MB), 0, 1616),  # 450 + 440 + 400 = 1290, a quarter more: 1612.5
    "with ffmpeg": (bill(30 * MB, 20 * MB, 0), 1, 320),  # 248, + 64 = 312
}


@pytest.mark.parametrize(("lines", "programs", "limit"), LIMITS.values(), ids=LIMITS)
def test_the_limit_follows_from_the_bill(lines: list[dict[str, object]], programs: int, limit: int) -> None:
    comment, line = memory_max(lines, programs)
    assert line == f"MemoryMax={limit * MB}"
    assert comment.startswith("# Memory: the bill of")


def test_a_limit_that_still_fits_stays() -> None:
    """Two measurements never agree to the byte, and a second installation should change nothing."""
    before = "\n".join(memory_max(bill(30 * MB, 20 * MB, 0), 0))
    assert memory_max(bill(31 * MB, 22 * MB, 0), 0, before) == before.splitlines()
    assert memory_max(bill(30 * MB, 90 * MB, 0), 0, before) != before.splitlines()


@given(st.text(st.characters(blacklist_categories=("Cs",), min_codepoint=32), min_size=1))
def test_a_word_is_one_word_again(text: str) -> None:
    assert shlex.split(word(text).replace("%%", "%") if word(text).startswith('"') else shlex.quote(text)) == [text]


def test_a_newline_in_a_path_stays_on_its_line() -> None:
    assert "\n" not in word("a\nb")


def test_a_directive_that_the_template_lacks_is_a_mistake_of_ours() -> None:
    with pytest.raises(RuntimeError, match="Nowhere"):
        replaced("[Service]\n", "Nowhere", [])


SAID = {  # what a check wrote to stderr, its exit code, the error that comes of it
    "one fault": ("INFO: x\nerror: sink: expected a host, got none\n  hint: write one\n", 78, ConfigError,
                  "sink: expected a host, got none\n  hint: write one"),
    "two faults": ("error: a: expected b, got c\nd: expected e, got f\n", 65, DataError, "a: expected b, got c\nd: expected e, got f"),
    "by click": ("Usage: x\n\nError: Path 'e.yaml' is not readable.\n", 64, UsageError, "Path 'e.yaml' is not readable."),
    "nothing": ("", 70, ConfigError, "exit code 70"),
    "no interpreter": ("", 203, ConfigError, "may run the interpreter"),
    "no credential": ("", 243, ConfigError, "the credentials of the unit"),
}


@pytest.mark.parametrize(("said", "code", "kind", "message"), SAID.values(), ids=SAID)
def test_what_the_check_found_is_raised_again(said: str, code: int, kind: type[EdgeinferError], message: str) -> None:
    with pytest.raises(kind) as raised:
        raise_as_said(Path("e.yaml"), code, said)
    assert message in str(raised.value)
    assert not isinstance(raised.value, ModelError)


def run(*arguments: str) -> str:
    """The command line, in this process."""
    from click.testing import CliRunner

    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image's root with a configuration and a bundle in /etc/edgeinfer."""
    folder = tmp_path / "etc/edgeinfer"
    folder.mkdir(parents=True)
    bundle = colours(tmp_path)
    bundle.folder.rename(folder / "bundle")
    document = config(kind="synthetic", width=8, height=8, count=1)
    document["sink"] |= {"username": "u", "password_credential": "broker"}
    document["state_folder"] = str(tmp_path / "state")
    (folder / "edgeinfer.yaml").write_text(yaml.safe_dump(document))
    (folder / "broker").write_text("a word\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "etc/edgeinfer"))


def test_an_image_is_installed_into_and_cleaned_again(image: Path) -> None:
    """Checked on this machine, written below the root, enabled; a second time nothing changes; and back to what it was."""
    before = {path for path in image.rglob("*") if "state" not in path.parts}
    said = run("install", "/etc/edgeinfer/edgeinfer.yaml", "--root", str(image), "--drop-in", "sound")
    assert "enabled in the image" in said
    units = image / "etc/systemd/system"
    text = (units / "edgeinfer.service").read_text()
    assert text.startswith(MARK)
    assert "LoadCredential=broker:/etc/edgeinfer/broker" in text
    assert str(image / "etc") not in text  # what the unit shows is where it is on the device
    assert int(dict(directives(text))["MemoryMax"]) > 64 * MB
    assert os.readlink(units / "multi-user.target.wants/edgeinfer.service") == "/etc/systemd/system/edgeinfer.service"
    (units / "edgeinfer.service.d/mine.conf").write_text("[Service]\nNice=5\n")

    assert "no longer needed" in run("install", "/etc/edgeinfer/edgeinfer.yaml", "--root", str(image))
    assert "nothing changed" in run("install", "/etc/edgeinfer/edgeinfer.yaml", "--root", str(image))

    assert "removed" in run("uninstall", "--root", str(image))
    left = {path for path in image.rglob("*") if path.is_file() and "state" not in path.parts} - before
    assert left == {units / "edgeinfer.service.d/mine.conf"}
    run("uninstall", "--root", str(image), "--purge")
    assert (image / "etc/edgeinfer/edgeinfer.yaml").exists()  # no unit of ours names it any more


def test_a_purge_removes_what_the_unit_names(image: Path) -> None:
    """Every password, of the sink and of a source, and a configuration whose name a unit must quote; what is not named stays."""
    folder = image / "etc/edgeinfer"
    document = yaml.safe_load((folder / "edgeinfer.yaml").read_text())
    other = {"kind": "mqtt", "channels": [{"topic": "t"}], "broker": {"host": "h", "username": "u", "password_credential": "other"}}
    document["pipelines"]["two"] = {"bundle": "window", "source": other}
    vibration(image).folder.rename(folder / "window")
    (folder / "other").write_text("a word\n")
    (folder / "edgeinfer.yaml").rename(folder / "notes.yaml")
    name = "at 100% $HOME.yaml"
    (folder / name).write_text(yaml.safe_dump(document))
    run("install", f"/etc/edgeinfer/{name}", "--root", str(image))
    run("uninstall", "--root", str(image), "--purge")
    assert sorted(path.name for path in folder.iterdir()) == ["bundle", "notes.yaml", "window"]


def test_a_dry_run_writes_nothing(image: Path) -> None:
    before = sorted(image.rglob("*"))
    said = run("install", "/etc/edgeinfer/edgeinfer.yaml", "--root", str(image), "--dry-run")
    assert f"==> {image}/etc/systemd/system/edgeinfer.service <==" in said
    assert [path for path in sorted(image.rglob("*")) if "state" not in path.parts] == before


def test_a_missing_password_is_found_first(image: Path) -> None:
    (image / "etc/edgeinfer/broker").unlink()
    with pytest.raises(ConfigError, match="password_credential: expected the password in /etc/edgeinfer/broker"):
        make_plan(Path("/etc/edgeinfer/edgeinfer.yaml"), Layout(root=image))


def test_an_unknown_drop_in_comes_with_a_suggestion(image: Path) -> None:
    with pytest.raises(UsageError, match="sound"):
        make_plan(Path("/etc/edgeinfer/edgeinfer.yaml"), Layout(root=image), ("sounds",))


def test_a_machine_without_systemd_is_told(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "running", lambda: False)
    for words in (["status"], ["uninstall"], ["install", str(image / "etc/edgeinfer/edgeinfer.yaml")]):
        with pytest.raises((UnavailableError, ConfigError), match=r"a machine that systemd started|password"):
            run(*words)


def test_who_is_not_root_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "require", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match=r"expected root, got user 1000\n  hint: sudo "):
        run("uninstall")


@pytest.mark.parametrize(("stale", "asked"), [("yes", ["daemon-reload", "restart"]), ("no", [])])
def test_an_installation_that_was_killed_is_finished_by_the_next(stale: str, asked: list[str], image: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """The files were written, and systemd was not told: they are as they should be, and the service is not."""
    called: list[str] = []
    facts = {"NeedDaemonReload": stale, "UnitFileState": "enabled", "ActiveState": "active"}
    monkeypatch.setattr(systemd, "show", lambda _unit, *names: {name: facts[name] for name in names})
    monkeypatch.setattr(systemd, "systemctl", lambda *words: called.append(words[0]))
    monkeypatch.setattr(account, "ensure", lambda _: False)
    monkeypatch.setattr(installing, "rehearse", lambda *_: {"bill": []})
    monkeypatch.setattr(installing, "_write", lambda *_: False)
    plan = make_plan(Path("/etc/edgeinfer/edgeinfer.yaml"), Layout(root=image))
    done = install(dataclasses.replace(plan, layout=Layout()), start=True)
    assert (called, bool(done)) == (asked, bool(asked))


SHOWN = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "MainPID": "17",
         "NRestarts": "2", "Result": "success", "ExecMainStatus": "0", "MemoryCurrent": "[not set]", "MemoryMax": "infinity",
         "StatusText": "digits 10/s", "DropInPaths": "/a.conf /b.conf"}


def test_status_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "show", lambda _unit, *_names: SHOWN)
    found = report(Layout("none-of-that-name"))
    assert (found["v"], found["installed"], found["pid"], found["restarts"]) == (1, True, 17, 2)
    assert (found["memory_bytes"], found["memory_max_bytes"], found["drop_ins"]) == (None, None, ["/a.conf", "/b.conf"])
    assert found["health"] is None


def test_a_file_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "deep/unit"
    assert (write(file, "a"), write(file, "a"), write(file, "b")) == (True, False, True)
    assert (file.read_text(), file.stat().st_mode & 0o777, len(list(file.parent.iterdir()))) == ("b", 0o644, 1)
    with pytest.raises(StorageError):
        write(file / "below", "a")


def test_a_user_of_a_package_is_not_ours_to_remove(tmp_path: Path) -> None:
    packaged = tmp_path / "usr/lib/sysusers.d/edgeinfer.conf"
    write(packaged, "u edgeinfer\n")
    assert not account.ensure(Layout(root=tmp_path))
    assert not account.forget(Layout(root=tmp_path))


@pytest.mark.parametrize("name", drop_ins())
def test_a_drop_in_says_what_for_and_keeps_the_sandbox(name: str) -> None:
    """Only the Jetson's opens devices beyond a class."""
    text = drop_in(name)
    assert text.startswith("# ")
    keys = dict(directives(text))
    assert ("DevicePolicy" in keys) == (name == "jetson")
    assert not {"NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet", "User"} & keys.keys()


def test_scripts_are_sound() -> None:
    """bash finds no fault in what builds the package and the lane."""
    scripts = [ROOT / path for path in ("scripts/deb", "scripts/venv-for", "scripts/lanes/rootfs", "scripts/lanes/container")]
    scripts += [path for path in (ROOT / "scripts/debian").iterdir() if path.name in {"postinst", "prerm", "postrm", "edgeinfer"}]
    for script in scripts:
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert os.access(script, os.X_OK) or script.parent.name == "debian"
