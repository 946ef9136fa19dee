"""CUDA kernels: found, compiled once for each device, and launched with their arguments checked.

A kernel's own signature is its contract. Pointers carry their shape in the comment of their line,
in terms of the kernel's integers and compile-time constants::

    extern "C" __global__ void flat_field(
        const unsigned short* __restrict__ projections,  // (angles, rows, columns) counts
        float* __restrict__ out,                         // (angles, rows, columns) transmission
        int angles, int rows, int columns)

CUDA checks none of this: a float64 scalar, a view with gaps or a short array would be read as
whatever lies there. So :class:`Kernel` checks every argument against the signature first.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hipct.core.arrays import namespace
from hipct.core.errors import DeviceError, InputError

Constant = int | float | str
"""Value of a compile-time constant: a number, or the name of a C type."""

_TYPES = {
    "unsigned char": np.uint8,
    "signed char": np.int8,
    "short": np.int16,
    "unsigned short": np.uint16,
    "int": np.int32,
    "unsigned int": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
    "float2": np.complex64,
}
C_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
"""Name of a NumPy dtype in the kernels, for constants that choose the type of an argument."""

_SIGNATURE = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\('
)
_MOST_THREADS = 1024
_MOST_BLOCKS = (2**31 - 1, 65535, 65535)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel; ``shape`` is that of a pointer's array, ``None`` a scalar's."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[str, ...] | None
    written: bool


@dataclass(frozen=True)
class Kernel:
    """One compiled kernel; call it with a grid, a block and its arguments by name."""

    file: str
    name: str
    xp: ModuleType
    parameters: tuple[Parameter, ...]
    constants: Mapping[str, Constant]
    function: Any

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], /, **arguments: Any) -> None:
        """Launch on the current stream.

        Parameters
        ----------
        grid, block : tuple of int
            Blocks of the grid and threads of a block, one to three numbers each. A grid with a 0
            in it is an empty loop: nothing is launched.
        **arguments
            Arrays, C-contiguous, of the type and shape that the signature says; integers and
            floats for the scalars, of any Python or NumPy type that holds the value.

        Raises
        ------
        InputError
            If an argument does not fit the signature, or the launch geometry the device.
        """
        names = [parameter.name for parameter in self.parameters]
        if set(arguments) != set(names):
            raise self._error(f"takes {', '.join(names)}, and was given {', '.join(arguments)}")
        values = {
            parameter.name: self._scalar(parameter, arguments[parameter.name])
            for parameter in self.parameters
            if parameter.shape is None
        }
        known = {name: int(value) for name, value in values.items() if value.dtype.kind in "iu"}
        known |= {name: value for name, value in self.constants.items() if isinstance(value, int)}
        for parameter in self.parameters:
            if parameter.shape is not None:
                values[parameter.name] = self._array(parameter, arguments[parameter.name], known)
        if self._checked(grid, block):
            self.function(grid, block, tuple(values[name] for name in names))

    def _scalar(self, parameter: Parameter, value: Any) -> Any:
        kind = parameter.dtype.kind
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole and (kind != "f" or not isinstance(value, (float, np.floating))):
            raise self._error(f"takes a {parameter.dtype} as {parameter.name}, not {value!r}")
        if kind != "f":
            limits = np.iinfo(parameter.dtype)
            if not limits.min <= int(value) <= limits.max:
                raise self._error(f"has {parameter.name}={value}, beyond {parameter.dtype}")
        return parameter.dtype.type(value)

    def _array(self, parameter: Parameter, value: Any, known: Mapping[str, int]) -> Any:
        name = parameter.name
        if not hasattr(value, "flags") or namespace(value) is not self.xp:
            raise self._error(
                f"takes an array of {self.xp.__name__} as {name}, not {type(value).__name__}"
            )
        if value.dtype != parameter.dtype:
            raise self._error(f"takes {parameter.dtype} as {name}, not {value.dtype}")
        assert parameter.shape is not None
        shape = tuple(_evaluate(term, known) for term in parameter.shape)
        if value.shape != shape:
            words = ", ".join(parameter.shape)
            raise self._error(f"takes {name} of shape ({words}) = {shape}, not {value.shape}")
        if not value.flags.c_contiguous:
            raise self._error(f"takes {name} as one C-contiguous run of memory, not a view of one")
        return value

    def _checked(self, grid: tuple[int, ...], block: tuple[int, ...]) -> bool:
        """Whether there is anything to launch."""
        if not (1 <= len(grid) <= 3 and 1 <= len(block) <= 3):
            raise self._error(f"is launched on a grid {grid} of blocks {block}")
        if min(block) < 1 or np.prod(block, dtype=np.int64) > _MOST_THREADS:
            raise self._error(f"cannot have blocks of {block} threads; 1 to {_MOST_THREADS} are")
        if min(grid) < 0 or any(size > most for size, most in zip(grid, _MOST_BLOCKS)):
            raise self._error(f"cannot have a grid of {grid} blocks; up to {_MOST_BLOCKS} are")
        return min(grid) > 0

    def _error(self, what: str) -> InputError:
        return InputError(f"The kernel {self.name} ({self.file}) {what}.")


def load(xp: ModuleType, file: str, name: str | None = None, /, **constants: Constant) -> Kernel:
    """A kernel, compiled for the device in use the first time that it is asked for.

    Parameters
    ----------
    xp : module
        The array namespace, ``cupy``.
    file : str
        Name of the file in ``kernels/`` without ``.cu``.
    name : str, optional
        Name of the kernel, where it is not that of its file.
    **constants
        Compile-time constants, defined before the file is compiled.

    Raises
    ------
    DeviceError
        If it does not compile, with the compiler's first complaint.
    """
    return _load(xp, file, name or file, tuple(sorted(constants.items())))


@cache
def _load(
    xp: ModuleType, file: str, name: str, constants: tuple[tuple[str, Constant], ...]
) -> Kernel:
    parameters = signature(_source(file), name, dict(constants))
    try:
        function = _module(xp, file, constants).get_function(name)
    except MemoryError:
        raise
    except Exception as error:
        raise DeviceError(
            f"The kernel {name} ({file}.cu) does not compile for this device "
            f"({first_complaint(error)}); install the CUDA libraries that belong to CuPy (pip "
            "install 'hipct[gpu]'), or compute on the CPU with --backend numpy "
            "(compute.backend=numpy)."
        ) from error
    return Kernel(f"{file}.cu", name, xp, parameters, dict(constants), function)


@cache
def _module(xp: ModuleType, file: str, constants: tuple[tuple[str, Constant], ...]) -> Any:
    return xp.RawModule(code=_source(file), options=options(dict(constants)))


def _source(file: str) -> str:
    """The text of a file, signed with what the headers beside it hold.

    CuPy keeps on disk what it has compiled, by source and options: without the signature a header
    that has changed would go on being what it was.
    """
    folder = kernel_folder()
    source = (folder / f"{file}.cu").read_text(encoding="utf-8")
    headers = hashlib.sha256()
    for header in sorted(folder.glob("*.cuh")):
        headers.update(header.read_bytes())
    return f"{source}\n// Headers: {headers.hexdigest()}\n"


def options(constants: Mapping[str, Constant]) -> tuple[str, ...]:
    """Options of the compiler: the language, where headers lie, the constants."""
    defines = tuple(f"-D{name}={value}" for name, value in constants.items())
    return ("--std=c++17", f"-I{kernel_folder()}", *defines)


def kernel_folder() -> Path:
    """Where the kernels lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "kernels"
    return inside if inside.is_dir() else package.parent / "kernels"


def kernel_names(source: str) -> list[str]:
    """Names of the kernels of a file, in their order."""
    return _SIGNATURE.findall(source)


def signature(source: str, name: str, constants: Mapping[str, Constant]) -> tuple[Parameter, ...]:
    """Parameters of a kernel, as its file declares them.

    Raises
    ------
    InputError
        If the file has no such kernel, or a declaration cannot be read.
    """
    for match in _SIGNATURE.finditer(source):
        if match[1] == name:
            return tuple(_parameters(source[match.end() :], name, constants))
    raise InputError(f"There is no kernel {name} in this file.")


def _parameters(text: str, kernel: str, constants: Mapping[str, Constant]) -> list[Parameter]:
    found: list[Parameter] = []
    for line in text.splitlines():
        code, _, comment = line.partition("//")
        body, closed, _ = code.partition(")")
        for declaration in filter(None, (part.strip() for part in body.split(","))):
            found.append(_parameter(declaration, comment.strip(), kernel, constants))
        if closed:
            return found
    raise InputError(f"The parameters of the kernel {kernel} do not end.")


def _parameter(
    declaration: str, comment: str, kernel: str, constants: Mapping[str, Constant]
) -> Parameter:
    words = re.sub(r"\b__restrict__\b|\*", " ", declaration).split()
    written = "const" not in words
    *kind, name = (word for word in words if word != "const")
    base = " ".join(kind)
    base = str(constants.get(base, base))
    if base not in _TYPES:
        raise InputError(f"The kernel {kernel} has {name} of the unknown type {base!r}.")
    shape = None
    if "*" in declaration:
        match = re.match(r"\(((?:[^()]|\([^()]*\))*)\)", comment)
        if not match:
            raise InputError(f"The kernel {kernel} does not say the shape of {name}.")
        shape = tuple(filter(None, (part.strip() for part in match[1].split(","))))
    return Parameter(name, np.dtype(_TYPES[base]), shape, written)


def _evaluate(term: str, known: Mapping[str, int]) -> int:
    """Value of a whole-number expression such as ``columns / 2 + 1`` (as C divides)."""

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name) if name in known:
                return known[name]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return value(left) + value(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return value(left) - value(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return value(left) * value(right)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return value(left) // value(right)
        raise InputError(f"The shape {term!r} in a kernel's signature cannot be worked out.")

    return value(_parsed(term))


@cache
def _parsed(term: str) -> ast.expr:
    # Kept, because a launch has some twenty terms, and parsing them would take 0.2 ms of it.
    return ast.parse(term, mode="eval").body


def first_complaint(error: Exception) -> str:
    """First error in a compiler's log, or what else is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return next((line for line in lines if "error" in line), first)
