"""The properties of MQTT 5 packets that we send (MQTT 5.0, 2.2.2), as paho wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paho.mqtt.properties import Properties

__all__ = ["of_connect", "of_publish", "of_will"]


def of_connect(session_s: int, receive_maximum: int, maximum_packet: int) -> Properties:
    """``session_s``: how long the broker keeps the session without us. The rest bounds what it sends us."""
    return _properties("CONNECT", SessionExpiryInterval=session_s, ReceiveMaximum=receive_maximum,
                       MaximumPacketSize=maximum_packet)


def of_will(delay_s: int) -> Properties:
    """The will is told when we are not back after so long."""
    return _properties("WILLMESSAGE", WillDelayInterval=delay_s)


def of_publish(expiry_s: float, correlation: bytes) -> Properties | None:
    """None where there is nothing to say."""
    given: dict[str, Any] = {}
    if expiry_s:
        given["MessageExpiryInterval"] = min(max(round(expiry_s), 1), 0xFFFFFFFF)
    if correlation:
        given["CorrelationData"] = correlation
    return _properties("PUBLISH", **given) if given else None


def _properties(packet: str, **values: Any) -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    made = Properties(getattr(PacketTypes, packet))  # type: ignore[no-untyped-call]  # paho leaves this one untyped
    for name, value in values.items():
        setattr(made, name, value)
    return made
