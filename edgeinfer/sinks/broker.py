"""How to reach a broker: the options of the MQTT sink and the credentials that they name."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Literal

import msgspec

from edgeinfer.errors import ConfigError, Fault

__all__ = ["MqttOptions", "TlsOptions", "check_files", "password", "tls_context"]


class TlsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files in PEM format. Without ``ca`` the system's authorities are trusted. There is no way not to verify."""

    ca: str = ""
    certificate: str = ""  # of this device, where the broker asks for one
    key: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("expected certificate and key together, got only one of them")


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS is on unless ``plain_text: true`` says otherwise in words. Times are in seconds."""

    host: str
    port: int = 0  # 0: 8883, or 1883 in plain text
    plain_text: bool = False
    tls: TlsOptions | None = None
    username: str = ""
    password_file: str = ""  # the first line of a file
    password_credential: str = ""  # a name under $CREDENTIALS_DIRECTORY: systemd's LoadCredential=
    client_id: str = ""  # empty: edgeinfer-<node>
    protocol: Literal["auto", "5", "3.1.1"] = "auto"  # auto: 5, and 3.1.1 for a broker that refuses it
    keepalive_s: int = 30
    in_flight: int = 20  # results sent and not yet acknowledged
    connect_timeout_s: float = 10.0
    ack_timeout_s: float = 10.0  # a broker that does not acknowledge is left: paho waits for ever
    first_retry_s: float = 1.0
    last_retry_s: float = 60.0

    def __post_init__(self) -> None:
        faults = [
            ("a host", "an empty one", bool(self.host)),
            ("port between 0 and 65535", str(self.port), 0 <= self.port <= 65535),
            ("plain_text or tls, not both", "both", not (self.plain_text and self.tls)),
            ("one of password_file, password_credential", "both", not (self.password_file and self.password_credential)),
            ("a username to go with the password", "none", bool(self.username) or not self.has_password),
            ("keepalive_s between 1 and 65535", str(self.keepalive_s), 1 <= self.keepalive_s <= 65535),
            ("in_flight between 1 and 1000", str(self.in_flight), 1 <= self.in_flight <= 1000),
            ("times above 0", "another", min(self.connect_timeout_s, self.ack_timeout_s, self.first_retry_s) > 0),
            ("last_retry_s of first_retry_s or more", f"{self.last_retry_s:g}", self.last_retry_s >= self.first_retry_s),
        ]
        for expected, got, right in faults:
            if not right:
                raise ValueError(f"expected {expected}, got {got}")

    @property
    def has_password(self) -> bool:
        return bool(self.password_file or self.password_credential)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port or (1883 if self.plain_text else 8883)


def check_files(options: MqttOptions) -> None:
    """Raises ConfigError for credentials that are named and not there, all at once."""
    tls = options.tls or TlsOptions()
    named = [("sink.tls.ca", tls.ca), ("sink.tls.certificate", tls.certificate), ("sink.tls.key", tls.key)]
    if options.has_password:
        named.append(("sink.password", str(_password_path(options))))
    faults = []
    for where, name in named:
        try:
            if name and not Path(name).read_bytes().strip():
                faults.append(Fault(where, "a file that is not empty", name))
        except OSError as error:
            faults.append(Fault(where, f"to read {name}", error.strerror or str(error), f"ls -l '{name}'"))
    if faults:
        raise ConfigError.of(faults)


def _password_path(options: MqttOptions) -> Path:
    if options.password_file:
        return Path(options.password_file)
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials/edgeinfer.service")) / options.password_credential


def password(options: MqttOptions) -> str | None:
    """The password, read anew at each connection so that it can be changed under way. Raises OSError."""
    if not options.has_password:
        return None
    text = _password_path(options).read_text()
    return text.splitlines()[0] if text else ""


class _ClosingSocket(ssl.SSLSocket):
    """paho leaves a socket whose handshake failed to the garbage collector: a descriptor for each try."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(options: MqttOptions) -> ssl.SSLContext | None:
    """A context that verifies the broker's name and chain, TLS 1.2 or later; None for plain text. Raises OSError."""
    if options.plain_text:
        return None
    tls = options.tls or TlsOptions()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _ClosingSocket
    if tls.ca:
        context.load_verify_locations(tls.ca)
    else:
        context.load_default_certs()
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context
