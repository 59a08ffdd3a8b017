"""What the sum of all exponents is made of: the terms of the mean of log|det J|, by the parts of the network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from dynsys.combinators import as_map
from dynsys.treatment.patient import Patient
from dynsys.treatment.records import LayerRecord, gate, log_slope
from dynsys.types import Array

WORK = 4e9
"""Of determinants that have to be formed, in units of n^3 per place; places beyond are left out evenly."""
PIECE = 1 << 23
"""Entries of the Jacobians that are formed together."""


@final
@dataclass(frozen=True, eq=False)
class Budget:
    """The terms of the sum of all exponents, nats per step, by name.

    Exact at every length: the exponents of a run add up to the mean of log|det J| along it. `places`: steps times
    sequences that it is the mean over.
    """

    terms: dict[str, float]
    places: int

    @property
    def total(self) -> float:
        """The sum of all exponents, nats per step; -inf where a step destroys a dimension."""
        return math.fsum(self.terms.values()) if all(map(math.isfinite, self.terms.values())) else -math.inf

    def to_dict(self) -> dict[str, Any]:
        """All fields and `total`, for JSON."""
        return {"terms": self.terms, "total": self.total, "places": self.places}

    def __str__(self) -> str:
        terms = "; ".join(f"{name} {value:.4g}" for name, value in self.terms.items())
        return f"sum of all exponents {self.total:.4g} nats/step, of which: {terms}"


def budget(patient: Patient) -> Budget | None:
    """Along the task's sequences; None where some layer's determinant is in no closed form, or of another cell.

    plain network:  log|det U| + sum log s'(a)
    LSTM:           sum log f + sum log o(1 - o) + sum log|tanh c'| + log|det U_o|
    GRU:            sum log z, and what is left of log|det J|: that of I + diag(1/z) (J - diag z)
    """
    records = patient.records
    if not records:
        return None
    terms: dict[str, float] = {}
    places = 0
    for layer, record in enumerate(records):
        known = dict(_terms(record))
        if not known:
            return None
        places = int(known.pop("places", float(record.before.shape[0] * record.before.shape[2])))
        where = f" of layer {layer}" if len(records) > 1 else ""
        terms |= {name + where: value for name, value in known.items()}
    return Budget(terms, places)


def _terms(record: LayerRecord) -> Iterator[tuple[str, float]]:
    cell, kind = record.cell, type(record.cell).__name__
    if kind == "Elman" and cell.activation in SLOPE:
        yield "log|det U|", _log_det(cell.U)
        yield "slopes of the units", _mean(SLOPE[cell.activation](gate(record, "")))
    elif kind == "LSTM" and cell.gate_activation == "sigmoid" and cell.output_activation == "tanh":
        n = cell.hidden_size
        yield "forget gates (log f)", _mean(_log_sigmoid(gate(record, "f")))
        yield "slopes of the output gates", _mean(log_slope(gate(record, "o"), "sigmoid"))
        with np.errstate(divide="ignore"):
            yield "log|tanh c|", _mean(np.log(np.abs(np.tanh(record.after[:, n:]))))
        yield "log|det U_o|", _log_det(cell.U_o)
    elif kind in ("GRU", "GRUResetAfter") and cell.gate_activation == "sigmoid":
        yield from _gru_terms(record)


SLOPE: dict[str, Any] = {
    "tanh": lambda a: log_slope(a, "tanh"),
    "sigmoid": lambda a: log_slope(a, "sigmoid"),
    "identity": np.zeros_like,
    "relu": lambda a: np.where(a > 0, 0.0, -np.inf),
}
"""The log slope of a plain network's function."""


def _gru_terms(record: LayerRecord) -> Iterator[tuple[str, float]]:
    cell = record.cell
    n = cell.hidden_size
    sign = 1.0 if cell.update == "keeps-old" else -1.0
    kept = _flat(_log_sigmoid(sign * gate(record, "z")))
    before, heard = _flat(record.before), _flat(record.heard)
    whole = before.shape[1]
    chosen = np.unique(np.linspace(0, whole - 1, min(whole, max(8, int(WORK / n**3)))).astype(int))
    f, logs = as_map(cell), []
    for part in np.array_split(chosen, math.ceil(len(chosen) * n * n / PIECE)):
        link = f.linearize_columns(np.ascontiguousarray(before[:, part]), np.ascontiguousarray(heard[:, part]))
        logs.append(np.linalg.slogdet(link.dense())[1])
    own = float(kept[:, chosen].sum(axis=0).mean())
    yield "update gates (log z)" if sign > 0 else "update gates (log(1 - z))", own
    yield "candidates and gates through the weights", float(np.concatenate(logs).mean()) - own
    yield "places", float(len(chosen))


def _flat(a: Array) -> Array:
    """(n, T B) of (T, n, B)."""
    return np.asarray(a.swapaxes(0, 1).reshape(a.shape[1], -1))


def _mean(logs: Array) -> float:
    """Sum over units, mean over time and sequences, of (T, n, B)."""
    return float(logs.sum(axis=1).mean())


def _log_sigmoid(a: Array) -> Array:
    return np.asarray(-np.logaddexp(0.0, -a))


def _log_det(U: Array) -> float:
    return float(np.linalg.slogdet(U)[1])
