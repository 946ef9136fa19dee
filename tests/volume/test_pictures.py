"""Pictures: grey scale, captions and places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hipct.core.errors import InputError
from hipct.volume.pictures import contact_sheet, grey, panels, write_png


def test_grey_values_run_from_black_to_white_and_are_clipped() -> None:
    image = np.array([[-1.0, 0.0, 0.5, 1.0, 9.0, np.nan]])
    assert grey(image, 0, 1).tolist() == [[0, 0, 128, 255, 255, 0]]
    assert grey(np.zeros((2, 2)), 0, 0).tolist() == [[0, 0], [0, 0]]


def test_panels_stand_in_reading_order_with_captions_above() -> None:
    images = [np.full((30, 40), 100 + 10 * k, np.uint8) for k in range(5)]
    sheet = np.asarray(panels(images, [f"{k}.50" for k in range(5)], columns=3))
    for k in range(5):
        rows, columns = np.nonzero(sheet == 100 + 10 * k)
        # Antialiased letters may have the same grey values as a panel; most pixels are the panel.
        assert rows.size >= 30 * 40
        place = np.median(rows) // 56, np.median(columns) // 44
        assert place == divmod(k, 3)
    captions = sheet[4:26]
    assert (captions[:, :40] > 200).any()


def test_a_contact_sheet_has_one_grey_scale() -> None:
    dark, bright = np.zeros((20, 20), np.float32), np.ones((20, 20), np.float32)
    sheet = np.asarray(contact_sheet([dark, bright], ["a", "b"]))
    assert np.count_nonzero(sheet == 0) >= 400
    assert np.count_nonzero(sheet == 255) >= 400


def test_captions_and_images_go_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="as many captions as images"):
        panels([np.zeros((2, 2), np.uint8)], [], columns=1)
    write_png(tmp_path / "a.png", panels([np.zeros((2, 2), np.uint8)], ["x"], columns=1))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (10, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
