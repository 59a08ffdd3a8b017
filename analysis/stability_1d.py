"""Stability in one dimension, where every answer has a closed form.

    python analysis/stability_1d.py

1. Linear: h' = a h + 1 has h* = 1 / (1 - a) with multiplier a. a = 0.8: h* = 5, stable. a = 1.4: h* = -2.5, unstable.
2. One tanh unit, h' = tanh(w h): the origin has multiplier w and loses stability at w = 1 (pitchfork); beyond, two
   stable points +-h*, h* = tanh(w h*), with multiplier w (1 - h*^2).
3. With a bias, h' = tanh(w h + b): for w > 1 three fixed points iff |b| < b_fold = w h - artanh h at h = sqrt(1 - 1/w);
   for w < -1 the one fixed point is unstable iff |b| < b_flip = artanh h + |w| h at h = sqrt(1 - 1/|w|).

Sources: S. H. Strogatz, Nonlinear Dynamics and Chaos, chapters 3 and 10; F. Pasemann, Dynamics of a single model
neuron, Int. J. Bifurcation and Chaos 3 (1993) 271-278.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import cells
import dynsys

DIGITS = 10  # decimals to which fixed points, multipliers and critical biases must agree
PITCHFORK = {  # w: h*, multiplier; solutions of h = tanh(w h), to ten decimals
    1.5: (0.8585596366, 0.3943130255),
    2.0: (0.9575040241, 0.1663720878),
    3.0: (0.9949015285, 0.0305128460),
}
FOLD = {1.5: 0.2075464553, 2.0: 0.5328399754, 3.0: 1.3032739080}
FLIP = {-1.5: 1.5245043522, -2.0: 2.2955871494}


def points(f: object) -> list[tuple[float, float, str]]:
    """(h*, multiplier, kind) of every fixed point, from left to right."""
    found = dynsys.find_fixed_points(f, n_starts=64)
    rows = zip(found.states[:, 0], found.multipliers[:, 0].real, found.kinds, strict=True)
    return sorted((float(h), float(mu), kind) for h, mu, kind in rows)


def unit(w: float, b: float = 0.0) -> cells.Elman:
    """h' = tanh(w h + b)."""
    return cells.Elman(U=[[w]], b=[b])


def threshold(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """The bias where `holds` turns from true at `inside` to false at `outside`, by bisection.

    Not to the last bit: at the threshold itself two fixed points merge, or a multiplier is -1 within its error.
    """
    while outside - inside > 0.2 * 10.0**-DIGITS:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return (inside + outside) / 2


def main() -> int:
    """Measure, compare with the closed forms, and return 0 if all agree."""
    checks: list[tuple[str, float | str, float | str]] = []
    for a, expected, kind in [(0.8, 5.0, "attractor"), (1.4, -2.5, "repeller")]:
        ((h, mu, measured_kind),) = points(dynsys.as_map(lambda h, a=a: a * h + 1, state_size=1))
        checks += [(f"{a} h + 1: h*", expected, h), (f"{a} h + 1: multiplier", a, mu)]
        checks.append((f"{a} h + 1: kind", kind, measured_kind))

    below, above = points(unit(0.9)), points(unit(1.1))
    checks.append(("tanh(0.9 h): fixed points", "attractor", " ".join(kind for *_, kind in below)))
    kinds = " ".join(kind for *_, kind in above)
    checks.append(("tanh(1.1 h): fixed points", "attractor repeller attractor", kinds))
    pitchfork = threshold(lambda w: len(points(unit(w))) == 1, 0.5, 1.5)
    checks.append(("pitchfork: w where one point becomes three", "1.0000", f"{pitchfork:.4f}"))
    for w, (h_star, mu_star) in PITCHFORK.items():
        (left, *_), (middle, mu_0, _), (right, mu, _) = points(unit(w))
        checks += [(f"tanh({w} h): h*", h_star, right), (f"tanh({w} h): -h*", -h_star, left)]
        checks += [(f"tanh({w} h): multiplier at h*", mu_star, mu), (f"tanh({w} h): at the origin", w, mu_0)]
        checks.append((f"tanh({w} h): origin", 0.0, middle))

    for w, b in FOLD.items():
        h = math.sqrt(1 - 1 / w)
        closed = w * h - math.atanh(h)
        measured = threshold(lambda b, w=w: len(points(unit(w, b))) == 3, 0.0, 2.0)
        checks += [(f"fold of tanh({w} h + b): closed form", b, closed), (f"fold of tanh({w} h + b)", b, measured)]
    for w, b in FLIP.items():
        h = math.sqrt(1 - 1 / abs(w))
        closed = math.atanh(h) + abs(w) * h
        measured = threshold(lambda b, w=w: abs(points(unit(w, b))[0][1]) > 1, 0.0, 4.0)
        checks += [(f"flip of tanh({w} h + b): closed form", b, closed), (f"flip of tanh({w} h + b)", b, measured)]

    failed = 0
    print(f"{'quantity':45} {'expected':>28} {'measured':>28} {'difference':>11}")
    for name, expected, measured in checks:
        if isinstance(expected, str) or isinstance(measured, str):
            difference, good = "", expected == measured
            left, right = str(expected), str(measured)
        else:
            gap = abs(measured - expected)
            difference, good = f"{gap:.1e}", gap <= 10.0**-DIGITS
            left, right = f"{expected:.{DIGITS}f}", f"{measured:.{DIGITS}f}"
        failed += not good
        print(f"{name:45} {left:>28} {right:>28} {difference:>11}  {'' if good else 'DIFFERS'}")
    print(f"\n{'All' if not failed else len(checks) - failed} of {len(checks)} agree.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
