"""The verb ``job`` as a user runs it: usage is told before anything starts, and a dead Kafka is told soon."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from streamforest import settings
from streamforest.embedded.__main__ import main
from streamforest.embedded.broker import Broker, running
from streamforest.embedded.job import HomeKafka
from streamforest.errors import Unreachable


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which the environment names as it would for a user; no Kafka is named."""
    monkeypatch.setenv("STREAMFOREST_HOME", str(tmp_path))
    monkeypatch.delenv("STREAMFOREST_BOOTSTRAP_SERVERS", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("jobs",),
        ("job", "consume", "nothing"),
        ("job", "consum", "activity"),
        ("job", "consume", "activity", "--never"),
        ("demo", "nothing"),
        ("demo", "--never"),
        ("data", "--never"),
    ],
)
def test_wrong_usage_is_one_line_and_starts_nothing(
    home: Path, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(argv)

    told = capsys.readouterr()
    assert code == 64
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
    assert list(home.iterdir()) == []


def test_batch_needs_no_kafka(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["job", "consume", "activity", "--batch", "nowhere"])

    assert code == 65
    assert "nowhere" in capsys.readouterr().err
    assert not (home / "data" / "kafka").exists()


def test_kafka_starts_when_asked_for_and_ends_with_the_block(tmp_path: Path) -> None:
    given = settings.load(home=tmp_path)

    with HomeKafka() as kafka:
        before = running(tmp_path / "data" / "kafka")
        servers = kafka.servers(given)
        meanwhile = running(tmp_path / "data" / "kafka")

    assert before is None
    assert servers == meanwhile
    assert running(tmp_path / "data" / "kafka") is None


def test_a_dead_kafka_ends_the_block_within_seconds(tmp_path: Path) -> None:
    given = settings.load(home=tmp_path)
    handler = signal.getsignal(signal.SIGUSR1)
    started = time.monotonic()

    with Broker(tmp_path / "data" / "kafka", given) as broker, pytest.raises(Unreachable, match="ended meanwhile"):
        use_for_a_minute_and_kill(broker, given)

    assert time.monotonic() - started < 60
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_demo_refuses_a_home_whose_kafka_is_in_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Broker(home / "data" / "kafka", settings.load()) as broker:
        code = main(["demo", "--generate"])

    assert code == 65
    assert broker.bootstrap_servers in capsys.readouterr().err
    assert {path.name for path in (home / "data").iterdir()} == {"kafka"}


def use_for_a_minute_and_kill(broker: Broker, given: settings.Settings) -> None:
    with HomeKafka() as kafka:
        kafka.servers(given)
        broker.kill()
        time.sleep(60)
