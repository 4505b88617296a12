"""How to reach a broker: the options of the MQTT sink and the credentials that they name."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from pathlib import Path
from typing import Literal

import msgspec

from edgeinfer.errors import ConfigError, Fault

__all__ = ["MqttOptions", "TlsOptions", "check_files", "password", "tls_context"]

_CREDENTIAL = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,100})?")  # a file's name, and a word of a unit

# what devices and tutorials come with, tried first by whoever finds a broker
_DEFAULTS = {"password", "passwd", "passw0rd", "pass", "changeme", "change-me", "change_me", "changeit", "change-it", "admin",
             "administrator", "root", "user", "guest", "public", "secret", "default", "test", "mosquitto", "mqtt", "broker",
             "raspberry", "homeassistant", "edgeinfer", "letmein", "qwerty", "1234", "12345", "123456", "1234567", "12345678",
             "123456789", "0000", "00000000", "your-password", "your_password", "yourpassword", "<password>"}


_LONGEST_S = 86400  # a wait for longer is a typing error; an infinite one no timer takes


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
    session_expiry_s: int = 3600  # what is published for this device while it is away waits for it so long (MQTT 5)
    will_delay_s: int = 5  # a shorter absence is not told as "offline" (MQTT 5)

    def __post_init__(self) -> None:
        faults = [
            ("a host's name or address alone (the port is a key of its own, TLS is on)", repr(self.host)[:80], _is_host(self.host)),
            ("port between 0 and 65535", str(self.port), 0 <= self.port <= 65535),
            ("plain_text or tls, not both", "both", not (self.plain_text and self.tls)),
            ("one of password_file, password_credential", "both", not (self.password_file and self.password_credential)),
            ("a password_credential of letters, digits, '.', '_' and '-'", repr(self.password_credential)[:80],
             bool(_CREDENTIAL.fullmatch(self.password_credential))),
            ("a username to go with the password", "none", bool(self.username) or not self.has_password),
            ("keepalive_s between 1 and 65535", str(self.keepalive_s), 1 <= self.keepalive_s <= 65535),
            ("in_flight between 1 and 1000", str(self.in_flight), 1 <= self.in_flight <= 1000),
            *((f"{name} above 0, and at most {_LONGEST_S}", f"{getattr(self, name):g}", 0 < getattr(self, name) <= _LONGEST_S)
              for name in ("connect_timeout_s", "ack_timeout_s", "first_retry_s", "last_retry_s")),
            ("last_retry_s of first_retry_s or more", f"{self.last_retry_s:g}", self.last_retry_s >= self.first_retry_s),
            ("will_delay_s between 0 and 3600", str(self.will_delay_s), 0 <= self.will_delay_s <= 3600),
            (f"session_expiry_s between will_delay_s ({self.will_delay_s}) and 31536000", str(self.session_expiry_s),
             self.will_delay_s <= self.session_expiry_s <= 31536000),
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


def _is_host(text: str) -> bool:
    """No URL, no port, no brackets: only an address of IPv6 holds colons."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return 0 < len(text) <= 253 and not any(sign in ":/[]@" or sign.isspace() for sign in text)
    return True


def check_files(options: MqttOptions, where: str = "sink") -> None:
    """Raises ConfigError for credentials that are named and not there, and for a password that anyone would guess; all at
    once. ``where``: the options' place in the configuration."""
    tls = options.tls or TlsOptions()
    named = [(f"{where}.tls.{name}", getattr(tls, name)) for name in ("ca", "certificate", "key")]
    if options.has_password:
        named.append((f"{where}.password", str(_password_path(options))))
    faults = []
    for place, name in named:
        try:
            if name and not Path(name).read_bytes().strip():
                faults.append(Fault(place, "a file that is not empty", name))
        except OSError as error:
            faults.append(Fault(place, f"to read {name}", error.strerror or str(error), f"ls -l '{name}'"))
    if not faults:
        faults.extend((*_unusable(options, where), *_guessable(options, where)))
    if faults:
        raise ConfigError.of(faults)


def _unusable(options: MqttOptions, where: str) -> list[Fault]:
    """Files that are there and are no certificates, or do not belong together. Not what has expired: clocks are set late."""
    wanted = "ca, certificate and key in PEM, the key the certificate's own and without a pass phrase"
    hint = "openssl x509 -noout -subject -in FILE; openssl pkey -noout -in FILE"
    try:
        tls_context(options)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or str(error)
        if isinstance(error, ssl.SSLError):
            why = (error.reason or why).lower().replace("_", " ")
        return [Fault(f"{where}.tls", wanted, why, hint)]
    return []


def _guessable(options: MqttOptions, where: str) -> list[Fault]:
    """A name without a proof, or with one that is no secret. The password itself is never shown."""
    if options.username and not options.has_password and not (options.tls and options.tls.certificate):
        return [Fault(f"{where}.username", "a password_file, a password_credential or a client certificate with it", "none of them",
                      "(umask 077; openssl rand -base64 24 > mqtt-password), and tell the broker: mosquitto_passwd")]
    try:
        word = password(options)
    except (OSError, ValueError):  # gone since, or no UTF-8
        return [Fault(f"{where}.password", "a line of UTF-8 text", "other bytes")]
    if word is None:
        return []
    told = {"": "an empty first line", options.username.lower(): "the username"}
    why = told.get(word.strip().lower()) or ("one that every attacker tries first" if word.strip().lower() in _DEFAULTS else "")
    return [Fault(f"{where}.password", "a password of your own", why, "openssl rand -base64 24")] if why else []


def _password_path(options: MqttOptions) -> Path:
    if options.password_file:
        return Path(options.password_file)
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials/edgeinfer.service")) / options.password_credential


def password(options: MqttOptions) -> str | None:
    """The password, read anew at each connection so that it can be changed under way. Raises OSError."""
    if not options.has_password:
        return None
    text = _password_path(options).read_text(encoding="utf-8")
    return text.splitlines()[0] if text else ""


class _ClosingSocket(ssl.SSLSocket):
    """paho leaves a socket whose handshake failed to the garbage collector: a descriptor for each try."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _no_pass_phrase() -> str:
    """OpenSSL would ask for it on the terminal, and wait."""
    raise ValueError("a key with a pass phrase, which nobody is there to type")


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
        context.load_cert_chain(tls.certificate, tls.key, _no_pass_phrase)
    return context
