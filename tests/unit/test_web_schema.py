"""Whatever the API's own description allows or forbids is answered as it says, and never with a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.offices import Site

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
# A stream without end cannot be read to its end; the browser's tests read it.
ENDLESS = {"/activity/events"}


def operations(folder: Path) -> Iterator[Any]:
    site = Site(folder, RATE="1000000", QUEUE="1000000")
    for found in schemathesis.openapi.from_asgi("/openapi.json", site.client.app).get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # a schema that cannot be read fails here
        if operation.path not in ENDLESS:
            yield operation


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_api_is_as_it_says(tmp_path: Path, mode: schemathesis.GenerationMode) -> None:
    checked = set()
    for operation in operations(tmp_path):

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:  # noqa: ANN401 - Schemathesis' type has a parameter of its own making
            case.call_and_validate(checks=CHECKS)

        try:
            check()
        except Exception as error:
            # Without parameters there is nothing that could be wrong.
            if mode is schemathesis.GenerationMode.POSITIVE or "Unsatisfiable" not in type(error).__name__:
                raise
        else:
            checked.add((operation.method, operation.path))

    assert ("post", "/flights/delays/predict/classify_realtime") in checked
    assert len(checked) >= 4
