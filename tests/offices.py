"""The pages and the API without a server; Kafka is a list here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from streamforest.application import Topics
from streamforest.kafka import Kafka
from streamforest.settings import web
from streamforest.store import connect
from streamforest.web import service
from streamforest.web.app import Office, create_app
from streamforest.web.asking import Catalogue
from streamforest.web.channel import NotSent, Received

ASK = service.PREDICT
FORM = "/flights/delays/predict_kafka"
CLASSES = [("early", "15 minutes early"), ("on time", "early"), ("slightly late", "30"), ("very late", "more")]
CATALOGUE = Catalogue(
    carriers={"AA": "American Airlines Inc.", "DL": "Delta"},
    airports={"JFK": "Kennedy", "LAX": "Los Angeles"},
    distance=lambda origin, dest: 2475.0 if {origin, dest} == {"JFK", "LAX"} else None,
)
GOOD = {"Carrier": "DL", "Origin": "JFK", "Dest": "LAX", "FlightDate": "2013-12-20", "FlightNum": "12", "DepDelay": "5"}


class Line:
    """A line to Kafka that keeps what is sent, and can be cut."""

    def __init__(self) -> None:
        self.alive = True
        self.confirms = True
        self.sent: list[tuple[str, str, dict[str, Any], Mapping[str, str]]] = []

    def start(self) -> None: ...

    def stop(self) -> None: ...

    async def send(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        if not self.confirms:
            raise NotSent("it said no")
        self.sent.append((topic, key, json.loads(value), headers))


class Quiet:
    """A keeper with nothing to do."""

    trouble = None
    kept = 0

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Site:
    """The pages, and the far end of their line."""

    def __init__(self, folder: Path, **changes: str) -> None:
        variables = {f"STREAMFOREST_WEB_{name}": value for name, value in {"RATE": "10000", **changes}.items()}
        self.office = Office(
            settings=web(variables),
            kafka=Kafka("127.0.0.1:9"),
            asked=Topics(events="asked", predictions="answered", invalid="refused"),
            watched=Topics(events="HAR", predictions="HAR.predictions", invalid="HAR.invalid"),
            store=connect(f"sqlite:///{folder}/store.db"),
            catalogue=CATALOGUE,
            classes=CLASSES,
        )
        self.line = Line()
        self.office.channel = self.line  # type: ignore[assignment]
        self.office.keeper = Quiet()  # type: ignore[assignment]
        self.client = TestClient(create_app(self.office), raise_server_exceptions=False)

    def ask(self, **changes: Any) -> Any:  # noqa: ANN401
        return self.client.post(ASK, json={**GOOD, **changes})

    def answer(self, identity: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Let Spark answer."""
        value = {
            **GOOD,
            "UUID": identity,
            "DepDelay": 5.0,
            "Prediction": 2,
            "Probabilities": [0.1, 0.2, 0.6, 0.1],
            "Unseen": [],
            "Distance": 2475.0,
            "modelVersion": "7",
            "latency": {"acceptedMs": 1_000, "kafkaMs": 1_004, "sparkMs": 1_010},
            **changes,
        }
        self.receive("answered", json.dumps(value).encode(), written_ms=1_012)
        return value

    def receive(self, topic: str, value: bytes, *, key: str = "", written_ms: int = 0, **headers: str) -> None:
        message = Received(topic=topic, key=key, value=value, headers=headers, written_ms=written_ms)
        self.office._take([message])
