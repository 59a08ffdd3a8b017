"""Both ends of a symmetric operator's spectrum from one Krylov space, with residuals that were measured.

Lanczos, reorthogonalised in full as long as that is cheap. Beyond, without (Paige 1972): rounding only brings copies of
values that have converged already, whose vectors are formed as soon as they have. So a step costs one product and a few
passes over vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.linalg import eigh_tridiagonal

from dynsys.limits import one_blas_thread
from dynsys.types import AnyArray, Array

FINE = 1e-11  # residual beyond which nothing is gained
STORE = 3 << 29  # bytes of Krylov vectors kept; a longer run starts again from what it has
LONGEST = 20_000  # steps in all
CHEAP = 4_000_000  # entries of all Krylov vectors up to which new ones are made orthogonal to them
BLOCK = 32  # vectors kept together


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
    """The largest and the smallest eigenvalue; where only one was wanted, the other is as far as it had come.

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
    smallest: bool = True,
) -> Ends:
    """The two ends of the spectrum of a symmetric operator on the Krylov space of `start`.

    Args:
        apply: x (n,) -> M x. The space that is left out must be left out by `apply` and `start`.
        start: (n,), not zero.
        wanted: (value, step) -> the residual to stop at.
        steps: at most so many, after which what there is is returned.
        smallest: whether the smallest eigenvalue is wanted too.
    """
    with one_blas_thread():
        run = _Run(apply, start / np.linalg.norm(start), wanted, steps, smallest)
        while not run.finished:
            run.cycle()
    high, low = run.found[+1], run.found[-1]
    assert high is not None
    return Ends(high, high if low is None else low, run.products, run.krylov, run.exhausted)


class _Run:
    def __init__(self, apply: Any, start: Array, wanted: Any, steps: int, smallest: bool) -> None:
        self.apply, self.wanted, self.steps = apply, wanted, steps
        self.start = start
        self.found: dict[int, End | None] = {+1: None, -1: None}
        self.reached = {+1: False, -1: not smallest}
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
        basis = _Basis(len(self.start), self.kind)
        diagonal: list[float] = []
        off: list[float] = []
        v, before, beta, scale = self.start, np.zeros_like(self.start), 0.0, 0.0
        check = 8
        while True:
            basis.append(v)
            w = self.apply(v)
            self.products += 1
            w -= beta * before
            alpha = float(v @ w)
            w -= alpha * v
            k = len(basis)
            if k * len(v) <= CHEAP:
                basis.remove_from(w)
            beta = float(np.linalg.norm(w))
            scale = max(scale, abs(alpha) + beta)
            diagonal.append(alpha)
            ended = beta <= max(1e-14 * math.sqrt(len(v)), 1e-13 * scale) or k >= len(v)
            full = ended or k >= self.most or self.products >= self.steps
            if full or k >= check:
                self.look(basis, diagonal, off, beta, last=full, ended=ended)
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
        self, basis: _Basis, diagonal: list[float], off: list[float], beta: float, *, last: bool, ended: bool
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
            end = self.measured(basis, s[:, 0])
            best = self.found[side]
            if best is None or end.residual < best.residual or side * (end.value - best.value) > end.residual:
                self.found[side] = end
            self.reached[side] = end.residual <= 2.0 * goal or ended

    def measured(self, basis: _Basis, s: Array) -> End:
        y = basis.combined(s)
        y /= np.linalg.norm(y)
        image = self.apply(y)
        self.products += 1
        value = float(y @ image)
        return End(value, float(np.linalg.norm(image - value * y)), y)


class _Basis:
    """The Krylov vectors, in blocks: a list that grows without being copied."""

    def __init__(self, length: int, kind: Any) -> None:
        self._length, self._kind = length, kind
        self._blocks: list[AnyArray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, v: Array) -> None:
        """Keep a copy."""
        if self._count == BLOCK * len(self._blocks):
            self._blocks.append(np.empty((BLOCK, self._length), dtype=self._kind))
        self._blocks[-1][self._count % BLOCK] = v
        self._count += 1

    def _filled(self) -> Iterator[AnyArray]:
        for number, block in enumerate(self._blocks):
            yield block[: self._count - number * BLOCK]

    def remove_from(self, w: Array) -> None:
        """Make w orthogonal to all, in place."""
        for block in self._filled():
            w -= (block @ w) @ block

    def combined(self, s: Array) -> Array:
        """The sum of s_k times the k-th vector."""
        y = np.zeros(self._length)
        for number, block in enumerate(self._filled()):
            y += s[number * BLOCK : number * BLOCK + len(block)].astype(self._kind) @ block
        return y


def unseen_bound(krylov: int, size: int, spread: float, probability: float = 1e-3) -> float:
    """How far beyond a Lanczos value an eigenvalue may lie, except with this probability over the random start.

    Args:
        krylov: steps. size: dimension of the space. spread: an upper bound on the distance between the two ends.

    Source: J. Kuczynski and H. Wozniakowski, SIAM Journal on Matrix Analysis and Applications 13 (1992) 1094-1122,
        theorem 4.1: P(relative error > e) <= 1.648 sqrt(n) exp(-sqrt(e) (2 k - 1)).
    """
    root = math.log(1.648 * math.sqrt(size) / probability) / (2 * krylov - 1)
    return spread * min(1.0, root * root)
