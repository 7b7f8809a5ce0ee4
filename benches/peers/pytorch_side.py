"""PyTorch's side of `cargo xtask bench --peers`: the same model, batch and steps, answering requests on stdin.

One JSON object per line comes in, one goes out; `crates/neurobrick-bench/src/protocol.rs` lists them. The conductor
lets this process and ours take turns, so nothing here runs but in answer to a request.

The models of `open_model` are in `pytorch_models.py`. That of `open` is NDT-1-stitch as `fixtures/golden/ndt_stitch/generate.py` has it (which our model is tested against), with
dropout, and with what a PyTorch user would take for speed: one packed projection for query, key and value,
`scaled_dot_product_attention`, inputs and targets prepared before timing, gradients set to None, AdamW in whichever
of PyTorch's implementations is fastest here. Compiled, dropout uses eager's generator of random numbers: the compiled
one is several times slower on CPUs. Weights, counts and masks are read from the conductor's safetensors
file; nothing is unpickled. Axes: B batch, T time bins, N units, S tokens, D width.
"""

import json
import os
import pathlib
import resource
import statistics
import sys
import time

import pytorch_models
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

PRODUCT_SHAPE = (1600, 512, 512)
NEURON_PROMPT = 0  # the row of the prompt table for co-smoothing, the scheme of the conductor's masks
WARM_UPS = 3
OPTIMIZER_TRIALS = 5


# ---- model


class Layer(nn.Module):
    """Pre-norm transformer layer: `x += Attn(LN(x)); x += MLP(LN(x))`."""

    def __init__(self, width, n_heads, mlp_width, dropout):
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.ln1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.ln2 = nn.LayerNorm(width)
        self.up_proj = nn.Linear(width, mlp_width)
        self.down_proj = nn.Linear(mlp_width, width)

    def forward(self, x):
        batch, n_tokens, width = x.shape
        qkv = self.qkv(self.ln1(x)).view(batch, n_tokens, 3, self.n_heads, width // self.n_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        p = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=p)
        mixed = mixed.transpose(1, 2).reshape(batch, n_tokens, width)
        x = x + self.out_proj(F.dropout(mixed, self.dropout, self.training))
        hidden = self.down_proj(F.gelu(self.up_proj(self.ln2(x))))
        return x + F.dropout(hidden, self.dropout, self.training)


class NdtStitch(nn.Module):
    """Visible counts [B, T, N] of one session to log rates [B, T, N]."""

    def __init__(self, sizes, n_units):
        super().__init__()
        width = sizes["d_model"]
        self.dropout = sizes["dropout_embed"]
        self.read_in = nn.Linear(n_units, sizes["d_stitch"])
        self.embed_spikes = nn.Linear(sizes["d_stitch"], sizes["d_embed"])
        self.projection = nn.Linear(sizes["d_embed"], width)
        self.embed_pos = nn.Embedding(sizes["n_bins"], width)
        self.embed_prompt = nn.Embedding(4, width)
        self.embed_session = nn.Embedding(1, width)
        self.layers = nn.ModuleList(
            Layer(width, sizes["n_heads"], sizes["d_mlp"], sizes["dropout"]) for _ in range(sizes["n_layers"])
        )
        self.embed_scale = sizes["embed_scale"]
        self.out_norm = nn.LayerNorm(width)
        self.read_out = nn.Linear(width, n_units)

    def forward(self, visible):
        embedded = F.softsign(self.embed_spikes(self.read_in(visible)))
        if self.embed_scale != 1.0:
            embedded = self.embed_scale * embedded
        x = self.projection(embedded) + self.embed_pos.weight
        prefix = torch.stack([self.embed_session.weight[0], self.embed_prompt.weight[NEURON_PROMPT]])
        x = torch.cat([prefix.expand(len(x), -1, -1), x], dim=1)
        x = F.dropout(x, self.dropout, self.training)
        for layer in self.layers:
            x = layer(x)
        return self.read_out(self.out_norm(x)[:, 2:])


def load_weights(model, weights):
    """Burn's names and layouts to PyTorch's: linear weights are transposed, query, key and value are packed."""
    state = {}
    for name, own in model.state_dict().items():
        stem, kind = name.rsplit(".", 1)
        if stem.endswith("qkv"):
            sources = [f"{stem.removesuffix('qkv')}attn.{part}.{kind}" for part in ("query", "key", "value")]
        elif stem.endswith("out_proj"):
            sources = [f"{stem.removesuffix('out_proj')}attn.out_proj.{kind}"]
        elif stem.endswith(("up_proj", "down_proj")):
            layer, part = stem.rsplit(".", 1)
            sources = [f"{layer}.mlp.{part}.{kind}"]
        elif stem in ("read_in", "read_out"):
            sources = [f"stitches.0.{name}"]
        elif stem.endswith(("ln1", "ln2", "out_norm")):
            sources = [f"{stem}.{'gamma' if kind == 'weight' else 'beta'}"]
        else:
            sources = [name]
        tensors = [weights.pop(source) for source in sources]
        if own.dim() == 2 and not stem.startswith(("embed_pos", "embed_prompt", "embed_session")):
            tensors = [tensor.T for tensor in tensors]
        state[name] = torch.cat(tensors).contiguous()
    if weights:
        raise ValueError(f"weights that this model has no place for: {sorted(weights)}")
    model.load_state_dict(state)


# ---- work


class Side:
    """Model, batch and optimizer. Subclasses set the model and say what `loss`, `batch_forward` and `trial_forward` are."""

    def __init__(self, request):
        torch.set_num_threads(request["n_threads"])
        torch.manual_seed(0)
        self.max_grad_norm = request["max_grad_norm"]
        self.learning_rate = request["learning_rate"]
        self.optimizer = None
        if request["compiled"]:
            # Here, so that the compiler's memory is not counted as eager's.
            from torch._inductor import config as inductor

            # Compiled dropout draws its numbers one by one on CPUs; with eager's generator the step is faster.
            inductor.fallback_random = True
        # Every kind of work has one shape, so compiling for exactly that shape is the faster choice.
        self.wrap = (lambda f: torch.compile(f, dynamic=False)) if request["compiled"] else (lambda f: f)

    def new_optimizer(self, kind):
        return torch.optim.AdamW(
            self.model.parameters(), lr=self.learning_rate, betas=(0.9, 0.999), weight_decay=0.01, **{kind: True}
        )

    def choose_optimizer(self):
        """The faster of PyTorch's two fast AdamWs, by their updates with gradients of zero on these parameters."""
        medians = {}
        for kind in ("fused", "foreach"):
            # A learning rate of zero: trying must not move the weights.
            adamw = self.new_optimizer(kind)
            for group in adamw.param_groups:
                group["lr"] = 0.0
            for parameter in self.model.parameters():
                parameter.grad = torch.zeros_like(parameter)
            times = []
            for _ in range(OPTIMIZER_TRIALS + 1):
                start = time.perf_counter()
                adamw.step()
                times.append(time.perf_counter() - start)
            medians[kind] = statistics.median(times[1:])
        best = min(medians, key=medians.get)
        self.optimizer = self.new_optimizer(best)
        return f"{best} AdamW"

    def train_step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self.optimizer.step()
        if not torch.isfinite(loss):
            raise ValueError(f"the loss is {loss.item()}")

    def times(self, work, n):
        self.model.train(work == "train")
        with torch.inference_mode(work != "train"):
            return [self.time_once(work) for _ in range(n)]

    def time_once(self, work):
        start = time.perf_counter()
        if work == "train":
            self.train_step()
        elif work == "forward":
            self.batch_forward()
        else:
            self.trial_forward()
        return time.perf_counter() - start


class StitchSide(Side):
    """NDT-1-stitch."""

    def __init__(self, request):
        super().__init__(request)
        case = request["case"]
        if not case["model"]["prompt"]:
            raise ValueError("this side measures prompted models only")
        tensors = load_file(request["material"])
        self.counts = tensors.pop("counts")
        self.counted = tensors.pop("counted")
        self.visible = self.counts.masked_fill(tensors.pop("hidden") > 0.5, 0.0)
        self.trial = self.visible[:1].contiguous()
        self.model = NdtStitch(case["model"], case["n_units"])
        load_weights(self.model, {name.removeprefix("weights."): value for name, value in tensors.items()})
        self.loss_of = self.wrap(self.masked_loss)
        self.batch_rates = self.wrap(lambda visible: self.model(visible))
        self.trial_rates = self.wrap(lambda visible: self.model(visible))

    def masked_loss(self, visible, counts, counted):
        log_rates = self.model(visible)
        each = F.poisson_nll_loss(log_rates, counts, log_input=True, full=False, reduction="none")
        return (each * counted).sum()

    def loss(self):
        return self.loss_of(self.visible, self.counts, self.counted)

    def batch_forward(self):
        return self.batch_rates(self.visible)

    def trial_forward(self):
        return self.trial_rates(self.trial)

    def eval_loss(self):
        self.model.eval()
        with torch.no_grad():
            log_rates = self.batch_rates(self.visible).double()
            return ((log_rates.exp() - self.counts * log_rates) * self.counted).sum().item()


class ModelSide(Side):
    """Any other model: its loss is compared without dropout and with posteriors at their means."""

    def __init__(self, request):
        super().__init__(request)
        twin = pytorch_models.twin(request["case"], load_file(request["material"]))
        if request["compiled"] and twin.is_unrolled:
            raise ValueError("a loop over bins, which takes minutes to compile")
        self.model, self.batch = twin.model, twin.batch
        self.loss_of, self.batch_answers = self.wrap(twin.loss), self.wrap(twin.forward)

    def loss(self):
        return self.loss_of(self.batch)

    def batch_forward(self):
        return self.batch_answers(self.batch)

    def eval_loss(self):
        self.model.eval()
        with torch.no_grad():
            return self.loss_of(self.batch).item()


def product_gflops(n):
    """Products of one after the other, each on all threads, in 10^9 operations per second."""
    m, k, columns = PRODUCT_SHAPE
    left, right = torch.rand(m, k), torch.rand(k, columns)
    out = torch.mm(left, right)
    start = time.perf_counter()
    for _ in range(n):
        torch.mm(left, right, out=out)
    return n * 2.0 * m * k * columns / (time.perf_counter() - start) / 1e9


# ---- process


def status_bytes(field):
    """A line of /proc/self/status in bytes, or None where there is none."""
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def reset_peak_memory():
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # The peak is then the one since the start.


def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


# ---- protocol


def answer(request, state):
    ask = request["ask"]
    if ask in ("open", "open_model"):
        state["side"] = (StitchSide if ask == "open" else ModelSide)(request)
        return {"answer": "opened", "version": f"torch {torch.__version__}"}
    side = state["side"]
    if ask == "eval_loss":
        return {"answer": "loss", "loss": side.eval_loss()}
    if ask == "warm_up":
        note = side.choose_optimizer() if request["work"] == "train" else ""
        last = side.times(request["work"], WARM_UPS)[-1]
        reset_peak_memory()
        return {"answer": "warm", "last_s": last, "note": note}
    if ask == "run":
        before = page_faults()
        times = side.times(request["work"], request["n"])
        return {"answer": "times", "times_s": times, "page_faults": page_faults() - before}
    if ask == "product":
        return {"answer": "product", "gflops": product_gflops(request["n"])}
    if ask == "memory":
        return {"answer": "memory", "start_bytes": state["start_bytes"], "peak_bytes": status_bytes("VmHWM:")}
    raise ValueError(f"unknown request `{ask}`")


def main():
    # What libraries print must not come between the answers: it goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    state = {"start_bytes": status_bytes("VmRSS:")}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), state)
        except Exception as error:  # whatever went wrong is the answer
            reply = {"answer": "failed", "message": f"{type(error).__name__}: {str(error)[:2000]}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
