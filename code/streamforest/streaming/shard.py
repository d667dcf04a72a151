"""The task of a shard: a micro-batch's records of its keys to predictions, refusals and a new state."""

from __future__ import annotations

import base64
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import types as T

from streamforest import files
from streamforest.application import Advance, StreamModel
from streamforest.errors import BadInput
from streamforest.streaming.state import name_state, read_state

SHARD, PARTITION, OFFSET, ARRIVED, KEY, VALUE, REASON = (
    "shard",
    "partition",
    "offset",
    "arrived_ms",
    "key",
    "value",
    "reason",
)
VERSION = "modelVersion"


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Runs in Spark's Python workers; what it yields are messages for Kafka.

    Beside that it leaves three files, each whole or absent: the shard's new state, its predictions, its report.
    """

    load: Callable[[Path], StreamModel]
    """``Prediction.load`` of the application."""
    model: Path
    version: str
    """Version of the model, which every prediction names."""
    checksum: str
    """Of the model's folder: a worker loads nothing else."""
    states: Path
    state_files: Mapping[str, str]
    staging: Path
    """Where predictions and reports go."""
    attempt: str
    """Makes this attempt's files differ from those of a killed one."""
    event_columns: tuple[str, ...]
    prediction_type: pa.StructType
    events_topic: str
    predictions_topic: str
    invalid_topic: str
    lateness_ms: int
    ttl_ms: int
    final: bool

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Messages of the records in ``batches``, which are of one shard."""
        given = list(batches)
        if not given or not sum(batch.num_rows for batch in given):
            return
        records = pa.Table.from_batches(given)
        shard = str(records.column(SHARD)[0].as_py())
        # A key's records share a Kafka partition unless producers partition differently: offsets are the order.
        records = records.take(np.lexsort((records.column(OFFSET).to_numpy(), records.column(PARTITION).to_numpy())))
        refused = records.filter(pc.is_valid(records.column(REASON)))
        events = records.filter(pc.is_null(records.column(REASON)))
        if self.final:
            events = refused = records.slice(0, 0)
        result = self._advance(shard, events.select([*self.event_columns, ARRIVED, PARTITION]))
        late = events.take(result.refused.column("position"))
        late = late.set_column(late.schema.get_field_index(REASON), REASON, result.refused.column("reason"))
        refused = pa.concat_tables([refused, late])
        versions = pa.repeat(pa.scalar(self.version), result.predictions.num_rows)
        columns = [field.name for field in self.prediction_type]
        predictions = result.predictions.append_column(VERSION, versions).select(columns)
        self._leave(shard, result, predictions, refused, events.num_rows)
        for table in (self._prediction_messages(predictions), self._invalid_messages(refused)):
            yield from table.to_batches()

    def _advance(self, shard: str, events: pa.Table) -> Advance:
        name = self.state_files.get(shard)
        state = read_state(self.states / name) if name else None
        model = _model(self.load, self.model, self.checksum)
        return model.advance(state, events, lateness_ms=self.lateness_ms, final=self.final, ttl_ms=self.ttl_ms)

    def _leave(self, shard: str, result: Advance, predictions: pa.Table, refused: pa.Table, events: int) -> None:
        state_name = name_state(self.attempt, shard, result.state)
        files.write_bytes(self.states / state_name, result.state)
        if predictions.num_rows:
            sink = pa.BufferOutputStream()
            pq.write_table(predictions, sink)
            files.write_bytes(self.staging / f"shard-{shard}.parquet", sink.getvalue().to_pybytes())
        reasons = pc.value_counts(refused.column(REASON)).to_pylist()
        report = {
            "shard": shard,
            "state": state_name,
            "events": events,
            "predictions": predictions.num_rows,
            "refused": {entry["values"]: entry["counts"] for entry in reasons},
            "counts": dict(result.counts),
            "arrived_ms": base64.b64encode(result.predictions.column(ARRIVED).to_numpy().tobytes()).decode(),
        }
        files.write_text(self.staging / f"_report-{shard}.json", json.dumps(report))

    def _prediction_messages(self, predictions: pa.Table) -> pa.Table:
        rows = predictions.num_rows
        return _messages(rows, topic=pa.repeat(self.predictions_topic, rows), prediction=_struct(predictions))

    def _invalid_messages(self, records: pa.Table) -> pa.Table:
        headers = [
            [
                {"key": "reason", "value": reason.encode()},
                {"key": "topic", "value": self.events_topic.encode()},
                {"key": "partition", "value": str(partition).encode()},
                {"key": "offset", "value": str(offset).encode()},
            ]
            for reason, partition, offset in zip(
                *(records.column(name).to_pylist() for name in (REASON, PARTITION, OFFSET)), strict=True
            )
        ]
        return _messages(
            records.num_rows,
            topic=pa.repeat(self.invalid_topic, records.num_rows),
            key=records.column(KEY),
            value=records.column(VALUE),
            headers=pa.array(headers, _HEADERS),
            prediction=pa.nulls(records.num_rows, self.prediction_type),
        )


_HEADERS = pa.list_(pa.field("element", pa.struct([("key", pa.string()), ("value", pa.binary())])))


def _messages(rows: int, *, prediction: pa.Array, **columns: pa.Array) -> pa.Table:
    """Rows of :func:`message_schema`; columns that are not given are null."""
    types = {"topic": pa.string(), "key": pa.binary(), "value": pa.binary(), "headers": _HEADERS}
    given = {name: columns.get(name, pa.nulls(rows, kind)) for name, kind in types.items()}
    return pa.table(given | {"prediction": prediction})


def _struct(table: pa.Table) -> pa.Array:
    return pa.StructArray.from_arrays([column.combine_chunks() for column in table.columns], fields=list(table.schema))


def message_schema(prediction: T.StructType) -> T.StructType:
    """What the task yields: a message for Kafka; of a prediction its columns instead of key and value."""
    header = T.StructType().add("key", "string").add("value", "binary")
    return (
        T.StructType()
        .add("topic", "string")
        .add("key", "binary")
        .add("value", "binary")
        .add("headers", T.ArrayType(header))
        .add("prediction", prediction)
    )


@lru_cache(maxsize=2)
def _model(load: Callable[[Path], StreamModel], folder: Path, checksum: str) -> StreamModel:
    """The model in a version's folder, which never changes: read once a worker process."""
    if files.folder_sha256(folder) != checksum:
        raise BadInput(f"a file of the model in {folder} is damaged (checksum differs)", "train and test again")
    model = load(folder)
    # Spark's worker looks for garbage after every task. What is loaded by now stays: not to be searched each time.
    gc.freeze()
    return model
