"""PyTorch's side of `cargo xtask bench --peers --models`: twins of the models beside NDT-1-stitch.

NDT-1, NDT-2, NEDS and POYO are the modules of `fixtures/golden/*/generate.py`, which our models are tested against, at the
sizes of the case; what those write for clarity and not for speed is written for speed here: NDT-2 in batches instead of trial
by trial, NEDS turned by real tables that are made once. LFADS and the recurrent network are our own, written from the equations
in their folders, one Python step per bin as the reference has it, but with the products that need no state taken out of
the loop. Weights and batch come from the conductor's safetensors file. Axes: B batch, T time bins, N units, S tokens, D width.
"""

import importlib.util
import math
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "golden"


def golden(name):
    """The generator of golden numbers of a model, as a module: sizes are names in it."""
    spec = importlib.util.spec_from_file_location(f"golden_{name}", GOLDEN / name / "generate.py")
    module = importlib.util.module_from_spec(spec)
    # Where the compiler looks for its names.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def poisson_loss(log_rates, batch):
    each = F.poisson_nll_loss(log_rates, batch["counts"], log_input=True, full=False, reduction="none")
    return (each * batch["counted"]).sum()


def load(model, weights):
    """Every parameter, and nothing but buffers left as they are."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    buffers = {name for name, _ in model.named_buffers()}
    if unexpected or set(missing) - buffers:
        raise ValueError(f"weights missing: {missing}, unexpected: {unexpected}")
    return model


class Twin:
    """A model and its batch. `loss(batch)` is minimized, `forward(batch)` answers."""

    # Whether bins are a loop, which the compiler unrolls: minutes for some thousand operations.
    is_unrolled = False

    def __init__(self, model, batch):
        self.model, self.batch = model, batch


# ---- transformers


class Ndt1(Twin):
    def __init__(self, case, batch, weights):
        config = case["network"]["model"]
        module = golden("ndt1")
        module.BINS = config["n_bins"]
        super().__init__(load(module.Ndt1(config, case["n_units"]), weights), batch)

    def forward(self, batch):
        return self.model(batch["visible"], False)[0]

    def loss(self, batch):
        return poisson_loss(self.forward(batch), batch)


class Ndt2(Twin):
    """In batches: every trial keeps as many patches, so that those that are read form one array."""

    def __init__(self, case, batch, weights):
        config = case["network"]["model"]
        module = golden("ndt2")
        module.SIZES.update(config)
        module.BINS, module.PATCH = config["n_bins"], config["patch_units"]
        model, width, patch = module.Ndt2(), config["d_model"], config["patch_units"]
        model.session_embed, model.subject_embed = nn.Embedding(1, width), nn.Embedding(1, width)
        self.biases = nn.Parameter(weights.pop("unit_biases.0"))
        load(model, weights).register_parameter("unit_biases", self.biases)
        n_trials, n_bins, n_units = batch["counts"].shape
        per_bin = -(-n_units // patch)

        def cut(x, value):
            return F.pad(x, (0, per_bin * patch - n_units), value=value).reshape(n_trials, n_bins * per_bin, patch)

        gone = cut(batch["hidden"], 1.0) > 0.5
        dropped = gone.all(-1)
        order = dropped.to(torch.int8).argsort(dim=1, stable=True)
        n_kept = (~dropped).sum(1)
        if config["causal"] or (n_kept != n_kept[0]).any():
            raise ValueError("this side reads equal numbers of patches, all of which see each other")
        kept = order[:, : n_kept[0]]
        pick = lambda x: x.gather(1, kept[..., None].expand(-1, -1, patch))  # noqa: E731
        batch["read"] = pick(cut(batch["counts"], 0.0).long().clamp(max=config["max_count"]))
        batch["seen"] = pick((~gone).float())
        batch["bins"], batch["patches"] = kept // per_bin, kept % per_bin
        batch["back"] = order.argsort(dim=1)[..., None].expand(-1, -1, width)
        self.all_bins = torch.arange(n_bins).repeat_interleave(per_bin)
        self.all_patches = torch.arange(per_bin).repeat(n_bins)
        self.shape = (n_bins, per_bin * patch, n_units)
        super().__init__(model, batch)

    def forward(self, batch):
        model, n_trials = self.model, len(batch["read"])
        tokens = (model.readin(batch["read"]) * batch["seen"][..., None]).flatten(-2)
        context = torch.stack([model.session_embed.weight[0], model.subject_embed.weight[0]])
        flags = torch.stack([model.session_flag, model.subject_flag])
        context = context.expand(n_trials, -1, -1)
        encoded = model.backbone(tokens, batch["bins"], batch["patches"], context + flags, False)
        infill = model.task_pipelines["shuffle_infill"]
        n_dropped = len(self.all_bins) - encoded.shape[1]
        before = torch.cat([encoded, infill.mask_token.expand(n_trials, n_dropped, -1)], 1).gather(1, batch["back"])
        decoded = infill.decoder(before, self.all_bins, self.all_patches, context, False)
        n_bins, n_filled, n_units = self.shape
        return infill.out(decoded).reshape(n_trials, n_bins, n_filled)[:, :, :n_units] + self.biases

    def loss(self, batch):
        return poisson_loss(self.forward(batch), batch)


class Neds(Twin):
    def __init__(self, case, batch, weights):
        network = case["network"]
        config, modalities = network["model"], network["modalities"]
        module = golden("neds")
        module.CONFIG.update(config)
        module.LABELS, module.BEHAVIORS = modalities["labels"], modalities["behaviors"]
        module.MODALITIES = ["spike"] + [label["name"] for label in module.LABELS] + module.BEHAVIORS
        module.N_UNITS, module.LABEL_WEIGHT = case["n_units"], 1.0 / config["n_bins"]
        module.SESSIONS, module.N_ROWS, module.SESSION = [{"id": "bench", "row": 0}], 1, 0
        half = config["d_model"] // config["n_heads"] // 2
        bins = torch.arange(config["n_bins"]).repeat(len(module.MODALITIES))
        angles = bins[:, None] * 10000.0 ** (-torch.arange(half) / half)
        cos, sin = (f(torch.cat([angles, angles], 1).double()).float() for f in (torch.cos, torch.sin))

        def turn(x, _bins):
            return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin

        module.turn = turn
        model = load(module.Neds(), weights)
        batch = module.assemble(*(batch[name].numpy() for name in ("counts", "labels")), *self.rest(batch))
        batch["inputs"] = {name: value.float() for name, value in batch["inputs"].items()}
        # What is hidden is not shown.
        hidden = batch["unseen"][:, 0, :, None]
        batch["shown"] = dict(batch["inputs"], spike=batch["inputs"]["spike"].masked_fill(hidden, 0.0))
        self.module = module
        super().__init__(model, batch)

    @staticmethod
    def rest(batch):
        n_windows, n_bins, _ = batch["counts"].shape
        return torch.zeros(n_windows, n_bins, 0).numpy(), batch["hidden"].numpy() > 0.5

    def forward(self, batch):
        return self.model({"inputs": batch["shown"], "unseen": batch["unseen"]})

    def loss(self, batch):
        return self.module.loss_of(self.forward(batch), batch)


class Poyo(Twin):
    def __init__(self, case, batch, weights):
        config = case["network"]["model"]
        if any(config[name] for name in ("dropout_ffn", "dropout_residual", "dropout_attention")):
            raise ValueError("this side has no dropout")
        module = golden("poyo")
        module.CONFIG.update(config)
        # The golden module names the shortest and longest period as we do.
        model = module.Poyo()
        width = config["d_model"]
        model.unit_emb, model.session_emb = nn.Embedding(case["n_units"] + 1, width), nn.Embedding(2, width)
        tokens = {"units": batch["units"].long(), "kinds": batch["kinds"].long()}
        tokens |= {"times": batch["times"], "valid": batch["valid"] > 0.5}
        batch = {"tokens": tokens, "output_times": batch["output_times"], "targets": batch["targets"]}
        batch["sessions"] = torch.ones(len(batch["targets"]), dtype=torch.long)
        super().__init__(load(model, weights), batch)

    def forward(self, batch):
        return self.model(batch["tokens"], batch["sessions"], batch["output_times"])

    def loss(self, batch):
        return F.mse_loss(self.forward(batch), batch["targets"])


# ---- recurrences


def split(recurrent):
    """Columns of update and reset, and of the candidate, of weights [H, 3 H]."""
    width = recurrent.shape[0]
    return recurrent[:, : 2 * width], recurrent[:, 2 * width :]


def cell(drive, state, weights, clip):
    """LFADS's unit: drive [B, 3 H] of update, reset and candidate; reset before the recurrent product."""
    width = state.shape[1]
    w_gates, w_candidate = weights
    update, reset = torch.sigmoid(torch.addmm(drive[:, : 2 * width], state, w_gates)).chunk(2, 1)
    candidate = torch.tanh(torch.addmm(drive[:, 2 * width :], reset * state, w_candidate))
    return torch.clamp(torch.lerp(candidate, state, update), -clip, clip)


class Named(nn.Module):
    """Parameters under our names, in our layout: maps are `x W + b` with `W` [in, out]."""

    def __init__(self, weights):
        super().__init__()
        for name, value in weights.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(value.contiguous()))

    def get(self, name):
        return getattr(self, name.replace(".", "/"))

    def linear(self, name, x):
        return F.linear(x, self.get(f"{name}.weight").T, self.get(f"{name}.bias"))


class LfadsModule(Named):
    def __init__(self, config, weights):
        super().__init__(weights)
        self.config = config

    def drop(self, x):
        return F.dropout(x, self.config["dropout"], self.training)

    def both_ways(self, name, drive):
        """States [B, T, H] ahead and back under drives [B, T, 6 H]."""
        drives = drive.chunk(2, 2)
        n_bins, answers = drive.shape[1], []
        for row, (way, bins) in enumerate((("ahead", range(n_bins)), ("back", reversed(range(n_bins))))):
            weights = split(self.get(f"{name}.{way}.recurrent"))
            state = self.get(f"{name}.start")[row].expand(len(drive), -1)
            steps = drives[row].unbind(1)
            states = [None] * n_bins
            for t in bins:
                state = states[t] = cell(steps[t], state, weights, self.config["clip"])
            answers.append(torch.stack(states, 1))
        return answers

    def sample(self, mean, std):
        return mean + std * torch.randn_like(mean) if self.training else mean

    def forward(self, counts):
        config, get = self.config, self.get
        n_forward, clip = config["n_forward_bins"], config["clip"]
        x = self.drop(counts[:, : config["n_bins"] - n_forward])
        ahead, back = self.both_ways("encoder.ic", self.linear("stitches.0.drive.ic", x))
        code = self.drop(torch.cat([ahead[:, -1], back[:, 0]], 1))
        mean, log_var = self.linear("encoder.to_initial", code).chunk(2, 1)
        initial = (mean, log_var.exp() + config["initial_min_var"])
        ahead, back = self.both_ways("encoder.ci", self.linear("stitches.0.drive.ci", x))
        lag = config["ci_lag"]
        encoded = torch.cat([F.pad(ahead[:, :-lag], (0, 0, lag, 0)), F.pad(back[:, lag:], (0, 0, 0, lag))], 2)
        encoded = self.drop(F.pad(encoded, (0, 0, 0, n_forward)))
        drives = self.linear("generator.controller.from_encoder", encoded).unbind(1)

        state = self.linear("generator.from_initial", self.sample(mean, initial[1].sqrt()))
        control = get("generator.controller.start").expand(len(x), -1)
        con_weights = split(get("generator.controller.cell.recurrent"))
        gen_weights = split(get("generator.cell.recurrent"))
        to_factors = F.normalize(get("generator.to_factors.weight"), dim=0, eps=1e-12)
        from_factors, into = get("generator.controller.from_factors"), get("generator.controller.into_generator")
        bias = get("generator.bias")
        read = self.drop(state) @ to_factors
        factors, means, log_vars = [], [], []
        for t in range(config["n_bins"]):
            control = cell(torch.addmm(drives[t], self.drop(read), from_factors), control, con_weights, clip)
            mean, log_var = self.linear("generator.controller.to_inputs", control).chunk(2, 1)
            inputs = self.sample(mean, torch.exp(0.5 * log_var))
            state = cell(torch.addmm(bias, inputs, into), state, gen_weights, clip)
            read = self.drop(state) @ to_factors
            factors.append(read), means.append(mean), log_vars.append(log_var)
        log_rates = self.linear("stitches.0.read_out", torch.stack(factors, 1))
        return log_rates, initial, (torch.stack(means, 1), torch.stack(log_vars, 1))

    def kl_initial(self, mean, var):
        prior = self.config["initial_prior_var"]
        square = var + (mean - self.get("initial_prior.mean")) ** 2
        return 0.5 * (math.log(prior) - var.log() + square / prior - 1).sum()

    def kl_inputs(self, mean, log_var):
        alpha, log_noise = torch.exp(-torch.exp(-self.get("input_prior.log_tau"))), self.get("input_prior.log_noise_var")
        var, log_prior = log_var.exp(), log_noise - torch.log1p(-(alpha**2))
        first = log_prior - log_var[:, 0] + (var[:, 0] + mean[:, 0] ** 2) / log_prior.exp() - 1
        step = mean[:, 1:] - alpha * mean[:, :-1]
        square = var[:, 1:] + alpha**2 * var[:, :-1] + step**2
        return 0.5 * (first.sum() + (log_noise - log_var[:, 1:] + square / log_noise.exp() - 1).sum())


class Lfads(Twin):
    is_unrolled = True

    def __init__(self, case, batch, weights):
        config = case["network"]["model"]
        unmeasured = ("d_read_in", "n_ic_bins", "d_external", "n_samples", "l2_generator", "l2_controller")
        if any(config.get(name) for name in unmeasured) or not config["ci_lag"]:
            raise ValueError(f"this side has none of {unmeasured}, and a lag")
        super().__init__(LfadsModule(config, weights), batch)

    def forward(self, batch):
        return self.model(batch["visible"])[0]

    def loss(self, batch):
        model, config = self.model, self.model.config
        log_rates, initial, inputs = model(batch["visible"])
        entries = log_rates.shape[1] * log_rates.shape[2]
        divergence = config["kl_initial"] * model.kl_initial(*initial) + config["kl_inputs"] * model.kl_inputs(*inputs)
        return poisson_loss(log_rates, batch) + entries * divergence


class GruModule(Named):
    def __init__(self, config, weights):
        super().__init__(weights)
        self.config = config

    def forward(self, counts):
        config = self.config
        drop = lambda x: F.dropout(x, config["dropout"], self.training)  # noqa: E731
        drives = self.linear("drive", drop(self.linear("stitches.0.read_in", counts))).unbind(1)
        weights = split(self.get("cell.recurrent"))
        state, states = self.get("start").expand(len(counts), -1), []
        for drive in drives:
            state = cell(drive, state, weights, config["clip"])
            states.append(state)
        return self.linear("stitches.0.read_out", drop(torch.stack(states, 1)))


class GruStitch(Twin):
    is_unrolled = True

    def __init__(self, case, batch, weights):
        super().__init__(GruModule(case["network"]["model"], weights), batch)

    def forward(self, batch):
        return self.model(batch["visible"])

    def loss(self, batch):
        return poisson_loss(self.forward(batch), batch)


COUNTS = {"ndt1": Ndt1, "ndt2": Ndt2, "lfads": Lfads, "gru_stitch": GruStitch}


def twin(case, tensors):
    """The twin of a case, from what its file holds."""
    weights = {name.removeprefix("weights."): value for name, value in tensors.items() if name.startswith("weights.")}
    batch = {name: value for name, value in tensors.items() if not name.startswith("weights.")}
    network = case["network"]
    kind = {"modalities": Neds, "spikes": Poyo}.get(network["reads"])
    return (kind or COUNTS[network["model"]["kind"]])(case, batch, weights)
