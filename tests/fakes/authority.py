"""A certificate authority of a test's own, by openssl, as Docker's instructions for a daemon over TLS have it."""

from __future__ import annotations

import subprocess
from pathlib import Path

KEY = ("-newkey", "rsa:2048", "-nodes")


class Authority:
    """`folder/ca.pem` is its own certificate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._openssl(
            "req", "-x509", *KEY, "-days", "2", "-subj", f"/CN={folder.name}", "-keyout", "ca.key", "-out", "ca.pem"
        )

    def sign(self, folder: Path, use: str, name: str = "IP:127.0.0.1") -> Path:
        """Return `folder` with ca.pem, and cert.pem and key.pem for `use` (`serverAuth`, `clientAuth`) in it."""
        folder.mkdir()
        (folder / "ca.pem").write_bytes(self.certificate.read_bytes())
        (folder / "use").write_text(f"subjectAltName={name}\nextendedKeyUsage={use}\n")
        self._openssl("req", *KEY, "-subj", f"/CN={use}", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/request")
        words = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{folder}/use")
        self._openssl("x509", "-req", "-in", f"{folder}/request", *words, "-out", f"{folder}/cert.pem")
        return folder

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=True)
