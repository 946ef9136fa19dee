"""Volumes that go to a server: the same files, one by one, and never half of a volume to open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import FormatError, InputError, OutputError, RemoteError
from hipct.exchange.export import export_volume
from hipct.exchange.export_upload import NOTE
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource
from hipct.volume.storage import open_storage

pytest.importorskip("obstore", reason="obstore is not installed")


@pytest.fixture(scope="module")
def organs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("upload")
    values = np.random.default_rng(0).integers(0, 60_000, (30, 40, 50)).astype(np.uint16)
    made = {}
    for name, version, volume in (
        ("new", "0.5", values),
        ("old", "0.4", values),
        ("other", "0.5", values[:17]),
    ):
        made[name] = folder / f"{name}.ome.zarr"
        build_pyramid(ArraySource(volume, 10.0), made[name], chunk=16, version=version)
    return made


def files(path: Path) -> dict[str, bytes]:
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def objects(address: str) -> dict[str, bytes | None]:
    storage = open_storage(address)
    return {each.key: storage.get(each.key) for each in storage.list()}


class Puts:
    """What is written to a server, in order; after a while the server fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_after: int = 10**9) -> None:
        from hipct.volume.storage_remote import Remote

        self.keys: list[str] = []
        put = Remote.put

        def counted(storage: Any, key: str, data: bytes) -> None:
            if len(self.keys) >= fails_after:
                raise RemoteError(f"{key} could not be written: the server is tired.")
            self.keys.append(key)
            put(storage, key, data)

        monkeypatch.setattr(Remote, "put", counted)


@pytest.mark.parametrize(("name", "root"), [("new", "zarr.json"), ("old", ".zattrs")])
def test_the_files_of_a_volume_come_as_they_are_and_its_root_last(
    name: str, root: str, organs: dict[str, Path], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = Puts(monkeypatch)
    address = f"{bucket}/whole/{name}.ome.zarr"
    written = export_volume(organs[name], address, format="ome-zarr")
    assert objects(address) == files(organs[name])
    assert written.facts["bytes"] == sum(map(len, files(organs[name]).values()))
    assert puts.keys[0] == NOTE
    assert puts.keys[-1] == root
    told = [key.endswith(".json") or key.rpartition("/")[2][:2] == ".z" for key in puts.keys[1:]]
    assert told == sorted(told)
    there, here = open_volume(address), open_volume(organs[name])
    np.testing.assert_array_equal(there.levels[1].array[:], here.levels[1].array[:])
    with pytest.raises(OutputError, match="holds a volume; give --overwrite"):
        export_volume(organs["other"], address, format="ome-zarr")


def test_an_upload_goes_on_with_what_is_left(
    organs: dict[str, Path], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{bucket}/broken.ome.zarr"
    with monkeypatch.context() as patch:
        Puts(patch, fails_after=5)
        with pytest.raises(RemoteError, match="tired"):
            export_volume(organs["old"], address, format="ome-zarr")
    left = objects(address)
    assert len(left) == 5
    with pytest.raises(FormatError):
        open_volume(address)
    with pytest.raises(OutputError, match="an unfinished upload of another volume"):
        export_volume(organs["new"], address, format="ome-zarr")
    puts = Puts(monkeypatch)
    export_volume(organs["old"], address, format="ome-zarr")
    assert objects(address) == files(organs["old"])
    assert not set(puts.keys) & (left.keys() - {NOTE})


def test_another_volume_is_replaced_without_a_rest(
    organs: dict[str, Path], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{bucket}/replaced.ome.zarr"
    export_volume(organs["new"], address, format="ome-zarr")
    # Killed while the old one is removed: neither of them can be opened, and it goes on.
    from hipct.volume.storage_remote import Remote

    delete, deleted = Remote.delete, []

    def killed(storage: Any, key: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(key)
        delete(storage, key)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            export_volume(organs["other"], address, format="ome-zarr", overwrite=True)
    assert deleted == ["zarr.json"]
    with pytest.raises(FormatError):
        open_volume(address)
    export_volume(organs["other"], address, format="ome-zarr")
    assert objects(address) == files(organs["other"])


def test_what_is_no_volume_is_left_alone(organs: dict[str, Path], bucket: str) -> None:
    open_storage(f"{bucket}/letters").put("to-mother.txt", b"dear")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="holds objects and is no OME-Zarr volume"):
            export_volume(
                organs["new"], f"{bucket}/letters", format="ome-zarr", overwrite=overwrite
            )
    assert objects(f"{bucket}/letters") == {"to-mother.txt": b"dear"}
    with pytest.raises(RemoteError, match="does not exist"):
        export_volume(organs["new"], "s3://nowhere/a.ome.zarr", format="ome-zarr")
    with pytest.raises(InputError, match="--format ome-zarr alone is written"):
        export_volume(organs["new"], f"{bucket}/t", format="tiff")
    with pytest.raises(InputError, match="--crop asks for another one; export to a folder first"):
        export_volume(organs["new"], f"{bucket}/t", format="ome-zarr", crop="1:,:,:")


def test_volumes_of_servers_are_read_by_every_export(
    organs: dict[str, Path], bucket: str, web: Any, tmp_path: Path
) -> None:
    import h5py

    address = f"{bucket}/source.ome.zarr"
    export_volume(organs["new"], address, format="ome-zarr")
    export_volume(address, f"{bucket}/copy.ome.zarr", format="ome-zarr")
    assert objects(f"{bucket}/copy.ome.zarr") == files(organs["new"])
    with pytest.raises(OutputError, match="is the volume itself"):
        export_volume(address, address + "/", format="ome-zarr")
    here = open_volume(organs["new"]).levels[0].array[:]
    export_volume(address, tmp_path / "part.h5", format="hdf5", crop="3:9,:,7:")
    with h5py.File(tmp_path / "part.h5") as file:
        np.testing.assert_array_equal(file["data"][:], here[3:9, :, 7:])
    (web.folder / "v.ome.zarr").symlink_to(organs["old"])
    out = tmp_path / "part.ome.zarr"
    export_volume(f"{web.url}/v.ome.zarr", out, format="ome-zarr", crop="3:9,:,7:")
    assert check_volume(out, deep=True) == []
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], here[3:9, :, 7:])
    assert json.loads((out / "zarr.json").read_text())["attributes"]["hipct"]["source"]["path"] == (
        f"{web.url}/v.ome.zarr"
    )
    state = export_volume(f"{web.url}/v.ome.zarr", tmp_path / "v.json", format="neuroglancer").facts
    assert state["layers"][0]["source"] == f"zarr://{web.url}/v.ome.zarr"
    with pytest.raises(RemoteError, match="cannot be listed"):
        export_volume(f"{web.url}/v.ome.zarr", f"{bucket}/w.ome.zarr", format="ome-zarr")
