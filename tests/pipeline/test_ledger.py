"""The ledger: what is recorded survives, what differs is refused, one process at a time."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from hipct.core.errors import FormatError, OutputError
from hipct.pipeline.ledger import Ledger

PARAMETERS = {"config": {"phase": {"delta_beta": 1000.0}}, "scan": {"source": "a.zarr"}}


def test_a_second_run_with_the_same_parameters_goes_on(tmp_path):
    ledger = Ledger(tmp_path / "v.run")
    assert ledger.open(PARAMETERS) is False
    ledger.remember(axis={"value": 12.5})
    ledger.record(0, 3, {"voxels": {"above": 7}})
    ledger.record(2, 0, {})
    ledger.record_tile(1, {"dead": 4})
    ledger.close()

    again = Ledger(tmp_path / "v.run")
    assert again.open(PARAMETERS) is True
    assert again.state()["axis"] == {"value": 12.5}
    assert set(again.done()) == {(0, 3), (2, 0)}
    record = again.done()[0, 3]
    assert record.pop("machine") == socket.gethostname()
    ended = datetime.fromisoformat(record.pop("ended"))
    assert abs((datetime.now(UTC) - ended).total_seconds()) < 60
    assert record == {"voxels": {"above": 7}}
    assert again.pixels() == [{"dead": 4}]
    again.close()


def test_other_parameters_are_refused_and_the_difference_is_named(tmp_path):
    ledger = Ledger(tmp_path / "v.run")
    ledger.open(PARAMETERS)
    ledger.record(0, 0, {})
    ledger.close()
    changed = {"config": {"phase": {"delta_beta": 500.0}}, "scan": {"source": "a.zarr"}}
    with pytest.raises(OutputError, match=r"config\.phase\.delta_beta: 1000\.0 then, 500\.0 now"):
        ledger.open(changed)
    assert set(ledger.done()) == {(0, 0)}

    assert ledger.open(changed, restart=True) is False
    assert ledger.done() == {}
    ledger.close()


def test_a_run_without_a_finished_layer_makes_room_for_another(tmp_path):
    ledger = Ledger(tmp_path / "v.run")
    ledger.open(PARAMETERS)
    ledger.remember(axis={"value": 12.5})
    ledger.record_tile(0, {"dead": 4})
    ledger.close()
    other = {"config": {}, "scan": {}}
    assert ledger.open(other) is False
    assert ledger.state() == {"parameters": other}
    assert ledger.pixels() == []
    ledger.close()


def test_two_processes_cannot_write_one_output(tmp_path):
    ledger = Ledger(tmp_path / "v.run")
    ledger.open(PARAMETERS)
    other = (
        "from pathlib import Path\nfrom hipct.pipeline.ledger import Ledger\n"
        f"Ledger(Path({str(tmp_path / 'v.run')!r})).open({PARAMETERS!r})"
    )
    command = [sys.executable, "-c", other]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "another process is writing this output" in result.stderr
    ledger.close()
    subprocess.run(command, check=True)


def test_a_damaged_record_is_named(tmp_path):
    ledger = Ledger(tmp_path / "v.run")
    ledger.open(PARAMETERS)
    ledger.record(0, 0, {})
    (tmp_path / "v.run" / "done" / "0-000000.json").write_text("{")
    with pytest.raises(FormatError, match=r"0-000000\.json"):
        ledger.done()
    ledger.close()


def test_removal_leaves_nothing(tmp_path):
    ledger = Ledger(tmp_path / "v.run")
    ledger.open(PARAMETERS)
    ledger.remove()
    assert list(tmp_path.iterdir()) == []
