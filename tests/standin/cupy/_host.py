"""Kernels: compiled by g++ through ``host.h``, kept on disk, launched on the memory of arrays."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
FLAGS = (
    "-std=c++20",
    "-O2",
    "-g1",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fno-gnu-unique",
    "-fvisibility=hidden",
    "-Wall",
    "-Wno-unused-function",
    "-Wno-unknown-pragmas",
    "-Wno-sign-compare",
)
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+'
    r"(?:__launch_bounds__\(((?:[^()]|\([^()]*\))*)\)\s*)?(\w+)\s*\("
)
ORDERS = {"natural": 0, "reversed": 1, "shuffled": 2}

# Shared memory, fibres and indices are those of a library: one launch at a time.
_launching = threading.Lock()


class CompileError(Exception):
    """g++ does not take the source: its log."""


class LaunchError(RuntimeError):
    """A kernel did what no kernel may; thread, block and line are named."""


def compiler() -> str | None:
    """The C++ compiler, or ``None`` where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


@cache
def library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """The compiled source; what the compiler warns of is a Python warning."""
    program = compiler()
    if program is None:
        raise CompileError("error: there is no g++ here")
    folders = [Path(option[2:]) for option in options if option.startswith("-I")]
    extra = shlex.split(os.environ.get("HIPCT_HOST_FLAGS", ""))
    flags = [*FLAGS, *_native(program), *extra]
    flags += [option for option in options if option.startswith(("-D", "-U"))]
    exports = [f"HIPCT_EXPORT({name}, {bounds})\n" for bounds, name in KERNEL.findall(source)]
    unit = '#include "host.h"\n#line 1 "kernel.cu"\n' + source + "\n" + "".join(exports)
    key = _key(unit, flags, folders, program)
    folder = Path(tempfile.gettempdir()) / f"hipct-host-kernels-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise CompileError(f"error: {folder} belongs to somebody else")
    built, log = folder / f"{key}.so", folder / f"{key}.log"
    if not built.exists():
        # What the headers hold is part of the key, and where they lie is not.
        _build(program, unit, [*flags, *(f"-I{path}" for path in folders)], built, log)
    if complaints := log.read_text(encoding="utf-8"):
        warnings.warn(f"g++ on a kernel: {complaints}", stacklevel=2)
    return ctypes.CDLL(str(built))


def launch(  # noqa: PLR0917
    code: ctypes.CDLL,
    name: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    values: list[ctypes._SimpleCData],
    order: str,
    seed: int,
) -> None:
    """Run a kernel; ``values`` holds an address or a number for each of its parameters."""
    function = getattr(code, f"hipct_launch_{name}")
    function.restype = ctypes.c_char_p
    three = ctypes.c_uint * 3
    pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
    with _launching:
        complaint = function(
            three(*(*grid, 1, 1)[:3]),
            three(*(*block, 1, 1)[:3]),
            pointers,
            ORDERS[order],
            ctypes.c_uint64(seed),
        )
    if complaint:
        raise LaunchError(f"{name}, {complaint.decode()} (order {order}, seed {seed})")


def signature(code: ctypes.CDLL, name: str) -> list[str]:
    """NumPy's names of the parameters' types; a star before what is pointed to."""
    function = getattr(code, f"hipct_signature_{name}")
    function.restype = ctypes.c_char_p
    return [kind for kind in function().decode().split(",") if kind]


def _build(program: str, unit: str, flags: list[str], built: Path, log: Path) -> None:
    # Another process may build the same: each writes its own files and renames them.
    own = built.with_suffix(f".{os.getpid()}.{threading.get_ident()}.tmp")
    command = [program, "-x", "c++", "-I", str(HERE), *flags, "-", "-o", str(own)]
    plain = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    result = subprocess.run(
        command, input=unit, capture_output=True, text=True, check=False, env=plain
    )
    if result.returncode:
        own.unlink(missing_ok=True)
        raise CompileError(result.stderr)
    own_log = own.with_suffix(".log")
    own_log.write_text(result.stderr, encoding="utf-8")
    own_log.replace(log)
    own.replace(built)


def _key(unit: str, flags: list[str], folders: list[Path], program: str) -> str:
    """Hash of everything that the compiled library depends on."""
    digest = hashlib.sha256("\0".join([unit, *flags, _version(program)]).encode())
    seen: set[Path] = set()
    waiting = re.findall(r'#\s*include\s+"([^"]+)"', unit)
    while waiting:
        name = waiting.pop()
        for folder in (HERE, HERE / "host", *folders):
            path = folder / name
            if path.is_file() and path not in seen:
                seen.add(path)
                text = path.read_text(encoding="utf-8")
                digest.update(f"\0{name}\0{text}".encode())
                waiting += re.findall(r'#\s*include\s+"([^"]+)"', text)
    return digest.hexdigest()[:32]


@cache
def _version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _native(program: str) -> tuple[str, ...]:
    """Instructions of this processor, named one by one so that they are part of the key."""
    if platform.machine() != "x86_64":
        return ()
    command = [program, "-march=native", "-E", "-dM", "-x", "c++", "/dev/null"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return tuple(
        flag
        for macro, flag in (("__FMA__", "-mfma"), ("__AVX2__", "-mavx2"), ("__BMI2__", "-mbmi2"))
        if f"#define {macro} " in result.stdout
    )
