"""What every cell has in common: checked parameters, sizes, and a random instance."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import typing
import weakref
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Box = tuple[NDArray[np.float64], NDArray[np.float64]]

# A field's letters say its shape: n state units, m inputs. The first field that has a letter fixes its size; a last
# "..." stands for one or more further axes of any length.
InputWeights = Annotated[Array, ("n", "m")]
RecurrentWeights = Annotated[Array, ("n", "n")]
Bias = Annotated[Array, ("n", "1")]
Propagation = Annotated[Any, ("N", "N")]
"""A graph's matrix over its N nodes: dense, or scipy sparse and kept so."""
Kernels = Annotated[Array, ("n", "n", "...")]
InputKernels = Annotated[Array, ("n", "m", "...")]


class ParameterError(ValueError):
    """A cell was built from parameters it cannot use. The message says what came, what is needed, and the fix."""


def parameter_or_zeros() -> Any:
    """A field that may be left out: a bias is then zero, an input matrix then has no inputs."""
    return dataclasses.field(default=None)


def parameter_or_ones() -> Any:
    """A field that may be left out: a scale is then one, in random cells too."""
    return dataclasses.field(default=None, metadata={"missing": 1.0})


class Cell(ABC):
    """A recurrent cell: its fields are its parameters, its `step` is its equations.

    A subclass is a frozen dataclass. `step` takes the state blocks and then the input, each a column array of shape
    (size, B) with one sample per column, and returns the next state blocks in the same order. Write it with NumPy and
    SciPy functions only: the same equations are then simulated, differentiated and typeset.
    """

    outputs: ClassVar[str] = "h"
    """The state block that a readout or the next layer sees."""

    convention: ClassVar[str] = ""
    """What tells this class from its sisters, in words, where two are easily confused."""

    @abstractmethod
    def step(self, *blocks: Any) -> Any:
        """The next state blocks from the state blocks and the input."""

    def __post_init__(self) -> None:
        sizes: dict[str, tuple[int, str]] = {}
        shapes, missing = self.shapes(), self._missing()
        # Given parameters first: the ones left out take their sizes from them.
        for name in sorted(shapes, key=lambda field: getattr(self, field) is None):
            value = _checked(type(self).__name__, name, getattr(self, name), shapes[name], sizes, missing[name])
            object.__setattr__(self, name, value)

    @classmethod
    @functools.cache
    def shapes(cls) -> dict[str, tuple[str, ...]]:
        """The letters of each parameter's shape, by field name, e.g. {"U": ("n", "n")}."""
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = dataclasses.fields(typing.cast(Any, cls))
        return {f.name: hints[f.name].__metadata__[0] for f in fields if hasattr(hints[f.name], "__metadata__")}

    @classmethod
    def _missing(cls) -> dict[str, float]:
        """The value of each parameter that is left out, by field name."""
        return {f.name: f.metadata.get("missing", 0.0) for f in dataclasses.fields(typing.cast(Any, cls))}

    def _size(self, letter: str) -> int:
        for name, shape in self.shapes().items():
            if letter in shape:
                return int(getattr(self, name).shape[shape.index(letter)])
        raise AttributeError(f"{type(self).__name__} has no parameter with a side of length {letter}.")

    @property
    def hidden_size(self) -> int:
        """Units per state block, n."""
        return self._size("n")

    @property
    def input_size(self) -> int:
        """Inputs per step, m."""
        return self._size("m")

    @property
    def state_blocks(self) -> dict[str, int]:
        """Name and size of each state block, in the order of `step`'s arguments; all have n units unless overridden."""
        names = list(inspect.signature(self.step).parameters)[:-1]
        return dict.fromkeys(names, self.hidden_size)

    @property
    def output_size(self) -> int:
        """Values that a readout or the next layer sees."""
        return self.state_blocks[self.outputs]

    @property
    def state_size(self) -> int:
        """Length of the whole state, all blocks together."""
        return sum(self.state_blocks.values())

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays the equations use and training sets, by field name; biases are columns (n, 1)."""
        return {name: getattr(self, name) for name in self.shapes()}

    @property
    def constants(self) -> dict[str, Any]:
        """Arrays of the equations that training leaves alone, by field name, e.g. the graph of a graph convolution."""
        return {}

    @property
    def euler_step(self) -> float | None:
        """The time step, in units of the time constant, of a cell that is an Euler step in continuous time.

        None where it is none, or is meant as a map of its own.
        """
        return None

    @property
    def conventions(self) -> list[str]:
        """The choices in use, in words: that of the class, and every option, e.g. "update keeps-old".

        Without the activations, which the equations show.
        """
        fields = dataclasses.fields(typing.cast(Any, self))
        values = {f.name: getattr(self, f.name) for f in fields if "activation" not in f.name}
        own = [self.convention] if self.convention else []
        options = {k: f"{v:g}" if isinstance(v, float) else v for k, v in values.items() if isinstance(v, (str, float))}
        return own + [f"{name.replace('_', ' ')} {value}" for name, value in options.items()]

    def range(self, low: Array, high: Array) -> dict[str, Box] | None:
        """A box per state block, as (low, high) columns, that `step` maps strictly into its own interior.

        Args:
            low, high: (m, 1), bounds of the input; equal for a constant input.

        Returns: {block: (low (n, 1), high (n, 1))}, or None where the equations bound nothing.
        """
        return None

    def lost_rank(self, *blocks: Array) -> NDArray[np.int64] | int | None:
        """How many dimensions of the state one step destroys exactly, whatever rounding says.

        Args:
            blocks: the arguments of `step`, columns (size, B).

        Returns: (B,) or one number for all samples; None, the default, where the equations do not tell. Rows of the
            Jacobian that vanish (dead units) need not be counted here: they are seen.
        """
        return None

    @classmethod
    def random(cls, hidden: int, inputs: int, gain: float = 1.0, seed: int = 0, **options: Any) -> Self:
        """A cell with Gaussian weights: recurrent N(0, gain^2 / hidden), input N(0, 1 / inputs), zero biases.

        Args:
            hidden: units n, at least 1.
            inputs: inputs m, at least 0.
            gain: scale of the recurrent weights, dimensionless; their spectral radius tends to it as n grows.
            seed: of numpy's default generator; the global random state is not touched.
            options: further fields, e.g. activation="relu".
        """
        return cls(**(cls._gaussian({"n": hidden, "m": inputs}, gain, seed) | options))

    @classmethod
    def _gaussian(cls, sizes: dict[str, int], gain: float, seed: int) -> dict[str, Array]:
        """Arrays of each field by the letters of its shape: columns as if left out, weights of variance 1 / columns.

        Those of the inputs (letter m) are not scaled by `gain`, all others are.
        """
        require_sizes(sizes["n"], sizes["m"], **{k: v for k, v in sizes.items() if k not in ("n", "m")})
        generator = np.random.default_rng(seed)
        known, missing = sizes | {"1": 1}, cls._missing()

        def scale(rows: str, columns: str) -> float:
            if columns == "1":
                return 0.0
            return (1.0 if columns == "m" else gain) / math.sqrt(max(known[columns], 1))

        return {
            name: missing[name] * (shape[-1] == "1")
            + scale(*shape) * generator.standard_normal([known[letter] for letter in shape])
            for name, shape in cls.shapes().items()
        }


def _checked(
    cell: str, name: str, value: Any, shape: tuple[str, ...], sizes: dict[str, tuple[int, str]], otherwise: float = 0.0
) -> Array:
    """A read-only float64 copy of the declared shape, `otherwise` where `value` is None; `sizes` learns letters."""
    is_bias = shape[1] == "1"
    more_axes = shape[-1] == "..."
    shape = shape[:-1] if more_axes else shape
    if value is None:
        default = {"m": 0}
        missing = [letter for letter in shape if letter not in ("1", *sizes, *default)]
        if missing:
            raise ParameterError(
                f"{cell} needs at least one recurrent weight matrix; {name} and all others are missing."
            )
        value = np.full([1 if d == "1" else sizes[d][0] if d in sizes else default[d] for d in shape], otherwise)
        value = value[..., np.newaxis] if more_axes else value
    if "N" in shape and hasattr(value, "tocsr"):
        return typing.cast(Array, _checked_sparse(cell, name, value))
    try:
        array = np.array(value, dtype=np.float64)  # a copy: `frozen` guards the name, not the array behind it
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"{cell}.{name} must be an array of numbers, got {type(value).__name__}: {error}."
        ) from None
    if is_bias and array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim <= len(shape) if more_axes else array.ndim != len(shape):
        wanted = "(n,) or (n, 1)" if is_bias else "a matrix (rows, columns)"
        wanted = f"an array ({', '.join(shape)}, side, ...)" if more_axes else wanted
        raise ParameterError(f"{cell}.{name} must be {wanted}, got shape {np.shape(value)}.")
    if "n" in shape and not array.shape[shape.index("n")]:
        raise ParameterError(f"{cell}.{name} has shape {np.shape(value)}: a cell needs at least one unit.")
    for axis, letter in enumerate(shape):
        need, owner = (1, "every bias") if letter == "1" else sizes.setdefault(letter, (array.shape[axis], name))
        if array.shape[axis] != need:
            turned = not more_axes and _fits(array.T.shape, shape, sizes)
            hint = " It looks transposed: pass its .T." if turned else ""
            raise ParameterError(
                f"{cell}.{name} has shape {np.shape(value)}, needs ({', '.join(shape)}) with {letter} = {need} "
                f"(from {owner}).{hint}"
            )
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        where = tuple(int(i) for i in bad[0])
        raise ParameterError(
            f"{cell}.{name} has {len(bad)} values that are not finite (the first at {list(where)}); "
            "the network did not survive its training, or the file is damaged."
        )
    array.setflags(write=False)
    return array


def _checked_sparse(cell: str, name: str, value: Any) -> Any:
    """A scipy sparse matrix as a compressed float64 copy."""
    matrix = value.tocsr().astype(np.float64).copy()
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.shape[0]:
        raise ParameterError(f"{cell}.{name} must be a square matrix, got shape {matrix.shape}.")
    if not np.isfinite(matrix.data).all():
        raise ParameterError(f"{cell}.{name} has values that are not finite.")
    matrix.data.setflags(write=False)
    return matrix


def _fits(got: tuple[int, ...], shape: tuple[str, ...], sizes: dict[str, tuple[int, str]]) -> bool:
    """Whether a shape is the declared one, as far as its letters are known."""
    known = [1 if letter == "1" else sizes.get(letter, (size, ""))[0] for letter, size in zip(shape, got, strict=True)]
    return list(got) == known


def require_sizes(hidden: int, inputs: int, **others: int) -> None:
    """Raise ParameterError unless there is at least one unit and none of the sizes is impossible."""
    if hidden < 1 or inputs < 0 or any(size < 1 for size in others.values()):
        got = ", ".join(f"{name}={size}" for name, size in {"hidden": hidden, "inputs": inputs, **others}.items())
        need = "".join(f", {name} >= 1" for name in others)
        raise ParameterError(f"need hidden >= 1 and inputs >= 0{need}, got {got}.")


_DEFICIENCIES: dict[int, tuple[weakref.ref[Array], int]] = {}
"""What is known of parameter matrices, which cannot change, for as long as they live."""


def rank_deficiency(matrix: Array) -> int:
    """Rows minus rank of a parameter matrix, to rounding."""
    known = _DEFICIENCIES.get(id(matrix))
    if known is not None and known[0]() is matrix:
        return known[1]
    deficiency = _measured_deficiency(matrix)
    if not matrix.flags.writeable:
        at = id(matrix)
        _DEFICIENCIES[at] = (weakref.ref(matrix, lambda _: _DEFICIENCIES.pop(at, None)), deficiency)
    return deficiency


def _measured_deficiency(matrix: Array) -> int:
    singular = np.linalg.svd(matrix, compute_uv=False)
    limit = max(matrix.shape) * np.finfo(np.float64).eps * singular.max(initial=0.0)
    return len(matrix) - int((singular > limit).sum())


def checked_number(cell: str, field: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise ParameterError unless `value` is one finite number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise ParameterError(f"{cell}.{field} must be a finite number, got {value!r}.")
    if not low <= value <= high:
        raise ParameterError(f"{cell}.{field} must lie between {low:g} and {high:g}, got {value!r}.")


def checked_choice(cell: str, field: str, value: str, choices: typing.Iterable[str]) -> None:
    """Raise ParameterError unless `value` is one of `choices`."""
    known = list(choices)
    if value not in known:
        raise ParameterError(f"{cell}.{field} must be one of {', '.join(map(repr, known))}; got {value!r}.")
