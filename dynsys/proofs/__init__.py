"""Proofs about fixed points and cycles: what is certain, in real arithmetic, and what is not."""

from dynsys.proofs.certificates import Certificates
from dynsys.proofs.exhaustive import AllFixedPoints, all_fixed_points
from dynsys.proofs.local import certify

__all__ = ["AllFixedPoints", "Certificates", "all_fixed_points", "certify"]
