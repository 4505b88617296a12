"""The broker and the listener of the sinks' tests."""

from tests.sinks.conftest import broker, listener

__all__ = ["broker", "listener"]
