"""Kafka values to events, with a reason for each that is refused."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

_CORRUPT = "_corrupt"
_OPTIONS = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT, "allowNonNumericNumbers": "false"}


def decode_json(value: Column, schema: T.StructType, broken: Callable[[Column], Column]) -> tuple[Column, Column]:
    """The event (struct of ``schema``) and the reason of its refusal, of which exactly one is null.

    ``value`` is binary. Reasons: ``null`` (no value), ``encoding`` (not UTF-8), ``json`` (no JSON object, or a field of
    a wrong type), ``fields`` (a field is missing or null), else what ``broken`` says of a complete event.
    """
    text = F.try_validate_utf8(value.cast("string"))
    read = F.from_json(text, T.StructType([*schema.fields, T.StructField(_CORRUPT, T.StringType())]), _OPTIONS)
    event = F.struct(*[read[name].alias(name) for name in schema.names])
    missing = F.lit(False)
    for name in schema.names:
        missing = missing | read[name].isNull()
    reason = (
        F.when(value.isNull(), "null")
        .when(text.isNull(), "encoding")
        .when(read.isNull() | read[_CORRUPT].isNotNull(), "json")
        .when(missing, "fields")
        .otherwise(broken(read))
    )
    return F.when(reason.isNull(), event), reason
