"""Staying connected: one link after the other, with back-off, in the version of MQTT that the broker speaks."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from edgeinfer.log import log
from edgeinfer.mqtt.broker import MqttOptions
from edgeinfer.mqtt.link import Address, Down, Event, Link, Up
from edgeinfer.mqtt.message import Message

__all__ = ["Connection"]


class Connection:
    """Belongs to the network thread; ``state`` may be read by any. ``lasting``: the broker shall keep what comes for us while
    we are away. ``meanwhile``: what the log is told of an outage's consequence.

    The log is told when the state changes, and each reason of an outage once, never each try.
    """

    def __init__(self, options: MqttOptions, client_id: str, will: str, post: Callable[[Event], None],
                 hear: Callable[[Message], None], *, lasting: bool = True,
                 meanwhile: str = "results wait in the outbox") -> None:
        self.connected = False
        self.link: Link | None = None
        self.maximum_packet = 0
        self.retains = True
        self.topics: tuple[str, ...] = ()  # to subscribe to; set before the first link
        self._options = options
        self._lasting, self._meanwhile = lasting, meanwhile
        self._client_id, self._will, self._post, self._hear = client_id, will, post, hear
        self._protocol = "3.1.1" if options.protocol == "3.1.1" else "5"
        self._settled = False  # this version has worked
        self._retry_at = 0.0
        self._retry_s = options.first_retry_s
        self._connects = 0
        self._up_at = 0.0
        self._worked = False  # the broker has acknowledged something over this link
        self._since = _now()
        self._last_error = ""
        self._told: set[str] = set()  # reasons of this outage that the log has
        self._noted: set[str] = set()  # troubles that the log has

    @property
    def connecting(self) -> bool:
        """A link is being made, and has neither failed nor succeeded."""
        return self.link is not None and not self.connected

    def due(self) -> float | None:
        """When the next link should be tried (CLOCK_MONOTONIC, s); None while there is one."""
        return self._retry_at if self.link is None else None

    def advance(self, now: float) -> None:
        """Start the next link if it is due."""
        if self.link is None and now >= self._retry_at:
            self.link = Link(self._options, self._address(), self._protocol, self._post, self._hear)
            self.link.start()

    def _address(self) -> Address:
        """Who hears nothing needs the session for the will's delay only, and forgets the one of an earlier configuration."""
        if not self._lasting:
            return Address(self._client_id, self._will, self.topics)
        listens = bool(self.topics)
        clean = not listens and (not self._connects or self._protocol == "3.1.1")
        session_s = self._options.session_expiry_s if listens else self._options.will_delay_s
        return Address(self._client_id, self._will, self.topics, clean, session_s)

    def up(self, event: Up, now: float) -> None:
        """The link that we have is accepted."""
        self.connected, self._settled, self._worked = True, True, False
        self.maximum_packet, self.retains = event.maximum_packet, event.retains
        self._connects += 1
        self._up_at = now
        self._since = _now()
        self._told.clear()
        log.info("broker %s: connected, MQTT %s", self.broker, self._protocol)
        if not event.retains:
            self.note("it keeps no retained messages: who comes late sees no state")

    def worked(self) -> None:
        """The broker has acknowledged something."""
        self._worked = True

    def down(self, event: Down, now: float) -> None:
        """The link that we have is over: the next comes after the back-off, at once in the other version of MQTT."""
        # Two clients of one name throw each other out for ever, each at once after it was accepted: only a connection that
        # was good for longer than the waiting before it ends the back-off.
        if self._worked and now - self._up_at > 4 * self._retry_s:
            self._retry_s = self._options.first_retry_s
        self.link, self._worked = None, False
        self._tell(event.reason)
        if self._options.protocol == "auto" and (event.unsupported or (event.unanswered and not self._settled)):
            self._protocol = "3.1.1" if self._protocol == "5" else "5"
            if self._protocol == "3.1.1":
                self._retry_at = now
                return
        if event.stay_away:
            self._retry_s = self._options.last_retry_s
        self._retry_at = now + self._retry_s * random.uniform(0.75, 1.25)  # noqa: S311  jitter, not a secret
        self._retry_s = min(self._retry_s * 2, self._options.last_retry_s)

    def cut(self, reason: str) -> None:
        """Give the link up for a reason of our own."""
        if self.link is not None:
            self._tell(reason)
            self.link.cut(reason)

    def _tell(self, reason: str) -> None:
        if self.connected:
            self.connected = False
            self._since = _now()
        self._last_error = reason
        if reason not in self._told and len(self._told) < 8:
            self._told.add(reason)
            log.warning("broker %s: %s; %s", self.broker, reason, self._meanwhile)

    def note(self, trouble: str) -> None:
        """Show in ``state`` what went wrong without an end of the connection; each is told to the log once."""
        self._last_error = trouble
        if trouble not in self._noted and len(self._noted) < 64:
            self._noted.add(trouble)
            log.warning("broker %s: %s", self.broker, trouble)

    @property
    def broker(self) -> str:
        """host:port"""
        host, port = self._options.address
        return f"{host}:{port}"

    def state(self) -> dict[str, Any]:
        """For health. ``since``: when the connection came up or went down (UTC)."""
        return {"broker": self.broker, "connected": self.connected, "since": self._since,
                "protocol": self._protocol if self.connected else "", "reconnects": max(self._connects - 1, 0),
                "last_error": self._last_error}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
