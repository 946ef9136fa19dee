"""Examples run, and the pages about acquisitions have their figures and pictures."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from hipct.cli.main import cli
from hipct.cli.options import read_settings
from hipct.pipeline.config import Config

# Beside the package, as scripts for people; run from the root of the repository.
examples = importlib.import_module("docs.examples.__main__")
NAMES, PAGES = examples.NAMES, examples.PAGES
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
TABLES = {
    name: table for text in TEXTS.values() for name, table in examples.tables_in(text).items()
}
LARGEST_PICTURE = 150_000


NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def last_digit(number: str) -> float:
    """One in the last digit of a number as it is written."""
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def cells(text: str) -> list[str]:
    return [cell.strip() for line in text.splitlines() for cell in line.split("|")]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_the_figures_and_the_picture_of_its_example(name, tmp_path):
    """``python -m docs.examples NAME`` writes both anew."""
    found, told = cells(examples.table(examples.run(name, tmp_path))), cells(TABLES[name])
    assert len(found) == len(told)
    for value, number in zip(found, told):
        if re.fullmatch(NUMBER, number):
            allowed = 0.1 * abs(float(number)) + last_digit(number)
            assert float(value) == pytest.approx(float(number), abs=allowed)
        else:
            assert value == number
    (made,) = tmp_path.glob("*")
    picture = PAGES / made.name
    assert f"]({picture.name})" in "".join(TEXTS.values())
    assert picture.stat().st_size < LARGEST_PICTURE
    with Image.open(made) as new, Image.open(picture) as old:
        assert old.mode in ("L", "P")
        assert new.size == old.size
        assert np.abs(np.asarray(new, float) - np.asarray(old, float)).mean() < 2


def test_pages_have_no_figures_and_pictures_but_those_of_examples():
    assert set(TABLES) == set(NAMES)
    assert {path.stem for path in PAGES.glob("*.png")} == set(NAMES)
    assert set(re.findall(r"\]\((\w+\.md)\)", TEXTS["README.md"])) == set(TEXTS) - {"README.md"}


def test_settings_that_pages_name_exist():
    sections = {
        name: field.annotation.model_fields
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    text = "".join(TEXTS.values())
    named = set(re.findall(r"`([a-z_]+)\.([a-z_]+)`", text))
    named |= set(re.findall(r"--set ([a-z_]+)\.([a-z_]+)=", text))
    assert len(named) > 20
    named = {(section, key) for section, key in named if section != "hipct"}
    assert not {(section, key) for section, key in named if key not in sections.get(section, {})}


def command_lines() -> list[str]:
    lines = [
        line.partition("#")[0].strip()
        for text in TEXTS.values()
        for block in re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return sorted({line for line in lines if line.startswith("hipct ")})


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_of_the_pages_is_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("scan.nx").touch()
    _, name, *arguments = shlex.split(line)
    command = cli.get_command(None, name)
    assert command is not None
    with command.make_context(name, arguments) as context:
        settings = context.params.get("overrides", ())
    read_settings(None, settings, None, None, None)
