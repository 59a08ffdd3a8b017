"""Maps built from maps. The answer is a Map too, so every analysis works on it unchanged."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from dynsys.composed_maps import Boxed, ClosedLoop, Driven, Iterated, Stacked
from dynsys.errors import InputError, ShapeError
from dynsys.maps import CellMap, Map, given_box, numbers
from dynsys.readout import as_readout
from dynsys.types import ArrayLike


def as_map(
    obj: Any,
    state_size: int | None = None,
    input_size: int = 0,
    box: tuple[Any, Any] | None = None,
    invariant: bool = False,
) -> Map:
    """Read `obj` as a map.

    Args:
        obj: a cell, a Map (returned as it is), a PyTorch recurrent module, or a NumPy function of columns: it gets
            the state (n, B), and the input (m, B) if `input_size` is not 0, and returns the next state (n, B), or
            its rows in a list or in `np.array([...])`. Or SymPy formulas: sympy.Lambda((x, y), (f, g)), state first,
            then input; a list or Matrix of n formulas in n symbols, taken in alphabetic order; a SymbolicMap.
        state_size: n, needed for a function. input_size: m, for a function.
        box: (low, high), numbers or (n,) arrays: where to search for states, for a function.
        invariant: the caller's assertion that the function maps the box into its own interior.
    """
    from dynsys.function_maps import FunctionMap

    if isinstance(obj, type):
        raise InputError(f"{obj.__name__} is a class; pass one of its instances, e.g. {obj.__name__}(...).")
    if _is_symbolic(obj):
        from dynsys.algebra.functions import column_function

        function, n, m = column_function(obj)
        return _with_box(FunctionMap(function, n, m), state_size, input_size, box, invariant)
    known = _known_map(obj)
    if known is not None:
        return _with_box(known, state_size, input_size, box, invariant)
    if hasattr(obj, "layers") and hasattr(obj, "as_cell"):
        raise InputError(
            f"{obj.name} is a map only on a graph, and only layer by layer: use dynsys.propagation(network, graph, "
            "features), `dynsys propagate GRAPH MODEL`, or network.as_cell(graph, layer)."
        )
    if not callable(obj):
        raise InputError(
            f"cannot read a {type(obj).__name__} as a map: need a cell, a Map, a PyTorch recurrent module, a "
            "function of columns, or SymPy formulas. A model file is opened with dynsys.load(path)."
        )
    if state_size is None:
        raise InputError("a function does not say how many state variables it has: pass `state_size=n`.")
    return FunctionMap(obj, state_size, input_size, box, invariant)


def _is_symbolic(obj: Any) -> bool:
    """Whether `obj` is made of SymPy's objects, asked without importing SymPy."""
    if isinstance(obj, (list, tuple)):
        return any(_is_symbolic(entry) for entry in obj)
    homes = {kind.__module__.partition(".")[0] for kind in type(obj).__mro__}
    return "sympy" in homes or type(obj).__module__ == "dynsys.exact"


def _known_map(obj: Any) -> Map | None:
    """A Map, a cell or a PyTorch recurrent module as a map; None for anything else."""
    if isinstance(obj, Map):
        return obj
    if all(hasattr(obj, name) for name in ("step", "state_blocks", "input_size", "parameters")):
        return CellMap(obj)
    if hasattr(obj, "state_dict") and hasattr(obj, "named_parameters"):
        from dynsys.loaders.torch_module import map_from_module

        return map_from_module(obj)
    return None


def _with_box(f: Map, state_size: int | None, input_size: int, box: tuple[Any, Any] | None, invariant: bool) -> Map:
    """`f`, with the caller's search box where one is given; sizes that disagree are an error."""
    if state_size not in (None, f.state_size) or input_size not in (0, f.input_size):
        raise ShapeError(
            f"{f.name} has {f.state_size} state variables and {f.input_size} inputs, not {state_size} and {input_size}."
        )
    if box is None and invariant:
        raise InputError("`invariant=True` says something about a box: pass `box=(low, high)` too.")
    return f if box is None else Boxed(f, given_box(box, invariant, f.state_size))


def drive(f: Any, inputs: ArrayLike) -> Map:
    """`f` with its input fixed: an autonomous map for `inputs` (m,), one cycle of a periodic drive for (p, m).

    The latter changes from step to step, so it has no single `step`: pass it to `iterate(..., p)`.
    """
    f = as_map(f)
    array = numbers(inputs, "inputs")
    if array.ndim not in (1, 2) or array.shape[-1] != f.input_size or not array.size:
        raise ShapeError(f"{f.name} takes inputs (m,) or (p, m) with m = {f.input_size}, got {array.shape}.")
    return Driven(f, np.atleast_2d(array))


def iterate(f: Any, times: int) -> Map:
    """`f` applied `times` times. A periodic drive of period p must be iterated a multiple of p times."""
    f = as_map(f)
    if int(times) != times or times < 1:
        raise InputError(f"`times` must be a whole number, at least 1, got {times}.")
    if isinstance(f, Driven):
        period = len(f.inputs)
        if times % period:
            raise InputError(f"the drive has period {period}: iterate it {period} times, or a multiple, not {times}.")
        return Iterated([f.at(t % period) for t in range(int(times))], f"{f.name}, {times} steps")
    return Iterated([f] * int(times), f"{f.name}, {times} steps")


def close_loop(f: Any, readout: Any = None) -> Map:
    """`f` with its own readout fed back as its input: x[t+1] = F(x[t], g(x[t])).

    Args:
        readout: g: a matrix V (m, n), a pair (V, c), or a function of columns (n_out, B) -> (m, B) of the state's
            output block; None takes the readout that came with a loaded model.
    """
    f = as_map(f)
    return ClosedLoop(f, as_readout(readout if readout is not None else getattr(f, "readout", None)))


def stack(*layers: Any) -> Map:
    """A deep network: layer l reads the output (h) of layer l-1 at the same step; the state runs layer by layer."""
    if not layers:
        raise InputError("stack needs at least one layer.")
    maps = [as_map(layer) for layer in layers]
    for below, above in itertools.pairwise(maps):
        size = below.output.stop - below.output.start
        if above.input_size != size:
            raise ShapeError(f"{above.name} takes {above.input_size} inputs, but the layer below it gives {size}.")
    return Stacked(maps)
