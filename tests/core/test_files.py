"""Files are whole or absent, and outputs are not overwritten by accident."""

from __future__ import annotations

import json
import os
import threading

import pytest

from hipct.core.errors import OutputError
from hipct.core.files import (
    free_bytes,
    refuse_existing,
    write_atomic,
    write_json,
    write_together,
)


def test_a_file_is_replaced_by_its_new_content(tmp_path):
    path = tmp_path / "layer.bin"
    write_atomic(path, b"first, and longer")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["layer.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "layer.bin"
    write_atomic(path, b"old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"layer\.bin could not be written: No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["layer.bin"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "ledger.json"
    contents = [bytes([value]) * 200_000 for value in range(4)]
    write_atomic(path, contents[0])
    seen = set()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        for content in contents:
            write_atomic(path, content)
    stop.set()
    reader.join()
    assert seen <= set(contents)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"absent.layer\.bin could not be written: No such file"):
        write_atomic(tmp_path / "absent" / "layer.bin", b"")


def test_json_is_readable_and_refuses_nan(tmp_path):
    path = tmp_path / "report.json"
    write_json(path, {"axis": 1.5, "name": "lung"})
    assert json.loads(path.read_text()) == {"axis": 1.5, "name": "lung"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"axis": float("nan")})
    assert json.loads(path.read_text()) == {"axis": 1.5, "name": "lung"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_existing_output_is_refused_and_replaced_only_on_demand(tmp_path, kind):
    path = tmp_path / "organ.ome.zarr"
    if kind == "file":
        path.write_text("kept")
    else:
        (path / "0").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"organ\.ome\.zarr exists already .* --overwrite"):
        refuse_existing(path)
    assert path.exists()
    refuse_existing(path, overwrite=True)
    assert not path.exists()
    refuse_existing(path)


def test_overwriting_a_link_removes_the_link_and_not_its_target(tmp_path):
    target = tmp_path / "data"
    target.mkdir()
    (target / "precious").write_text("kept")
    link = tmp_path / "organ.ome.zarr"
    link.symlink_to(target, target_is_directory=True)
    refuse_existing(link, overwrite=True)
    assert not link.exists()
    assert (target / "precious").read_text() == "kept"


def test_a_dangling_link_is_an_existing_output(tmp_path):
    link = tmp_path / "organ.ome.zarr"
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="exists already"):
        refuse_existing(link)


def test_an_output_that_cannot_be_removed_is_named(tmp_path, monkeypatch):
    path = tmp_path / "organ.ome.zarr"
    path.mkdir()

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", denied)
    with pytest.raises(OutputError, match=r"organ\.ome\.zarr could not be removed: Permission"):
        refuse_existing(path, overwrite=True)


def test_free_space_of_a_folder_that_does_not_exist_yet(tmp_path):
    here = free_bytes(tmp_path)
    assert here > 0
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(here, rel=0.5)


def test_files_are_written_together_or_stay_as_they_were(tmp_path, monkeypatch):
    """More of them than may be open at a time; a fault among the last leaves the first whole."""
    monkeypatch.setattr("hipct.core.files._OPEN_TOGETHER", 3)
    files = {tmp_path / str(number): bytes([number]) * number for number in range(8)}
    write_together(files)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files

    flush, flushed = os.fsync, []

    def full_disk(descriptor):
        flushed.append(descriptor)
        if len(flushed) == 5:
            raise OSError(28, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"4 could not be written: No space left"):
        write_together(dict.fromkeys(files, b"new"))
    after = {int(path.name): path.read_bytes() for path in tmp_path.iterdir()}
    assert after == {n: b"new" if n < 3 else bytes([n]) * n for n in range(8)}
