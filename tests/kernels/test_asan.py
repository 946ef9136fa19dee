"""The tests of the kernels once more, under the compiler's sanitizers.

``tests/standin`` runs the kernels on the CPU; here they are compiled so that every access beyond an
array, every misaligned one, and whatever else C++ leaves undefined ends the process. That wrong
kernels do end so is tested beside the stand-in.
"""

from __future__ import annotations

import pytest

ROOMS = {
    "preparation": ["tests/preparation"],
    "phase": ["tests/phase"],
    "reconstruction": ["tests/reconstruction"],
    "volume": ["tests/volume/test_quantise.py", "tests/volume/test_reduce.py"],
}


@pytest.mark.parametrize("room", ROOMS)
def test_no_kernel_leaves_its_arrays(sanitised, room):
    result = sanitised.run_tests(*ROOMS[room])
    assert result.returncode == 0, result.stdout[-6000:]
    assert " passed" in result.stdout
