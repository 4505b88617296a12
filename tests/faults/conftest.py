"""The broker and the listener of the sinks' tests, and the models and the witness of the daemon's."""

from tests.e2e.conftest import models, subscriber
from tests.sinks.conftest import broker, listener

__all__ = ["broker", "listener", "models", "subscriber"]
