"""The page of a report: one file of HTML that needs no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import hipct
from hipct.pipeline.config import Config
from hipct.quality.evidence import Evidence, mapping
from hipct.quality.lights import Figure, number
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
        "<h2>Pictures</h2><div class='pictures'>",
        *(_shown(each) for each in pictures(known)),
        "</div>",
    ]
    if known.sub_scans:
        parts += ["<h2>Sub-scans</h2>", _sub_scans(known)]
    if said:
        parts += [
            "<h2>What was done</h2>",
            _pairs({_FACTS.get(name, name): value for name, value in known.source.items()}),
            "<h3>Estimates</h3>",
            _pairs({**mapping(said.get("estimates")), **_window(said)}),
            _notes(said.get("notes", [])),
            "<h3>Settings</h3>",
            _settings(mapping(said.get("config"))),
            "<h3>Versions</h3>",
            _pairs(
                {
                    **mapping(said.get("versions")),
                    "commit": said.get("commit", "unknown"),
                    **mapping(said.get("computed_by")),
                }
            ),
        ]
    if "timing" in said:
        parts += ["<h2>Time</h2>", _times(said["timing"])]
    parts.append(
        f"<footer>hipct {escape(hipct.__version__)}; this report took "
        f"{number(report.seconds)} s. Limits and definitions: docs/report.md.</footer>"
        "</main></body></html>"
    )
    return "\n".join(parts)


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
        for key, value in mapping(values).items():
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


def _window(said: Mapping[str, Any]) -> dict[str, Any]:
    window = mapping(said.get("window"))
    if not window:
        return {}
    ends = f"{number(window['low'])} to {number(window['high'])} {window['unit']}"
    return {"16-bit window": ends, "stored values": window.get("meaning", "")}


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
    head = "".join(f"<th>{title}</th>" for title in names.values())
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_text(each.get(name)))}</td>' for name in names)}</tr>"
        for each in known.sub_scans
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead>{body}</table></div>"


def _times(timing: Mapping[str, Any]) -> str:
    wall = timing.get("wall_s") or 1
    rows = []
    for name, stage in mapping(timing.get("stages")).items():
        share, size = stage["seconds"] / wall, stage["bytes"]
        rate = number(size / stage["seconds"] / 1e9) if size and stage["seconds"] else ""
        rows.append(
            f"<tr><th scope='row'>{escape(name)}</th><td>{stage['seconds']:.2f}</td>"
            f"<td><div class='bar' style='width:{min(100, 100 * share):.1f}%'></div>"
            f"{100 * share:.1f}</td><td>{number(size / 1e9) if size else ''}</td>"
            f"<td>{rate}</td></tr>"
        )
    total = (
        f"{number(wall)} s in all, {number(timing.get('voxels_per_s', 0) / 1e6)} Mvoxel/s, "
        f"{number(timing.get('peak_bytes', 0) / 1e9)} GB at most, on {timing.get('device', '')}; "
        f"{number(timing.get('other_s', 0))} s in no stage. Stages overlap."
    )
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
