"""The settings of a run, step by step: what each is called, means, and may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hipct.core.memory import ALLOWED_BYTES, parse_bytes
from hipct.pipeline.settings import Section, setting


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] < bounds[1]:
        raise ValueError("the second number has to be above the first")
    return bounds


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("the window has to have a middle")
    return size


Odd = Annotated[int, AfterValidator(_odd)]
Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
Pixels = Annotated[
    tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], AfterValidator(_ordered)
]
Bytes = Annotated[int, BeforeValidator(parse_bytes)]


class ScanConfig(Section):
    """The scan: which rows are used, and metadata that the file lacks or has wrong."""

    acquisition: Literal["auto", "full", "half"] = setting(
        "auto", "Lateral mode of the scan; auto takes what the scan says"
    )
    energy_kev: float | None = setting(
        None, "Mean photon energy", unit="keV", null="as the scan says", gt=0
    )
    distance_m: float | None = setting(
        None,
        "Effective propagation distance from sample to detector (magnification applied)",
        unit="m",
        null="as the scan says",
        gt=0,
    )
    pixel_size_um: float | None = setting(
        None,
        "Effective pixel size in the plane of the sample (magnification applied)",
        unit="um",
        null="as the scan says",
        gt=0,
    )
    first_row: int = setting(
        0, "First row that is reconstructed, of the detector or of the series", unit="rows", ge=0
    )
    last_row: int | None = setting(
        None, "End of the rows, itself excluded", unit="rows", null="all rows", ge=1
    )

    @model_validator(mode="after")
    def _rows_run_upwards(self) -> ScanConfig:
        if self.last_row is not None and self.last_row <= self.first_row:
            raise ValueError(
                f"scan.last_row is {self.last_row} and scan.first_row is {self.first_row}; "
                "the last row (itself excluded) has to be above the first"
            )
        return self


class FlatConfig(Section):
    """Flat field: from counts to transmission."""

    enabled: bool | None = setting(
        None,
        "Whether projections are divided by the flats",
        null="where the scan holds counts",
    )
    use_current: bool = setting(
        True, "Whether the machine current is divided out, where the scan recorded it"
    )
    air_columns: int = setting(
        0,
        "Outer columns on either side that see air only, by whose mean each row is divided; "
        "0 switches it off",
        unit="columns",
        ge=0,
        le=4096,
    )


class RepairConfig(Section):
    """Pixels that cannot be right."""

    dead_pixel_threshold: float = setting(
        0.02,
        "A detector pixel is dead where its flat (less the dark) is at most this fraction of the "
        "median of its row",
        ge=0,
        lt=1,
    )
    zinger_threshold: float = setting(
        0.0,
        "A value is a zinger where its transmission exceeds the median of its 3 x 3 neighbours by "
        "this much, e.g. 0.2; 0 switches the search off",
        ge=0,
        le=100,
    )


class UnsharpConfig(Section):
    """Sharpening of the retrieved projections."""

    method: Literal["none", "gaussian", "log"] = setting(
        "none", "Mask: none, gaussian, or log (Laplacian of Gaussian)"
    )
    sigma_px: float = setting(0.8, "Width of the Gaussian", unit="pixels", gt=0, le=100)
    strength: float = setting(3.0, "How much of the mask is added", ge=0, le=100)


class RingsConfig(Section):
    """Removal of stripes from the sinograms, which become rings in the slices."""

    method: Literal["none", "sorting", "wavelet", "dead", "large", "all", "regularised"] = setting(
        "none",
        "Filter: none, sorting, dead, large or all of these three in turn (Vo 2018), wavelet "
        "(Muench 2009), or regularised (Titarenko 2010)",
    )
    size_px: Odd = setting(
        21,
        "Width of the median window of the sorting filter, twice that of the widest stripe",
        unit="columns",
        ge=3,
        le=1001,
        allowed="an odd number from 3 up to 1001 (columns)",
    )
    levels: int = setting(
        5,
        "Levels of the wavelet filter; 2**levels columns is the widest stripe (on a detector of "
        "few hundred columns 3 levels spare the sample more)",
        ge=1,
        le=12,
    )
    sigma: float = setting(
        1.0,
        "Frequencies along the angle that the wavelet filter damps; more takes partial stripes",
        unit="periods per sinogram",
        gt=0,
        le=100,
    )

    large_px: Odd = setting(
        51,
        "Width of the median window that tells large stripes (large, all); at least twice that of "
        "the widest",
        unit="columns",
        ge=3,
        le=1001,
        allowed="an odd number from 3 up to 1001 (columns)",
    )
    snr: float = setting(
        3.0,
        "How far a stripe has to stand out to be dead, fluctuating or large (dead, large, all); "
        "less takes more",
        gt=1,
        le=100,
    )
    alpha: float = setting(
        0.05, "Stiffness of the regularised filter; less takes more", gt=0, le=1e6
    )


class PolarConfig(Section):
    """Removal of rings from the slices, in polar coordinates."""

    enabled: bool = setting(False, "Whether rings that the slices still hold are taken out")
    width_px: Odd = setting(
        21,
        "Width of the median along the radius, twice that of the widest ring",
        unit="pixels",
        ge=3,
        le=1001,
        allowed="an odd number from 3 up to 1001 (pixels)",
    )
    arc_px: float = setting(
        100.0,
        "Standard deviation along the arc; less follows rings that change with the angle, and "
        "leaves more noise",
        unit="pixels",
        ge=0,
        le=1e5,
    )
    centre_px: float = setting(20.0, "Radius that stays untouched", unit="pixels", ge=0, le=1e5)


class HalfConfig(Section):
    """Half-acquisitions."""

    match_levels: bool = setting(
        False,
        "Whether opposite projections are brought to one level, row by row, in the strip that "
        "both see",
    )
    border_px: int = setting(
        0,
        "Outermost columns on both sides that are not to be trusted, replaced by those beside them",
        unit="columns",
        ge=0,
        le=500,
    )

    outside: Literal["padding", "body"] = setting(
        "padding",
        "What stands beside the rows where the sample is wider than the field: what "
        "reconstruction.padding says, or a body that goes on as the rows at the edge let it",
    )
    outside_px: int | None = setting(
        None,
        "Columns that the body goes on for",
        unit="columns",
        null="a quarter of the field's radius",
        ge=1,
        le=100_000,
    )


class AxisConfig(Section):
    """The rotation axis."""

    value: float | None = setting(
        None,
        "Column of the rotation axis (pixel centres at whole numbers)",
        unit="columns",
        null="found from the projections",
        ge=-1e6,
        le=1e6,
    )
    method: Literal["auto", "pairs", "sinogram", "overlap"] = setting(
        "auto",
        "How it is found: pairs (views 180 degrees apart) or sinogram in a full scan, overlap in "
        "half-acquisition; auto chooses",
    )
    rows: int = setting(
        16, "Sparse detector rows that are used to find it", unit="rows", ge=1, le=4096
    )
    search_px: Range | None = setting(
        None, "Columns between which it is sought", unit="columns", null="wherever it may lie"
    )


class ReconstructionConfig(Section):
    """Filtered back-projection."""

    engine: Literal["fourier", "direct"] = setting(
        "fourier", "Gridded Fourier method, or direct back-projection (slow; linear interpolation)"
    )
    filter: Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"] = setting(
        "ramp", "Window on the ramp filter, from sharp to smooth"
    )
    padding: Literal["edge", "zero"] = setting(
        "edge",
        "How sinogram rows go on beyond the field: edge for samples wider than the beam, zero "
        "for samples that lie inside of it",
    )
    circle: bool = setting(True, "Whether voxels outside of the measured circle are set to 0")


class VolumeConfig(Section):
    """The volume that is written."""

    window: Range | None = setting(
        None,
        "Attenuation that becomes 0 and 65535 in the 16-bit volume",
        unit="1/cm; per pixel where the pixel size is unknown",
        null="found from sparse slices",
    )
    percentiles: Range = setting(
        (0.1, 99.9),
        "Percentiles inside of the circle of the sparse slices that make the window",
        allowed="two numbers from 0 to 100, [low, high], the second above the first",
    )
    scout_slices: int = setting(
        16, "Sparse slices from which the window is found", unit="slices", ge=1, le=4096
    )
    crop_y: Pixels | None = setting(
        None,
        "Rows of the slices that are kept, the last one excluded; organ rows are cut by "
        "scan.first_row and scan.last_row",
        unit="pixels",
        null="all",
        allowed="two whole numbers from 0, [first, last], the second above the first",
    )
    crop_x: Pixels | None = setting(
        None,
        "Columns of the slices that are kept, the last one excluded",
        unit="pixels",
        null="all",
        allowed="two whole numbers from 0, [first, last], the second above the first",
    )
    rotation_deg: float = setting(
        0.0,
        "Angle by which the slices are turned, from x towards y; turned before they are cropped",
        unit="degrees",
        ge=-360,
        le=360,
    )
    chunk: Literal[32, 64, 128] = setting(
        128, "Voxels along a chunk's edge; the plan may lower its depth to fit the memory"
    )
    ome_zarr: Literal["0.5", "0.4"] = setting(
        "0.5",
        "Version of OME-Zarr that is written; 0.4 has a file for each chunk, for readers that know "
        "no 0.5",
    )

    @model_validator(mode="after")
    def _percentiles_are_percent(self) -> VolumeConfig:
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError(
                f"volume.percentiles is {list(self.percentiles)}; allowed are two numbers from 0 "
                "to 100, the second above the first"
            )
        return self


class ComputeConfig(Section):
    """The machine."""

    backend: Literal["auto", "numpy", "cupy"] = setting(
        "auto", "Where arrays live: numpy (CPU), cupy (NVIDIA GPU), or auto"
    )
    memory: Bytes | None = setting(
        None,
        "Memory that the run may take",
        null="80 % of what is free",
        allowed=ALLOWED_BYTES,
    )
    device_memory: Bytes | None = setting(
        None,
        "Memory of each GPU that the run may take",
        null="80 % of what is free",
        allowed=ALLOWED_BYTES,
    )
    gpus: int | None = setting(
        None, "GPUs that share the work", null="all that this process sees", ge=1, le=64
    )
    threads: int | None = setting(
        None, "Compute threads", unit="threads", null="all cores of this process", ge=1, le=4096
    )
    scratch: Path | None = setting(
        None,
        "Folder for the layer that does not fit the memory",
        null="beside the output",
        allowed="a folder",
    )
