"""Graphs from files: .npz, .csv (and other separators), GraphML. No code from a file is run."""

from __future__ import annotations

import csv
import itertools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dynsys.errors import InputError, LoadError
from dynsys.graphs.edge_lists import graph_of_edges
from dynsys.graphs.graph import Graph

TEXT = (".csv", ".tsv", ".txt", ".edges", ".edgelist", ".cites")
WEIGHTS = ("edge_weight", "edge_weights", "weights")
COUNTS = ("num_nodes", "n_nodes")


def graph_of_file(
    path: Path, *, weights: Any = "weight", directed: str = "refuse", n_nodes: int | None = None, names: bool = False
) -> Graph:
    """The graph in a file, told by its ending. Arguments as for `as_graph`."""
    if not path.is_file():
        raise LoadError(f"{path} is a folder." if path.is_dir() else f"there is no file {path}.")
    settings = {"directed": directed, "n_nodes": n_nodes, "names": names}
    ending = path.suffix.lower()
    if ending == ".npz":
        return _of_npz(path, weights, settings)
    if ending in TEXT:
        return _of_text(path, weights, settings)
    if ending in (".graphml", ".xml"):
        return _of_graphml(path, weights, directed)
    raise LoadError(
        f"{path.name} is not known as a graph by its ending; known are .npz, .graphml and {', '.join(TEXT)}."
    )


def _of_npz(path: Path, weights: Any, settings: dict[str, Any]) -> Graph:
    from dynsys.graphs.reading import graph_of_matrix

    arrays = read_arrays(path, _wanted)
    present = list(arrays)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    matrix = _sparse(path, arrays)
    if matrix is not None:
        return graph_of_matrix(matrix, weights is not None, settings["directed"])
    edges = arrays.get("edges", arrays.get("edge_index"))
    if edges is None:
        raise LoadError(
            f"{path.name} has {', '.join(present) or 'no arrays'}; a graph needs `edges` or `edge_index` (2, m), or a "
            "matrix saved by scipy.sparse.save_npz."
        )
    own = next((arrays[name] for name in WEIGHTS if name in arrays), None)
    count = next((arrays[name] for name in COUNTS if name in arrays), None)
    if isinstance(weights, str):
        weights = own
    if settings["n_nodes"] is None and count is not None and count.size == 1 and count.dtype.kind in "iu":
        settings = {**settings, "n_nodes": int(count.reshape(()))}
    return graph_of_edges(edges, weights, **settings)


def read_arrays(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Any]:
    """The arrays of an .npz file by name, None for those that are not wanted; of an .npy file the one it has, as "".

    Raises: LoadError where there is no such file, or anything but plain arrays in it.
    """
    if not path.is_file():
        raise LoadError(f"{path} is a folder." if path.is_dir() else f"there is no file {path}.")
    try:
        with path.open("rb") as stream:  # NumPy leaves a file open that it cannot read
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                return {"": file}
            with file:
                return {name: file[name] if wanted(name) else None for name in file.files}
    except ValueError as error:
        said = "it holds Python objects, or is no NumPy file at all" if "pickle" in str(error) else str(error)
        raise LoadError(f"{path.name} is not a readable file of plain arrays: {said}.") from None
    except (OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise LoadError(f"{path.name} is not a readable file of plain arrays: {error}.") from None


def _wanted(name: str) -> bool:
    keys = {"edges", "edge_index", *WEIGHTS, *COUNTS, "format", "shape", "data", "row", "col", "indices", "indptr"}
    return name in keys or name.startswith("adj_")


def _sparse(path: Path, arrays: dict[str, Any]) -> Any:
    """The matrix of scipy.sparse.save_npz, or of the arrays adj_data, adj_indices, adj_indptr, adj_shape."""
    import scipy.sparse

    try:
        if {"format", "shape"} <= set(arrays):
            return scipy.sparse.load_npz(path)
        if {"adj_data", "adj_indices", "adj_indptr", "adj_shape"} <= set(arrays):
            parts = (arrays["adj_data"], arrays["adj_indices"], arrays["adj_indptr"])
            matrix = scipy.sparse.csr_array(parts, shape=tuple(arrays["adj_shape"]))
            matrix.check_format(full_check=True)
            return matrix
    except (ValueError, TypeError, KeyError, OSError, NotImplementedError) as error:
        raise LoadError(f"{path.name} does not hold a valid sparse matrix: {error}.") from None
    return None


def _of_text(path: Path, weights: Any, settings: dict[str, Any]) -> Graph:
    """Two columns of nodes, and a third of weights if there is one."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = [line for _, line in zip(range(3), _lines(file), strict=False)]
        if not head:
            raise LoadError(f"{path.name} has no lines; an edge list has one edge per line.")
        separator = next((s for s in (",", ";", "\t") if s in head[0]), None)
        columns = len(_fields(head[0], separator))
        if columns not in (2, 3):
            raise LoadError(
                f"{path.name} has {columns} columns; an edge list has two (the ends of an edge), or three (its weight)."
            )
        header = _is_header(head, separator)
        try:
            table = _numbers(path, separator, columns, header)
        except ValueError:
            table = _texts(path, separator, columns, header)
    except UnicodeDecodeError as error:
        raise LoadError(f"{path.name} is not a text file in UTF-8: {error}.") from None
    own = None
    if columns == 3 and weights is not None:
        try:
            own = np.asarray(table[2], dtype=np.float64)
        except ValueError as error:
            wrong = next((text for text in table[2].tolist() if not _is_number(text)), error)
            raise LoadError(f"the third column of {path.name} must be weights, numbers; one is {wrong!r}.") from None
    if weights is not None and not isinstance(weights, str):
        own = weights
    return graph_of_edges(np.stack(table[:2]), own, **settings)


def _lines(file: Any) -> Iterator[str]:
    for line in file:
        if line.strip() and not line.lstrip().startswith(("#", "%")):
            yield line


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


TITLES = (
    *("source", "target", "src", "dst", "from", "to", "start", "end", "citing", "cited"),
    *(
        "node1",
        "node2",
        "node_1",
        "node_2",
        "id1",
        "id2",
        "id_1",
        "id_2",
        "fromnode",
        "tonode",
        "fromnodeid",
        "tonodeid",
    ),
)


def _is_header(head: list[str], separator: str | None) -> bool:
    """Whether the first line names the columns: words over numbers, or words that are usual for it."""
    first = _fields(head[0], separator)
    if any(_is_number(field) for field in first[:2]):
        return False
    if len(head) > 1 and all(_is_number(field) for field in _fields(head[1], separator)[:2]):
        return True
    if len(first) == 3 and not _is_number(first[2]):
        return True
    return all(field.lower() in TITLES for field in first[:2])


def _numbers(path: Path, separator: str | None, columns: int, header: bool) -> list[Any]:
    """The columns of an edge list of numbers, by NumPy's fast reader; ValueError if there is anything else."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _lines(file)
        if header:
            next(lines)
        first = next(lines, None)
        if first is None:
            raise LoadError(f"{path.name} has a header, but no edges.")
        kinds = [("u", np.int64), ("v", np.int64), ("w", np.float64)][:columns]
        table = np.loadtxt(itertools.chain([first], lines), dtype=kinds, delimiter=separator, ndmin=1, comments=None)
    return [table[name] for name, _ in kinds]


def _texts(path: Path, separator: str | None, columns: int, header: bool) -> list[Any]:
    """The columns of an edge list of names."""
    table: list[list[str]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(_lines(file)):
            fields = _fields(line, separator)
            if len(fields) != columns:
                raise LoadError(f"edge {number + 1} of {path.name} has {len(fields)} columns, the first {columns}.")
            if number or not header:
                table.append(fields)
    if not table:
        raise LoadError(f"{path.name} has a header, but no edges.")
    return [np.array(column) for column in zip(*table, strict=True)]


def _of_graphml(path: Path, weights: Any, directed: str) -> Graph:
    import networkx

    from dynsys.graphs.reading import as_graph

    try:
        graph = networkx.read_graphml(path)
    except (networkx.NetworkXError, SyntaxError, ValueError, KeyError, OSError) as error:
        # xml.etree's ParseError is a SyntaxError.
        raise LoadError(f"{path.name} is not a readable GraphML file: {error}.") from None
    if weights is not None and not isinstance(weights, str):
        raise InputError("the weights of a GraphML file are an edge attribute: pass its name, or None.")
    return as_graph(graph, weights=weights, directed=directed)
