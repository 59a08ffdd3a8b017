"""Trains the two-layer GCN of Kipf and Welling on Cora in plain PyTorch, and saves it as PyTorch Geometric would.

    python examples/train_cora_gcn.py [examples/cora_gcn.pt]

Settings of the paper (arXiv:1609.02907): 16 hidden units, dropout 0.5, weight decay 5e-4 on the first layer, Adam with
learning rate 0.01, 200 epochs, the public split of `examples/cora.npz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

import dynsys

HERE = Path(__file__).parent


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "cora_gcn.pt"
    torch.manual_seed(0)
    data = np.load(HERE / "cora.npz", allow_pickle=False)
    rows = torch.tensor(np.repeat(np.arange(len(data["labels"])), np.diff(data["feat_indptr"])))
    X = torch.zeros(tuple(data["feat_shape"]))
    X[rows, torch.tensor(data["feat_indices"].astype(np.int64))] = 1.0
    X /= X.sum(dim=1, keepdim=True).clamp(min=1)
    A = dynsys.graphs.as_graph(HERE / "cora.npz").propagation_matrix("sym+loops").tocoo()
    A = torch.sparse_coo_tensor(np.stack(A.coords), A.data, A.shape, dtype=torch.float32).to_sparse_csr()
    labels = torch.tensor(data["labels"].astype(np.int64))
    train, val, test = (torch.tensor(data[f"{part}_idx"].astype(np.int64)) for part in ("train", "val", "test"))
    first, second = (torch.nn.Linear(a, b, bias=False) for a, b in ((X.shape[1], 16), (16, 7)))
    biases = [torch.zeros(width, requires_grad=True) for width in (16, 7)]
    for layer in (first, second):
        torch.nn.init.xavier_uniform_(layer.weight)
    optimizer = torch.optim.Adam(
        [
            {"params": [first.weight, biases[0]], "weight_decay": 5e-4},
            {"params": [second.weight, biases[1]]},
        ],
        lr=0.01,
    )

    def forward(training: bool) -> torch.Tensor:
        H = torch.nn.functional.dropout(X, 0.5, training)
        H = torch.relu(A @ first(H) + biases[0])
        H = torch.nn.functional.dropout(H, 0.5, training)
        return A @ second(H) + biases[1]

    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(forward(True)[train], labels[train]).backward()
        optimizer.step()
    with torch.no_grad():
        said = forward(False).argmax(dim=1)
    for name, part in (("validation", val), ("test", test)):
        print(f"{name} accuracy {float((said[part] == labels[part]).float().mean()):.3f}")
    state = {
        "conv1.bias": biases[0].detach(),
        "conv1.lin.weight": first.weight.detach(),
        "conv2.bias": biases[1].detach(),
        "conv2.lin.weight": second.weight.detach(),
    }
    torch.save(state, out)


if __name__ == "__main__":
    main()
