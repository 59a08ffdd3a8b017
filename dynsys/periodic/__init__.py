"""Orbits that close: the cyclic equations x[k+1] = f(x[k]), their solution from many starts, and their multipliers."""
