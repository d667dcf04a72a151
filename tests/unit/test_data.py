"""The verb ``data``: what is there stays, what is missing is fetched or else made."""

from __future__ import annotations

import dataclasses
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from streamforest import application as contract
from streamforest import files, settings, synthetic
from streamforest.application import Application, Inputs
from streamforest.embedded import data
from streamforest.errors import BadInput, Unreachable, WrongUsage
from streamforest.settings import Settings

HISTORY, LIVE, EXTRA = "history.txt", "live.txt", "people.txt"


def generate(folder: Path, seed: int) -> None:
    for name in (HISTORY, LIVE):
        (folder / name).write_text(f"{synthetic.MARK} made {seed}\n")


def download(folder: Path) -> None:
    for name in (HISTORY, LIVE, EXTRA):
        (folder / name).write_text("real\nreal\n")


def unreachable(folder: Path) -> None:
    (folder / HISTORY).write_text("half")
    raise Unreachable("nobody there", "wait")


def made(fetch: Callable[[Path], None] | None) -> Application:
    """The first application there is, with other files."""
    packages = settings.load().applications
    known = contract.load(contract.names(packages)[0], packages)
    inputs = Inputs(history=HISTORY, live=LIVE, generate=generate, download=fetch)
    return dataclasses.replace(known, name="made", prefix="made", inputs=inputs)


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    return settings.load(home=tmp_path, environ={})


@pytest.fixture
def folder(given: Settings) -> Path:
    return given.data / "made"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_the_real_files_are_fetched_where_none_are(given: Settings, folder: Path) -> None:
    origin = data.ensure(made(download), given)

    assert origin == "downloaded"
    assert contents(folder) == dict.fromkeys((HISTORY, LIVE, EXTRA), "real\nreal\n")


@pytest.mark.parametrize("fetch", [unreachable, None])
def test_synthetic_files_are_made_where_nothing_can_be_fetched(
    given: Settings, folder: Path, fetch: Callable[[Path], None] | None
) -> None:
    origin = data.ensure(made(fetch), given, seed=3)

    assert origin == "generated"
    assert contents(folder) == dict.fromkeys((HISTORY, LIVE), f"{synthetic.MARK} made 3\n")


def test_what_is_there_stays(given: Settings, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{HISTORY}.xz").write_bytes(lzma.compress(b"mine"))
    (folder / LIVE).write_text("mine")

    origin = data.ensure(made(download), given)

    assert origin == "present"
    assert sorted(path.name for path in folder.iterdir()) == [f"{HISTORY}.xz", LIVE]


def test_only_what_is_missing_is_added(given: Settings, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / HISTORY).write_text("mine")

    data.ensure(made(download), given, way="generate")

    assert contents(folder) == {HISTORY: "mine", LIVE: f"{synthetic.MARK} made 0\n"}


def test_force_replaces_what_is_there(given: Settings, folder: Path) -> None:
    data.ensure(made(None), given)

    origin = data.ensure(made(download), given, way="download", force=True)

    assert origin == "downloaded"
    assert contents(folder)[HISTORY] == "real\nreal\n"


def test_a_failed_download_that_was_asked_for_changes_nothing(given: Settings, folder: Path) -> None:
    with pytest.raises(Unreachable, match="nobody there"):
        data.ensure(made(unreachable), given, way="download")

    assert list(folder.iterdir()) == []


def test_asking_for_an_archive_that_does_not_exist_is_wrong_usage(given: Settings) -> None:
    with pytest.raises(WrongUsage, match="no archive to fetch; use --generate"):
        data.ensure(made(None), given, way="download")


def test_a_second_run_beside_the_first_is_refused(given: Settings) -> None:
    application = made(download)

    with (
        files.exclusive(contract.places(application, given).locks / "data.lock", "data made"),
        pytest.raises(BadInput, match="data made is running already"),
    ):
        data.ensure(application, given)


def test_the_description_tells_real_from_synthetic_and_missing(given: Settings, folder: Path) -> None:
    application = made(download)
    folder.mkdir(parents=True)
    before = data.describe(application, given)

    data.ensure(application, given)
    (folder / LIVE).write_text(f"{synthetic.MARK}\n")
    after = data.describe(application, given)

    assert [line.split()[-1] for line in before] == ["missing", "missing"]
    assert [line.split()[-1] for line in after] == ["real", "synthetic"]
    assert "2 lines" in after[0]


def test_the_verb_makes_the_files_of_every_application_and_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = data.main(["--home", str(tmp_path), "--generate", "--seed", "1"])

    shown = capsys.readouterr().out
    assert code == 0
    given = settings.load().applications
    made = [found for name in contract.names(given) if (found := contract.load(name, given)).inputs.unpack is None]
    assert all(f"{application.name}: raw files generated" in shown for application in made)
    assert shown.count("synthetic") == 2 * len(made)


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["nosuch"], 64, "unknown application 'nosuch'"),
        (["--download", "--generate"], 64, "not allowed with"),
        (["--seed", "x"], 64, "invalid int value"),
        (["--home", "/nowhere/at/all"], 65, "is not a folder"),
    ],
)
def test_wrong_use_is_one_line_and_the_contracts_code(
    argv: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data.main(argv) == code

    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
