"""The memory that a download takes, against what it was allowed."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

EDGE = 128
SHAPE = (128, 768, 768)
CODE = """
import sys
from pathlib import Path
from hipct.atlas.catalogue import load_catalogue
from hipct.atlas.crop import make_crop
from hipct.atlas.download import download_crop
from hipct.atlas.opening import open_set
from hipct.core.errors import PlanError
volume = open_set(load_catalogue(sys.argv[1])["big"], mirror=sys.argv[2])
memory = 200 * 10**6
while True:
    try:
        download_crop(volume, make_crop(volume, 0), sys.argv[3], memory_bytes=memory)
        break
    except PlanError:
        memory += 10**7
# ru_maxrss would begin with that of the process that started this one.
status = Path("/proc/self/status").read_text()
print(memory, 1024 * int(status.split("VmHWM:")[1].split()[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux alone")
def test_the_least_memory_that_is_allowed_is_enough(describer: Any, tmp_path: Path) -> None:
    """Of the whole process, with blocks of the size that the atlas has."""
    pytest.importorskip("hoa_tools")
    level = tmp_path / "mirror" / "bucket" / "big" / "s0"
    level.mkdir(parents=True)
    attributes: dict[str, Any] = {
        "dataType": "uint16",
        "dimensions": list(SHAPE[::-1]),
        "blockSize": [EDGE] * 3,
        "compression": {"type": "blosc"},
    }
    (level / "attributes.json").write_text(json.dumps(attributes))
    block = np.random.default_rng(0).normal(2e4, 300, (EDGE,) * 3).astype(">u2")
    packed = numcodecs.Blosc("zstd", 1, numcodecs.Blosc.BITSHUFFLE).encode(block.tobytes())
    data = struct.pack(">HHIII", 0, 3, *block.shape) + bytes(packed)
    for x, y in np.ndindex(SHAPE[2] // EDGE, SHAPE[1] // EDGE):
        (level / str(x) / str(y)).mkdir(parents=True)
        (level / str(x) / str(y) / "0").write_bytes(data)
    told = tmp_path / "told"
    describer(told, "big", "n5://gs://bucket/big/", shape=SHAPE)
    words = [str(told), str(tmp_path / "mirror"), str(tmp_path / "crop.ome.zarr")]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True
    )
    allowed, taken = (int(word) for word in done.stdout.split())
    assert taken <= allowed, (taken, allowed)
    assert allowed < 600 * 10**6
