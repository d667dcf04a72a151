"""Questions to the platform's services, from JSON to JSON."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from streamforest.errors import Unreachable

_ANSWER_LIMIT_S = 20.0


def ask(url: str, body: object = None, headers: Mapping[str, str] | None = None, method: str | None = None) -> Any:  # noqa: ANN401  # JSON
    """What a service answers; a body is sent as JSON.

    Raises:
        Unreachable: it does not answer, or with an error.
    """
    data = None if body is None else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, told, method=method)  # noqa: S310  # addresses of our own services
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_LIMIT_S) as answer:  # noqa: S310
            return json.load(answer)
    except (OSError, ValueError) as error:
        service = url.split("/")[2].partition(":")[0]
        raise Unreachable(f"{url} failed ({error})", f"see ./control_env.sh logs {service}") from None
