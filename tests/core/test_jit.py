"""What is said while loops are compiled."""

import pytest

from hipct.core.jit import COMPILING, compilation_told

numba = pytest.importorskip("numba", reason="numba is not installed: nothing to compile")


class Heard:
    def __init__(self):
        self.sentences = []

    def say(self, message):
        self.sentences.append(message)


def loop(module):
    def twice(x):
        return 2 * x

    twice.__module__ = module
    return numba.njit(twice)


def test_compilation_is_told_once():
    heard = Heard()
    first, second = loop("hipct.one"), loop("hipct.two")
    with compilation_told(heard):
        assert first(1) == 2
        assert second(2) == 4
    assert heard.sentences == [COMPILING]


def test_what_is_compiled_already_or_is_not_ours_is_not_told():
    heard = Heard()
    ours, other = loop("hipct.one"), loop("elsewhere")
    ours(1)
    with compilation_told(heard):
        ours(2)
        other(1)
    loop("hipct.two")(1)
    assert heard.sentences == []
