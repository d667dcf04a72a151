"""A Spark program without an end. Argument: the file to write its process id to once Spark runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

if __name__ == "__main__":
    spark = SparkSession.builder.getOrCreate()
    Path(sys.argv[1]).write_text(str(os.getpid()), encoding="utf-8")
    spark.range(1_000).rdd.foreach(lambda _: __import__("time").sleep(60))
