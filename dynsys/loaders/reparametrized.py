"""Weights that a state dict holds in parts: put together where the parts say how, named where they do not.

Sources: torch.nn.utils.parametrize stores `parametrizations.NAME.original` (or `original0`, `original1`) and what the
parametrization keeps, `parametrizations.NAME.0.*`; the older torch.nn.utils.weight_norm stores `NAME_g`, `NAME_v`,
spectral_norm `NAME_orig`, `NAME_u`, `NAME_v`, torch.nn.utils.prune `NAME_orig`, `NAME_mask`.
"""

from __future__ import annotations

import re

import numpy as np

from dynsys.errors import LoadError
from dynsys.loaders.contents import Arrays, real
from dynsys.types import Array

_PARAMETRIZED = re.compile(r"((?:.*\.)?)parametrizations\.([^.]+)\.(.+)", re.DOTALL)
_HOOKED = re.compile(r"((?:.*\.)?)((?:weight|bias)[^.]*)_(g|v|u|orig|mask)", re.DOTALL)
_NEW_PARTS = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}
"""Of the newer implementations, in the words of the older ones. The parts of any other parametrization keep theirs."""


def put_together(arrays: Arrays, notes: list[str]) -> Arrays:
    """Weight normalisation, spectral normalisation and pruning worked out; `notes` says so. The rest stays as it is."""
    plain = dict(arrays)
    for name, parts in _in_parts(arrays).items():
        kind = _KINDS.get(frozenset(parts))
        if kind is None or name in arrays:
            continue
        words, rule = kind
        plain[name] = rule(arrays, parts)
        for part in parts.values():
            del plain[part]
        notes.append(f"{name} is {words}; it was put together from {', '.join(sorted(parts.values()))}")
    return plain


def unread_weights(arrays: Arrays) -> dict[str, str]:
    """Of what `put_together` left in parts: the names that are missing, and one of the parts of each."""
    unread: dict[str, str] = {}
    for key in arrays:
        match = _PARAMETRIZED.fullmatch(key)
        if match and match[1] + match[2] not in arrays and match[3].startswith("original"):
            unread.setdefault(match[1] + match[2], key)
    return unread


def refusal(name: str, part: str) -> str:
    """What to do about such a weight."""
    prefix, _, last = name.rpartition(".")
    module = f"module.{prefix}" if prefix else "module"
    return (
        f"{name} is stored as {part}: a parametrization such as an orthogonal one, and the file does not say which map "
        f"makes the weight of it. Pass the module itself, or call torch.nn.utils.parametrize.remove_parametrizations("
        f"{module}, {last!r}) and save again."
    )


def _in_parts(arrays: Arrays) -> dict[str, dict[str, str]]:
    """By name of a weight: the names of its parts by what they are."""
    found: dict[str, dict[str, str]] = {}
    for key in arrays:
        new, old = _PARAMETRIZED.fullmatch(key), _HOOKED.fullmatch(key)
        if new:
            found.setdefault(new[1] + new[2], {})[_NEW_PARTS.get(new[3], new[3])] = key
        elif old:
            found.setdefault(old[1] + old[2], {})[old[3]] = key
    return found


def _weight_norm(arrays: Arrays, parts: dict[str, str]) -> Array:
    """w = g v / |v|."""
    magnitude, direction = parts["g"], parts["v"]
    g, v = real(arrays, magnitude), real(arrays, direction)
    if g.ndim not in (0, v.ndim) or any(a not in (1, b) for a, b in zip(g.shape, v.shape[: g.ndim], strict=True)):
        raise LoadError(f"{magnitude} {g.shape} and {direction} {v.shape} do not fit as g and v of a weight norm.")
    along = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
    with np.errstate(all="ignore"):  # what is not finite is refused below
        length = np.sqrt((v * v).sum(axis=along, keepdims=True)) if along else np.abs(v)
    if not v.size or length.min() == 0 or not np.isfinite(length).all():
        raise LoadError(f"{direction} {v.shape} has rows of length zero or infinity, so the weight is not defined.")
    return np.asarray(g * (v / length))


def _spectral_norm(arrays: Arrays, parts: dict[str, str]) -> Array:
    """w / (u^T w v), u and v as training left them: what PyTorch's module is in evaluation. Its `dim` is 0."""
    w, u, v = (real(arrays, parts[part]) for part in ("orig", "u", "v"))
    if w.ndim < 2 or u.shape != w.shape[:1] or v.shape != (w[0].size,):
        raise LoadError(
            f"{parts['orig']} {w.shape}, {parts['u']} {u.shape} and {parts['v']} {v.shape} do not fit as w, u and v of "
            "a spectral norm along the first axis."
        )
    size = float(u @ w.reshape(len(w), -1) @ v)
    if size == 0 or not np.isfinite(size):
        raise LoadError(f"{parts['orig']}: its spectral norm is {size}, so the weight is not defined.")
    return np.asarray(w / size)


def _pruned(arrays: Arrays, parts: dict[str, str]) -> Array:
    w, mask = (real(arrays, parts[part]) for part in ("orig", "mask"))
    if w.shape != mask.shape:
        raise LoadError(f"{parts['orig']} {w.shape} and its mask {mask.shape} do not fit.")
    return np.asarray(w * mask)


_KINDS = {
    frozenset(("g", "v")): ("weight-normalised", _weight_norm),
    frozenset(("orig", "u", "v")): ("spectrally normalised", _spectral_norm),
    frozenset(("orig", "mask")): ("pruned", _pruned),
}
