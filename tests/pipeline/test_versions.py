"""A run writes the version of OME-Zarr that its configuration names."""

from __future__ import annotations

import pytest
import zarr

import hipct.volume.writer
from hipct.core.errors import ConfigError, OutputError
from hipct.pipeline.config import Config
from hipct.pipeline.run import reconstruct
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume


def config(version):
    volume = {"window": [-10.0, 50.0], "chunk": 32, "ome_zarr": version}
    return Config(phase={"method": "none"}, axis={"value": 24.0}, volume=volume)


def test_both_versions_hold_the_same_volume(tmp_path, discs):
    scan = discs(rows=77, pixel_size_um=10.0)
    volumes = []
    for version in ("0.5", "0.4"):
        path = tmp_path / f"{version}.ome.zarr"
        reconstruct(scan, path, config(version))
        assert check_volume(path, deep=True) == []
        volumes.append(open_volume(path))
    new, old = volumes
    assert (new.version, old.version) == ("0.5", "0.4")
    assert len(new.levels) == len(old.levels) == 3
    for one, other in zip(new.levels, old.levels):
        assert (one.scale, one.translation) == (other.scale, other.translation)
        assert (one.array[:] == other.array[:]).all()
    assert (new.display, new.scale, new.offset) == (old.display, old.scale, old.offset)
    told = dict(old.provenance)
    assert told["config"]["volume"].pop("ome_zarr") == "0.4"
    assert told.keys() == new.provenance.keys()


def test_a_run_goes_on_only_in_the_version_it_was_begun_in(tmp_path, discs, monkeypatch):
    scan, out = discs(rows=100), tmp_path / "v.ome.zarr"
    together = hipct.volume.writer.write_together
    written = []

    def stops(files):
        written.append(files)
        if len(written) == 4:
            raise KeyboardInterrupt
        together(files)

    with monkeypatch.context() as patch:
        patch.setattr(hipct.volume.writer, "write_together", stops)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(scan, out, config("0.4"))
    with pytest.raises(OutputError, match=r"unfinished run with other parameters .*ome_zarr"):
        reconstruct(scan, out, config("0.5"))
    reconstruct(scan, out, config("0.4"))
    reconstruct(scan, tmp_path / "whole.ome.zarr", config("0.4"))
    for level in ("0", "1", "2"):
        files = {f.name for f in (out / level).rglob("*")}
        assert not any(name.endswith(".tmp") for name in files)
        for file in (out / level).rglob("[0-9]*/[0-9]*/[0-9]*"):
            other = tmp_path / "whole.ome.zarr" / file.relative_to(out)
            assert file.read_bytes() == other.read_bytes()
    assert zarr.open_group(out, mode="r").metadata.zarr_format == 2


def test_other_versions_are_refused():
    with pytest.raises(ConfigError, match=r"volume\.ome_zarr"):
        config("0.3")
