"""A broker for the demo only: amqtt on a free loopback port, in a process of its own so that it is not in the figures."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time

from edgeinfer.errors import UnavailableError

__all__ = ["EmbeddedBroker"]


class EmbeddedBroker:
    """Started by ``with``; ``port`` answers on 127.0.0.1 until the end. Raises UnavailableError where amqtt is missing."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EmbeddedBroker:
        self._child = subprocess.Popen([sys.executable, "-m", "edgeinfer.embedded_broker", str(self.port)],
                                       stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._child.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        reason = "no answer within 20 s"
        if self._child.poll() is not None and self._child.stderr is not None:
            reason = self._child.stderr.read().decode(errors="replace").strip().splitlines()[-1:][0]
        self.__exit__()
        raise UnavailableError("embedded broker", "amqtt to listen on 127.0.0.1", reason, "pip install 'edgeinfer[demo]'")

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait(10)
            if self._child.stderr is not None:
                self._child.stderr.close()


async def _serve(port: int) -> None:
    from amqtt.broker import Broker

    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(_serve(int(sys.argv[1])))
