"""A training step of LFADS in PyTorch and in neurobrick, in turns, at the sizes of MC_Maze in bins of 20 ms.

The PyTorch side is our own, written from the equations in `crates/neurobrick-models/src/lfads/README.md` in the manner of the
reference: eager, one Python step per bin. Both sides compute the same work on 256 trials of 45 bins and 182 units: coordinated
dropout, dropout, posterior samples, Poisson loss, divergences, clipping, AdamW.

    cargo build --release -p neurobrick --example lfads_step
    python benches/peers/lfads_step.py target/release/examples/lfads_step [rounds]
"""

import math
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

B, T, READ, N = 256, 45, 35, 182
IC, CI, CON, INPUTS, INITIAL, GEN, FACTORS = 64, 64, 64, 4, 64, 200, 100
DROPOUT, CLIP, CD = 0.3, 5.0, 0.3


class Cell(nn.Module):
    """The clipped unit: parts z, r, n; reset before the recurrent product."""

    def __init__(self, d_in, d_hidden):
        super().__init__()
        self.w_in = nn.Linear(d_in, 3 * d_hidden)
        self.w_zr = nn.Parameter(torch.randn(d_hidden, 2 * d_hidden) / math.sqrt(d_hidden))
        self.w_n = nn.Parameter(torch.randn(d_hidden, d_hidden) / math.sqrt(d_hidden))
        self.d = d_hidden

    def forward(self, x, h):
        x_zr, x_n = self.w_in(x).split([2 * self.d, self.d], 1)
        z, r = torch.sigmoid(x_zr + h @ self.w_zr).chunk(2, 1)
        n = torch.tanh(x_n + (r * h) @ self.w_n)
        return torch.clamp(z * h + (1 - z) * n, -CLIP, CLIP)


class Bidirectional(nn.Module):
    def __init__(self, d_in, d_hidden):
        super().__init__()
        self.ahead, self.back = Cell(d_in, d_hidden), Cell(d_in, d_hidden)
        self.start = nn.Parameter(torch.zeros(2, d_hidden))

    def forward(self, x):
        def run(cell, bins, h):
            out = []
            for t in bins:
                h = cell(x[:, t], h)
                out.append(h)
            return out

        n = x.shape[1]
        ahead = run(self.ahead, range(n), self.start[0].expand(len(x), -1))
        back = run(self.back, reversed(range(n)), self.start[1].expand(len(x), -1))[::-1]
        return torch.stack(ahead, 1), torch.stack(back, 1)


class Lfads(nn.Module):
    def __init__(self):
        super().__init__()
        self.ic, self.ci = Bidirectional(N, IC), Bidirectional(N, CI)
        self.to_initial, self.from_initial = nn.Linear(2 * IC, 2 * INITIAL), nn.Linear(INITIAL, GEN)
        self.con, self.con_start = Cell(2 * CI + FACTORS, CON), nn.Parameter(torch.zeros(1, CON))
        self.to_inputs, self.gen = nn.Linear(CON, 2 * INPUTS), Cell(INPUTS, GEN)
        self.factors = nn.Parameter(torch.randn(FACTORS, GEN) / math.sqrt(GEN))
        self.read_out = nn.Linear(FACTORS, N)
        self.prior_mean = nn.Parameter(torch.zeros(INITIAL))
        self.log_tau = nn.Parameter(torch.full((INPUTS,), math.log(10.0)))
        self.log_noise = nn.Parameter(torch.full((INPUTS,), math.log(0.1)))

    def forward(self, x):
        x = F.dropout(x, DROPOUT)
        ahead, back = self.ic(x)
        code = F.dropout(torch.cat([ahead[:, -1], back[:, 0]], 1), DROPOUT)
        mean, log_var = self.to_initial(code).chunk(2, 1)
        var = log_var.exp() + 1e-4
        ahead, back = self.ci(x)
        ci = torch.cat([F.pad(ahead[:, :-1], (0, 0, 1, 0)), F.pad(back[:, 1:], (0, 0, 0, 1))], 2)
        ci = F.pad(ci, (0, 0, 0, T - READ))
        g = self.from_initial(mean + var.sqrt() * torch.randn_like(mean))
        c = self.con_start.expand(len(x), -1)
        w = F.normalize(self.factors, dim=1)
        f = F.linear(F.dropout(g, DROPOUT), w)
        factors, means, log_vars = [], [], []
        for t in range(T):
            c = self.con(F.dropout(torch.cat([ci[:, t], f], 1), DROPOUT), c)
            m, v = self.to_inputs(c).chunk(2, 1)
            g = self.gen(m + (0.5 * v).exp() * torch.randn_like(m), g)
            f = F.linear(F.dropout(g, DROPOUT), w)
            factors.append(f), means.append(m), log_vars.append(v)
        log_rates = self.read_out(torch.stack(factors, 1))
        kl_initial = 0.5 * (math.log(0.1) - var.log() + (var + (mean - self.prior_mean) ** 2) / 0.1 - 1)
        return log_rates, kl_initial.sum(), self.kl_inputs(torch.stack(means, 1), torch.stack(log_vars, 1))

    def kl_inputs(self, m, log_v):
        a, log_n, v = torch.exp(-torch.exp(-self.log_tau)), self.log_noise, log_v.exp()
        log_p = log_n - torch.log1p(-(a**2))
        first = 0.5 * (log_p - log_v[:, 0] + (v[:, 0] + m[:, 0] ** 2) / log_p.exp() - 1)
        d = m[:, 1:] - a * m[:, :-1]
        rest = 0.5 * (log_n - log_v[:, 1:] + (v[:, 1:] + a**2 * v[:, :-1] + d**2) / log_n.exp() - 1)
        return first.sum() + rest.sum()


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    torch.manual_seed(1)
    torch.set_num_threads(2)
    model = Lfads()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    counts = torch.poisson(torch.full((B, T, N), 0.05))

    def step():
        keep = (torch.rand(B, READ, N) >= CD).float()
        log_rates, kl_initial, kl_inputs = model(counts[:, :READ] * keep / (1 - CD))
        counted = torch.cat([1 - keep, torch.ones(B, T - READ, N)], 1)
        nll = ((log_rates.exp() - counts * log_rates) * counted).sum()
        loss = nll + 1e-7 * T * N * (kl_initial + kl_inputs)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 41933.0)
        optimizer.step()

    ours = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask():
        ours.stdin.write("step\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    def timed():
        start = time.perf_counter()
        step()
        return 1e3 * (time.perf_counter() - start)

    timed(), timed(), ask(), ask()
    torch_ms, our_ms = [], []
    for _ in range(rounds):
        torch_ms.append(timed())
        our_ms.append(ask())
    ours.stdin.close()
    print(f"torch {torch.__version__}, 2 threads: median {statistics.median(torch_ms):.0f} ms, best {min(torch_ms):.0f} ms")
    print(f"neurobrick, 2 threads: median {statistics.median(our_ms):.0f} ms, best {min(our_ms):.0f} ms")
    ratio = statistics.median(t / o for t, o in zip(torch_ms, our_ms))
    print(f"torch / neurobrick, median of {rounds} rounds in turns: {ratio:.2f}")


if __name__ == "__main__":
    main()
