"""What can go wrong, by whose hand: the caller's mistakes, and analyses that failed."""

from __future__ import annotations


class DynsysError(Exception):
    """Base of every error that dynsys raises on purpose."""


class InputError(DynsysError, ValueError):
    """The caller's mistake. The message says what came, what is needed, and what to do."""


class ShapeError(InputError):
    """An array, or what a user's function returned, has the wrong shape."""


class LoadError(InputError):
    """A model file cannot be read, or holds something this version does not know."""


class AnalysisError(DynsysError, RuntimeError):
    """The input was fine, but the analysis could not be carried out."""


class MissingPackageError(DynsysError, ImportError):
    """An optional package is not installed. The message is the exact install command."""
