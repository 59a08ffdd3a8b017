"""The product of Jacobians along one orbit, group by group: units that never touch each other are kept apart.

The singular values of a block diagonal matrix are those of its blocks, and its singular vectors theirs with zeros. In
one product for all units a rounding error of a strong group would come near the values of a weak one, and stay there
when the weak one grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from dynsys.bunched_products import Bunch
from dynsys.checked_product import CheckedProduct, agreeing, distance
from dynsys.log_svd import UNFORMED
from dynsys.rank import RankLoss, deficiency
from dynsys.types import Array, Integers


def uncoupled_groups(pattern: Array) -> list[Integers]:
    """The units of each group that touches no other, (n, n) bool `pattern` saying which entries are ever nonzero."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(pattern, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1])


@final
class UncoupledProduct:
    """J_t ... J_1 of one orbit, extended step by step; its values and vectors at the lags where they are kept."""

    def __init__(self, groups: Sequence[Integers], generator: np.random.Generator, longest: int) -> None:
        """`groups`: as `uncoupled_groups` gives them. `longest`: the last lag."""
        self._n = sum(len(units) for units in groups)
        alone = [int(units[0]) for units in groups if len(units) == 1 < self._n]
        self._alone = np.array(alone, dtype=np.int64)
        self._logs = np.zeros(len(alone))
        one = len(groups) == 1
        self._groups = [
            _Group(None if one else units, len(units), generator, longest)
            for units in groups
            if one or len(units) >= UNFORMED
        ]
        small = [units for units in groups if not one and 1 < len(units) < UNFORMED]
        self._bunches = [
            Bunch.begun(np.array([units for units in small if len(units) == size]), generator)
            for size in sorted({len(units) for units in small})
        ]
        self._kept: list[_Kept] = []

    @property
    def lost(self) -> int:
        """Dimensions lost exactly so far."""
        in_groups = sum(group.rank.lost for group in self._groups) + sum(bunch.lost for bunch in self._bunches)
        return int(np.isneginf(self._logs).sum()) + in_groups

    @property
    def second_begins(self) -> int | None:
        """The step after which some groups' second product has to follow (`follow`), or None."""
        return min((group.product.checked for group in self._groups if group.product.wants_second), default=None)

    def extend(self, jacobian: Array, known: Integers | None, regular: bool) -> None:
        """By the Jacobian of one more step.

        `known` (1,): dimensions that the map says this step destroys, or None. `regular`: no row or column is zero.
        """
        if len(self._alone):
            with np.errstate(divide="ignore"):
                self._logs += np.log(np.abs(jacobian[self._alone, self._alone]))
        for group in self._groups:
            group.extend(jacobian, known, regular)
        self._bunches = [part for bunch in self._bunches for part in bunch.extended(jacobian, known, regular)]

    def follow(self, jacobian: Array, step: int) -> None:
        """Takes the second products that have to follow through the Jacobian of `step`, 1, 2, ..., once more."""
        for group in self._groups:
            if group.product.wants_second and step > group.product.checked:
                group.product.second.extend(group.part(jacobian), group.rank_after[step - 1])

    def keep(self, vectors: int) -> None:
        """Keeps the values of this lag, and so many leading vectors."""
        pairs = [group.product.log_singular_values() for group in self._groups]
        pairs += [bunch.log_singular_values() for bunch in self._bunches]
        kept = _Kept([self._logs.copy(), *(values for values, _ in pairs)], [apart for _, apart in pairs])
        if vectors:
            kept.left, kept.right = self._leading(vectors)
        self._kept.append(kept)

    def check(self, at: int, lag: int) -> None:
        """Compares the values of the kept lag number `at` with the second products that have followed."""
        for i, group in enumerate(self._groups):
            if group.product.wants_second and lag > group.product.checked:
                self._kept[at].apart[i] = distance(
                    self._kept[at].values[i + 1], group.product.second.log_singular_values()
                )

    def spectra(self) -> tuple[Array, Integers]:
        """Values (n_lags, n), nats, largest first, and how many leading ones two frames agree on (n_lags,)."""
        values, trusted = np.empty((len(self._kept), self._n)), np.empty(len(self._kept), dtype=np.int64)
        for at, kept in enumerate(self._kept):
            found = np.concatenate(kept.values)
            order = np.argsort(-found, kind="stable")
            values[at] = found[order]
            trusted[at] = agreeing(np.concatenate([np.zeros(len(self._alone)), *kept.apart])[order])
        return values, trusted

    def vectors(self) -> Array:
        """(2, n_lags, n, v): left and right vectors of the kept lags, if any were."""
        return np.array([[kept.left for kept in self._kept], [kept.right for kept in self._kept]])

    def _leading(self, count: int) -> tuple[Array, Array]:
        """Left and right vectors (n, count), NaN for what is lost."""
        alone = np.eye(self._n)[:, self._alone]
        found: list[tuple[Integers, Array, Array, Array]] = [(np.arange(self._n), self._logs, alone, alone)]
        for group in self._groups:
            units = np.arange(self._n) if group.units is None else group.units
            found.append((units, *group.product.first.leading(min(count, group.size))))
        for bunch in self._bunches:
            found += bunch.leading(count)
        values, sides = [own for _, own, _, _ in found], []
        for units, own, left, right in found:
            wide = np.zeros((2, self._n, len(own)))
            wide[:, units] = left, right
            sides.append(wide)
        # What is lost has no vectors, in bunches not even a value.
        missing = max(0, count - sum(len(own) for own in values))
        values.append(np.full(missing, -np.inf))
        sides.append(np.zeros((2, self._n, missing)))
        every = np.concatenate(values)
        order = np.argsort(-every, kind="stable")[:count]
        left, right = np.where(np.isneginf(every[order]), np.nan, np.concatenate(sides, axis=2)[:, :, order])
        return left, right


@final
class _Kept:
    """One lag: values of the lone units and of each group; how far its two products are apart; vectors (n, v)."""

    def __init__(self, values: list[Array], apart: list[Array]) -> None:
        self.values, self.apart = values, apart
        self.left = self.right = np.empty((0, 0))


@final
class _Group:
    """The product of one group of coupled units. rank_after: a bound of its rank after each step."""

    def __init__(self, units: Integers | None, size: int, generator: np.random.Generator, longest: int) -> None:
        """`units`: of this group; None where it has all of them."""
        self.units, self.size = units, size
        self.product = CheckedProduct(size, generator, longest)
        self.rank = RankLoss(size)
        self.rank_after: list[int] = []

    def part(self, jacobian: Array) -> Array:
        return jacobian if self.units is None else jacobian[np.ix_(self.units, self.units)]

    def extend(self, jacobian: Array, known: Integers | None, regular: bool) -> None:
        part = self.part(jacobian)
        if known is not None and self.units is not None and known.any():
            known = deficiency(part[np.newaxis])  # the map tells of all groups together
        if known is not None and regular and not self.rank.follows_zeros:
            self.rank.watch_known(known)
        else:
            self.rank.watch(part[np.newaxis], known)
        rank = self.size - self.rank.lost
        self.rank_after.append(rank)
        self.product.extend(part, rank)
