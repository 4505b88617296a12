"""A virtual machine under QEMU: start, resume a snapshot, run commands by ssh, cut its power.

All traffic stays on 127.0.0.1: ssh and the guest's broker are forwarded, and the guest reaches nothing else.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.broker import free_port

__all__ = ["Machine", "lanes_folder"]

_KERNEL = "console=ttyS0 root=/dev/vda quiet loglevel=4 tsc=reliable no_timer_check systemd.show_status=false"
_SNAPSHOT = "booted"


def lanes_folder() -> Path:
    """Where what the lanes build is kept."""
    return Path(os.environ.get("EDGEINFER_LANES", "/var/tmp/edgeinfer-lanes"))


def _accelerator() -> list[str]:
    """KVM where it is the processor's own; a paravirtual one cannot run Debian's kernel, and emulation takes its place."""
    if os.access("/dev/kvm", os.W_OK) and not Path("/sys/module/kvm_pvm").exists():
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem"]


class Machine:
    """One machine on a disk of its own over the image that ``scripts/lanes/vm-image`` made. ``witness`` is a file of the host
    that a port of the guest, /dev/virtio-ports/witness, writes to: what is there was said before the power went."""

    def __init__(self, image: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.image = image
        self.folder = folder
        self.disk = image / "disk.qcow2"
        self.witness = folder / "witness"
        self.broker_port = free_port()
        self._ssh_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._control = folder / "ssh"

    def resume(self, snapshot: str = _SNAPSHOT) -> None:
        """The machine as it was when ``snapshot`` was saved: after its boot, if no other name is given. It is booted first
        where that has not been done yet. The guest's clock is set, as NTP would."""
        if not self.disk.exists():
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.image / "disk.img", self.disk],
                           check=True)
            self._start()
            self._settle()
            self.save(_SNAPSHOT)
        else:
            self._start("-loadvm", snapshot)
        self.run(f"date -s @{time.time():.0f}")

    def save(self, snapshot: str) -> None:
        """Memory, devices and disk, to resume from."""
        said = self.monitor(f"savevm {snapshot}")
        assert not said.strip(), said

    def forget(self) -> None:
        """The connection that commands share is dead: the next command makes its own."""
        self._control.unlink(missing_ok=True)

    def _settle(self) -> None:
        self.run("systemctl is-system-running --wait || true; modprobe i2c-dev; sync", timeout_s=300)

    def _start(self, *more: str) -> None:
        self.serial = self.folder / "serial.log"
        command = ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "4", "qemu-system-x86_64", *_accelerator(),
                   "-M", "q35,usb=off,vmport=off,smbus=on", "-smp", "2", "-m", "1024",
                   "-nodefaults", "-display", "none", "-no-user-config", "-kernel", self.image / "vmlinuz",
                   "-initrd", self.image / "initrd.img", "-append", _KERNEL,
                   "-drive", f"file={self.disk},if=virtio,format=qcow2,cache=writeback,discard=unmap",
                   "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self._ssh_port}-:22,"
                              f"hostfwd=tcp:127.0.0.1:{self.broker_port}-:1883",
                   "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                   "-chardev", f"file,id=witness,path={self.witness}", "-device", "virtserialport,chardev=witness,name=witness",
                   "-device", "i6300esb", "-action", "watchdog=reset", "-serial", f"file:{self.serial}",
                   "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off", *more]
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def wait(self, seconds: float = 300) -> None:
        """Until it answers by ssh."""
        deadline = time.monotonic() + seconds
        while self._ssh("true", 10).returncode:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "qemu.log").read_text()[-2000:]
            if time.monotonic() > deadline:
                pytest.fail(f"the machine does not answer: {self.serial.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)

    def _ssh(self, command: str, timeout_s: float, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5", "ControlMaster=auto",
                   f"ControlPath={self._control}", "ControlPersist=600"]
        argv = ["ssh", "-q", "-p", str(self._ssh_port), "-i", str(self.image / "key"),
                *(word for option in options for word in ("-o", option)), "root@127.0.0.1", command]
        try:
            # no pipe for stderr: the shared connection that lives on would hold it open
            return subprocess.run(argv, input=given, stdin=None if given is not None else subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 255, b"", b"")

    def run(self, command: str, timeout_s: float = 120, check: bool = True, given: bytes | None = None) -> str:
        """A shell command as root; its output, stderr included. The test fails when it does, unless ``check`` is off."""
        done = self._ssh(f"( {command} ) 2>&1" if given is None else command, timeout_s, given)
        said = done.stdout.decode(errors="replace").strip()
        assert not check or done.returncode == 0, f"{command}\nexit code {done.returncode}\n{said}"
        return said

    def fetch(self, folder: str, *names: str) -> bytes:
        """Files of a folder of the guest, those that are there, as a tar archive."""
        return self._ssh(f"cd {folder} && tar -cf - $(ls -d {' '.join(names)} 2>/dev/null)", 120).stdout

    def write(self, path: str, content: str | bytes) -> None:
        """A file of the guest, and its folder."""
        data = content.encode() if isinstance(content, str) else content
        self.run(f"mkdir -p {shlex.quote(os.path.dirname(path))} && cat > {shlex.quote(path)}", given=data)

    def copy(self, source: Path, folder: str) -> None:
        """A folder's content into one of the guest's, which is emptied first."""
        packed = subprocess.run(["tar", "-C", source, "-cf", "-", "."], check=True, capture_output=True).stdout
        self.run(f"rm -rf {folder} && mkdir -p {folder} && tar -C {folder} --no-same-owner -xf -", given=packed)

    def now(self) -> float:
        """The guest's clock, UTC seconds: the host's may run at another pace."""
        return float(self.run("date +%s.%N"))

    def monitor(self, command: str) -> str:
        """A command of QEMU's monitor, and its answer."""
        return str(self._qmp("human-monitor-command", **{"command-line": command}))

    def _qmp(self, execute: str, **arguments: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(120)
            connection.connect(str(self.folder / "qmp"))
            lines = connection.makefile("rw")
            lines.readline()
            answer: dict[str, Any] = {}
            for request in ({"execute": "qmp_capabilities"}, {"execute": execute, "arguments": arguments}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                while not ({"return", "error"} & (answer := json.loads(lines.readline())).keys()):
                    pass  # an event
            assert "return" in answer, answer
            return answer["return"]

    def cut(self) -> None:
        """The power goes: whatever the guest had in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.forget()

    stop = cut
