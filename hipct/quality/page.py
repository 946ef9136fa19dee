"""The page of a report: one file of HTML that needs no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

import hipct
from hipct.pipeline.config import Config
from hipct.quality.evidence import Evidence, mapping
from hipct.quality.lights import Figure, number
from hipct.quality.noted import Noted, said_of
from hipct.quality.pictures import Shown, pictures
from hipct.quality.report import Report
from hipct.quality.style import STYLE

_WORDS = {"green": "good", "yellow": "look at it", "red": "bad", "grey": "no light"}
_FACTS = {
    "path": "read from",
    "format": "format",
    "projections": "projections",
    "acquisition": "acquisition",
    "pixel_size_um": "pixel size (um)",
    "distance_m": "distance (m)",
    "energy_kev": "energy (keV)",
    "rows": "rows",
    "checksums": "checksums",
}
_TOTALS = (
    ("wall_s", 1.0, "s in all"),
    ("other_s", 1.0, "s of them in no stage"),
    ("voxels_per_s", 1e-6, "Mvoxel/s"),
    ("peak_bytes", 1e-9, "GB at most"),
)
"""What is told of the whole run: name, factor, words."""


def page(report: Report) -> str:
    """A report as HTML."""
    known = report.evidence
    said = known.provenance
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'>"
        f"<title>{escape(report.name)}: quality</title><style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(report.name)}</h1>",
        f"<p class='lead'>{' x '.join(map(str, known.shape))} voxels (z, y, x). "
        f"{_light(report.light)}: {escape(report.verdict)}.</p>",
        _missing_parts(known),
        "<h2>Figures</h2>",
        _figures(report.figures),
        _section("h2", "Pictures", lambda: _pictures(known)),
        _section("h2", "Sub-scans", lambda: _sub_scans(known)),
    ]
    if said:
        facts = {_FACTS.get(name, name): each for name, each in mapping(said.get("source")).items()}
        versions = {
            **mapping(said.get("versions")),
            "commit": said.get("commit", "unknown"),
            **mapping(said.get("computed_by")),
        }
        parts += [
            _section("h2", "What was done", lambda: _pairs(facts)),
            _section("h3", "Estimates", lambda: _estimates(said)),
            _section("h3", "Settings", lambda: _settings(mapping(said.get("config")))),
            _section("h3", "Versions", lambda: _pairs(versions)),
            _section("h2", "Time", lambda: _times(Noted(said).table("timing"))),
        ]
    parts.append(
        f"<footer>hipct {escape(hipct.__version__)}; this report took "
        f"{number(report.seconds)} s. Limits and definitions: docs/report.md.</footer>"
        "</main></body></html>"
    )
    return "\n".join(parts)


def _section(level: str, title: str, content: Callable[[], str]) -> str:
    """A heading and what is under it; nothing if that is nothing, a sentence if it is damaged."""
    try:
        inside = content()
    except Exception as error:  # What others have written into a volume breaks as it likes.
        inside = _notes([f"It could not be shown: {said_of(error)}"])
    return f"<{level}>{title}</{level}>{inside}" if inside else ""


def _light(light: str) -> str:
    return f"<span class='light {light}'><i></i>{_WORDS[light]}</span>"


def _missing_parts(known: Evidence) -> str:
    """What could not be looked at, and why."""
    reasons = [why for why in (known.why_no_run, known.frames_why, known.voxels_why) if why]
    for look in (known.frames, known.voxels):
        if look is not None:
            reasons += look.reasons.values()
    return _notes(dict.fromkeys(reasons))


def _figures(figures: Iterable[Figure]) -> str:
    rows = []
    for each in figures:
        limits = f" <em>{escape(each.limits)}</em>" if each.limits else ""
        rows.append(
            f"<tr id='{each.key}'><td>{_light(each.light)}</td>"
            f"<th scope='row'>{escape(each.title)}</th>"
            f"<td class='value'>{escape(each.shown)}</td>"
            f"<td>{escape(each.note)}<p class='small'>{escape(each.definition)}{limits}</p></td>"
            "</tr>"
        )
    return (
        "<table class='figures'><thead><tr><th>light</th><th>figure</th><th>value</th>"
        f"<th>what it is</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _pictures(known: Evidence) -> str:
    shown = "".join(map(_shown, pictures(known)))
    return f"<div class='pictures'>{shown}</div>" if shown else ""


def _shown(shown: Shown) -> str:
    return (
        f"<figure class='{'wide' if shown.wide else 'half'}'>{shown.html}"
        f"<figcaption><b>{escape(shown.title)}.</b> {escape(shown.caption)}</figcaption></figure>"
    )


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(_text(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table class='pairs'>{rows}</table>"


def _settings(config: Mapping[str, Any]) -> str:
    """Every setting; those that are not the default stand out."""
    defaults = Config().as_dict()
    rows = []
    for section, values in config.items():
        # What is no section of settings is shown as it is.
        for key, value in (values if isinstance(values, Mapping) else {"": values}).items():
            usual = mapping(defaults.get(section)).get(key)
            other = " class='other'" if value != usual else ""
            was = f" <span class='small'>(default {escape(_text(usual))})</span>" if other else ""
            rows.append(
                f"<tr{other}><th scope='row'>{escape(section)}.{escape(key)}</th>"
                f"<td>{escape(_text(value))}{was}</td></tr>"
            )
    return (
        f"<details><summary>{len(rows)} settings; what differs from the default is bold</summary>"
        f"<table class='pairs'>{''.join(rows)}</table></details>"
    )


def _estimates(said: Mapping[str, Any]) -> str:
    window = Noted(said).table("window")
    low, high = window.number("low"), window.number("high")
    ends = {}
    if low is not None and high is not None:
        ends = {
            "16-bit window": f"{number(low)} to {number(high)} {window.text('unit')}",
            "stored values": window.text("meaning"),
        }
    noted = Noted(said).texts("notes")
    return _pairs({**mapping(said.get("estimates")), **ends}) + _notes(noted)


def _sub_scans(known: Evidence) -> str:
    names = {
        "name": "name",
        "rows": "rows",
        "axis_px": "axis (px)",
        "axis_measured_px": "measured (px)",
        "axis_method": "method",
        "motor_error_px": "off the motors (rows)",
        "offset_error_px": "+- (rows)",
        "level": "level",
    }
    rows = mapping(known.provenance.get("series")).get("sub_scans")
    if not rows:
        return ""
    head = "".join(f"<th>{title}</th>" for title in names.values())
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_text(each.get(name)))}</td>' for name in names)}</tr>"
        for each in rows
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead>{body}</table></div>"


def _times(timing: Noted) -> str:
    if not timing:
        return ""
    wall = timing.positive("wall_s")
    rows = []
    for name, stage in timing.table("stages").items():
        seconds, size = stage.number("seconds", 0) or 0.0, stage.number("bytes", 0) or 0.0
        share = 100 * seconds / wall if wall else 0.0
        rate = number(size / seconds / 1e9) if size and seconds else ""
        rows.append(
            f"<tr><th scope='row'>{escape(name)}</th><td>{seconds:.2f}</td>"
            f"<td><div class='bar' style='width:{min(100, share):.1f}%'></div>"
            f"{share:.1f}</td><td>{number(size / 1e9) if size else ''}</td>"
            f"<td>{rate}</td></tr>"
        )
    told = [
        f"{number(value * scale)} {words}"
        for name, scale, words in _TOTALS
        if (value := timing.number(name, 0)) is not None
    ]
    total = f"{', '.join(told)}, on {timing.text('device') or 'an unknown device'}. Stages overlap."
    return (
        "<table class='times'><thead><tr><th>stage</th><th>busy s</th><th>% of all</th>"
        f"<th>GB</th><th>GB/s</th></tr></thead>{''.join(rows)}</table><p>{escape(total)}</p>"
    )


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul class='notes'>{items}</ul>" if items else ""


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return str(value)
