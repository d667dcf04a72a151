"""Where Kafka is and who one is there, as options of each of its clients."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

MECHANISM = "SCRAM-SHA-512"
# It warns that SCRAM sent a password in clear, which SCRAM never does.
logging.getLogger("kafka.net.sasl.scram").setLevel(logging.ERROR)
_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Role(StrEnum):
    """Kafka's users; each is named as its role and may do what ``streamforest.platform.access`` says."""

    ADMIN = "admin"
    PRODUCER = "producer"
    PREDICTOR = "predictor"
    WEB = "web"


@dataclass(frozen=True, kw_only=True)
class Login:
    """Name and password of a user of Kafka."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Kafka:
    """A cluster and the way to it. ``str()`` is where it is, and tells no secret."""

    servers: str
    """HOST:PORT, several after commas."""
    login: Login | None = None
    """None: Kafka is not asked for one."""
    ca: Path | None = None
    """Certificates (PEM) that vouch for the servers; None: what is said to them is not encrypted."""

    def __str__(self) -> str:
        return self.servers

    @property
    def who(self) -> str:
        """Who one is there, in words."""
        return f"user {self.login.user}" if self.login else "who has no login"

    def python(self) -> dict[str, Any]:
        """Arguments for the classes of the package ``kafka``."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.servers.split(","),
            "security_protocol": self._protocol,
        }
        if self.login:
            options |= {
                "sasl_mechanism": MECHANISM,
                "sasl_plain_username": self.login.user,
                "sasl_plain_password": self.login.password,
            }
        if self.ca:
            options["ssl_cafile"] = str(self.ca)
        return options

    def properties(self) -> dict[str, str]:
        """Properties of Kafka's own clients, the password among them."""
        options = {"bootstrap.servers": self.servers, "security.protocol": self._protocol}
        if self.login:
            options |= {"sasl.mechanism": MECHANISM, "sasl.jaas.config": _jaas(self.login)}
        if self.ca:
            options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(self.ca)}
        return options

    def spark(self) -> Mapping[str, str]:
        """Options of Spark's sources and sinks. Spark shows none of them that holds a password; see ``session``."""
        return {f"kafka.{name}": value for name, value in self.properties().items()}

    @property
    def _protocol(self) -> str:
        return ("SASL_" if self.login else "") + ("SSL" if self.ca else "PLAINTEXT")


def _jaas(login: Login) -> str:
    user, password = (text.replace("\\", "\\\\").replace('"', '\\"') for text in (login.user, login.password))
    return f'{_MODULE} required username="{user}" password="{password}";'
