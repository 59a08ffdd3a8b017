"""Long orbits of small maps, and tangent frames along them, as machine code (numba)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, final

import numpy as np

from dynsys.bare import bare
from dynsys.composed_maps import Driven
from dynsys.function_maps import FunctionMap
from dynsys.maps import CellMap, Map
from dynsys.readings.straight_line import HELPERS, NotStraight, StraightLine, evaluate
from dynsys.types import Array

LARGEST = 8  # state variables up to which a step is written out as straight-line code

LOOP = '''
def run(x, q, u, k, steps, sums, floor):
    """`steps` steps from x (n,) with the frame q (n, {k}), both overwritten; adds log|diag R| to sums[:{k}] and
    log|det J| to sums[{k}]; returns how many pivots were below rounding."""
    {unpack}
    product = np.ones({k} + 1)
    w, J = np.empty(({n}, {k})), np.zeros(({n}, {n}))
    low = 0
    for t in range(steps):
        {input}
{step}
{frame}
{advance}
{logs}
    {pack}
    for i in range({k} + 1):
        sums[i] += np.log(product[i])
    return low
'''

PLANE = """
        a, b = {j00} * q00 + {j01} * q10, {j10} * q00 + {j11} * q10
        c, d = {j00} * q01 + {j01} * q11, {j10} * q01 + {j11} * q11
        r0 = math.sqrt(a * a + b * b)
        r01 = (a * c + b * d) / r0
        r1 = (a * d - b * c) / r0
        q00, q10 = a / r0, b / r0
        q01, q11 = -q10, q00
        r1 = abs(r1)
        if r1 <= floor * max(r0, abs(r01)):
            low += 1
        product[0] *= r0
        product[1] *= r1
        product[2] *= abs({j00} * {j11} - {j01} * {j10})
"""
"""Two variables, both exponents: the second axis is the first one turned."""

SPACE = """
{fill}
        w[:] = 0.0
        for i in range({n}):
            for j in range({n}):
                for c in range({k}):
                    w[i, c] += J[i, j] * q[j, c]
        largest = 0.0
        for c in range({k}):
            for _ in range(2):
                for p in range(c):
                    dot = 0.0
                    for i in range({n}):
                        dot += q[i, p] * w[i, c]
                    for i in range({n}):
                        w[i, c] -= dot * q[i, p]
                    if abs(dot) > largest:
                        largest = abs(dot)
            size = 0.0
            for i in range({n}):
                size += w[i, c] * w[i, c]
            size = math.sqrt(size)
            if size > largest:
                largest = size
            if size <= floor * largest:
                low += 1
            for i in range({n}):
                q[i, c] = w[i, c] / size
            product[c] *= size
        {volume}
"""
"""Gram-Schmidt, each column twice (Kahan and Parlett: twice is enough)."""

VOLUME = "product[{k}] *= volume(J)"

LOGS = """
        for i in range({k} + 1):
            if product[i] > 1e100 or product[i] < 1e-100:
                sums[i] += np.log(product[i])
                product[i] = 1.0
"""


def volume(matrix: Array) -> float:
    """|det| by elimination with row exchanges; overwrites the matrix."""
    n = len(matrix)
    out = 1.0
    for c in range(n):
        best = c
        for r in range(c + 1, n):
            if abs(matrix[r, c]) > abs(matrix[best, c]):
                best = r
        if matrix[best, c] == 0.0:
            return 0.0
        if best != c:
            for j in range(n):
                matrix[c, j], matrix[best, j] = matrix[best, j], matrix[c, j]
        out *= abs(matrix[c, c])
        for r in range(c + 1, n):
            factor = matrix[r, c] / matrix[c, c]
            for j in range(c + 1, n):
                matrix[r, j] -= factor * matrix[c, j]
    return out


def _indented(lines: list[str], spaces: int = 8) -> str:
    return "\n".join(" " * spaces + line for line in lines)


def source(code: StraightLine, k: int, inputs: int) -> str:
    """The program that carries a frame of k columns along an orbit, as Python for numba."""
    n = len(code.next_state)
    j = {f"j{r}{c}": code.jacobian.get((r, c), "0.0") for r in range(n) for c in range(n)}
    plane = n == 2 and k == 2
    state = [f"x{i}" for i in range(n)]
    unpack = [f"{x} = x[{i}]" for i, x in enumerate(state)]
    unpack += [f"k{i} = k[{i}]" for i in range(len(code.constants))]
    pack = [f"x[{i}] = {x}" for i, x in enumerate(state)]
    if plane:
        unpack += ["q00, q01, q10, q11 = q[0, 0], q[0, 1], q[1, 0], q[1, 1]"]
        pack += ["q[0, 0], q[0, 1], q[1, 0], q[1, 1] = q00, q01, q10, q11"]
        frame = PLANE.format(**j)
    else:
        fill = _indented([f"J[{r}, {c}] = {name}" for (r, c), name in sorted(code.jacobian.items())])
        if k == n:  # the volume overwrites J
            fill = "        J[:] = 0.0\n" + fill
        frame = SPACE.format(fill=fill, n=n, k=k, volume=VOLUME.format(k=k) if k == n else "pass")
    return LOOP.format(
        n=n,
        k=k,
        unpack="\n    ".join(unpack),
        input="; ".join(f"u{i} = u[t, {i}]" for i in range(inputs)) or "pass",
        step=_indented(code.lines),
        frame=frame,
        advance=_indented([", ".join(state) + " = " + ", ".join(code.next_state)]),
        logs=LOGS.format(k=k),
        pack="\n    ".join(pack),
    )


@functools.lru_cache(maxsize=64)
def compiled(text: str) -> Callable[..., int]:
    """The machine code of a program, kept for maps of the same structure."""
    import math

    import numba

    names: dict[str, Any] = {"np": np, "math": math} | {f.__name__: numba.njit(f) for f in (*HELPERS, volume)}
    exec(compile(text, "<a small map>", "exec"), names)  # written by `source` alone
    return numba.njit(names["run"])  # type: ignore[no-any-return]


def equations_of(f: Map) -> Callable[[Any, Any], Any]:
    """The next state, or its rows, from a state (n, 1) and an input (m, 1) of any kind.

    Raises: NotStraight for maps put together in ways that are not unrolled here.
    """
    f = bare(f)
    if isinstance(f, CellMap):
        return functools.partial(_of_cell, f)
    if isinstance(f, FunctionMap) and f.reading != "differences":
        return f.answer
    if isinstance(f, Driven) and len(f.inputs) == 1:
        inner, constant = equations_of(f.inner), f.inputs[0][:, np.newaxis]
        return lambda state, input: inner(state, constant)
    raise NotStraight(f"{f.name} is put together from parts")


def _of_cell(f: CellMap, state: Any, input: Any) -> Any:
    answer = f.cell.step(*(state[rows] for _, rows in f.blocks), input)
    return list(answer) if isinstance(answer, tuple) else answer


def straight_line(f: Map, state: Array, driving: Array | None) -> StraightLine | None:
    """One step of a small map as code, checked against the map at `state` (n,); None where there is none.

    `driving` (T, B, m) or None says whether, and with what, it is driven.
    """
    n = f.state_size
    if not 1 <= n <= LARGEST or f.period > 1:
        return None
    try:
        code = StraightLine(equations_of(f), n, f.input_size, driven=driving is not None)
    except (NotStraight, TypeError, ValueError, AttributeError, IndexError, KeyError):
        return None  # whatever the equations do that this reading does not know: the arrays know it
    input = np.zeros(f.input_size) if driving is None else driving[0, 0]
    try:
        after, jacobian = evaluate(code, state, input)
    except (ArithmeticError, ValueError):
        return None
    wanted = f.linearize(state, input if f.input_size else None)
    same = np.allclose(after, wanted.next_state[:, 0], rtol=1e-12, atol=1e-14)
    return code if same and np.allclose(jacobian, wanted.dense()[0], rtol=1e-10, atol=1e-13) else None


@final
class SmallOrbit:
    """One orbit of a small map with its frame, run by machine code.

    Attributes:
        state: (n,). frame: (n, k). low: pivots below rounding so far.
    """

    def __init__(self, run: Callable[..., int], constants: Array, state: Array, frame: Array) -> None:
        self._run, self._constants = run, constants
        self.state, self.frame = state.copy(), np.ascontiguousarray(frame)
        self.low = 0
        self._floor = len(state) * float(np.finfo(np.float64).eps)

    def advance(self, steps: int, driving: Array) -> Array:
        """`steps` steps under `driving` (steps, m): (k + 1,) sums of log|diag R| and log|det J|, nats."""
        sums = np.zeros(self.frame.shape[1] + 1)
        with np.errstate(all="ignore"):
            self.low += self._run(self.state, self.frame, driving, self._constants, steps, sums, self._floor)
        return sums
