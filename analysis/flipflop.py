"""A memory of three bits as a landscape of fixed points, after Sussillo & Barak (2013).

    python analysis/flipflop.py

Claims reproduced, on the trained GRU in examples/, at zero input (its memory mode):

1. 2^3 = 8 attractors, one per memory, read correctly by the readout.
2. 27 fixed points with 0, 1, 2, 3 unstable directions: 8, 12, 6, 1, as a cube has corners, edges, faces and one body.
3. Every saddle with one unstable direction sits between two memories that differ in exactly one bit: started on
   either side of it along its unstable mode, the network falls into them. The 12 saddles are the cube's 12 edges.
4. Without input a memory holds: a state written by the trials stays, read the same, for 10 000 steps.

Source: D. Sussillo & O. Barak, Opening the black box, Neural Computation 25 (2013) 626-649.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

import dynsys

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STEP_ASIDE = 1e-3  # along the unstable mode, model units: small against the distance of neighbouring points
FALL = 3_000  # steps; every saddle here is left within a hundred
HOLD = 10_000


def bits(f: dynsys.Map, states: np.ndarray) -> np.ndarray:
    """(..., 3) the memory that the readout shows: its three outputs, -1 or 1 up to the training error."""
    return f.readout(states)


def ends(f: dynsys.Map, states: np.ndarray, attractors: np.ndarray) -> np.ndarray:
    """For each state (k, n) the attractor it falls into at zero input, -1 for none."""
    last = dynsys.simulate(f, states, steps=FALL)[-1]
    distance = np.abs(last[:, np.newaxis] - attractors).max(axis=2)
    return np.where(distance.min(axis=1, initial=np.inf) < 1e-8, distance.argmin(axis=1), -1)


def main() -> int:
    """Measure, compare with the claims, and return 0 if all of them hold."""
    f = dynsys.load(EXAMPLES / "flipflop_gru.safetensors")
    found = dynsys.find_fixed_points(f)
    count = [int((found.n_unstable == k).sum()) for k in range(4)]
    attractors = found.states[found.n_unstable == 0]
    shown = bits(f, attractors)
    memories = np.sign(shown).astype(int)

    saddles = np.flatnonzero(found.n_unstable == 1)
    aside = STEP_ASIDE * found.right_modes[saddles, :, 0].real
    middle = found.states[saddles]
    pairs = np.stack([ends(f, middle + aside, attractors), ends(f, middle - aside, attractors)], axis=1)
    flips = [int((memories[a] != memories[b]).sum()) if a >= 0 and b >= 0 else -1 for a, b in pairs]
    edges = {frozenset((int(a), int(b))) for a, b in pairs}

    with np.load(EXAMPLES / "flipflop_gru_trials.npz") as file:
        inputs = np.asarray(file["inputs"], dtype=np.float64).swapaxes(0, 1)
    written = dynsys.simulate(f, None, inputs)[-1]
    settled = dynsys.simulate(f, written, steps=HOLD)[-1]
    kept = np.sign(bits(f, settled)) == np.sign(bits(f, written))

    print(f"{found.map_name}, zero input; residuals <= {found.residuals.max():.1e}\n")
    print("saddle  multiplier  between memories (as read out)    bits that differ")
    for k, (a, b), n in zip(saddles, pairs, flips, strict=True):
        print(f"{k:6}  {found.multipliers[k, 0].real:10.4f}  {memories[a]} {memories[b]}  {n:10}")
    print()

    checks = [
        ("attractors", 8, count[0]),
        ("memories among them, all different", 8, len({tuple(m) for m in memories})),
        ("largest |readout - (+-1)| at an attractor, below 0.2", True, bool(np.abs(shown - memories).max() < 0.2)),
        ("fixed points with 0, 1, 2, 3 unstable directions", [8, 12, 6, 1], count),
        ("saddles whose sides fall into memories one bit apart", 12, flips.count(1)),
        ("different edges of the cube they join", 12, len(edges)),
        ("edges at each memory", [3] * 8, [sum(a in edge for edge in edges) for a in range(8)]),
        (f"bits kept over {HOLD} steps without input", kept.size, int(kept.sum())),
    ]
    print(f"{'claim':55} {'expected':>26} {'measured':>26}")
    for name, expected, measured in checks:
        print(f"{name:55} {expected!s:>26} {measured!s:>26}  {'' if expected == measured else 'DIFFERS'}")
    print(f"\nReadout at the attractors: within {np.abs(shown - memories).max():.3f} of +-1.")
    print(f"Saddles by the number of bits that differ across them: {dict(Counter(flips))}.")
    failed = [name for name, expected, measured in checks if expected != measured]
    print("The claims hold." if not failed else f"NOT reproduced: {'; '.join(failed)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
