"""Certificates of the platform: who trusts the authority trusts the services, and keys stay private."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamforest.errors import BadInput
from streamforest.platform import certificates

NAMES = ["localhost", "127.0.0.1"]
OWNERS = {"web": os.getuid(), "kafka": os.getuid()}


@contextlib.contextmanager
def served(pem: Path) -> Iterator[int]:
    """The port of a server that shakes hands with one client and hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def answer(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def call(port: int, name: str, authority: Path | None) -> None:
    """Shake hands; raises where the server is not to be trusted."""
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name),
    ):
        pass


@pytest.mark.parametrize("name", [*NAMES, "web"])
def test_who_trusts_the_authority_trusts_the_service(tmp_path: Path, name: str) -> None:
    certificates.make(tmp_path, NAMES, OWNERS)

    with served(tmp_path / "web.pem") as port:
        call(port, name, tmp_path / "ca.pem")


def test_without_the_authority_nobody_trusts_it(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificates.make(tmp_path, NAMES, OWNERS)
    certificates.make(tmp_path / "other", NAMES, OWNERS)

    for authority in (None, tmp_path / "other" / "ca.pem"):
        with served(tmp_path / "web.pem") as port, pytest.raises(ssl.SSLCertVerificationError):
            call(port, "localhost", authority)


def test_another_name_is_not_trusted(tmp_path: Path) -> None:
    certificates.make(tmp_path, NAMES, OWNERS)

    with served(tmp_path / "web.pem") as port, pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        call(port, "elsewhere", tmp_path / "ca.pem")


def test_only_their_owner_reads_keys(tmp_path: Path) -> None:
    certificates.make(tmp_path, NAMES, OWNERS)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "web.pem": 0o600, "kafka.pem": 0o600}
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


def test_what_is_good_stays(tmp_path: Path) -> None:
    certificates.make(tmp_path, NAMES, OWNERS)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    assert certificates.make(tmp_path, NAMES, OWNERS) == []
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_new_names_and_damage_are_new_certificates_of_the_same_authority(tmp_path: Path) -> None:
    certificates.make(tmp_path, NAMES, OWNERS)
    authority, before = (tmp_path / "ca.pem").read_bytes(), certificates.digest(tmp_path, list(OWNERS))
    (tmp_path / "kafka.pem").write_bytes(b"torn")

    assert certificates.make(tmp_path, NAMES, OWNERS) == ["kafka"]
    assert certificates.make(tmp_path, [*NAMES, "10.0.0.5"], OWNERS) == ["web", "kafka"]
    assert (tmp_path / "ca.pem").read_bytes() == authority
    assert certificates.digest(tmp_path, list(OWNERS)) != before


def test_what_ends_soon_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "SERVICE_DAYS", certificates.RENEWED_DAYS - 1)
    certificates.make(tmp_path, NAMES, OWNERS)
    monkeypatch.undo()

    assert certificates.make(tmp_path, NAMES, OWNERS) == ["web", "kafka"]
    until = certificates.authority(tmp_path).certificate.not_valid_after_utc
    assert until > datetime.now(UTC) + timedelta(days=certificates.SERVICE_DAYS)


def test_a_damaged_authority_is_named_and_not_replaced(tmp_path: Path) -> None:
    certificates.make(tmp_path, NAMES, OWNERS)
    (tmp_path / "ca.pem").write_bytes(b"torn")

    with pytest.raises(BadInput, match="are no pair; remove both"):
        certificates.make(tmp_path, NAMES, OWNERS)
