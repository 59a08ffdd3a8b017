"""Loops over the surroundings of edges, written so that they run as they stand and compile as they stand.

All arguments are lists or integer arrays; scratch memory comes in zeroed and is left zeroed.
"""

from __future__ import annotations

from typing import Any

NEVER = 1 << 62


def count_around(
    indptr: Any,
    indices: Any,
    reach: Any,
    us: Any,
    vs: Any,
    low: int,
    high: int,
    squares: bool,
    side: Any,
    hits: Any,
    out: Any,
) -> None:
    """out[0][e]: triangles on edge e; out[1..3][e]: see `local_counts`. reach[i]: sum of degrees of i's neighbours."""
    for e in range(low, high):
        u, v = us[e], vs[e]
        for k in range(indptr[u], indptr[u + 1]):
            side[indices[k]] = 1
        triangles = 0
        for k in range(indptr[v], indptr[v + 1]):
            w = indices[k]
            if side[w] == 1:
                side[w] = 3
                triangles += 1
            else:
                side[w] = 2
        side[u] = 4
        side[v] = 4
        out[0][e] = triangles
        if squares:
            # Both counts come from the edges between the two sides, whichever side they are followed from.
            near, far, start, end = (1, 2, u, v) if reach[u] <= reach[v] else (2, 1, v, u)
            on_near, on_far, most = 0, 0, 0
            for k in range(indptr[start], indptr[start + 1]):
                x = indices[k]
                if side[x] == near:
                    found = 0
                    for m in range(indptr[x], indptr[x + 1]):
                        w = indices[m]
                        if side[w] == far:
                            found += 1
                            if hits[w] == 0:
                                on_far += 1
                            hits[w] += 1
                            most = max(most, hits[w])
                    if found > 0:
                        on_near += 1
                        most = max(most, found)
            for k in range(indptr[end], indptr[end + 1]):
                hits[indices[k]] = 0
            out[1][e] = on_near if near == 1 else on_far
            out[2][e] = on_far if near == 1 else on_near
            out[3][e] = most
        for k in range(indptr[u], indptr[u + 1]):
            side[indices[k]] = 0
        for k in range(indptr[v], indptr[v + 1]):
            side[indices[k]] = 0


def transport(
    indptr: Any,
    indices: Any,
    us: Any,
    vs: Any,
    low: int,
    high: int,
    stays: int,
    unit: int,
    width: int,
    cost: Any,
    flow: Any,
    mass: Any,
    near: Any,
    sources: Any,
    targets: Any,
    supply: Any,
    demand: Any,
    price_s: Any,
    price_t: Any,
    far_s: Any,
    far_t: Any,
    from_t: Any,
    from_s: Any,
    done: Any,
    out: Any,
) -> None:
    """out[0][e]: least cost of moving the lazy walk from u into that from v, over hops; masses in whole units.

    What the two have in common stays where it is (the distance is a metric). The rest is moved along successive
    shortest augmenting paths, with prices that keep all reduced costs at or above zero (Edmonds and Karp 1972).
    width: a row of the flattened tables `cost` and `flow`.
    """
    for e in range(low, high):
        u, v = us[e], vs[e]
        d_u, d_v = indptr[u + 1] - indptr[u], indptr[v + 1] - indptr[v]
        rest = unit - stays
        mass[u] += stays * d_u * d_v
        mass[v] -= stays * d_u * d_v
        for k in range(indptr[u], indptr[u + 1]):
            mass[indices[k]] += rest * d_v
        for k in range(indptr[v], indptr[v + 1]):
            mass[indices[k]] -= rest * d_u
        # Sources have too much, targets too little; each node is looked at once, and its mass cleared.
        n_s, n_t, left = 0, 0, 0
        for turn in range(2):
            a = u if turn == 0 else v
            for k in range(indptr[a], indptr[a + 1]):
                x = indices[k]
                if mass[x] > 0:
                    sources[n_s], supply[n_s] = x, mass[x]
                    left += mass[x]
                    n_s += 1
                elif mass[x] < 0:
                    targets[n_t], demand[n_t] = x, -mass[x]
                    n_t += 1
                mass[x] = 0
        # Distances: 1 for neighbours, 2 with a neighbour in common, else 3, by way of the edge itself.
        for i in range(n_s):
            x = sources[i]
            for k in range(indptr[x], indptr[x + 1]):
                near[indices[k]] = 1
            for j in range(n_t):
                y = targets[j]
                hops = 3
                if near[y] == 1:
                    hops = 1
                else:
                    for k in range(indptr[y], indptr[y + 1]):
                        if near[indices[k]] == 1:
                            hops = 2
                            break
                cost[i * width + j] = hops
                flow[i * width + j] = 0
            for k in range(indptr[x], indptr[x + 1]):
                near[indices[k]] = 0
        for i in range(n_s):
            price_s[i] = 0
        for j in range(n_t):
            price_t[j] = 3
            for i in range(n_s):
                price_t[j] = min(price_t[j], cost[i * width + j])
        total = 0
        while left > 0:
            # Dijkstra from all sources that have something left, in reduced costs cost + price_s - price_t >= 0.
            for j in range(n_t):
                far_t[j], from_t[j], done[j] = NEVER, -1, 0
            for i in range(n_s):
                far_s[i], from_s[i] = NEVER, -1
                if supply[i] > 0:
                    far_s[i] = 0
                    for j in range(n_t):
                        d = cost[i * width + j] + price_s[i] - price_t[j]
                        if d < far_t[j]:
                            far_t[j], from_t[j] = d, i
            last = -1
            while last < 0:
                j, least = -1, NEVER
                for other in range(n_t):
                    if done[other] == 0 and far_t[other] < least:
                        j, least = other, far_t[other]
                done[j] = 1
                if demand[j] > 0:
                    last = j
                    break
                for i in range(n_s):
                    if flow[i * width + j] > 0 and far_s[i] > least:  # back along a flow, whose reduced cost is zero
                        far_s[i], from_s[i] = least, j
                        for other in range(n_t):
                            d = least + cost[i * width + other] + price_s[i] - price_t[other]
                            if d < far_t[other]:
                                far_t[other], from_t[other] = d, i
            reach = far_t[last]
            for j in range(n_t):
                price_t[j] += min(far_t[j], reach)
            for i in range(n_s):
                price_s[i] += min(far_s[i], reach)
            # How much can go along this path, then send it.
            amount = demand[last]
            j = last
            while True:
                i = from_t[j]
                if from_s[i] < 0:
                    amount = min(amount, supply[i])
                    break
                j = from_s[i]
                amount = min(amount, flow[i * width + j])
            demand[last] -= amount
            left -= amount
            j = last
            while True:
                i = from_t[j]
                flow[i * width + j] += amount
                total += amount * cost[i * width + j]
                if from_s[i] < 0:
                    supply[i] -= amount
                    break
                j = from_s[i]
                flow[i * width + j] -= amount
                total -= amount * cost[i * width + j]
        out[0][e] = total
