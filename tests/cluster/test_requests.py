"""What was asked for, as it stands in the folder of a run: true in any folder, and no other's."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from hipct.cluster.retry import retry
from hipct.cluster.worker import work
from hipct.core.errors import FormatError, OutputError
from hipct.pipeline.config import Config
from hipct.pipeline.request import Request
from hipct.pipeline.run import reconstruct
from hipct.pipeline.shares import prepare_run, run_share


def test_scratch_of_shares_goes_where_the_configuration_says(request_of, tmp_path, monkeypatch):
    from hipct.pipeline.work import Work

    places = []
    monkeypatch.setattr(Work, "stream_layers", lambda _self, _layers, place: places.append(place))
    config = request_of().config | {"compute": {"scratch": str(tmp_path / "fast")}}
    request = request_of(config=config)
    prepare_run(request, 2)
    work(request, "share", 1)
    assert places == [tmp_path / "fast" / "organ.ome.zarr-share-00001"]


def test_relative_paths_are_those_of_the_folder_that_they_were_asked_in(
    request_of, tmp_path, monkeypatch
):
    from hipct.pipeline.work import Work

    places, (here, elsewhere) = [], (tmp_path / "here", tmp_path / "elsewhere")
    monkeypatch.setattr(Work, "stream_layers", lambda _self, _layers, place: places.append(place))
    for folder in (here, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(here)
    request = request_of(config=request_of().config | {"compute": {"scratch": "fast"}})
    request.keep()
    prepare_run(request, 1)
    monkeypatch.chdir(elsewhere)
    again = Request.of(request.out)
    assert again.config == request.config
    work(again, "share", 0)
    assert places == [here / "fast" / "organ.ome.zarr-share-00000"]
    assert os.listdir(elsewhere) == []


def test_one_process_goes_on_with_a_run_in_the_words_of_its_own_folder(
    request_of, tmp_path, monkeypatch, undisturbed, volume_bytes
):
    """Paths that decide numbers count by their place, not by how they were written."""
    rows, columns = np.mgrid[:300.0, :48.0]
    np.savez(tmp_path / "map.npz", map_rows=rows, map_columns=columns)
    monkeypatch.chdir(tmp_path)
    settings = request_of().config | {"distortion": {"map_file": "map.npz"}}
    request = request_of(config=settings)
    assert request.config["distortion"] == {"map_file": str(tmp_path / "map.npz")}
    prepare_run(request, 2)
    assert run_share(request, 0).failed == {}
    made = reconstruct(request.sources[0], request.out, Config(**settings))
    # The map moves nothing.
    assert volume_bytes(made.path).keys() == undisturbed.keys()


def test_a_run_is_not_taken_for_one_elsewhere(request_of, tmp_path):
    request = request_of()
    request.keep()
    moved = tmp_path / "moved.ome.zarr.run"
    shutil.copytree(request.folder, moved)
    with pytest.raises(OutputError, match=r"is the run of .*organ\.ome\.zarr, which is elsewhere"):
        retry(moved)
    (tmp_path / "link").symlink_to(tmp_path)
    assert Request.of(tmp_path / "link" / "organ.ome.zarr").out == request.out


@pytest.mark.parametrize(
    "change",
    [
        {"out": 5},
        {"sources": []},
        {"sources": "/a"},
        {"opening": {"loader": "os.system"}},
        {"overwrite": "perhaps"},
        {"config": None},
    ],
)
def test_a_request_that_is_none_is_refused_with_a_sentence(change, request_of):
    request = request_of()
    request.keep()
    file = request.folder / "request.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(FormatError, match=f"of another version of hipct .*{next(iter(change))}"):
        retry(request.out)
