"""Errors that happened inside Spark, as one line each."""

from __future__ import annotations

import re

from streamforest import errors
from streamforest.errors import StreamforestError

_RAISED = re.compile(r"streamforest\.errors\.(\w+): (.+)")
_PYTHON = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception)): (.+)$", re.MULTILINE)
_KAFKA = re.compile(r"org\.apache\.kafka\.common\.errors\.(\w+)(?:: (.+))?")
_FULL = re.compile(r"No space left on device(?:: '([^']+)')?")
_EXPIRED = re.compile(r"(?:offset was changed from|some data may have been (?:missed|lost)|failOnDataLoss)")
_REFUSED = ("SaslAuthenticationException", "TopicAuthorizationException", "GroupAuthorizationException")
_UNREACHABLE = ("TimeoutException", "DisconnectException", "NetworkException", "BrokerNotAvailableException")


def explain(error: BaseException) -> StreamforestError:
    """What a user should read of an error: the StreamforestError that a Python worker raised, Kafka's silence, or else
    a defect with the innermost cause.

    Spark hands back only the text of a worker's traceback, in which such an error stands on one line with its class.
    """
    if isinstance(error, StreamforestError):
        return error
    text = str(error)
    for name, line in reversed(_RAISED.findall(text)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, StreamforestError):
            return kind(line)
    for name, line in _KAFKA.findall(text):
        if name in _REFUSED:
            return errors.BadInput(
                f"Kafka does not allow it ({name}: {line})", "see that the job has its user's password, as in .env"
            )
        if name in _UNREACHABLE:
            return errors.Unreachable(
                f"Kafka stopped answering ({name}: {line})", "start it again, then run the job again"
            )
    if full := _FULL.search(text):
        where = f" at {full.group(1)}" if full.group(1) else ""
        return errors.BadInput(f"the disk is full{where}", "free some, then run the job again: it goes on where it was")
    if _EXPIRED.search(text):
        return errors.BadInput(
            "Kafka no longer holds records that were not read yet",
            "keep them longer (retention); go on with what is left: consume --reset",
        )
    causes = _PYTHON.findall(text)
    first_line = text.splitlines()[0] if text else ""
    name, line = causes[-1] if causes else (type(error).__name__, first_line)
    return StreamforestError(f"{name}: {line}", "run it with --debug to see where")
