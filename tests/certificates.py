"""Certificates for a test: an authority, a broker's and a device's certificate, and an authority that nobody trusts."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """PEM files in ``folder``, made with the openssl command: ca.crt, server.crt/.key, device.crt/.key, stranger.crt."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = self._authority("ca")
        self.stranger = self._authority("stranger")
        self.server = self._signed("server", "serverAuth", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.device = self._signed("device", "clientAuth", "subjectAltName=DNS:device")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def _authority(self, name: str) -> Path:
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        return self.folder / f"{name}.crt"

    def _signed(self, name: str, usage: str, names: str) -> tuple[Path, Path]:
        """Certificate and key, signed by the authority."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"{names}\nextendedKeyUsage={usage}\nauthorityKeyIdentifier=keyid\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "2", "-out", f"{name}.crt", "-extfile", extensions.name)
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def lock(self, name: str) -> Path:
        """The same key under a pass phrase."""
        self._openssl("pkey", "-in", f"{name}.key", "-aes256", "-passout", "pass:secret", "-out", f"{name}.locked.key")
        return self.folder / f"{name}.locked.key"
