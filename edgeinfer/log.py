"""Logging, set up once by the outermost place. Everything goes to stderr; systemd's journal gets level prefixes."""

from __future__ import annotations

import logging
import os
import sys

__all__ = ["log", "set_up"]

log = logging.getLogger("edgeinfer")

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _JournalFormatter(logging.Formatter):
    """Prefixes each line with the priority that the journal understands (sd-daemon(3)); it adds the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITY.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in record.getMessage().splitlines())


def set_up(verbose: bool = False) -> None:
    """Send the log to stderr. Called once, from the command line."""
    stream = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        stream.setFormatter(_JournalFormatter())
    else:
        stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.handlers[:] = [stream]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
