import socket
from pathlib import Path

import pytest

from streamforest import settings
from streamforest.embedded import doctor
from streamforest.kafka import Kafka


def java_that_says(folder: Path, version: str) -> str:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 10), "MISSING"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "MISSING")]
)
def test_only_the_locked_pythons_fit(version: tuple[int, int], verdict: str) -> None:
    assert doctor.python(version).verdict == verdict


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("1.8.0_402", "MISSING"), ("11.0.2", "MISSING"), ("17.0.15", "ok"), ("21", "ok"), ("25-ea", "MISSING")],
)
def test_only_java_17_and_21_fit(tmp_path: Path, version: str, verdict: str) -> None:
    assert doctor.java_runtime(java_that_says(tmp_path, version)).verdict == verdict


def test_an_unfit_java_is_named_with_the_cure(tmp_path: Path) -> None:
    row = doctor.java_runtime(java_that_says(tmp_path, "11.0.2")).row

    assert row.startswith("MISSING java")
    assert "is Java 11, which is unfit; install Java 17 or 21" in row


def test_an_absent_java_is_named(tmp_path: Path) -> None:
    found = doctor.java_runtime(str(tmp_path))

    assert found.verdict == "MISSING"
    assert str(tmp_path) in found.found


def test_packages_that_differ_from_the_lock_are_named(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text(
        "pytest==0.0.1 \\\n    --hash=sha256:00\nno-such-package==1 \\\n    --hash=sha256:00\n"
        "other==1 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    )

    found = doctor.packages(lock)

    assert found.verdict == "MISSING"
    assert found.found == "0 of 2 as locked"
    assert "wrong: no-such-package, pytest" in found.cure


def test_a_kafka_that_does_not_answer_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{closed.getsockname()[1]}"

        found = doctor.kafka(Kafka(server))

    assert found.verdict == "MISSING"
    assert server in found.found


def test_jars_that_are_not_there_yet_are_no_failure(tmp_path: Path) -> None:
    found = doctor.jar_files(tmp_path)

    assert found.verdict == "absent"
    assert found.found.startswith("0 of ")


def test_what_is_missing_sets_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = settings.load(home=tmp_path, environ={"HOME": str(tmp_path), "JAVA_HOME": str(tmp_path)})
    monkeypatch.setattr(settings, "load", lambda: given)

    status = doctor.main()

    assert status == 69
    assert "MISSING java" in capsys.readouterr().out
