"""Exact analysis of small maps with SymPy: fixed points, multipliers and bifurcations as formulas."""
