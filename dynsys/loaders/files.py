"""The door: a path in, a model out. The format is told from the first bytes, not from the name."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from dynsys.errors import InputError, LoadError
from dynsys.loaders.build import build_model
from dynsys.loaders.contents import Contents, clean
from dynsys.loaders.graph_layers import graph_network
from dynsys.loaders.npz_file import read_npz
from dynsys.loaders.recurrent import find_groups
from dynsys.loaders.safetensors_file import read_safetensors
from dynsys.loaders.state_dict import normalized
from dynsys.loaders.torch_zip import read_torch
from dynsys.loaders.zip_file import Archive
from dynsys.model import Model

if TYPE_CHECKING:
    from dynsys.propagate.network import GraphNetwork
    from dynsys.two_directions import Bidirectional

_KNOWN = "Known are .pt and .pth (torch.save of a state dict), .safetensors and .npz."
_STATE_DICT = "Save the weights with torch.save(model.state_dict(), path) in PyTorch 1.6 or later."
_LARGEST = 8 * 2**30
_LEGACY_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that PyTorch's old format begins with, pickled


def load(
    path: str | os.PathLike[str],
    *,
    nonlinearity: str | None = None,
    module: str | None = None,
    direction: str | None = None,
) -> Model | GraphNetwork | Bidirectional:
    """Open a file of trained weights as a map.

    Args:
        path: a .pt or .pth file with a PyTorch state dict, a .safetensors or an .npz file.
        nonlinearity: "tanh" or "relu", for a plain RNN, or between graph convolutions; PyTorch does not store it.
            None takes what the file says, else tanh for an RNN and ReLU between graph convolutions.
        module: the prefix of the recurrent module, e.g. "encoder.rnn", where the file holds several.
        direction: of a bidirectional network, one of its maps by itself: "forward", "backward", or with several layers
            "layer1.backward".

    Returns: the network with its readout, embedding and initial state, as far as the file has them; all float64.
        `model.notes` says in words what was assumed and what was left out. Graph convolutions come as a
        `dynsys.propagate.GraphNetwork`: a map only together with a graph, which `dynsys.propagation` is given. A
        bidirectional network comes as a `Bidirectional` (see `dynsys.bidirectional`): two maps, not one.
    Raises: LoadError, and nothing else, for whatever is wrong with the file. No code from a file is ever run.
    """
    name, data = _read(path)
    try:
        contents, digest = _contents(name, data), hashlib.sha256(data).hexdigest()
        groups = find_groups(normalized(contents.arrays)[0])
        asked = [group for group in groups.values() if module in (None, group.name)]
        if direction is not None or (len(asked) == 1 and asked[0].reverse):
            from dynsys.loaders.two_directions import build_two_directions, one_direction

            whole = build_two_directions(contents, name, digest, nonlinearity=nonlinearity, module=module)
            return whole if direction is None else one_direction(whole, direction)
        if not groups:
            network = graph_network(contents, name, digest, nonlinearity, module)
            if network is not None:
                return network
        return build_model(contents, name, digest, nonlinearity=nonlinearity, module=module)
    except InputError as error:
        raise LoadError(clean(f"cannot load {name}: {error}")) from None
    except MemoryError:
        raise LoadError(f"cannot load {name}: its arrays do not fit into memory.") from None


def read_file(path: str | os.PathLike[str]) -> tuple[str, bytes, Contents]:
    """The name, the bytes, and the arrays and texts of an .npz, .safetensors or .pt file, as they are stored."""
    name, data = _read(path)
    try:
        return name, data, _contents(name, data)
    except LoadError as error:
        raise LoadError(clean(f"cannot load {name}: {error}")) from None


def _read(path: str | os.PathLike[str]) -> tuple[str, bytes]:
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise LoadError(f"need the path of a model file, got a {type(path).__name__}.") from None
    try:
        status = os.stat(name)
        if stat.S_ISDIR(status.st_mode):
            raise LoadError(f"{name} is a folder; pass the path of one file in it. {_KNOWN}")
        if not stat.S_ISREG(status.st_mode):
            raise LoadError(f"{name} is not a regular file. {_KNOWN}")
        if status.st_size > _LARGEST:
            raise LoadError(
                f"{name} has {status.st_size / 2**30:.1f} GiB; save the recurrent layers alone, below 8 GiB."
            )
        with open(name, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        if name.rpartition(":")[0].endswith(".py"):
            raise LoadError(
                f"{name} is code, which `load` never runs. Import it and pass an instance to dynsys.as_map; the "
                "command line takes it as MODEL."
            ) from None
        raise LoadError(f"there is no file {name}. Check the path.") from None
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a zero byte in the name
        if isinstance(error, LoadError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise LoadError(f"cannot read {name!r}: {reason}. Check the path and your permissions.") from None
    if not data:
        raise LoadError(f"{name} is empty. Save or copy the model again.")
    return name, data


def _contents(name: str, data: bytes) -> Contents:
    extension = os.path.splitext(name)[1].lower()
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _from_archive(Archive(data))
    if data[8:9] == b"{" or extension == ".safetensors":
        return read_safetensors(data)
    raise LoadError(_refusal(data, extension))


def _from_archive(archive: Archive) -> Contents:
    names = list(archive.names)
    if any(name.endswith("data.pkl") for name in names):
        return read_torch(archive)
    if any(name.endswith(".npy") for name in names):
        return read_npz(archive)
    if "config.json" in names or any(name.endswith(".h5") for name in names):
        raise LoadError(f"it looks like a Keras model, which cannot be read yet. {_KNOWN}")
    raise LoadError(f"it is a zip archive without arrays (it holds {', '.join(names[:4]) or 'nothing'}). {_KNOWN}")


def _refusal(data: bytes, extension: str) -> str:
    """Why a file of another kind cannot be read, and what to do."""
    if _LEGACY_TORCH in data[:32]:
        return f"it is in PyTorch's old format, from before 1.6. Load it in PyTorch and save it again. {_STATE_DICT}"
    if data[:1] == b"\x80" and data[1:2] <= b"\x05":
        return f"it is a pickle, which could run code and is never opened. {_STATE_DICT}"
    if data.startswith(b"\x89HDF\r\n\x1a\n"):
        return f"it is an HDF5 file (Keras?), which cannot be read yet. {_KNOWN}"
    if data.startswith(b"\x93NUMPY"):
        return "it is a single array. Save all of them together: np.savez(path, weight_ih_l0=..., weight_hh_l0=...)."
    if extension == ".onnx":
        return f"ONNX files cannot be read yet. {_KNOWN}"
    try:
        data[:4096].decode("ascii")
    except UnicodeDecodeError:
        return f"its first bytes, {data[:8].hex(' ')}, belong to no known format; it may be damaged. {_KNOWN}"
    return f"it is a text file, not a file of weights. {_KNOWN}"
