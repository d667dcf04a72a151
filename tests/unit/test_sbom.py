"""The bill of materials holds what the locks hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom

from streamforest.embedded import sbom
from streamforest.errors import BadInput
from tests.homes import REPOSITORY, environment

BASE, JARS = REPOSITORY / "requirements" / "base.lock", REPOSITORY / "jars.lock"


def test_every_pin_is_in_it_with_its_hashes() -> None:
    found = sbom.bill([BASE, JARS])

    pins = [line.split(" ")[0] for line in BASE.read_text().splitlines() if "==" in line and line[0] not in " #"]
    jars = [line for line in JARS.read_text().splitlines() if line and not line.startswith("#")]
    names = {f"{component['name']}=={component['version']}" for component in found["components"]}
    assert {pin.rstrip(";") for pin in pins} <= names
    assert len(found["components"]) == len({*pins}) + len({line.split()[0] for line in jars})
    assert all(component["hashes"] for component in found["components"])


def test_a_reader_of_the_format_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert sbom.main([]) == 0

    read = Bom.from_json(json.loads(capsys.readouterr().out))  # type: ignore[attr-defined]  # added by a decorator

    spark = next(component for component in read.components if component.name == "pyspark")
    assert str(spark.purl).startswith("pkg:pypi/pyspark@")


def test_who_reads_its_beginning_alone_gets_no_error() -> None:
    command = [sys.executable, "-m", sbom.__name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as ended:
        assert ended.stdout is not None
        assert ended.stderr is not None
        ended.stdout.read(1)
        ended.stdout.close()
        said = ended.stderr.read()

    assert said == b""


def test_what_is_no_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.lock").touch()

    with pytest.raises(BadInput, match="pins nothing"):
        sbom.bill([tmp_path / "empty.lock"])
    with pytest.raises(BadInput, match="cannot be read"):
        sbom.bill([tmp_path / "none.lock"])
