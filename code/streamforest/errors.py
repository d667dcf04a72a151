"""Errors that a user can meet: one line that names what is wrong and the cure, and the exit code it ends with."""

from __future__ import annotations


class StreamforestError(Exception):
    """A defect of ours, unless a subclass says otherwise.

    ``str(error)`` is one line: the problem, then the cure after a semicolon.
    """

    exit_code = 70

    def __init__(self, problem: str, cure: str = "") -> None:
        text = f"{problem}; {cure}" if cure else problem
        super().__init__(" ".join(text.split()))


class WrongUsage(StreamforestError):
    """The command line asks for something that does not exist."""

    exit_code = 64


class BadInput(StreamforestError):
    """A file, a folder or a model is missing, empty, damaged, locked or not writable."""

    exit_code = 65


class Unreachable(StreamforestError):
    """A service (Kafka, MLflow) did not answer within its limit."""

    exit_code = 69
