"""The lock files agree with what they are made from, and name no place to download from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from streamforest import jars
from streamforest.embedded.doctor import read_pins

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = ROOT / "airflow" / "requirements.lock"
LOCKS = [*sorted((ROOT / "requirements").glob("*.lock")), AIRFLOW]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(name: str) -> list[Requirement]:
    return read_pins(ROOT / "requirements" / f"{name}.lock")


def unsatisfied(wanted: list[str], locked: list[Requirement]) -> list[str]:
    """What is asked for and not pinned to a version that fits, whichever Python the pin is for."""
    missing = []
    for text in wanted:
        asked = Requirement(text)
        versions = [next(iter(pin.specifier)).version for pin in locked if pin.name == asked.name]
        if not versions or not all(asked.specifier.contains(version) for version in versions):
            missing.append(text)
    return missing


@pytest.mark.parametrize("lock", [*LOCKS, jars.LOCK_FILE], ids=lambda path: path.name)
def test_no_lock_names_an_address(lock: Path) -> None:
    assert not re.findall(r"\w+://\S+|--(?:extra-)?index-url|--find-links", lock.read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_has_a_hash(lock: Path) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", lock.read_text()).strip())

    bare = [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]

    assert entries
    assert not bare


def test_what_the_project_asks_for_is_locked() -> None:
    base, extras = PROJECT["dependencies"], PROJECT["optional-dependencies"]

    assert unsatisfied(base, pins("base")) == []
    for name, wanted in extras.items():
        assert unsatisfied(base + wanted, pins(name)) == [], name


def test_what_airflow_asks_for_is_locked() -> None:
    lines = (AIRFLOW.parent / "requirements.in").read_text().splitlines()
    wanted = [text for line in lines if (text := line.partition("#")[0].strip())]

    assert wanted
    assert unsatisfied(wanted, read_pins(AIRFLOW)) == []


@pytest.mark.parametrize("name", PROJECT["optional-dependencies"])
def test_every_extra_holds_base_with_the_same_versions(name: str) -> None:
    # A package may have a wider marker there: more packages ask for it.
    versions = [{f"{pin.name}{pin.specifier}" for pin in pins(lock)} for lock in ("base", name)]

    assert versions[0] <= versions[1]


def test_the_connector_is_made_for_the_locked_spark() -> None:
    (spark,) = [next(iter(pin.specifier)).version for pin in pins("base") if pin.name == "pyspark"]
    connector = [jar for jar in jars.read_lock() if jar.artifact.startswith("spark-sql-kafka")]

    assert [(jar.version, jar.set_name) for jar in connector] == [(spark, jars.CONNECTOR)]


def test_the_jars_hold_both_sets_and_no_file_twice() -> None:
    locked = jars.read_lock()

    assert {jar.set_name for jar in locked} == set(jars.SETS)
    assert len({(jar.set_name, jar.group, jar.artifact) for jar in locked}) == len(locked)
