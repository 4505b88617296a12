"""The models, the broker and the witness of the daemon's tests; a store to attack."""

from tests.attacks.yard import eibs, two, yard
from tests.e2e.conftest import broker, models, subscriber

__all__ = ["broker", "eibs", "models", "subscriber", "two", "yard"]
