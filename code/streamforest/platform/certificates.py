"""Keys and certificates of what the platform publishes: ``python -m streamforest.platform.certificates FOLDER NAMES``.

A folder gets an authority of its own (``ca.key``, ``ca.pem``) and, for each service, a key with its certificate in one
file (``kafka.pem``, ``web.pem``), which its service's user alone may read. What is there and still good stays: the
authority for its ten years, a service's file until a month before its end or until other names are asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streamforest import cli, files
from streamforest.errors import BadInput, WrongUsage
from streamforest.progress import say

AUTHORITY = "streamforest local CA"
AUTHORITY_DAYS, SERVICE_DAYS, RENEWED_DAYS = 3650, 825, 30
_PRIVATE, _PUBLIC = 0o600, 0o644


@dataclass(frozen=True)
class Pair:
    """A private key and the certificate over its public half."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        kind, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, kind, none)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def authority(folder: Path) -> Pair:
    """The authority of a folder, made where there is none.

    Raises:
        BadInput: its files are damaged, or no pair.
    """
    key, certificate = folder / "ca.key", folder / "ca.pem"
    if not key.exists():
        made = _authority()
        files.write_bytes(key, made.key_pem, _PRIVATE)
        files.write_bytes(certificate, made.certificate_pem, _PUBLIC)
    found = _read(key.read_bytes(), certificate.read_bytes() if certificate.exists() else b"")
    if found is None:
        raise BadInput(f"{key} and {certificate} are no pair", "remove both, and let clients trust the new one")
    return found


def service(folder: Path, name: str, names: Sequence[str], signer: Pair) -> bool:
    """Make ``NAME.pem`` fit the names (of hosts, or addresses); returns whether it was made anew."""
    path = folder / f"{name}.pem"
    if path.exists() and _good(_read(path.read_bytes(), path.read_bytes()), names, signer):
        return False
    made = _service(name, names, signer)
    files.write_bytes(path, made.key_pem + made.certificate_pem + signer.certificate_pem, _PRIVATE)
    return True


def make(folder: Path, names: Sequence[str], owners: Mapping[str, int]) -> list[str]:
    """Bring the files of all services up to date; returns the names of those that were made anew.

    Clients call the services by ``names``; ``owners`` has the numeric user of each.
    """
    signer = authority(folder)
    made = []
    for name, owner in owners.items():
        if service(folder, name, [*names, name], signer):
            made.append(name)
        # Only root may give files away; a test is somebody else.
        with contextlib.suppress(PermissionError):
            os.chown(folder / f"{name}.pem", owner, -1)
    return made


def digest(folder: Path, services: Sequence[str]) -> str:
    """What tells the services' certificates from any others; no secret."""
    found = hashlib.sha256()
    for name in services:
        found.update(x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).fingerprint(hashes.SHA256()))
    return found.hexdigest()


def _good(found: Pair | None, names: Sequence[str], signer: Pair) -> bool:
    if found is None or found.certificate.issuer != signer.certificate.subject:
        return False
    try:
        found.certificate.verify_directly_issued_by(signer.certificate)
    except Exception:
        # By another authority of the same name.
        return False
    told = found.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    until = found.certificate.not_valid_after_utc - timedelta(days=RENEWED_DAYS)
    return told == _alternatives(names) and datetime.now(UTC) < until


def _read(key: bytes, certificate: bytes) -> Pair | None:
    """The pair in PEM; None where it is damaged or the halves do not belong together."""
    try:
        private = serialization.load_pem_private_key(key, None)
        public = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != public.public_key():
        return None
    return Pair(private, public)


def _authority() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)])
    usage = _usage(signs=True)
    builder = _builder(name, key, AUTHORITY_DAYS).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Pair(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


def _service(name: str, names: Sequence[str], signer: Pair) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"streamforest {name}")])
    issuer = signer.certificate.public_key()
    assert isinstance(issuer, ec.EllipticCurvePublicKey)  # noqa: S101  # what authority() makes
    builder = _builder(subject, key, SERVICE_DAYS).issuer_name(signer.certificate.subject)
    builder = builder.add_extension(_alternatives(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return Pair(key, builder.add_extension(_usage(signs=False), critical=True).sign(signer.key, hashes.SHA256()))


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks differ.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def main(argv: Sequence[str]) -> int:
    """Make what is missing or old: FOLDER, NAME[,NAME...], then SERVICE=UID each; prints the digest of all."""

    def command() -> None:
        if len(argv) < 3:
            raise WrongUsage("the folder, names and services are missing", "give FOLDER NAME,NAME SERVICE=UID ...")
        folder, names, *services = argv
        owners = {name: int(owner) for name, _, owner in (each.partition("=") for each in services)}
        made = make(Path(folder), [name for name in names.split(",") if name], owners)
        say(f"certificates: {'new ones of ' + ', '.join(made) if made else 'all good'}")
        say(digest(Path(folder), list(owners)), sys.stdout)

    return cli.outcome(command, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
