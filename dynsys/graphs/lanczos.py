"""Both ends of a symmetric operator's spectrum from one Krylov space, with residuals that were measured.

Plain Lanczos without reorthogonalisation (Paige 1972): rounding only brings copies of values that have converged
already, whose vectors are formed as soon as they have. So a step costs one product and a few passes over vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.linalg import eigh_tridiagonal

from dynsys.limits import one_blas_thread
from dynsys.types import AnyArray, Array

FINE = 1e-11  # residual beyond which nothing is gained
STORE = 3 << 29  # bytes of Krylov vectors kept; a longer run starts again from what it has
LONGEST = 20_000  # steps in all


@final
@dataclass(frozen=True, eq=False)
class End:
    """One end of a spectrum: the Rayleigh quotient of `vector` (n,), and |M vector - value vector|_2."""

    value: float
    residual: float
    vector: Array


@final
@dataclass(frozen=True, eq=False)
class Ends:
    """The largest and the smallest eigenvalue.

    Attributes:
        products: with the operator, in all. krylov: steps of the first run from the random start, which the bound on
            what it may not have met rests on. exhausted: whether the Krylov space was followed to its end.
    """

    largest: End
    smallest: End
    products: int
    krylov: int
    exhausted: bool


def ends(
    apply: Callable[[Array], Array],
    start: Array,
    *,
    wanted: Callable[[float, int], float],
    steps: int = LONGEST,
) -> Ends:
    """The two ends of the spectrum of a symmetric operator on the Krylov space of `start`.

    Args:
        apply: x (n,) -> M x. The space that is left out must be left out by `apply` and `start`.
        start: (n,), not zero.
        wanted: (value, step) -> the residual to stop at.
        steps: at most so many, after which what there is is returned.
    """
    with one_blas_thread():
        run = _Run(apply, start / np.linalg.norm(start), wanted, steps)
        while not run.finished:
            run.cycle()
    largest, smallest = run.found[+1], run.found[-1]
    assert largest is not None
    assert smallest is not None
    return Ends(largest, smallest, run.products, run.krylov, run.exhausted)


class _Run:
    def __init__(self, apply: Any, start: Array, wanted: Any, steps: int) -> None:
        self.apply, self.wanted, self.steps = apply, wanted, steps
        self.start = start
        self.found: dict[int, End | None] = {+1: None, -1: None}
        self.reached = {+1: False, -1: False}
        self.products = self.krylov = 0
        self.exhausted = False
        # Rounding the stored vectors to float32 moves a Ritz vector by 1e-6: no matter where residuals are larger.
        self.kind = np.float64 if len(start) <= 200_000 else np.float32
        self.most = max(20, STORE // (len(start) * np.dtype(self.kind).itemsize))

    @property
    def finished(self) -> bool:
        return all(self.reached.values()) or self.exhausted or self.products >= self.steps

    def cycle(self) -> None:
        """One run from `start`: until both ends are good enough, or there is no more room or time."""
        vectors: list[AnyArray] = []
        diagonal: list[float] = []
        off: list[float] = []
        v, before, beta = self.start, np.zeros_like(self.start), 0.0
        check = 8
        while True:
            vectors.append(v.astype(self.kind))
            w = self.apply(v)
            self.products += 1
            w -= beta * before
            alpha = float(v @ w)
            w -= alpha * v
            beta = float(np.linalg.norm(w))
            diagonal.append(alpha)
            k = len(diagonal)
            ended = beta <= 1e-14 * math.sqrt(len(v)) or k >= len(v)
            full = ended or k >= self.most or self.products >= self.steps
            if full or k >= check:
                self.look(vectors, diagonal, off, beta, last=full, ended=ended)
                check = max(k + 8, int(1.15 * k))
                full |= self.finished
            if full:
                break
            off.append(beta)
            before, v = v, w / beta
        self.krylov = self.krylov or len(diagonal)
        self.exhausted |= ended
        if not self.finished:
            together = sum((end.vector for end in self.found.values() if end is not None), np.zeros_like(self.start))
            self.start = together / np.linalg.norm(together)

    def look(
        self,
        vectors: list[AnyArray],
        diagonal: list[float],
        off: list[float],
        beta: float,
        *,
        last: bool,
        ended: bool,
    ) -> None:
        """Are the ends of the tridiagonal matrix good enough? Then form their vectors and measure the residual."""
        k = len(diagonal)
        for side in (+1, -1):
            if self.reached[side]:
                continue
            at = k - 1 if side > 0 else 0
            values, s = eigh_tridiagonal(np.array(diagonal), np.array(off), select="i", select_range=(at, at))
            goal = self.wanted(float(values[0]), self.products)
            if not last and beta * abs(s[-1, 0]) > goal:
                continue
            end = self.measured(vectors, s[:, 0])
            best = self.found[side]
            if best is None or end.residual < best.residual or side * (end.value - best.value) > end.residual:
                self.found[side] = end
            self.reached[side] = end.residual <= 2.0 * goal or ended

    def measured(self, vectors: list[AnyArray], s: Array) -> End:
        y = np.zeros_like(self.start)
        for first in range(0, len(vectors), 16):  # a few at a time: never a second copy of them all
            block = np.stack(vectors[first : first + 16])
            y += s[first : first + 16].astype(block.dtype) @ block
        y /= np.linalg.norm(y)
        image = self.apply(y)
        self.products += 1
        value = float(y @ image)
        return End(value, float(np.linalg.norm(image - value * y)), y)


def unseen_bound(krylov: int, size: int, spread: float, probability: float = 1e-3) -> float:
    """How far beyond a Lanczos value an eigenvalue may lie, except with this probability over the random start.

    Args:
        krylov: steps. size: dimension of the space. spread: an upper bound on the distance between the two ends.

    Source: J. Kuczynski and H. Wozniakowski, SIAM Journal on Matrix Analysis and Applications 13 (1992) 1094-1122,
        theorem 4.1: P(relative error > e) <= 1.648 sqrt(n) exp(-sqrt(e) (2 k - 1)).
    """
    root = math.log(1.648 * math.sqrt(size) / probability) / (2 * krylov - 1)
    return spread * min(1.0, root * root)
