"""Maps built from maps. The answer is a Map too, so every analysis works on it unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from dynsys.checked_numbers import whole_number
from dynsys.composed_maps import Boxed, ClosedLoop, Driven, Iterated, Stacked
from dynsys.errors import InputError, ShapeError
from dynsys.maps import CellMap, Map, given_box, numbers
from dynsys.model import Model
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
        box: (low, high), numbers or (n,) arrays: where to search for states: for a function, or
            instead of the box that the equations have.
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
    if hasattr(obj, "directions_by_name"):
        raise InputError(
            f"a bidirectional network is two maps in opposite directions of time, not one. Choose: "
            f"{', '.join(obj.directions_by_name())}, as `.direction(name)`; on the command line --direction NAME."
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
    if box is None:
        return f
    where = given_box(box, invariant, f.state_size)
    return f.searched_in(where) if isinstance(f, Model) else Boxed(f, where)


def drive(f: Any, inputs: ArrayLike) -> Map:
    """`f` with its input fixed: an autonomous map for `inputs` (m,), one cycle of a periodic drive for (p, m).

    The latter changes from step to step, so it has no single `step`: pass it to `iterate(..., p)`.
    """
    f = as_map(f)
    array = numbers(inputs, "inputs")
    if array.ndim not in (1, 2) or array.shape[-1] != f.input_size or not array.size:
        raise ShapeError(f"{f.name} takes inputs (m,) or (p, m) with m = {f.input_size}, got {array.shape}.")
    return Driven(f, np.array(np.atleast_2d(array)))


def iterate(f: Any, times: int) -> Map:
    """`f` applied `times` times, from its step 0 on. A map of period p must be iterated a multiple of p times."""
    f = as_map(f)
    times = whole_number("times", times, 1)
    if f.period > 1 and times % f.period and f.repeats:
        what = "drive" if isinstance(f, Driven) else "map"
        raise InputError(f"the {what} has period {f.period}: iterate it {f.period} times, or a multiple, not {times}.")
    return Iterated([f.at(t) for t in range(int(times))], f"{f.name}, {times} steps", f)


def close_loop(f: Any, readout: Any = None, *, mixing: float = 1.0, into: Sequence[int] | None = None) -> Map:
    """`f` with its own readout fed back as its input: x[t+1] = F(x[t], g(x[t])).

    Args:
        readout: g: a matrix V (m, n), a pair (V, c), or a function of columns (n_out, B) -> (m, B) of the state's
            output block; None takes the readout that came with a loaded model.
        mixing: dimensionless, 0 to 1: the weight of the readout where the rest is a given reference, as in training
            by teacher forcing. 1 is the closed loop, which takes no reference; 0 is the open loop, `f` itself. Below
            1 the map keeps all its inputs, the reference among them.
        into: the numbers of the inputs that the readout feeds, in its order; None is all of them. The others remain
            inputs.
    """
    f = as_map(f)
    if not 0 <= mixing <= 1:
        raise InputError(f"`mixing` must lie between 0 (the reference alone) and 1 (the readout alone), got {mixing}.")
    fed = list(range(f.input_size)) if into is None else [int(k) for k in into]
    if len(set(fed)) != len(fed) or any(not 0 <= k < f.input_size for k in fed):
        raise InputError(f"`into` must name different inputs, 0 to {f.input_size - 1}, got {fed}.")
    shown = as_readout(readout if readout is not None else getattr(f, "readout", None))
    return ClosedLoop(f, shown, fed, float(mixing))


def stack(*layers: Any, skip: bool = False, residual: bool = False, show: Literal["top", "all"] = "top") -> Map:
    """A deep network: layer l reads the output (h) of layer l-1 at the same step; the state runs layer by layer.

    Args:
        layers: from the input side; anything `as_map` reads.
        skip: the layers above the first hear the network's input too, below what they hear anyway: they take
            n_out + m inputs.
        residual: a layer hears the sum of the outputs of all layers below it, so that what passes up is what a layer
            heard plus what it made of it; the outputs are of one width, and `skip` is off. A readout that is to see
            the sum too has show="all", its matrix once for each layer's output.
        show: what a readout sees: the output of the "top" layer, or "all" of the state.
    """
    if not layers:
        raise InputError("stack needs at least one layer.")
    if show not in ("top", "all"):
        raise InputError(f'`show` must be "top" or "all", got {show!r}.')
    if skip and residual:
        raise InputError("`skip` and `residual` are two ways past a layer: choose one.")
    maps = [as_map(layer) for layer in layers]
    widths = {f.output.stop - f.output.start for f in maps}
    if residual and len(widths) > 1:
        raise ShapeError(f"residual connections need outputs of one width, got widths {sorted(widths)}.")
    own = maps[0].input_size if skip else 0
    for below, above in itertools.pairwise(maps):
        size = below.output.stop - below.output.start + own
        if above.input_size != size:
            also = f" and the input {own}, {size} in all" if skip else ""
            raise ShapeError(
                f"{above.name} takes {above.input_size} inputs, but the layer below it gives {size - own}{also}."
            )
    return Stacked(maps, skip, show, residual=residual)


def deepen(f: Any, *, input: Any = None, transition: Any = None) -> Map:
    """`f` with a deep input and a deep transition: h[t+1] = G(F(h[t], I(x[t]))).

    Args:
        f: the step F. input: I, from the new map's inputs to those of `f`. transition: G, on the output block of the
            state, of which it keeps the size. Each is a matrix, a pair (V, c), a function of columns, a `cells.Dense`,
            or a list of functions, one after the other; None leaves it out. A function as `input` must say how many
            values it takes (`input_size`), as `cells.Dense` does. A deep output is a deep readout: a list too.

    Source: R. Pascanu, C. Gulcehre, K. Cho and Y. Bengio, How to construct deep recurrent neural networks, ICLR 2014,
        arXiv 1312.6026.
    """
    from dynsys.coupled_maps import Deepened

    f = as_map(f)
    before, after = (None if part is None else as_readout(part) for part in (input, transition))
    inputs = f.input_size
    if before is not None:
        if before.input_width is None:
            raise InputError("`input` is a function that does not say how many values it takes: use cells.Dense.")
        inputs = before.input_width
        given = len(before.columns(np.zeros((inputs, 1))))
        if given != f.input_size:
            raise ShapeError(f"`input` gives {given} values, {f.name} takes {f.input_size} inputs.")
    if after is not None:
        width = f.output.stop - f.output.start
        if after.input_width not in (None, width) or len(after.columns(np.zeros((width, 1)))) != width:
            raise ShapeError(f"`transition` must take and give the {width} values of the output of {f.name}.")
    return Deepened(f, before, after, inputs)


def clockwork(f: Any, periods: Sequence[int]) -> Map:
    """`f` with clocks: each group of state variables moves at the steps t that its period divides, else stays.

    Args:
        f: the step of all of them. periods: in steps; one for each state variable, or one for each of several groups
            of units of equal size, in order, within every block of the state; a single one is the whole state's.

    Returns: a map that changes with time: simulate and spectra follow it; `iterate(f, f.period)` is one whole turn of
        all clocks, which fixed points and reports take. In a `stack`, layers may have clocks of their own.
    Source: J. Koutnik, K. Greff, F. Gomez and J. Schmidhuber, A clockwork RNN, ICML 2014, arXiv 1402.3511, where U is
        zero from faster to slower groups.
    """
    from dynsys.timed_maps import Clocked

    f = as_map(f)
    given = np.atleast_1d(np.asarray(periods))
    if given.ndim != 1 or given.dtype.kind not in "iu" or not given.size or (given < 1).any():
        raise InputError(f"`periods` must be whole numbers, at least 1, got {periods!r}.")
    if len(given) == f.state_size:
        return Clocked(f, given.astype(np.int64))
    each = []
    for name, rows in f.blocks:
        size, rest = divmod(rows.stop - rows.start, len(given))
        if rest:
            raise ShapeError(
                f"{len(given)} groups of equal size do not fit the {rows.stop - rows.start} units of block {name}; "
                f"or pass a period for each of the {f.state_size} state variables."
            )
        each.append(np.repeat(given, size))
    return Clocked(f, np.concatenate(each).astype(np.int64))


def layers(*parts: Any, width: int | None = None) -> Map:
    """A feed-forward network as a map whose time is depth: step l is layer l, the state is what it computes.

    `gradient_spectrum(f, x, None, lags)` then tells how gradients survive over layers, `lyapunov_spectrum(f, x,
    steps=L, discard=0)` the exponents per layer, `simulate(f, x, steps=L)` the activations.

    Args:
        parts: a `cells.Dense`, a matrix, a pair (W, b), a function of columns, or a map without inputs for each
            layer, from the input side. Where their widths differ, the state has that of the widest; the rest of a
            narrower layer is zero, and its logarithmic gains are -inf exactly.
        width: how many values the first layer takes, where it is a function that does not say.
    """
    from dynsys.timed_maps import Layered, layer_widths

    if not parts:
        raise InputError("layers needs at least one layer.")
    made = [_layer(part) for part in parts]
    return Layered(made, layer_widths(made, width))


def _layer(part: Any) -> Any:
    known = None if isinstance(part, type) else _known_map(part)
    return known if known is not None else as_readout(part)


def couple(*parts: Any, links: Mapping[tuple[int, int], ArrayLike]) -> Map:
    """Maps side by side that hear each other: part i gets u_i + sum_j C_ij h_j of the step before.

    Args:
        parts: anything `as_map` reads. links: {(i, j): C_ij}, from the output of part j to the inputs of part i,
            (m_i, n_j), parts counted from 0.

    Returns: a map whose state and inputs u are those of the parts, one after the other.
    """
    from dynsys.coupled_maps import Coupled

    maps = [as_map(part) for part in parts]
    if not maps:
        raise InputError("couple needs at least one part.")
    checked = {}
    for (i, j), C in links.items():
        if not (0 <= i < len(maps) and 0 <= j < len(maps)):
            raise InputError(f"link {(i, j)}: there are parts 0 to {len(maps) - 1}.")
        shape = (maps[i].input_size, maps[j].output.stop - maps[j].output.start)
        checked[i, j] = numbers(C, f"links[{i}, {j}]")
        if checked[i, j].shape != shape:
            raise ShapeError(
                f"link {(i, j)} goes from the {shape[1]} outputs of part {j} to the {shape[0]} inputs of part {i}: "
                f"need a matrix {shape}, got {checked[i, j].shape}."
            )
    return Coupled(maps, checked)


def over_graph(cell: Any, graph: Any, *, normalization: str = "sym+loops", message: Any = None) -> Map:
    """The same cell at every node of a graph: node i hears sum_j A_ij h_j of the step before.

    Args:
        cell: anything `as_map` reads. Its first inputs are the neighbours' sum; further ones are inputs of the node.
        graph: an adjacency matrix (N, N), dense or scipy sparse, a networkx graph, or whatever `dynsys.graphs.as_graph`
            reads, such as an edge list (2, edges); node order is the graph's own. An edge j -> i of a directed graph
            brings j's message to i.
        normalization: how A follows from it, "sym+loops", "sym", "row+loops" or "none" (see cells.propagation_matrix).
        message: what a node shows of its output h: a matrix, a pair (V, c), or a function of columns; None is h.

    Returns: a map of N n state variables, node by node: for a linear cell J = kron(I, U) + kron(A, W).
    """
    from dynsys.coupled_maps import OverGraph
    from dynsys.graph_input import propagation

    f = as_map(cell)
    shown = None if message is None else as_readout(message)
    width = f.output.stop - f.output.start
    if shown is not None and shown.input_width not in (None, width):
        raise ShapeError(f"`message` takes {shown.input_width} values, the output of {f.name} has {width}.")
    size = width if shown is None else len(shown.columns(np.zeros((width, 1))))
    if f.input_size < size:
        raise ShapeError(
            f"a message has {size} values, but {f.name} takes {f.input_size} inputs: it needs at least as many. "
            "`message=V` makes messages smaller."
        )
    A, nodes = propagation(graph, normalization)
    return OverGraph(f, A, shown, normalization, nodes)
