"""A daemon within the test's own process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import yaml

from edgeinfer.daemon import Daemon

__all__ = ["Running"]


class Running:
    """A daemon on a thread of this process, so that its methods can be called."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        path = folder / "edgeinfer.yaml"
        path.write_text(yaml.safe_dump(config))
        started = threading.Event()
        self.daemon = Daemon(path, lambda _: started.set())
        self._thread = threading.Thread(target=self.daemon.run, daemon=True)
        self._thread.start()
        assert started.wait(30)

    def __enter__(self) -> Daemon:
        return self.daemon

    def __exit__(self, *_: object) -> None:
        self.daemon.request_stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
