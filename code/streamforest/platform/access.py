"""Who may do what in Kafka: ``python -m streamforest.platform.access`` makes users, topics and rights fit the code.

It speaks to the listener that only the broker's own container can reach, and may run again at any time. A right that
is in no list here is taken away; where nothing is written a user may do nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamforest import application as contract
from streamforest import cli, settings
from streamforest.application import Answering, Application
from streamforest.errors import StreamforestError
from streamforest.kafka import MECHANISM, Kafka, Role
from streamforest.progress import say
from streamforest.settings import Settings
from streamforest.streaming import topics
from streamforest.web.keeper import GROUP

if TYPE_CHECKING:
    from kafka.admin import ACL, KafkaAdminClient

LOCAL = Kafka("localhost:19094")
"""Asks for no login, and is open to nobody outside the broker's container."""
SPARK_GROUPS = "spark-kafka-"
"""What the names begin with that Spark gives to the groups of its consumers."""
_START_LIMIT_S = 180.0


@dataclass(frozen=True, order=True)
class Right:
    """What a user may do; ADMIN may do everything and has none of these."""

    role: Role
    operation: str
    """READ, WRITE or DESCRIBE."""
    kind: str
    """TOPIC or GROUP."""
    name: str
    pattern: str = "LITERAL"
    """PREFIXED: of everything whose name begins so."""


def rights(applications: Sequence[Application]) -> set[Right]:
    """The rights that the jobs and pages need over these applications' topics, and no others."""
    found = {
        Right(Role.PREDICTOR, "READ", "GROUP", SPARK_GROUPS, "PREFIXED"),
        Right(Role.WEB, "READ", "GROUP", GROUP),
    }
    for application in applications:
        topic = application.topics
        found |= {
            Right(role, "DESCRIBE", "TOPIC", name)
            for role in (Role.PRODUCER, Role.PREDICTOR, Role.WEB)
            for name in topic.all()
        }
        found |= {
            Right(Role.PRODUCER, "WRITE", "TOPIC", topic.events),
            Right(Role.PREDICTOR, "READ", "TOPIC", topic.events),
            Right(Role.PREDICTOR, "WRITE", "TOPIC", topic.predictions),
            Right(Role.PREDICTOR, "WRITE", "TOPIC", topic.invalid),
            Right(Role.WEB, "READ", "TOPIC", topic.predictions),
        }
        if isinstance(application.predict, Answering):
            found |= {
                Right(Role.WEB, "WRITE", "TOPIC", topic.events),
                Right(Role.WEB, "READ", "TOPIC", topic.invalid),
                # Answers are counted where they come out.
                Right(Role.PREDICTOR, "READ", "TOPIC", topic.predictions),
                Right(Role.PREDICTOR, "READ", "TOPIC", topic.invalid),
            }
    return found


def apply(kafka: Kafka, given: Settings) -> str:
    """Make users, topics and rights; returns what there is, in a few words.

    Raises:
        Unreachable: Kafka does not answer.
        StreamforestError: Kafka did not take it.
    """
    applications = [contract.load(name, given.applications) for name in contract.names(given.applications)]
    for application in applications:
        topics.create_topics(kafka, application.topics.all())
    wanted = rights(applications)
    with _admin(kafka) as admin:
        _set_passwords(admin, given.kafka_passwords)
        _set_rights(admin, wanted)
    names = ", ".join(sorted(application.name for application in applications))
    return f"users {', '.join(given.kafka_passwords)}; {len(wanted)} rights over the topics of {names}"


def _set_passwords(admin: KafkaAdminClient, passwords: Mapping[Role, str]) -> None:
    from kafka.admin import UserScramCredentialUpsertion

    told = admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(str(role), MECHANISM, password) for role, password in passwords.items()]
    )
    _require({user: text for user, text in told.items() if text}, "users")


def _set_rights(admin: KafkaAdminClient, wanted: set[Right]) -> None:
    """Add first and take away afterwards, so that a running stream always has what it needs."""
    from kafka.admin import ACLFilter

    everything = ACLFilter(None, None, *_any())
    found, _ = admin.describe_acls(everything)
    present = {str(acl): acl for acl in found}
    needed = {str(acl): acl for acl in map(_acl, sorted(wanted))}
    fresh = [acl for text, acl in needed.items() if text not in present]
    if fresh:
        failed = admin.create_acls(fresh)["failed"]
        _require(dict(enumerate(failed)), "rights")
    stale = [acl for text, acl in present.items() if text not in needed]
    if stale:
        admin.delete_acls(stale)


def _any() -> tuple[object, object, object]:
    from kafka.admin import ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePatternFilter, ResourceType

    whatever = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLOperation.ANY, ACLPermissionType.ANY, whatever


def _acl(right: Right) -> ACL:
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

    pattern = ResourcePattern(ResourceType[right.kind], right.name, ACLResourcePatternType[right.pattern])
    return ACL(f"User:{right.role}", "*", ACLOperation[right.operation], ACLPermissionType.ALLOW, pattern)


def _require(failed: Mapping[object, object], what: str) -> None:
    if failed:
        texts = ", ".join(f"{key}: {value}" for key, value in failed.items())
        raise StreamforestError(f"Kafka did not take its {what} ({texts})", "see ./control_env.sh logs kafka")


@contextlib.contextmanager
def _admin(kafka: Kafka) -> Iterator[KafkaAdminClient]:
    from kafka import KafkaAdminClient

    with contextlib.closing(KafkaAdminClient(**kafka.python())) as admin:
        yield admin


def main(argv: Sequence[str]) -> int:
    """Wait for the broker, then apply; returns the exit code."""

    def command() -> None:
        topics.reachable(LOCAL, _START_LIMIT_S)
        say(f"access: {apply(LOCAL, settings.load())}")

    return cli.outcome(command, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
