"""A missing optional package is answered by what to install."""

from __future__ import annotations

import pytest

from hipct.core.errors import HipctError, MissingExtra
from hipct.core.extras import require
from hipct.core.jit import has_numba


def test_an_installed_module_is_returned():
    assert require("json", "viewer", "The viewer").dumps([1]) == "[1]"


def test_a_missing_module_is_one_sentence_with_the_command():
    with pytest.raises(MissingExtra) as caught:
        require("napari_of_another_world", "viewer", "The viewer")
    message = str(caught.value)
    assert message.startswith("The viewer needs the package napari_of_another_world")
    assert message.endswith("pip install 'hipct[viewer]'.")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, HipctError)


@pytest.mark.parametrize("present", [True, False])
def test_numba_is_used_only_where_it_is_installed(monkeypatch, present):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if present else None)
    has_numba.cache_clear()
    try:
        assert has_numba() is present
    finally:
        has_numba.cache_clear()
