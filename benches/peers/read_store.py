"""Reads every table of a store with DuckDB, Polars, pandas and pyarrow, and compares what they find.

    python -m venv target/bench/store && target/bench/store/bin/pip install --requirement benches/peers/store_requirements.txt
    target/bench/store/bin/python benches/peers/read_store.py STORE
"""
import json
import sys
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow.parquet


def rows(path):
    """Number of rows by every library."""
    found = {
        "duckdb": duckdb.sql(f"select count(*) from '{path}'").fetchall()[0][0],
        "polars": polars.read_parquet(path).height,
        "pandas": len(pandas.read_parquet(path)),
        "pyarrow": pyarrow.parquet.read_table(path).num_rows,
    }
    assert len(set(found.values())) == 1, f"{path}: {found}"
    return found["duckdb"]


def spikes(path):
    """Sum of times and of units by every library; sums of floats differ in the order of addition only."""
    frame = polars.read_parquet(path)
    table = pandas.read_parquet(path)
    arrow = pyarrow.parquet.read_table(path)
    found = [
        duckdb.sql(f"select sum(time_s), sum(unit) from '{path}'").fetchall()[0],
        (frame["time_s"].sum(), frame["unit"].cast(polars.UInt64).sum()),
        (table.time_s.sum(), table.unit.astype("uint64").sum()),
        (sum(arrow["time_s"].to_numpy()), sum(int(u) for u in arrow["unit"].to_numpy())),
    ]
    for times, units in found[1:]:
        assert abs((times or 0) - (found[0][0] or 0)) <= 1e-9 * abs(found[0][0] or 0) and int(units or 0) == int(found[0][1] or 0), f"{path}: {found}"
    return found[0]


n_tables = n_sessions = 0
for session in sorted(Path(sys.argv[1]).glob("*/session.json")):
    about, folder = json.loads(session.read_text()), session.parent
    n_sessions += 1
    lengths = {"units.parquet": about["n_units"], "trials.parquet": about["n_trials"]}
    lengths |= {f"signal.{signal['name']}.parquet": signal["n_samples"] for signal in about.get("signals", [])}
    lengths |= {f"intervals.{table['name']}.parquet": table["n_rows"] for table in about.get("intervals", [])}
    if about["activity"]["kind"] == "spikes":
        lengths["spikes.parquet"] = about["n_spikes"]
        spikes(folder / "spikes.parquet")
    else:
        lengths["counts.parquet"] = about["n_units"] * about["n_trials"]
        total = duckdb.sql(f"select sum(list_sum(bins)) from '{folder / 'counts.parquet'}'").fetchall()[0][0]
        assert int(total) == about["n_spikes"], f"{folder}: {total} spikes, session.json says {about['n_spikes']}"
    for name, expected in lengths.items():
        found = rows(folder / name)
        assert found == expected, f"{folder / name}: {found} rows, session.json says {expected}"
        n_tables += 1
assert n_sessions, "no sessions there"
versions = ", ".join(f"{m.__name__} {m.__version__}" for m in [duckdb, polars, pandas, pyarrow])
print(f"{n_tables} tables of {n_sessions} sessions read alike by {versions}")
