"""The door, on machines that lack something: made of a PATH with chosen commands and a copy of the script alone."""

import os
import re
from pathlib import Path

import pytest

from tests.machines import ROOT, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_every_verb_with_one_line(machine: Machine, arguments: list[str]) -> None:
    scripts = [ROOT / "control_env.sh", ROOT / "docker" / "platform.sh", ROOT / "docker" / "drill.sh"]
    verbs = [verb for script in scripts for verb in re.findall(r"(?m)^cmd_([a-z_]+)\(\)", script.read_text())]

    ended = machine.run(*arguments)

    listed = [line.split()[0] for line in ended.stdout.splitlines()[2:]]
    assert ended.returncode == 0
    assert listed == [verb.replace("_", "-") for verb in verbs]
    assert all(re.search(r"\S {2,}\S", line) for line in ended.stdout.splitlines()[2:])


@pytest.mark.parametrize("verb", ["nope", "cmd_help", "demo;ls", "../x", "die"])
def test_an_unknown_verb_ends_64_with_the_list_on_stderr(machine: Machine, verb: str) -> None:
    ended = machine.run(verb)

    assert ended.returncode == 64
    assert ended.stdout == ""
    assert f"no verb {verb}" in ended.stderr
    assert "usage:" in ended.stderr


@pytest.mark.parametrize("verb", ["demo", "job", "test", "bench", "data"])
def test_without_java_nothing_is_downloaded(machine: Machine, verb: str) -> None:
    machine.add_python("python3", "3.12.1", fit=True)

    ended = machine.run(verb)

    assert ended.returncode == 69
    assert re.search(r"(?m)^MISSING java +no java .*install", ended.stderr)
    assert not machine.calls.exists()
    assert machine.set_up_files() == []


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "25"])
def test_an_unfit_java_is_named(machine: Machine, version: str) -> None:
    machine.add_python("python3", "3.12.1", fit=True)
    machine.add_java(version)

    ended = machine.run("demo")

    major = version.removeprefix("1.").split(".")[0]
    assert ended.returncode == 69
    assert re.search(rf"MISSING java .*is Java {major}, unfit: 17 or 21 is needed", ended.stderr)


def test_an_old_python_is_named(machine: Machine) -> None:
    machine.add_python("python3", "3.10.13", fit=False)
    machine.add_java("17.0.1")

    ended = machine.run("demo")

    assert ended.returncode == 69
    assert re.search(r"MISSING python .*python3 is 3\.10\.13, unfit: 3\.11 to 3\.13", ended.stderr)
    assert "ok      java" in ended.stderr


def test_everything_that_is_missing_is_named_at_once(machine: Machine) -> None:
    ended = machine.run("doctor")

    assert ended.returncode == 69
    assert re.search(r"MISSING python +no python3; install", ended.stdout)
    assert re.search(r"MISSING java +no java", ended.stdout)


def test_the_package_manager_of_the_machine_is_the_one_that_is_named(machine: Machine) -> None:
    machine.add("apt-get", "#!/bin/sh\nexit 1\n")
    machine.add("apt-cache", "#!/bin/sh\nexit 1\n")

    ended = machine.run("doctor")

    assert re.search(r"apt-get install python3 python3-venv", ended.stdout)
    assert re.search(r"apt-get install openjdk-17-jre-headless", ended.stdout)


def test_a_python_without_venv_is_passed_over_for_one_that_has_it(machine: Machine) -> None:
    machine.add_python("python3.13", "3.13.0", fit=False)
    machine.add_python("python3.12", "3.12.1", fit=True)
    machine.add_java("21")

    ended = machine.run("doctor")

    assert ended.returncode == 0
    assert f"ok      python      {machine.bin}/python3.12 (3.12.1)" in ended.stdout


def test_the_named_python_is_the_only_one_looked_at(machine: Machine) -> None:
    machine.add_python("python3", "3.12.1", fit=True)
    machine.add_java("21")

    ended = machine.run("doctor", STREAMFOREST_PYTHON="/no/python")

    assert ended.returncode == 69
    assert "no /no/python" in ended.stdout


def test_a_set_up_that_fails_leaves_nothing_that_looks_finished(machine: Machine) -> None:
    # It judges well, takes the lock, and then cannot make an environment.
    machine.add_python("python3", "3.12.1", fit=True)
    machine.add_java("21")

    first, second = machine.run("demo"), machine.run("demo")

    assert [first.returncode, second.returncode] == [69, 69]
    assert "uv could not be installed" in first.stderr
    assert not (machine.root / ".venv" / "streamforest.stamp").exists()
    assert len(machine.calls.read_text().splitlines()) == 2


def test_the_page_of_mlflow_needs_runs(machine: Machine, tmp_path: Path) -> None:
    ended = machine.run("mlflow", "--home", str(tmp_path))

    assert ended.returncode == 65
    assert "no runs under" in ended.stderr


@pytest.mark.parametrize("options", [["--home"], ["--nope", "1"], ["extra"]])
def test_wrong_options_of_mlflow_are_named(machine: Machine, options: list[str]) -> None:
    ended = machine.run("mlflow", *options)

    assert ended.returncode == 64
    assert options[0] in ended.stderr


def test_shell_files_hold_no_shell_of_their_own_invention() -> None:
    scripts = [ROOT / "control_env.sh", ROOT / "requirements" / "lock.sh", ROOT / ".ci" / "run"]
    scripts += [ROOT / "docker" / "entrypoint.sh", *sorted((ROOT / "docker").glob("*/*.sh"))]

    for script in scripts:
        assert os.access(script, os.X_OK), script
        assert "set -Eeuo pipefail" in script.read_text()
