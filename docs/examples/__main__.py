"""Run the examples: their pictures and figures go into the pages of docs/acquisitions.

``python -m docs.examples`` runs all of them, ``python -m docs.examples rings motion`` these two.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
PAGES = EXAMPLES.parent / "acquisitions"
NAMES = tuple(sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "__main__"))
BLOCK = "<!-- figures: {} -->\n{}<!-- end of figures -->"


def run(name: str, out: Path) -> dict[str, float]:
    """Figures of an example; its picture is written into ``out``."""
    figures: dict[str, float] = importlib.import_module(f"docs.examples.{name}").main(out)
    return figures


def written(value: float) -> str:
    """A figure with two significant digits, or all of a larger number before its point."""
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:#.2g}"


def table(figures: dict[str, float]) -> str:
    """Figures as a table in Markdown; those named "row: column" as one of many columns."""
    parts = [name.partition(": ") for name in figures]
    if not all(column for _, _, column in parts):
        cells = [["measured", ""], ["---", "---:"]]
        cells += [[name, written(value)] for name, value in figures.items()]
    else:
        rows, columns = (list(dict.fromkeys(part[k] for part in parts)) for k in (0, 2))
        cells = [["", *columns], ["---", *["---:"] * len(columns)]]
        for row in rows:
            values = [figures.get(f"{row}: {column}") for column in columns]
            cells.append([row, *("" if value is None else written(value) for value in values)])
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def tables_in(page: str) -> dict[str, str]:
    """Tables of figures that a page has, by example."""
    return dict(re.findall(BLOCK.format(r"(\w+)", r"(.*?)"), page, flags=re.DOTALL))


def write(name: str, figures: dict[str, float]) -> None:
    """Put figures into the page that has a place for them."""
    pattern = BLOCK.format(name, "(.*?)")
    for path in PAGES.glob("*.md"):
        page = path.read_text(encoding="utf-8")
        if re.search(pattern, page, flags=re.DOTALL):
            new = BLOCK.format(name, table(figures))
            text = re.sub(pattern, lambda _: new, page, flags=re.DOTALL)  # noqa: B023
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or NAMES:
        write(chosen, found := run(chosen, PAGES))
        print(f"{chosen}\n{table(found)}")
