"""The jobs of flights over real ones: trained, tested, asked, and what is known of the days before."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from streamforest import application, cli, files, settings
from streamforest.application import TrainedModel
from streamforest.applications.flights import classes, package, schemas
from streamforest.applications.flights.distances import distances
from streamforest.applications.flights.pipelines import PAST
from streamforest.errors import BadInput
from streamforest.jobs.context import Context
from streamforest.ml import geography
from streamforest.ml.stages import GreatCircle, PastMeans, TypicalValues
from streamforest.model.publication import ModelFolder
from tests.flight_rows import messages, request, write_part

FLIGHTS = application.load("flights", ["streamforest.applications"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a ninth of the flights of three months."""
    found = tmp_path_factory.mktemp("flights")
    write_part(found / "data" / "flights" / package.HISTORY)
    return found


@pytest.fixture(scope="module")
def reports(home: Path, spark: SparkSession) -> dict[str, dict[str, Any]]:
    """Reports of the jobs that need no Kafka, by job; of train and test by pipeline too."""
    found = {}
    for name, *options in (
        ("partition", "--split-at", "2013-03"),
        *((job, "--pipeline", name) for name in FLIGHTS.pipelines for job in ("train", "test")),
        ("sample", "--samples", "40"),
        ("consume", "--batch", "data/flights/real_time"),
    ):
        report = dict(cli.run([name, "flights", *options, "--home", str(home)], spark=spark))
        found[f"{name} {options[1]}" if name in ("train", "test") else name] = report
    return found


@pytest.fixture(scope="module")
def context(home: Path, reports: dict[str, Any], spark: SparkSession) -> Context:
    assert reports
    return Context(FLIGHTS, settings.load(home=home), "test", given_spark=spark)


@pytest.fixture(scope="module")
def model(context: Context) -> TrainedModel:
    models = ModelFolder(context.places.model)
    return models.load(models.candidate("history"))


def test_months_after_the_split_are_tested_and_everything_is_counted(home: Path, reports: dict[str, Any]) -> None:
    read = len((home / "data" / "flights" / package.HISTORY).read_text().splitlines()) - 1
    partition, test = reports["partition"], reports["test history"]

    refused_rows = partition["rows_refused"]

    assert partition["rows_read"] == read
    assert set(refused_rows) == {"cancelled", "diverted"}
    assert partition["rows_training"] + partition["rows_testing"] + sum(refused_rows.values()) == read
    assert list(test["metrics"]["by"]) == ["2013-03"]
    assert test["rows"] == test["windows"] == partition["rows_testing"]
    assert sorted(path.name for path in (home / "data/flights/partitioned/training").glob("Month=*")) == [
        "Month=2013-01",
        "Month=2013-02",
    ]


@pytest.mark.parametrize("name", FLIGHTS.pipelines)
def test_a_pipeline_is_scored_beside_the_departure_delay_alone_and_the_majority(
    reports: dict[str, Any], name: str
) -> None:
    metrics = reports[f"test {name}"]["metrics"]

    assert min(metrics["accuracy"], metrics["departure_delay"]["accuracy"]) > metrics["majority"]["accuracy"] + 0.1
    assert set(metrics["classes"]) == set(classes.NAMES)
    assert metrics["by"]["2013-03"]["departure_delay"]["accuracy"] == metrics["departure_delay"]["accuracy"]


def test_answers_to_sampled_flights_are_what_the_test_scored(
    context: Context, reports: dict[str, Any], model: TrainedModel
) -> None:
    spark = context.spark
    flight = ["FlightDate", "Carrier", "FlightNum", "Origin", "Dest"]
    scored = model.pipeline.transform(context.partitioned(context.places.testing))
    expected = scored.select(
        F.col("FlightDate").cast("string"), *flight[1:], F.col("prediction").cast("int").alias("index")
    )

    answers = spark.read.parquet(reports["consume"]["path"])
    both = answers.join(expected, on=flight, how="inner").select("Prediction", "index").collect()

    assert reports["sample"]["rows"] == reports["consume"]["predictions"] == 40
    assert len(both) >= 40
    assert all(row["Prediction"] == row["index"] for row in both)


def test_the_same_seed_samples_the_same_flights(context: Context) -> None:
    rows = context.partitioned(context.places.testing)

    ids = [
        {row["UUID"] for row in FLIGHTS.sample(frame, 10, seed).collect()}
        for frame, seed in ((rows, 1), (rows.repartition(5), 1), (rows, 2))
    ]

    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]


def answered(spark: SparkSession, model: TrainedModel, values: list[dict[str, Any]]) -> list[Row]:
    """Answers in the order of the requests."""
    event, _ = FLIGHTS.decode(F.col("value"))
    numbered = [{**value, "UUID": f"request-{number:03}"} for number, value in enumerate(values)]
    events = messages(spark, [*numbered]).select(event.alias("event")).select("event.*")
    return FLIGHTS.predict.batch(model, events).orderBy("UUID").collect()


def test_a_ported_clients_request_gets_its_answer(spark: SparkSession, model: TrainedModel) -> None:
    (answer,) = answered(spark, model, [request()])

    found = answer.asDict()
    assert list(found) == [name for name in schemas.PREDICTION.names if name != "modelVersion"]
    assert (found["Route"], found["FlightDate"]) == ("JFK-MIA", "2013-03-14")
    assert (found["DayOfWeek"], found["DayOfMonth"], found["DayOfYear"]) == (4, 14, 73)
    assert found["DelayClass"] == classes.NAMES[found["Prediction"]]
    assert found["Probabilities"][found["Prediction"]] == max(found["Probabilities"])
    assert sum(found["Probabilities"]) == pytest.approx(1)
    assert found["Unseen"] == []
    assert found["Timestamp"] == pd.Timestamp("2013-03-14T08:15:00.123456").to_pydatetime()


def test_what_a_request_lacks_is_looked_up(spark: SparkSession, model: TrainedModel) -> None:
    bare, far = answered(
        spark,
        model,
        [request(Distance=None), request(Distance=None, Origin="BOS", Dest="SEA")],
    )

    assert bare["Distance"] == 1089.0
    assert far["Distance"] == pytest.approx(2496, rel=0.005)


def test_the_unknown_is_answered_and_marked(spark: SparkSession, model: TrainedModel) -> None:
    carrier, airports, nowhere = answered(
        spark,
        model,
        [
            request(Carrier="ZZ"),
            request(Origin="BOS", Dest="LHR", Distance=None),
            request(Origin="QQQ", Dest="XXQ", Distance=None),
        ],
    )

    assert carrier["Unseen"] == ["Carrier"]
    assert airports["Unseen"] == ["Origin", "Dest"]
    assert nowhere["Distance"] > 0
    assert sum(nowhere["Probabilities"]) == pytest.approx(1)


def test_an_answer_is_made_by_expressions_and_lookups_alone(spark: SparkSession, model: TrainedModel) -> None:
    event, _ = FLIGHTS.decode(F.col("value"))
    events = messages(spark, [request()]).select(event.alias("event")).select("event.*")

    plan = FLIGHTS.predict.batch(model, events)._jdf.queryExecution().executedPlan().toString()

    assert "Python" not in plan
    assert "Arrow" not in plan
    assert "Exchange" not in plan.replace("BroadcastExchange", "")
    assert "Aggregate" not in plan


PIECES = [text.partition(":")[0] for text in PAST]


def days_before(rows: DataFrame, asked: DataFrame) -> pd.DataFrame:
    """What the stage learns from some flights about others, in the order of the flights asked about."""
    stage = PastMeans(inputCol="ArrDelay", minusCol="DepDelay", dateCol="FlightDate", scopes=PAST)
    identity = ["FlightDate", "Carrier", "FlightNum", "Route", "CRSDepTime", "ArrDelay", "DepDelay"]
    found = stage.fit(rows).transform(asked).select(*identity, *PIECES).toPandas()
    return found.sort_values(identity, ignore_index=True)


def test_no_flight_of_a_day_or_later_changes_what_is_known_before_it(context: Context) -> None:
    rows = context.known().where("Month < '2013-03'")
    day = dt.date(2013, 2, 10)
    asked = rows.where(F.col("FlightDate") <= day)
    from_then_on = F.col("FlightDate") >= day
    changed = rows.withColumn("ArrDelay", F.when(from_then_on, F.col("ArrDelay") + 500).otherwise(F.col("ArrDelay")))
    yesterday = F.col("FlightDate") == day - dt.timedelta(days=1)
    before = rows.withColumn("ArrDelay", F.when(yesterday, F.col("ArrDelay") + 500).otherwise(F.col("ArrDelay")))

    known, after_change, without = (days_before(each, asked) for each in (rows, changed, rows.where(~from_then_on)))
    differs = days_before(before, asked)

    pd.testing.assert_frame_equal(known[PIECES], after_change[PIECES])
    pd.testing.assert_frame_equal(known[PIECES], without[PIECES])
    assert (differs["PastAll3"] - known["PastAll3"]).max() > 50


def test_means_are_those_of_an_independent_calculation(context: Context) -> None:
    rows = context.known().where("Month = '2013-01'")
    frame = rows.toPandas()
    frame["gained"] = frame["ArrDelay"] - frame["DepDelay"]
    frame["day"] = pd.to_datetime(frame["FlightDate"])

    found = days_before(rows, rows)

    rng = np.random.default_rng(0)
    for _, flight in found.iloc[rng.choice(len(found), 60, replace=False)].iterrows():
        day = pd.Timestamp(flight["FlightDate"])
        for name, days, keys in (("PastAll14", 14, []), ("PastCarrierRoute28", 28, ["Carrier", "Route"])):
            same = (frame["day"] < day) & (frame["day"] >= day - pd.Timedelta(days=days))
            for key in keys:
                same &= frame[key] == flight[key]
            expected = frame.loc[same, "gained"].mean()
            np.testing.assert_allclose(flight[name], expected)


def test_after_the_last_known_day_the_newest_values_hold(context: Context) -> None:
    rows = context.known().where("Month = '2013-01'")
    next_day = rows.where("FlightDate = '2013-01-31'").withColumn("FlightDate", F.to_date(F.lit("2013-02-01")))
    next_year = next_day.withColumn("FlightDate", F.to_date(F.lit("2014-06-01")))

    tomorrow, later = days_before(rows, next_day), days_before(rows, next_year)

    assert tomorrow["PastAll14"].notna().all()
    pd.testing.assert_frame_equal(tomorrow[PIECES], later[PIECES])


def test_what_is_missing_is_filled_from_the_most_similar_rows(spark: SparkSession) -> None:
    known = spark.createDataFrame(
        [("a", 1, 10.0), ("a", 1, 20.0), ("a", 1, 30.0), ("a", 2, 90.0), ("b", 9, 50.0)],
        "route string, n int, x double",
    )
    asked = spark.createDataFrame(
        [("a", 1, None), ("a", 7, None), ("c", 1, None), (None, 1, None), ("a", 1, 5.0)], known.schema
    )

    filled = TypicalValues(inputCols=["x"], levels=["route,n", "route", ""]).fit(known).transform(asked)

    assert [row["x"] for row in filled.collect()] == [20.0, 25.0, 30.0, 30.0, 5.0]


def test_spark_computes_the_same_great_circles(spark: SparkSession) -> None:
    pairs = [("JFK", "LAX"), ("EWR", "HNL"), ("LGA", "BOS"), ("JFK", "JFK")]
    frame = spark.createDataFrame([*pairs, ("JFK", "???"), (None, "JFK")], "one string, other string")

    rows = GreatCircle(inputCols=["one", "other"], outputCol="miles").transform(frame).collect()

    places = geography.airports()
    expected = [geography.great_circle_miles(places[one], places[other]) for one, other in pairs]
    np.testing.assert_allclose([row["miles"] for row in rows[:4]], expected, atol=1e-6)
    assert [row["miles"] for row in rows[4:]] == [None, None]


def test_distances_are_those_flown_and_great_circles_for_all_other_pairs(context: Context) -> None:
    rows = context.known()

    found = list(distances(rows))

    by_pair = {(each["Origin"], each["Dest"]): each for each in found}
    airports = {code for pair in by_pair for code in pair}
    assert by_pair["JFK", "LAX"] == {"Origin": "JFK", "Dest": "LAX", "Distance": 2475.0, "GreatCircle": False}
    assert by_pair["LAX", "JFK"]["GreatCircle"]
    assert by_pair["LAX", "JFK"]["Distance"] == pytest.approx(2475, rel=0.005)
    assert len(found) == len(by_pair) == len(airports) * (len(airports) - 1)
    flown = {tuple(row) for row in rows.select("Origin", "Dest").distinct().collect()}
    assert {pair for pair, each in by_pair.items() if not each["GreatCircle"]} == flown


def test_a_raw_file_is_answered_as_the_requests_it_holds(
    home: Path, reports: dict[str, Any], spark: SparkSession
) -> None:
    assert reports
    rows = (home / "data" / "flights" / package.HISTORY).read_text().splitlines()
    (home / "day.csv").write_text("\n".join(rows[:31]) + "\n")

    report = cli.run(["consume", "flights", "--batch", "day.csv", "--home", str(home)], spark=spark)

    answers = spark.read.parquet(report["path"]).collect()
    assert 0 < report["rows"] == report["predictions"] == len({answer["UUID"] for answer in answers}) <= 30
    assert {answer["Prediction"] for answer in answers} <= {0, 1, 2, 3}


def test_one_day_of_what_partition_left_is_answered_beside_the_stream(
    home: Path, reports: dict[str, Any], spark: SparkSession
) -> None:
    """A second stream is kept from starting by the first one's lock; the batch path has its own."""
    assert reports
    testing = "data/flights/partitioned/testing"
    rows = spark.read.parquet(str(home / testing)).groupBy("FlightDate").count().orderBy("FlightDate").first()
    assert rows is not None
    batch = ["consume", "flights", "--home", str(home), "--batch", testing, "--day"]

    with files.exclusive(home / "data" / ".locks" / "flights" / "consume.lock", "the job consume flights"):
        report = cli.run([*batch, str(rows["FlightDate"])], spark=spark)

    answers = spark.read.parquet(report["path"]).collect()
    assert report["rows"] == len(answers) == rows["count"]
    assert {answer["FlightDate"] for answer in answers} == {str(rows["FlightDate"])}
    for other in ("2012-02-29", "2013-1"):
        with pytest.raises(BadInput, match=f"no events of {other}"):
            cli.run([*batch, other], spark=spark)
