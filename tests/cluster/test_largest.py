"""The largest set of the atlas on paper: 196 sub-scans, 18709 x 18709 x 21517 voxels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own, whose peak is its own; ru_maxrss would begin with that of this one.
PLANNED = """
import json, time
from pathlib import Path
from benchmarks.cluster import empty_graph, plan_of_the_largest
began = time.process_time()
plan = plan_of_the_largest()
spent = time.process_time() - began
status = Path("/proc/self/status").read_text()
peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
tasks = [len(empty_graph(plan, layers)[0]) for layers in (4, 8, 16)]
print(json.dumps([plan.spec.shape, plan.spec.layers(0), spent, peak, tasks]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux alone")
def test_it_is_planned_in_seconds_and_under_500_mb():
    root = Path(__file__).resolve().parents[2]
    said = subprocess.check_output([sys.executable, "-c", PLANNED], cwd=root)
    shape, layers, spent_s, peak, tasks = json.loads(said)
    assert sorted(shape) == pytest.approx([18709, 18709, 21517], abs=20)
    assert layers == -(-shape[0] // 128)
    # Two seconds of a processor of today.
    assert spent_s < 20
    assert peak < 500e6
    # As many tasks a layer, however many layers there are.
    four, eight, sixteen = tasks
    assert sixteen - eight == pytest.approx(2 * (eight - four), rel=0.1)
