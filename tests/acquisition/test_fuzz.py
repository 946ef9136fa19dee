"""Damaged and absurd files: only errors of hipct come out, and soon.

Texts in the damaged HDF5 files are of fixed length: libhdf5 itself may crash or hang on a
damaged heap of variable-length strings, which no caller can prevent.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipct.acquisition.describe import describe
from hipct.acquisition.open import open_scan
from hipct.acquisition.store import import_scan
from hipct.core.errors import HipctError

ALL = slice(None)
LONGEST_S = 10.0
fuzz = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read_all(path: Path, angles: str | None = None) -> None:
    """Open and read everything; errors of hipct are fine, others are not."""
    started = time.perf_counter()
    message = "."
    try:
        with open_scan(path, angles=angles) as scan:
            json.dumps(describe(scan), allow_nan=False)
            if scan.info.nbytes < 1 << 24:
                scan.read_projections(ALL, ALL)
                scan.read_flats(ALL)
                scan.read_darks(ALL)
    except HipctError as error:
        message = str(error)
    assert message.endswith(".")
    assert time.perf_counter() - started < LONGEST_S


@st.composite
def damages(draw):
    """Where to cut, as a fraction, and bytes to replace."""
    cut = draw(st.one_of(st.none(), st.floats(0, 1)))
    place = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
    return cut, draw(st.lists(place, min_size=0 if cut is not None else 1, max_size=20))


def damage(good: bytes, wanted) -> bytes:
    cut, flips = wanted
    content = bytearray(good if cut is None else good[: int(cut * len(good))])
    for place, value in flips:
        if content:
            content[int(place * len(content))] = value
    return bytes(content)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    images = np.random.default_rng(0).integers(0, 60000, (7, 6, 9)).astype("uint16")
    tifffile.imwrite(folder / "plain.tif", images)
    tifffile.imwrite(folder / "zlib.tif", images, compression="zlib")
    tifffile.imwrite(folder / "imagej.tif", images, imagej=True)
    return folder


@fuzz
@given(wanted=damages(), chunks=st.sampled_from([None, (1, 5, 12), (2, 3, 4)]))
def test_damaged_nxtomo(tmp_path, nxtomo, wanted, chunks):
    text = np.bytes_
    path = tmp_path / "a.nx"
    nxtomo(
        path,
        text=text,
        chunks=chunks,
        angle_unit=text("deg"),
        detector={"x_pixel_size": (2.0, text("um")), "field_of_view": text("Half")},
        source={"distance": (-52.0, text("m"))},
        current=np.ones(13),
        current_unit=text("A"),
    )
    path.write_bytes(damage(path.read_bytes(), wanted))
    read_all(path)


@fuzz
@given(wanted=damages(), given_angles=st.sampled_from([None, "0:180"]))
def test_damaged_dxchange(tmp_path, dxchange, wanted, given_angles):
    path = tmp_path / "a.h5"
    dxchange(path, unit=np.bytes_("deg"))
    path.write_bytes(damage(path.read_bytes(), wanted))
    read_all(path, given_angles)


@fuzz
@given(wanted=damages(), name=st.sampled_from(["plain.tif", "zlib.tif", "imagej.tif"]))
def test_damaged_tiff(tmp_path, sources, wanted, name):
    path = tmp_path / name
    path.write_bytes(damage((sources / name).read_bytes(), wanted))
    read_all(path, "0:180")


@fuzz
@given(wanted=damages(), data=st.data())
def test_damaged_store(tmp_path, dxchange, wanted, data):
    store, pristine = tmp_path / "a.zarr", tmp_path / "pristine.zarr"
    if not pristine.exists():
        dxchange(tmp_path / "a.h5")
        import_scan(tmp_path / "a.h5", pristine).close()
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(pristine, store)
    files = sorted(path for path in store.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    path.write_bytes(damage(path.read_bytes(), wanted))
    read_all(store)


NX_PATHS = [
    "definition",
    "instrument",
    "instrument/detector",
    "instrument/detector/data",
    "instrument/detector/image_key",
    "instrument/detector/image_key_control",
    "instrument/detector/x_pixel_size",
    "instrument/detector/distance",
    "instrument/detector/field_of_view",
    "instrument/detector/half_acquisition",
    "instrument/detector/x_rotation_axis_pixel_position",
    "instrument/detector/number_of_cycles",
    "instrument/source/distance",
    "instrument/beam/incident_energy",
    "sample",
    "sample/rotation_angle",
    "sample/x_pixel_size",
    "sample/propagation_distance",
    "control/data",
]
DX_PATHS = [
    "exchange",
    "exchange/data",
    "exchange/data_white",
    "exchange/data_dark",
    "exchange/theta",
    "measurement/instrument/monochromator/energy",
    "measurement/instrument/detector/actual_pixel_size_x",
    "measurement/instrument/sample/setup/detector_distance",
]

ODD_THINGS = st.one_of(
    st.just("group"),
    st.just("nothing"),
    st.just(h5py.Empty("f8")),
    st.sampled_from([h5py.SoftLink("/nowhere"), h5py.SoftLink("/"), h5py.SoftLink("loop")]),
    st.just(h5py.ExternalLink("absent.h5", "/data")),
    st.sampled_from([b"\xff\xfe", "text", 3, -1.5, float("nan"), float("inf"), 1 + 2j, True, 0]),
    st.builds(
        np.ones,
        st.lists(st.integers(0, 13), max_size=4).map(tuple),
        st.sampled_from(["u2", "f4", "i8", "?", "c8", "S3", "u1,f4", "f2", "M8[s]"]),
    ),
)
ODD_UNITS = st.sampled_from(
    [None, "um", "m", "keV", "deg", b"\xb5m", "", "??", 3, np.ones(2), np.array(["m", "m"], "S1")]
)


def put_odd(root: h5py.Group, path: str, thing, unit) -> None:
    parent, _, name = path.rpartition("/")
    group = root.require_group(parent) if parent else root
    if group.get(name, getlink=True) is not None:
        del group[name]
    if isinstance(thing, str) and thing == "nothing":
        return
    if isinstance(thing, str) and thing == "group":
        group.create_group(name)
    elif isinstance(thing, h5py.SoftLink) and thing.path == "loop":
        group[name] = h5py.SoftLink(f"{group.name.rstrip('/')}/{name}")
    else:
        try:
            group[name] = thing
        except TypeError:
            return  # HDF5 has no such type
        if unit is not None and isinstance(group.get(name, getlink=True), h5py.HardLink):
            group[name].attrs["units"] = unit


@fuzz
@given(
    changes=st.dictionaries(
        st.sampled_from(NX_PATHS), st.tuples(ODD_THINGS, ODD_UNITS), min_size=1, max_size=4
    )
)
def test_odd_things_in_nxtomo(tmp_path, nxtomo, changes):
    nxtomo(tmp_path / "a.nx", detector={"x_pixel_size": (2.0, "um")})
    with h5py.File(tmp_path / "a.nx", "a") as file:
        for path, (thing, unit) in sorted(changes.items()):
            if file.get("entry0000", getclass=True) is h5py.Group:
                with_parents(file["entry0000"], path, thing, unit)
    read_all(tmp_path / "a.nx")


@fuzz
@given(
    changes=st.dictionaries(
        st.sampled_from(DX_PATHS), st.tuples(ODD_THINGS, ODD_UNITS), min_size=1, max_size=4
    )
)
def test_odd_things_in_dxchange(tmp_path, dxchange, changes):
    dxchange(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        for path, (thing, unit) in sorted(changes.items()):
            with_parents(file, path, thing, unit)
    read_all(tmp_path / "a.h5")


def with_parents(root: h5py.Group, path: str, thing, unit) -> None:
    """Put a thing at a path, unless an earlier one stands in its way."""
    here = root
    for part in path.split("/")[:-1]:
        link = here.get(part, getlink=True)
        if link is not None and not isinstance(link, h5py.HardLink):
            return
        if link is not None and not isinstance(here[part], h5py.Group):
            return
        here = here.require_group(part)
    put_odd(root, path, thing, unit)


@fuzz
@given(content=st.binary(max_size=600), suffix=st.sampled_from([".h5", ".tif", ".nx", ""]))
def test_random_bytes(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    read_all(path)


@fuzz
@given(
    json_text=st.one_of(
        st.text(max_size=60),
        st.dictionaries(
            st.sampled_from(["angles_deg", "angles_rad", "energy_kev", "kind", "flat_index"]),
            st.one_of(
                st.none(), st.floats(), st.text(max_size=5), st.lists(st.floats(), max_size=8)
            ),
        ).map(json.dumps),
    ),
    angle_text=st.one_of(st.none(), st.text(max_size=60)),
)
def test_random_metadata_beside_tiff(tmp_path, json_text, angle_text):
    tifffile.imwrite(tmp_path / "proj.tif", np.zeros((7, 5, 6), "uint16"))
    (tmp_path / "scan.json").write_text(json_text, encoding="utf-8")
    (tmp_path / "angles.txt").unlink(missing_ok=True)
    if angle_text is not None:
        (tmp_path / "angles.txt").write_text(angle_text, encoding="utf-8")
    read_all(tmp_path)
