"""Proofs about fixed points and cycles: what is certain, in real arithmetic, and what is not."""

from dynsys.proofs.certificates import Certificates
from dynsys.proofs.local import certify

__all__ = ["Certificates", "certify"]
