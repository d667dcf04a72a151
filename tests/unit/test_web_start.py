"""What starting the pages needs, and how it is told when it is not there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamforest import settings
from streamforest.embedded import serve
from streamforest.errors import WrongUsage
from streamforest.web import __main__ as web
from streamforest.web import catalogue

KAFKA = "127.0.0.1:9"


def test_without_a_model_the_command_that_makes_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = serve.main(["--home", str(tmp_path)])

    assert code == 65
    assert f"./control_env.sh demo flights --home {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_kafka_the_setting_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMFOREST_BOOTSTRAP_SERVERS", raising=False)

    code = web.main(["--home", str(tmp_path)])

    assert code == 64
    assert "STREAMFOREST_BOOTSTRAP_SERVERS" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        code = web.main(["--home", str(tmp_path), "--bootstrap-servers", KAFKA, "--port", str(port)])

    assert code == 69
    assert f"cannot listen at 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"), [("PORT", "x"), ("PORT", "70000"), ("RATE", "0"), ("TIMEOUT_S", "nan"), ("QUEUE", "-1")]
)
def test_a_setting_without_a_meaning_is_told(name: str, text: str) -> None:
    with pytest.raises(WrongUsage, match=f"STREAMFOREST_WEB_{name}"):
        settings.web({f"STREAMFOREST_WEB_{name}": text})


def test_the_package_brings_airlines_airports_and_distances(tmp_path: Path) -> None:
    known, distances = catalogue.load(tmp_path)

    assert known.carriers["DL"] == "Delta Air Lines Inc."
    assert "JFK" in list(known.airports)[:120]
    assert known.distance("JFK", "LAX") == 2475
    assert known.distance("JFK", "XXX") is None
    # Nobody flew it that year; the way over a sphere is half a percent off at most.
    assert known.distance("LHR", "CDG") == pytest.approx(216, abs=2)
    by_pair = {(one["Origin"], one["Dest"]): one for one in distances}
    assert by_pair["JFK", "LAX"]["GreatCircle"] is False
    assert by_pair["LAX", "JFK"]["GreatCircle"] is True
