"""Open a file of trained weights as a map: one reader per format.

`dynsys.load(path)` is the door. No reader runs code from a file or needs the framework that wrote it.
"""

from dynsys.loaders.files import load

__all__ = ["load"]
