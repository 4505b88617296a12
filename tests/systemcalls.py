"""What a program asked the kernel to write, send, open and listen on: strace, read."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

__all__ = ["SystemCalls"]

_WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
_WAYS_AROUND = ("sendfile", "splice", "vmsplice", "tee", "copy_file_range")
_OPENS = ("open", "openat", "creat")
_CALLS = (*_WRITES, *_WAYS_AROUND, *_OPENS, "memfd_create", "mmap", "bind", "listen", "execve")
_LINE = re.compile(r"(?P<process>\d+) +(?P<call>\w+)\((?P<arguments>.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class SystemCalls:
    """``under`` runs a program so that ``path`` tells of it and of its children; then ``read``.

    Programs of ``others`` (by name) are not counted: a source's command is a camera of its own.
    """

    def __init__(self, path: Path, others: tuple[str, ...] = ()) -> None:
        if shutil.which("strace") is None:
            pytest.skip("needs strace: apt install strace")
        self.path = path
        self.written: list[bytes] = []
        self.opened: set[str] = set()
        self.listening: list[str] = []
        self.around: list[str] = []
        self._others = others
        self.under = ("strace", "-D", "-f", "--seccomp-bpf", "-qqq", "-xx", "-y", "-s", "1000000", "--signal=none",
                      "-e", f"trace={','.join(f'?{call}' for call in _CALLS)}", "-o", str(path))

    def read(self) -> None:
        strangers: set[str] = set()
        with self.path.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                match = _LINE.match(line)
                if match is None:
                    continue
                process, call, arguments = match.group("process", "call", "arguments")
                if call == "execve":
                    (strangers.add if Path(_texts(arguments)[0].decode()).name in self._others else strangers.discard)(process)
                elif process not in strangers:
                    self._note(call, arguments)

    def _note(self, call: str, arguments: str) -> None:
        if call in _WRITES:
            self.written += _texts(arguments)
        elif call in _OPENS and re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_APPEND|O_TMPFILE", arguments):
            self.opened.add(_texts(arguments)[0].decode())
        elif call == "memfd_create":  # a file without a place: what is written to it is seen, unless it is mapped
            self.opened.add(f"memfd:{_texts(arguments)[0].decode()}")
        elif call == "listen":
            self.listening.append(arguments.strip())
        elif call in _WAYS_AROUND or (call == "mmap" and "MAP_SHARED" in arguments and "PROT_WRITE" in arguments
                                      and "MAP_ANONYMOUS" not in arguments):
            self.around.append(f"{call}({arguments.strip()}")


def _texts(arguments: str) -> list[bytes]:
    return [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
