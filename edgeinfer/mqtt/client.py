"""paho's client, with a bound on what it keeps of one packet. Imported where a link is made: only who has a broker needs paho."""

from __future__ import annotations

from paho.mqtt.client import Client

from edgeinfer.mqtt.listening import MAX_PAYLOAD

__all__ = ["BoundedClient"]

_KEPT = MAX_PAYLOAD + 64 * 1024 + 1024  # bytes: the longest topic, properties, and a payload that is known to be too long
_SLICE = 64 * 1024


class BoundedClient(Client):
    """MQTT 3.1.1 cannot say how long a packet may be, and a broker of 5 need not keep to it: paho would gather up to 256 MB. The
    end of a longer one is read and left; it is acknowledged, so that it does not come again."""

    def _sock_recv(self, bufsize: int) -> bytes:
        packet = self._in_packet["packet"]
        if len(packet) > _KEPT:
            del packet[_KEPT:]
        return super()._sock_recv(min(bufsize, _SLICE))
