#!/usr/bin/env bash
# One would guess: SELECT max(accuracy) over one table of results gives one number, whether the table lies in pandas, in
#   polars, or in the CSV or Parquet file that either of them has written.
# What happens: a run that diverged has NaN. DuckDB takes a NaN in pandas for NULL and leaves it out, but one in polars or
#   in a plain Arrow table for a number, and SQL sorts NaN above all others. pandas writes NaN to Parquet as NULL and to
#   CSV as an empty field; polars writes NaN to both. So the same query finds the best run or the diverged one, by who
#   held the table last, and `accuracy > 72` counts the diverged run in. polars, too, is of two minds: max() leaves NaN
#   out, top_k and a descending sort put it first.
# Why it matters: results are collected from many workers into such files, and the leader board is one query. With NaN
#   among them it shows no error: a mean that is NaN, or a diverged run on top; after a change from pandas to polars,
#   though no value changed. `WHERE isfinite(accuracy)` reads alike everywhere.
# Versions: duckdb 2.0.1, pandas 3.1.1, polars 2.1.0, pyarrow 26.0.1, numpy 2.4.6 (Python 3.11).
# Seen, accuracies 71.0, NaN, 73.5 and 70.2: from pandas, its CSV and its Parquet file: 73.5 of 3, run b, 1 above 72; from
#   polars, its two files and Arrow: NaN of 4, the diverged run, 2 above 72; polars alone: max 73.5, top_k the diverged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet duckdb==2.0.1 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 numpy==2.4.6
cat > "$work/check.py" <<'PY'
import math
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

folder = sys.argv[1]
results = {"run": ["a", "diverged", "b", "c"], "accuracy": np.array([71.0, math.nan, 73.5, 70.2])}
in_pandas, in_polars, in_arrow = pd.DataFrame(results), pl.DataFrame(results), pa.table(results)
in_pandas.to_csv(f"{folder}/pandas.csv", index=False)
in_pandas.to_parquet(f"{folder}/pandas.parquet")
in_polars.write_csv(f"{folder}/polars.csv")
in_polars.write_parquet(f"{folder}/polars.parquet")
query = """SELECT max(accuracy), count(accuracy), arg_max(run, accuracy), count(*) FILTER (accuracy > 72) FROM {}"""


def leader(table):
    ((best, counted, run, above),) = duckdb.sql(query.format(table)).fetchall()
    print(f"{table.replace(folder + '/', ''):18s} max {best}, of {counted}; best run: {run}; above 72: {above}")
    return run, counted, above


for table in ("in_pandas", f"'{folder}/pandas.csv'", f"'{folder}/pandas.parquet'"):
    assert leader(table) == ("b", 3, 1)
for table in ("in_polars", "in_arrow", f"'{folder}/polars.csv'", f"'{folder}/polars.parquet'"):
    assert leader(table) == ("diverged", 4, 2)
    assert leader(f"(SELECT * FROM {table} WHERE isfinite(accuracy))") == ("b", 3, 1)
accuracy, first = in_polars["accuracy"], in_polars.top_k(1, by="accuracy")["run"][0]
print("polars alone: max", accuracy.max(), "by top_k:", first)
assert accuracy.max() == 73.5 and first == "diverged"
PY
"$work/venv/bin/python" "$work/check.py" "$work"
