"""Kafka values to events, with a reason for each that is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

_CORRUPT = "_corrupt"
_OPTIONS = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT, "allowNonNumericNumbers": "false"}


def decode_json(
    value: Column, schema: T.StructType, broken: Callable[[Column], Column], *, optional: Collection[str] = ()
) -> tuple[Column, Column]:
    """The event (struct of ``schema``) and the reason of its refusal, of which exactly one is null.

    ``value`` is binary. Reasons: ``null`` (no value), ``encoding`` (not UTF-8), ``json`` (no JSON object, or a field of
    a wrong type), ``fields`` (a field that is not ``optional`` is missing or null), else what ``broken`` says of a
    complete event; a null of its is no reason.
    """
    text = F.try_validate_utf8(value.cast("string"))
    read = F.from_json(text, T.StructType([*schema.fields, T.StructField(_CORRUPT, T.StringType())]), _OPTIONS)

    def judged(found: Column) -> Column:
        event = F.struct(*[found[name].alias(name) for name in schema.names])
        missing = F.lit(False)
        for name in schema.names:
            if name not in optional:
                missing = missing | found[name].isNull()
        reason = (
            F.when(value.isNull(), "null")
            .when(text.isNull(), "encoding")
            .when(found.isNull() | found[_CORRUPT].isNotNull(), "json")
            .when(missing, "fields")
            .otherwise(broken(found))
        )
        return F.struct(F.when(reason.isNull(), event).alias("event"), reason.alias("reason"))

    # An expression has no local variables but those of a function over an array. Without one, each of the many
    # references above would parse the text again.
    outcome = F.transform(F.array(read), judged)[0]
    return outcome["event"], outcome["reason"]
