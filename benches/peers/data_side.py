"""The path of the data against Python peers, in turns: binning, windows, the store, NWB.

    cargo build --release --package neurobrick --example data_speed
    python -m venv target/bench/data && target/bench/data/bin/pip install --requirement benches/peers/data_requirements.txt
    target/bench/data/bin/python benches/peers/data_side.py target/release/examples/data_speed --out runs/bench/data

Prints the median of every task and side, and stops when two sides disagree on what they computed. Every side has one
thread.
"""
import argparse
import os
import statistics
import subprocess
import time
from pathlib import Path

for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS", "NUMBA_NUM_THREADS"]:
    os.environ[name] = "1"

import h5py  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

BIN_SIZE_S = 0.02
parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--out", default="runs/bench/data")
parser.add_argument("--spikes", type=int, default=10_000_000)
parser.add_argument("--units", type=int, default=300)
parser.add_argument("--seconds", type=float, default=3600.0)
parser.add_argument("--turns", type=int, default=7)
args = parser.parse_args()
folder = Path(args.out).resolve()
ours = subprocess.Popen([args.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(task):
    ours.stdin.write(task + "\n")
    ours.stdin.flush()
    seconds, check = ours.stdout.readline().split()
    return float(seconds), int(check)


def timed(function):
    started = time.perf_counter()
    value = function()
    return time.perf_counter() - started, value


ask(f"make {folder} {args.spikes} {args.units} {args.seconds}")
times = np.fromfile(folder / "times.f64")
units = np.fromfile(folder / "units.u32", dtype=np.uint32)
n_bins = round(args.seconds / BIN_SIZE_S)


def write_nwb(path):
    order = np.argsort(units, kind="stable")
    ends = np.cumsum(np.bincount(units, minlength=args.units))
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file["session_start_time"] = "2024-01-01T00:00:00+00:00"
        group = file.create_group("units")
        group.attrs["colnames"] = ["spike_times"]
        group.attrs["neurodata_type"] = "Units"
        group["id"] = np.arange(args.units)
        group["spike_times_index"] = ends
        group.create_dataset("spike_times", data=times[order], chunks=(1 << 17,), shuffle=True, compression="gzip", compression_opts=4)


def numpy_bin():
    """The bins of NumPy's own arithmetic: on edges they may differ from ours, on random times they do not."""
    bins = (times / BIN_SIZE_S).astype(np.int64)
    return np.bincount(bins * args.units + units, minlength=n_bins * args.units)


def placed(counts):
    return int((counts.astype(np.uint64) * np.arange(1, counts.size + 1, dtype=np.uint64)).sum())


try:
    import pynapple as nap

    group = nap.TsGroup({unit: nap.Ts(times[units == unit]) for unit in range(args.units)}, time_support=nap.IntervalSet(0, args.seconds))
except ImportError:
    nap = None


def h5py_read():
    with h5py.File(folder / "speed.nwb") as file:
        return file["units/spike_times"][()], file["units/spike_times_index"][()]


write_nwb(folder / "speed.nwb")
n_windows = 100_000
binned = np.zeros((n_bins, args.units), dtype=np.uint16)
np.add.at(binned, ((times / BIN_SIZE_S).astype(np.int64), units), 1)
starts = np.arange(n_windows) * 104_729 % (n_bins - 50)
batch = np.zeros((16, 50, args.units), dtype=np.uint16)


def numpy_windows():
    for index, start in enumerate(starts):
        batch[index % 16] = binned[start : start + 50]


def numpy_trainer():
    """From the file to batches of numbers with units hidden, as a loader without checks would be written."""
    table = pq.read_table(folder / "store/speed/spikes.parquet", use_threads=False)
    bins = (table["time_s"].to_numpy() / BIN_SIZE_S).astype(np.int64)
    flat = np.bincount(bins * args.units + table["unit"].to_numpy(), minlength=n_bins * args.units)
    counts = flat.astype(np.uint16).reshape(n_bins, args.units)
    random = np.random.default_rng(42)
    for first in range(0, n_windows // 16 * 16, 16):
        last = np.stack([counts[start : start + 50] for start in starts[first : first + 16]])
        ready = last.astype(np.float32)
        ready *= random.random((len(ready), 1, args.units)) >= 0.3
    return last


found = {}
for turn in range(args.turns):
    def note(task, side, seconds):
        found.setdefault((task, side), []).append(seconds)

    seconds, check = ask("bin")
    note("bin", "neurobrick", seconds)
    seconds, counts = timed(numpy_bin)
    note("bin", "numpy bincount", seconds)
    assert placed(counts) == check, "the sides disagree on the counts"
    if nap is not None and turn < 3:
        seconds, frame = timed(lambda: group.count(BIN_SIZE_S))
        note("bin", "pynapple count", seconds)
        assert int(np.asarray(frame).sum()) == len(times)
    seconds, check = ask(f"windows {n_windows}")
    note("windows", "neurobrick", seconds)
    note("windows", "numpy", timed(numpy_windows)[0])
    assert placed(batch.ravel()) == check, "the sides disagree on the last batch"
    seconds, check = ask(f"trainer {n_windows}")
    note("trainer", "neurobrick, from the store", seconds)
    if turn < 3:
        seconds, last = timed(numpy_trainer)
        note("trainer", "pyarrow and numpy", seconds)
        assert placed(last.ravel()) == check, "the sides disagree on the last batch"
    seconds, n = ask("store")
    note("store", "neurobrick, checked", seconds)
    seconds, table = timed(lambda: pq.read_table(folder / "store/speed/spikes.parquet", use_threads=False))
    note("store", "pyarrow, unchecked", seconds)
    assert n == table.num_rows == len(times)
    seconds, n = ask(f"nwb {folder / 'speed.nwb'}")
    note("nwb", "neurobrick, into a recording", seconds)
    seconds, (values, _) = timed(h5py_read)
    note("nwb", "h5py, into arrays", seconds)
    assert n == len(values)

mib = len(times) * 12 / 2**20
rates = {"bin": (len(times) / 1e6, "M spikes/s"), "windows": (n_windows, "windows/s"), "trainer": (n_windows, "windows/s"), "store": (mib / 1024 * 1.073741824, "GB/s"), "nwb": (len(times) / 1e6, "M spikes/s")}
print(f"{args.spikes} spikes, {args.units} units, {args.seconds} s, {args.turns} turns; median and fastest")
for (task, side), seconds in found.items():
    amount, unit = rates[task]
    print(f"{task:8} {side:30} {statistics.median(seconds):8.4f} s {amount / statistics.median(seconds):12.2f} {unit}   fastest {amount / min(seconds):12.2f}")
ours.stdin.close()
ours.wait()
