"""Who is enrolled, told to every decoder that compares: also to one whose model was exchanged while the daemon runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeinfer.enrolment import Register
from edgeinfer.errors import DataError, StorageError, UsageError
from edgeinfer.log import log
from edgeinfer.model.engine import Lane

__all__ = ["Introductions"]


class Introductions:
    """``refresh`` before the first frame, then each tick: a stat(2) for each lane that compares, nothing for the others.

    A set that cannot be used is told to the log once; the decoder goes on with whom it knew, or with nobody. The main thread.
    """

    def __init__(self) -> None:
        self._registers: dict[str, tuple[object, Register | None]] = {}

    def refresh(self, lanes: Mapping[str, Lane], state: Path) -> None:
        """``lanes``: as they run now, by any name that stays; ``state``: the state folder."""
        for name, lane in lanes.items():
            decoder, register = self._registers.get(name, (None, None))
            try:
                if decoder is not lane.decoder:
                    self._registers[name] = lane.decoder, None
                    register = _register(lane, state)
                    self._registers[name] = lane.decoder, register
                if register is not None and register.refresh():
                    log.info("%s: who is enrolled was read anew", name)
            except (DataError, StorageError, UsageError) as error:
                log.warning("%s: %s", name, error)


def _register(lane: Lane, state: Path) -> Register | None:
    manifest = lane.engine.bundle.manifest
    return Register.of(lane.decoder, state, manifest.files[manifest.model].sha256)
