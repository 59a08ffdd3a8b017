"""Dense Jacobians against their floor: one plain step, one copy of the result, and (nested products) the bare GEMM.

    python benchmarks/jacobian.py [--peer] [--repeats 25]

Prints ratios from one run, one BLAS thread. `--peer` adds torch.func.vmap(jacrev) in float64, one thread.
"""

from __future__ import annotations

import argparse
import os

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np
from timing import interleaved

import cells
import dynsys

SIZES = ((64, 1024), (256, 64))
PLAIN, NESTED = 1.5, 1.6
"""Bars of the ratio: to step + copy, and with a nested product to step + copy + the bare batched GEMM."""
CELLS = {
    "Elman": cells.Elman.random,
    "LSTM": cells.LSTM.random,
    "GRUResetAfter": cells.GRUResetAfter.random,
    "GRU": cells.GRU.random,
    "Linear": cells.Linear.random,
    "PeepholeLSTM": cells.PeepholeLSTM.random,
    "CoupledLSTM": cells.CoupledLSTM.random,
    "ProjectedLSTM": cells.ProjectedLSTM.random,
    "GatelessLSTM": cells.GatelessLSTM.random,
    "ReducedGRU 1": cells.ReducedGRU.random,
    "ReducedGRU 3": lambda n, m, seed: cells.ReducedGRU.random(n, m, seed=seed, gates="bias"),
    "MGU": cells.MGU.random,
    "LeakyRNN rates": cells.LeakyRNN.random,
    "LeakyRNN currents": lambda n, m, seed: cells.LeakyRNN.random(n, m, seed=seed, equation="currents"),
    "EchoState": cells.EchoState.random,
    "LowRankRNN": lambda n, m, seed: cells.LowRankRNN.random(n, m, seed=seed, rank=2),
    "AntisymmetricRNN": cells.AntisymmetricRNN.random,
    "OrthogonalRNN": cells.OrthogonalRNN.random,
    "CFN": cells.CFN.random,
    "PLRNN": cells.PLRNN.random,
    "DiagonalSSM": cells.DiagonalSSM.random,
    "ContextRNN": cells.ContextRNN.random,
    "RecurrentMLP": cells.RecurrentMLP.random,
}
INNER = {"GRU": "U_h", "ReducedGRU 1": "U_h", "MGU": "U_h", "ProjectedLSTM": "P", "RecurrentMLP": "W_2"}
"""The matrix to the left of the nested product, where there is one."""
PEERS = {"Elman": 10, "LSTM": 30, "GRUResetAfter": 30, "GRU": 5}
"""Cells timed against torch too, and how many times as long it must take."""


def against_floor(repeats: int) -> None:
    print(
        f"{'cell':18} {'hidden':>6} {'batch':>6} {'ours ms':>9} {'step':>8} {'copy':>8} {'gemm':>8} {'ratio':>7}  bar"
    )
    for name, make in CELLS.items():
        for hidden, batch in SIZES:
            f = dynsys.as_map(make(hidden, 3, seed=0))
            generator = np.random.default_rng(1)
            state = generator.uniform(-0.9, 0.9, (batch, f.state_size))
            inputs = generator.standard_normal((batch, 3))
            jacobian = f.jacobian(state, inputs)
            # The copy keeps the result's own layout, state axis first in memory.
            contestants = {
                "ours": lambda f=f, s=state, u=inputs: f.jacobian(s, u),
                "step": lambda f=f, s=state, u=inputs: f.step(s, u),
                "copy": lambda j=jacobian: j.copy(order="K"),
            }
            if name in INNER:
                weights = f.parameters[INNER[name]]
                inner = np.ones((batch, weights.shape[1], f.state_size))
                contestants["gemm"] = lambda w=weights, d=inner: w @ d
            t = interleaved(contestants, repeats)
            floor = t["step"] + t["copy"] + t.get("gemm", 0.0)
            print(
                f"{name:18} {hidden:6} {batch:6} {1e3 * t['ours']:9.2f} {1e3 * t['step']:8.2f} "
                f"{1e3 * t['copy']:8.2f} {1e3 * t.get('gemm', 0):8.2f} {t['ours'] / floor:7.2f}  <= "
                f"{NESTED if name in INNER else PLAIN}"
            )


def against_peer(repeats: int) -> None:
    import torch

    torch.set_num_threads(1)
    hidden, batch = 256, 64
    print(f"\n{'cell':14} {'ours ms':>9} {'torch ms':>9} {'torch / ours':>13}  bar (hidden {hidden}, batch {batch})")
    for name, bar in PEERS.items():
        f = dynsys.as_map(CELLS[name](hidden, 3, seed=0))
        p = {field: torch.tensor(np.array(value)) for field, value in f.parameters.items()}
        step = TORCH_STEPS[name]
        generator = np.random.default_rng(1)
        state = generator.uniform(-0.9, 0.9, (batch, f.state_size))
        inputs = generator.standard_normal((batch, 3))
        peer = torch.func.vmap(torch.func.jacrev(lambda s, u, p=p, step=step: step(p, s, u)))
        s, u = torch.tensor(state), torch.tensor(inputs)
        difference = np.abs(peer(s, u).numpy() - f.jacobian(state, inputs)).max()
        assert difference < 1e-12, difference
        contestants = {
            "ours": lambda f=f, s=state, u=inputs: f.jacobian(s, u),
            "torch": lambda g=peer, s=s, u=u: g(s, u),
        }
        t = interleaved(contestants, repeats)
        print(f"{name:14} {1e3 * t['ours']:9.2f} {1e3 * t['torch']:9.2f} {t['torch'] / t['ours']:13.1f}  >= {bar}")


def _gate(p, name, s, u):
    return p["W_" + name] @ u + p["U_" + name] @ s + p["b_" + name][:, 0]


def _elman(p, s, u):
    import torch

    return torch.tanh(p["W"] @ u + p["U"] @ s + p["b"][:, 0])


def _lstm(p, s, u):
    import torch

    h, c = s.chunk(2)
    i, f, o = (torch.sigmoid(_gate(p, name, h, u)) for name in "ifo")
    new = f * c + i * torch.tanh(_gate(p, "g", h, u))
    return torch.cat([o * torch.tanh(new), new])


def _gru(p, s, u):
    import torch

    z, r = (torch.sigmoid(_gate(p, name, s, u)) for name in "zr")
    return z * s + (1 - z) * torch.tanh(_gate(p, "h", r * s, u))


def _gru_after(p, s, u):
    import torch

    z, r = (torch.sigmoid(_gate(p, name, s, u)) for name in "zr")
    heard = p["U_h"] @ s + p["b_hn"][:, 0]
    return z * s + (1 - z) * torch.tanh(p["W_h"] @ u + p["b_h"][:, 0] + r * heard)


TORCH_STEPS = {"Elman": _elman, "LSTM": _lstm, "GRU": _gru, "GRUResetAfter": _gru_after}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peer", action="store_true", help="also time torch.func.vmap(jacrev)")
    arguments.add_argument("--repeats", type=int, default=25)
    chosen = arguments.parse_args()
    against_floor(chosen.repeats)
    if chosen.peer:
        against_peer(max(3, chosen.repeats // 5))
