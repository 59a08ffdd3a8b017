"""Trials: input sequences that a network is studied on, from an .npz file or from arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from dynsys import seeds
from dynsys.errors import InputError, LoadError, ShapeError
from dynsys.maps import Map, numbers, require_finite
from dynsys.orbits import simulate, trials_came_first
from dynsys.read_only import read_only
from dynsys.types import AnyArray, Array

SAME_REPLAY = 1e-4  # deviation of recorded states that float32 recordings explain


@final
@read_only
@dataclass(frozen=True, eq=False)
class Trials:
    """Input sequences of one length, and what the network was recorded to do on them.

    Attributes:
        inputs: (T, trials, m), time first. hidden: (T, trials, n_out) recorded outputs h of the top layer after each
            step, or (T, trials, n) whole states, or None.
        origin: the file's name, or "given arrays".
    """

    inputs: Array
    hidden: Array | None
    origin: str

    @property
    def length(self) -> int:
        """Steps per trial, T."""
        return len(self.inputs)

    @property
    def count(self) -> int:
        """How many trials."""
        return int(self.inputs.shape[1])

    @property
    def joined_name(self) -> str:
        """What `joined` is, in words."""
        which = "one trial over and over" if self.count == 1 else f"the {self.count} trials one after the other"
        return f"driven by {which}, without reset"

    def joined(self, steps: int) -> Array:
        """(steps, m): the trials one after the other, from the first again when they are used up."""
        whole = self.inputs.swapaxes(0, 1).reshape(self.length * self.count, self.inputs.shape[-1])
        return np.asarray(whole[np.resize(np.arange(len(whole)), steps)])

    def joined_in_orders(self, steps: int, orders: int, seed: int) -> Array:
        """(steps, orders, m): `joined`, and the trials one after the other in `orders` - 1 random orders more."""
        generator = seeds.generator(seed)
        whole = [self.joined(steps)]
        for _ in range(orders - 1):
            shuffled = Trials(self.inputs[:, generator.permutation(self.count)], None, self.origin)
            whole.append(shuffled.joined(steps))
        return np.stack(whole, axis=1)


def replay_deviation(f: Map, trials: Trials, states: Array | None = None) -> float | None:
    """Largest deviation of recorded states from the map's own, from its initial state; None without a recording.

    `states`: (T + 1, trials, n), where the trials have been simulated already.
    """
    if trials.hidden is None:
        return None
    states = simulate(f, None, trials.inputs) if states is None else states
    shown = states[1:] if trials.hidden.shape[-1] == f.state_size else states[1:, :, f.output]
    return float(np.abs(shown - trials.hidden).max())


def load_trials(path: str | Path, f: Map) -> Trials:
    """Trials from an .npz file, trials first as they are usually saved.

    The file holds `inputs` (trials, steps, m) or (steps, m), or `tokens` (trials, steps) or (steps,) for a network
    with an embedding; and, if you have it, `hidden` (trials, steps, n), the recorded state h after each step.
    """
    arrays = _arrays(Path(path))
    if "inputs" not in arrays and "tokens" not in arrays:
        raise LoadError(
            f"{str(path)!r} has no array `inputs` (trials, steps, m) nor `tokens` (trials, steps); save it with "
            "np.savez(path, inputs=...)."
        )
    inputs = arrays.get("inputs", arrays.get("tokens"))
    assert inputs is not None
    return as_trials(f, inputs, arrays.get("hidden"), Path(path).name, trials_first=True)


def _arrays(path: Path) -> dict[str, AnyArray]:
    """The arrays of an .npz file that trials are made of."""
    whole = f"cannot read trials from {str(path)!r}:"
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                raise LoadError(
                    f"{whole} it is not an .npz file (a zip of arrays). Make one by np.savez(path, inputs=...)."
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files if name in ("inputs", "tokens", "hidden")}
    except FileNotFoundError:
        raise LoadError(f"there is no trials file {str(path)!r}.") from None
    except OSError as error:
        raise LoadError(f"{whole} {error.strerror or 'the file is damaged'}.") from None
    except LoadError:
        raise
    except Exception as error:  # zipfile, zlib, struct and NumPy have errors of their own for damaged files
        objects = "Object arrays" in str(error)
        reason = "it holds Python objects; save plain numeric arrays" if objects else "the file is damaged or cut short"
        raise LoadError(f"{whole} {reason}.") from None


def as_trials(
    f: Map, inputs: Any, hidden: Any = None, origin: str = "given arrays", *, trials_first: bool = False
) -> Trials:
    """Trials from arrays: `inputs` (T, m), (T, trials, m), or integer tokens (T,), (T, trials); else trials first."""
    raw = np.asarray(inputs)
    tokens = raw.dtype.kind in "iu" and raw.ndim < 3 and getattr(f, "embedding", None) is not None
    single = raw.ndim == (1 if tokens else 2)
    if raw.ndim != (1 if tokens else 2) + (not single):
        raise ShapeError(f"inputs of {origin} must be sequences of {f.input_size} values, got shape {raw.shape}.")
    if trials_first and not single:
        raw = raw.swapaxes(0, 1)
    if tokens:
        driving = np.asarray(_encoded(f, raw))
        driving = driving[:, np.newaxis, :] if single else driving
    else:
        driving = np.array(numbers(raw, "inputs"))  # a copy: trials are kept
        driving = driving[:, np.newaxis, :] if single else driving
    if driving.shape[-1] != f.input_size:
        raise ShapeError(f"{f.name} takes {f.input_size} inputs, the trials of {origin} have {driving.shape[-1]}.")
    if not driving.size and f.input_size:
        raise InputError(f"the trials of {origin} are empty.")
    if not np.isfinite(driving).all():
        raise InputError(f"the inputs of {origin} have values that are not finite.")
    return Trials(driving, _hidden(f, hidden, driving, origin, trials_first), origin)


def _encoded(f: Any, tokens: AnyArray) -> Array:
    return np.asarray(f.encode(tokens))


def _hidden(f: Map, hidden: Any, driving: Array, origin: str, trials_first: bool) -> Array | None:
    if hidden is None:
        return None
    array = numbers(hidden, "hidden")
    if array.ndim == 2:
        array = array[:, np.newaxis, :]
    elif trials_first:
        array = array.swapaxes(0, 1)
    steps, trials = driving.shape[:2]
    widths = (f.output.stop - f.output.start, f.state_size)
    if array.shape[:2] != (steps, trials) or array.shape[2] not in widths:
        got = (array.shape[1], array.shape[0], array.shape[2]) if trials_first else array.shape
        order = "(trials, steps, units)" if trials_first else "(steps, trials, units)"
        hint = trials_came_first("hidden", not trials_first and array.shape[:2] == (trials, steps))
        raise ShapeError(
            f"`hidden` of {origin} has shape {got}, needs {order} with {trials} trials, {steps} steps (the state after "
            f"each step, without the initial one) and {widths[0]} units (h of the top layer) or {widths[1]} (all)."
            + hint
        )
    require_finite(array, f"hidden of {origin}")
    return np.array(array)
