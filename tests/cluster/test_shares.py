"""A run by many processes makes the bytes of a run by one; what cannot be read fails alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import chain

import google_crc32c
import numpy as np
import pytest

from hipct.core.errors import OutputError
from hipct.pipeline.config import Config
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request, run_folder
from hipct.pipeline.run import reconstruct
from hipct.pipeline.shares import finish_run, prepare_run, run_share
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume

ROWS = 300


def damaged(store, path):
    """A copy of a scan store in which the projections of some rows cannot be read."""
    shutil.copytree(store, path)
    file = path / "projections" / "c" / "0" / "1" / "0"  # rows from 256 on
    with open(file, "r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
    return path


def test_shares_in_any_order_make_the_bytes_of_one_process(request_of, undisturbed, volume_bytes):
    request = request_of()
    dealt = prepare_run(request, 3)
    assert sorted(chain(*dealt)) == list(range(-(-ROWS // 32)))
    assert len(dealt) == 3
    request = Request.of(run_folder(request.out))
    assert run_share(request, 7).layers == ()
    for number in (2, 0, 1):
        done = run_share(request, number)
        assert sorted(done.layers) == dealt[number]
        assert done.failed == {}
    assert run_share(request, 1).layers == ()
    result = finish_run(request)
    assert volume_bytes(result.path) == undisturbed
    assert [f for f in check_volume(result.path, deep=True) if f.severity == "error"] == []
    assert not request.folder.exists()


def test_shares_run_beside_each_other_in_processes(request_of, undisturbed, volume_bytes):
    request = request_of()
    prepare_run(request, 2)
    work = (
        "import sys; from hipct.pipeline.request import Request; "
        "from hipct.pipeline.shares import run_share; "
        "run_share(Request.of(sys.argv[1]), int(sys.argv[2]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", work, request.out, str(number)])
        for number in range(2)
    ]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert volume_bytes(finish_run(request).path) == undisturbed


def test_what_is_missing_is_named_and_what_was_prepared_otherwise_refused(request_of, scan_store):
    request = request_of()
    with pytest.raises(OutputError, match="has to be prepared first"):
        run_share(request, 0)
    left = prepare_run(request, 2)[1]
    run_share(request, 0)
    other = request_of(config=request.config | {"phase": {"delta_beta": 301.0}})
    with pytest.raises(OutputError, match=r"delta_beta: 300\.0 then, 301\.0 now"):
        run_share(other, 1)
    with pytest.raises(OutputError, match=rf"{len(left)} of 10 layers are missing \({left[0]}, "):
        finish_run(request)
    with pytest.raises(OutputError, match="with other parameters"):
        prepare_run(other, 2)
    held = Ledger(request.folder)
    held.take("share-00001")
    with pytest.raises(OutputError, match=r"holds .*share-00001"):
        run_share(request, 1)
    with pytest.raises(OutputError, match=r"holds .*share-00001"):
        finish_run(request)
    held.close()


def test_files_that_were_lost_after_they_were_recorded_are_written_again(
    request_of, undisturbed, volume_bytes
):
    request = request_of()
    prepare_run(request, 2)
    for number in range(2):
        run_share(request, number)
    ledger = Ledger(request.folder)
    for (level, layer), record in ledger.done().items():
        for key, (length, checksum) in record["files"].items():
            data = (ledger.volume / key).read_bytes()
            assert (len(data), google_crc32c.value(data)) == (length, checksum), (level, layer)
    (ledger.volume / "0" / "c" / "2" / "0" / "0").unlink()
    with open(ledger.volume / "0" / "c" / "7" / "0" / "0", "r+b") as file:
        file.truncate(100)
    (ledger.volume / "1" / "c" / "1" / "0" / "0").unlink()
    with pytest.raises(OutputError, match=r"2 of 10 layers are missing \(2, 7\)"):
        finish_run(request)
    made = [run_share(request, number).layers for number in range(2)]
    assert sorted(chain(*made)) == [2, 7]
    assert volume_bytes(finish_run(request).path) == undisturbed


def test_a_chunk_that_cannot_be_read_fails_alone(
    request_of, scan_store, tmp_path, undisturbed, volume_bytes
):
    broken = damaged(scan_store, tmp_path / "broken.zarr")
    request = request_of(broken)
    dealt = prepare_run(request, 2)
    done = [run_share(request, number, log="share.log") for number in range(2)]
    failed = {layer: error for each in done for layer, error in each.failed.items()}
    assert failed
    assert len(failed) < 8
    made = chain(*(each.layers for each in done))
    assert sorted([*failed, *made]) == sorted(chain(*dealt))
    assert all("broken.zarr" in error for error in failed.values())
    recorded = Ledger(request.folder).failed()
    assert {layer: each["error"] for layer, each in recorded.items()} == failed
    assert {each["log"] for each in recorded.values()} == {"share.log"}
    with pytest.raises(OutputError, match=rf"{len(failed)} of 10 layers are missing .*broken"):
        finish_run(request)

    # The source is whole again, and only what had failed is done.
    shutil.rmtree(broken)
    shutil.copytree(scan_store, broken)
    again = [run_share(request, number) for number in range(2)]
    assert sorted(chain(*(each.layers for each in again))) == sorted(failed)
    assert Ledger(request.folder).failed() == {}
    assert volume_bytes(finish_run(request).path) == undisturbed


def test_what_cannot_be_read_keeps_no_run_from_its_axis_and_its_window(
    request_of, scan_store, tmp_path, undisturbed, volume_bytes
):
    """Some of the rows that both are looked for in lie in the truncated shard."""
    settings = request_of().config | {"axis": {}, "volume": {"chunk": 32}}
    found = []
    for source in (scan_store, damaged(scan_store, tmp_path / "broken.zarr")):
        request = request_of(source, config=settings, out=str(tmp_path / f"{source.stem}.ome.zarr"))
        prepare_run(request, 2)
        found.append(Ledger(request.folder).state())
    whole, torn = found
    assert torn["axes"][0]["value"] == pytest.approx(whole["axes"][0]["value"], abs=0.1)
    assert torn["axes"] != whole["axes"]
    np.testing.assert_allclose(torn["window"], whole["window"], rtol=0.05)
    assert torn["window"] != whole["window"]


def test_a_volume_with_missing_layers_says_so(
    request_of, scan_store, tmp_path, undisturbed, volume_bytes
):
    request = request_of(damaged(scan_store, tmp_path / "broken.zarr"), allow_missing=True)
    prepare_run(request, 1)
    failed = sorted(run_share(request, 0).failed)
    result = finish_run(request)
    volume = open_volume(result.path)
    said = volume.provenance["incomplete"]
    assert said["rows"] == [[32 * layer, min(32 * layer + 32, ROWS)] for layer in failed]
    assert "broken.zarr" in said["reasons"][0]
    voxels = np.asarray(volume.levels[0].array)
    for layer in range(10):
        assert (not voxels[32 * layer : 32 * layer + 32].any()) == (layer in failed)
    made = volume_bytes(result.path)
    same = [key for key in made if key.startswith("0/") and int(key.split("/")[2]) not in failed]
    assert all(made[key] == undisturbed[key] for key in same)
    (finding,) = (each for each in check_volume(result.path) if each.severity == "error")
    assert finding.rule == "incomplete"
    assert finding.sentence.startswith(f"Rows {said['rows'][0][0]} to ")
    assert json.loads(result.report_path.read_text())["incomplete"] == said


def test_sub_scans_are_shared_as_one_volume_and_their_places_found_once(tmp_path, volume_bytes):
    from hipct.simulation import simulate_series

    series = simulate_series(
        tmp_path / "organ.series.zarr",
        sub_scans=2, rows=48, columns=64, angles=90, axis=50.0, overlap=0.4, acquisition="half",
        distance_m=0.0, pixel_size_um=200.0, position_error_px=2.0, noise=None, seed=3,
    )  # fmt: skip
    config = {
        "axis": {"value": 50.0},
        "phase": {"method": "none"},
        "volume": {"window": [-0.05, 0.5], "chunk": 32},
        "stitching": {"margin_px": 5},
    }
    one = reconstruct(series, tmp_path / "one.ome.zarr", Config(**config))
    request = Request((str(series),), str(tmp_path / "many.ome.zarr"), config)
    for number in range(len(prepare_run(request, 2))):
        assert run_share(request, number).failed == {}
    many = finish_run(request)
    assert volume_bytes(many.path) == volume_bytes(one.path)
    made, alone = many.provenance, one.provenance
    assert made["series"]["sub_scans"] == alone["series"]["sub_scans"]
    assert made["source"]["checksums"] == alone["source"]["checksums"]
    assert len(set(made["source"]["checksums"])) == 2
