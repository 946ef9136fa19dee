"""A plan as a page of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hipct.core.memory import format_bytes

if TYPE_CHECKING:
    from hipct.pipeline.plan import Plan


def plan_text(plan: Plan) -> str:
    """What a run will do and need."""
    job, cut, spec = plan.job, plan.cut, plan.spec
    again = plan.read_rows / len(plan.organ.rows) - 1
    depth, height, width = spec.shape
    lines = [
        *_scan(plan),
        f"volume   {depth} x {height} x {width} voxels (z, y, x) in {len(spec.levels)} "
        f"levels, {format_bytes(spec.nbytes)} before compression",
        f"tiles    {job.tile_rows} rows of phase retrieval with a halo of {job.halo}: "
        f"{100 * again:.0f} % more rows are read than written",
        f"slabs    {cut.slab_rows} slices reconstructed at a time, {cut.angle_block} "
        "projections prepared at a time",
        f"layers   {spec.layer} rows written at a time"
        + (
            ""
            if spec.layer == spec.chunk
            else ", in thinner chunks than asked for,"
            " because whole ones fit neither memory nor the scratch disk"
        ),
    ]
    staged = {
        "line integrals of a tile": cut.stage_tile,
        "voxels of a layer": cut.stage_layer,
    }
    if any(staged.values()):
        what = " and the ".join(name for name, on_disk in staged.items() if on_disk)
        lines.append(
            f"scratch  {format_bytes(plan.scratch_bytes)} for the {what}, "
            "which do not fit into memory; removed afterwards"
        )
    lines.append(
        "device   "
        + (f"{plan.processes} x " if plan.processes > 1 else "")
        + plan.device
        + (", which keeps the line integrals of a tile" if cut.tile_on_device else "")
    )
    each = " of each process" if plan.processes > 1 else ""
    lines += _table(f"memory by stage{each}", plan.memory, plan.peak_bytes, plan.budget_bytes)
    if plan.device_memory:
        lines += _table(
            f"device memory by stage{' of each' if each else ''}",
            plan.device_memory,
            plan.device_peak_bytes,
            plan.device_budget_bytes,
        )
    lines += [f"note     {note}" for note in job.notes]
    return "\n".join(lines)


def _scan(plan: Plan) -> list[str]:
    """The scan, or the series with its parts and gaps."""
    organ, job, info = plan.organ, plan.job, plan.job.info
    what = (
        f"{info.projections} projections of {info.rows} x {info.columns} pixels, "
        f"{info.acquisition} acquisition"
    )
    if organ.of_one_scan:
        axis = (
            f"rotation axis at column {plan.axis:.2f}"
            if plan.axis is not None
            else "rotation axis found at the start"
            + (" (planned for the widest half-acquisition)" if job.half else "")
        )
        return [f"scan     {what}, {axis}"]
    lines = [f"series   {len(organ.parts)} sub-scans of {what}"]
    for part, rows in zip(organ.parts, organ.shares):
        share = f"rows {rows.start} to {rows.stop - 1}" if rows else "no rows"
        axis = "" if part.axis is None else f", axis at column {part.axis:.2f}"
        y, x = part.centre_px
        aside = f", moved by {y:+.2f} (y) and {x:+.2f} (x) pixels" if y or x else ""
        lines.append(f"  {part.name:<14} {share}, its row 0 at {part.offset_px:.2f}{axis}{aside}")
    lines += [
        f"gap      rows {gap.start} to {gap.stop - 1} are in no sub-scan and are stored as 0"
        for gap in organ.gaps
    ]
    return lines


def _table(title: str, memory: dict[str, int], peak: int, budget: int) -> list[str]:
    return [
        "",
        f"{title:<32}{'peak':>10}",
        *(f"  {name:<30}{format_bytes(size):>10}" for name, size in memory.items()),
        f"{'peak of the run':<32}{format_bytes(peak):>10} of {format_bytes(budget)}",
    ]
