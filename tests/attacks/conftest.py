"""The models, the broker and the witness of the daemon's tests."""

from tests.e2e.conftest import broker, models, subscriber

__all__ = ["broker", "models", "subscriber"]
