"""Every kernel compiles for every card that is supported, within its budget of the card.

NVRTC needs neither driver nor card. Its log says what each kernel takes of a multiprocessor, and
``budget.json`` beside this file what it may take::

    {"file": {"kernel": {"registers": 40, "shared": 4096}}}

``registers`` is the most of all cards and variants; ``shared`` (bytes, default 0) likewise;
``stack`` (bytes, default 0) is for kernels that are not hot; spills are never allowed. A kernel
that computes in double precision, which is 64 times slower than single on many cards, without
being compiled for the type ``double``, says why under ``double``.

Which constants the product compiles a file with stands in the ``VARIANTS`` of the modules
``hipct.*.*_cuda``: ``(file, constants)``.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from hipct.core.kernels import Constant, kernel_folder, kernel_names, options, signature

REPOSITORY = Path(__file__).resolve().parents[2]
BUDGET_FILE = Path(__file__).with_name("budget.json")
BUDGET: dict[str, dict[str, dict[str, int | str]]] = json.loads(
    BUDGET_FILE.read_text(encoding="utf-8")
)
CARDS = (75, 80, 86, 89, 90, 100)
REGISTERS = 65536
"""Registers of a multiprocessor, shared by the threads of a block."""
SHARED_BYTES = 48 * 1024
"""Shared memory that a kernel can declare on every card."""
FILES = sorted(path.stem for path in kernel_folder().glob("*.cu"))

_ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Resources:
    """What one kernel takes of a card."""

    card: int
    name: str
    threads: int
    registers: int
    shared: int
    stack: int
    spills: int
    double: bool

    def __str__(self) -> str:
        return (
            f"{self.name} on sm_{self.card}: {self.registers} registers, {self.threads} threads, "
            f"{self.shared} bytes shared, {self.stack} stack, {self.spills} spilled"
            f"{', double precision' if self.double else ''}"
        )


def cuda_modules() -> dict[str, list[tuple[str, dict[str, Constant]]]]:
    """Variants of the kernels by the module that launches them."""
    found = {}
    for path in sorted((REPOSITORY / "hipct").rglob("*_cuda.py")):
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        found[name] = list(getattr(importlib.import_module(name), "VARIANTS", ()))
    return found


def variants(file: str) -> list[dict[str, Constant]]:
    """Sets of constants that the product compiles a file with, each once."""
    every = [constants for used in cuda_modules().values() for name, constants in used]
    named = [name for used in cuda_modules().values() for name, constants in used]
    unique: list[dict[str, Constant]] = []
    for name, constants in zip(named, every):
        if name == file and constants not in unique:
            unique.append(constants)
    return unique


def compiled(source: str, file: str, constants: dict[str, Constant], card: int) -> tuple[str, str]:
    """Log and intermediate code of a file for one card."""
    from cuda.bindings import nvrtc

    def checked(result: tuple) -> object:
        error, *values = result
        assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, f"{file}: {error.name}"
        return values[0] if values else None

    program = checked(nvrtc.nvrtcCreateProgram(source.encode(), f"{file}.cu".encode(), 0, [], []))
    # What CuPy adds: the architecture, device code by default, and zero for subnormal numbers.
    flags = [f"-arch=sm_{card}", "--device-as-default-execution-space", "-ftz=true"]
    flags.append("--ptxas-options=-v")
    arguments = [flag.encode() for flag in (*options(constants), *flags)]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(arguments), arguments)
    log = b" " * checked(nvrtc.nvrtcGetProgramLogSize(program))
    checked(nvrtc.nvrtcGetProgramLog(program, log))
    text = log.decode().rstrip("\0 ")
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        pytest.fail(f"{file}.cu with {constants} for sm_{card}:\n{text}")
    code = b" " * checked(nvrtc.nvrtcGetPTXSize(program))
    checked(nvrtc.nvrtcGetPTX(program, code))
    assert checked(nvrtc.nvrtcGetCUBINSize(program)) > 0
    checked(nvrtc.nvrtcDestroyProgram(program))
    return text, code.decode().rstrip("\0 ")


def resources(card: int, log: str, code: str) -> Iterator[Resources]:
    """What the kernels of a compiled file take."""
    bodies = dict(re.findall(r"\.entry (\w+)\((.*?)^\}", code, re.DOTALL | re.MULTILINE))
    for found in _ENTRY.finditer(log):
        body = bodies[found["name"]]
        bounds = re.search(r"\.maxntid (\d+)(?:, (\d+), (\d+))?", body)
        threads = 1
        for size in bounds.groups() if bounds else ("1024",):
            threads *= int(size or 1)
        shared = re.search(r"(\d+) bytes smem", found["rest"])
        yield Resources(
            card=card,
            name=found["name"],
            threads=threads,
            registers=int(found["registers"]),
            shared=int(shared[1]) if shared else 0,
            stack=int(found["stack"]),
            spills=int(found["stores"]) + int(found["loads"]),
            double=".f64" in body,
        )


def complaints(taken: Resources, budget: dict[str, int | str] | None) -> Iterator[str]:
    """What a kernel takes beyond its budget, in words."""
    if budget is None:
        yield f"{taken}: has no entry in {BUDGET_FILE.name}"
        return
    # Registers are handed out to a warp in units of 256, so 8 for each of its threads.
    warps, granted = -(-taken.threads // 32), -(-taken.registers // 8) * 8
    if warps * 32 * granted > REGISTERS:
        yield f"{taken}: a block needs more than {REGISTERS} registers"
    if taken.registers > int(budget["registers"]):
        yield f"{taken}: {budget['registers']} registers are allowed"
    if taken.shared > min(int(budget.get("shared", 0)), SHARED_BYTES):
        yield f"{taken}: {budget.get('shared', 0)} bytes shared are allowed"
    if taken.stack > int(budget.get("stack", 0)):
        yield f"{taken}: {budget.get('stack', 0)} bytes of stack are allowed"
    if taken.spills:
        yield f"{taken}: registers spill to memory"
    if taken.double and "double" not in budget:
        yield f"{taken}: computes in double precision, without a reason under 'double'"


@pytest.mark.parametrize("file", FILES)
def test_a_kernel_compiles_for_every_card_within_its_budget(file):
    pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC is missing: pip install --group test")
    source = (kernel_folder() / f"{file}.cu").read_text(encoding="utf-8")
    jobs = [(constants, card) for constants in variants(file) for card in CARDS]
    assert jobs, f"no hipct module *_cuda.py declares {file} in its VARIANTS"
    budget = BUDGET.get(file, {})
    found: dict[tuple[str, str], tuple[int, str]] = {}
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda job: compiled(source, file, *job), jobs)
        for (constants, card), (log, code) in zip(jobs, results):
            warnings = [line for line in log.splitlines() if "warning" in line]
            # A card too small for so many blocks at once runs fewer.
            assert all(".minnctapersm will be ignored" in line for line in warnings), warnings
            every = list(resources(card, log, code))
            assert sorted(taken.name for taken in every) == sorted(kernel_names(source))
            for taken in every:
                allowed = budget.get(taken.name)
                if allowed is not None and "double" in constants.values():
                    allowed = {**allowed, "double": "this is the variant for float64"}
                for complaint in complaints(taken, allowed):
                    kind = taken.name, complaint.rpartition(": ")[2]
                    worst = taken.registers, f"{complaint} {constants or ''}"
                    found[kind] = max(found.get(kind, worst), worst)
    assert not found, "\n".join(text for _, text in found.values())
    assert set(kernel_names(source)) == set(budget)


@pytest.mark.parametrize("file", FILES)
def test_every_signature_can_be_read(file):
    source = (kernel_folder() / f"{file}.cu").read_text(encoding="utf-8")
    for constants in variants(file):
        for name in kernel_names(source):
            assert signature(source, name, constants)


@pytest.mark.parametrize("file", FILES)
def test_a_file_opens_with_what_its_kernels_compute(file):
    """Formula, units, launch geometry, and NumPy functions that exist: see kernels/README.md."""
    source = (kernel_folder() / f"{file}.cu").read_text(encoding="utf-8")
    header = []
    for line in source.splitlines():
        if not line.startswith("//"):
            break
        header.append(line[2:].strip())
    text = "\n".join(header)
    titles = ("Formula:", "Units and layout:", "Launch geometry:", "Equal to:")
    places = [text.find(title) for title in titles]
    assert -1 not in places, f"{file}.cu does not open with {', '.join(titles)}"
    assert places == sorted(places)
    names = re.findall(r"\bhipct(?:\.\w+)+", text[places[-1] :])
    assert any(callable(pkgutil.resolve_name(name)) for name in names), "no function is named"


def test_every_module_declares_kernels_that_exist():
    for module, used in cuda_modules().items():
        assert used, f"{module} declares no VARIANTS"
        assert {file for file, constants in used} <= set(FILES), module
    assert set(BUDGET) == set(FILES)


def test_the_budget_would_notice():
    """A budget that nothing can break holds nothing."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC is missing")
    assert nvrtc
    source = """
    extern "C" __global__ void __launch_bounds__(128) greedy(
        float* __restrict__ values,  // (n)
        int n)
    {
        __shared__ float tile[512];
        float local[64];
        for (int i = 0; i < 64; ++i) local[(i * n) & 63] = values[i];
        tile[threadIdx.x] = local[n & 63];
        __syncthreads();
        values[threadIdx.x] = tile[127 - threadIdx.x] * 0.3;
    }
    """
    (taken,) = resources(80, *compiled(source, "greedy", {}, 80))
    assert (taken.name, taken.threads, taken.shared) == ("greedy", 128, 2048)
    text = "\n".join(complaints(taken, {"registers": 4}))
    for part in ("4 registers are", "0 bytes shared", "0 bytes of stack", "double precision"):
        assert part in text
    assert "no entry" in "".join(complaints(taken, None))
    assert not list(
        complaints(
            taken, {"registers": 255, "shared": 2048, "stack": 256, "double": "for this test"}
        )
    )
