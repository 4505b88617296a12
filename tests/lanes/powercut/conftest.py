"""A machine whose power goes, and its disk read on the host afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.lanes.vm.machine import Machine, lanes_folder

ROUNDS = int(os.environ.get("EDGEINFER_ROUNDS", "20"))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(lanes_folder() / "vm", tmp_path_factory.mktemp("powercut"))
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def disk(machine: Machine) -> Callable[[], AbstractContextManager[Path]]:
    """The guest's root file system after a cut, mounted on the host, which replays its journal as a boot would."""
    @contextmanager
    def mounted() -> Iterator[Path]:
        image, place = machine.folder / "disk.raw", machine.folder / "disk"
        place.mkdir(exist_ok=True)
        subprocess.run(["qemu-img", "convert", "-q", "-O", "raw", machine.disk, image], check=True)
        subprocess.run(["mount", "-o", "loop,noatime", image, place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
            image.unlink()
    return mounted
