"""The start-up file in a plain Debian container: what it installs, whom it makes, what it clones."""

from __future__ import annotations

import subprocess

import pytest

from tests.homes import REPOSITORY
from tests.platforms import engine_answers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not engine_answers(), reason="no Docker engine with compose here: the start-up file is not tried"
    ),
]


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "run", "--rm", "-v", f"{REPOSITORY}:/src:ro", *options, "debian:trixie-slim", "bash", "-c"]
    return subprocess.run([*command, script], capture_output=True, text=True, timeout=600, check=False)


def test_the_start_up_file_brings_what_the_platform_needs() -> None:
    # A clone needs history: a repository is made of the files as they are.
    left_out = " ".join(f"--exclude={name}" for name in (".git", ".uv", ".env", "'.venv*'"))
    made = f"mkdir /made && tar -C /src {left_out} -cf - . | tar -C /made -xf -"
    made += " && cd /made && git init -q && git add -A"
    steps = f"""
        set -e
        startup=/src/docker/google-cloud/startup.sh
        $startup install user
        ({made} && git -c user.name=x -c user.email=x@example.org commit -qm x)
        git config --system --add safe.directory '*'
        STREAMFOREST_SOURCE=file:///made $startup code
        STREAMFOREST_SOURCE=file:///made $startup user code
        stat -c '%U' /srv/checkout/control_env.sh
        id -nG streamforest
        runuser -u streamforest -- docker compose version --short
        /srv/checkout/control_env.sh doctor platform || true
    """

    ended = run(steps, "-v", "/var/run/docker.sock:/var/run/docker.sock")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the code is there" in ended.stdout
    assert "\nstreamforest\nstreamforest docker\n" in ended.stdout
    assert "ok      engine" in ended.stdout
    assert "ok      compose" in ended.stdout


@pytest.mark.parametrize(("arguments", "words"), [("nope", "no step nope"), ("code", "no attribute source")])
def test_a_wrong_step_or_a_missing_source_is_named(arguments: str, words: str) -> None:
    ended = run(f"/src/docker/google-cloud/startup.sh {arguments}")

    assert ended.returncode == 64
    assert words in ended.stderr
