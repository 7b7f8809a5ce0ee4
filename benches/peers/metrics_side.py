"""The Python side of `against_python` (an example of neurobrick-metrics): scores, ridge and GPFA by their reference libraries.

Reads one request a line, answers one line. `prepare CASE` makes the data by the same formulas as the other side and
answers a sum over them; `run CASE` answers seconds on the clock, seconds of processor and the result. Needs nlb_tools, scikit-learn and elephant; see
metrics_requirements.txt.
"""
import contextlib
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
DATA = {}


def noise(shape, salt):
    """Uniform in [0, 1) from a multiplicative hash of the flat index."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(salt)
    with np.errstate(over="ignore"):
        h = i * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(29)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(32)
    return ((h >> np.uint64(11)).astype(np.float64) / 2.0**53).reshape(shape)


def prepare(case):
    if case == "bits":
        shape = (1000, 100, 700)
        rates = 0.02 + 0.2 * noise(shape, 1)
        counts = (noise(shape, 2) < rates).astype(np.float64)
        DATA[case] = (rates, counts)
    elif case == "ridge":
        x = noise((8000, 120), 3)
        y = np.stack([x[:, :30].sum(axis=1), x[:, 20:60].sum(axis=1)], axis=1) + 2.0 * noise((8000, 2), 4)
        DATA[case] = (x, y)
    elif case == "gpfa":
        t = np.arange(60)
        trials = []
        for k in range(20):
            z = np.stack([np.sin(t / 9.0 + k), np.cos(t / 14.0 + 2 * k), np.sin(t / 20.0 + 3 * k)])
            w = noise((30, 3), 5) - 0.5
            trials.append(w @ z + 1.0 + 0.8 * noise((30, 60), 1000 * (k + 1)))
        DATA[case] = trials
    return sum(float(np.sum(part)) for part in DATA[case])


def run(case):
    data = DATA[case]
    start, spent = time.perf_counter(), time.process_time()
    if case == "bits":
        from nlb_tools.evaluation import bits_per_spike

        value = bits_per_spike(data[0], data[1])
    elif case == "ridge":
        from sklearn.linear_model import Ridge
        from sklearn.model_selection import GridSearchCV

        search = GridSearchCV(Ridge(), {"alpha": np.logspace(-4, 0, 9)})
        search.fit(*data)
        value = search.best_score_
    elif case == "gpfa":
        from elephant.gpfa import gpfa_core

        dtype = [("T", int), ("y", "O")]
        seqs = np.array([(60, trial) for trial in data], dtype=dtype)
        # 3 latents, bins of 20 ms, 25 steps, no early stop.
        with contextlib.redirect_stdout(sys.stderr):
            _, info = gpfa_core.fit(seqs, x_dim=3, bin_width=20.0, em_tol=0.0, em_max_iters=25, freq_ll=25)
        value = float(info["log_likelihoods"][-1])
    return time.perf_counter() - start, time.process_time() - spent, float(value)


for line in sys.stdin:
    verb, case = line.split()
    if verb == "prepare":
        print(prepare(case), flush=True)
    else:
        print(*run(case), flush=True)
