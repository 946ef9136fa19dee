"""Who was at what when it was killed: counted, put last, and named when it happens too often."""

from __future__ import annotations

import json

import pytest

from hipct.core.errors import HipctError
from hipct.pipeline.attempts import KILLED_TOO_OFTEN, Attempts, layers_at_once
from hipct.pipeline.config import Config
from hipct.pipeline.plan import make_plan
from hipct.pipeline.tiles import tiles


@pytest.fixture
def killed():
    """What a process leaves that is killed in the midst of its layers: its block never ends."""
    held = []

    def leave(folder, *layers):
        held.append(Attempts(folder, "share-00000").at(layers))
        held[-1].__enter__()

    return leave


def again(folder, made=(), at_once=100):
    attempts = Attempts(folder, "share-00000")
    attempts.take_over(made, at_once)
    return attempts


def test_a_process_that_ends_by_itself_leaves_no_trace(tmp_path):
    attempts = Attempts(tmp_path, "share-00000")
    with attempts.at([1, 2]):
        assert json.loads((tmp_path / "begun" / "share-00000.json").read_text())["layers"] == [1, 2]
    with pytest.raises(HipctError), attempts.at([1, 2]):
        raise HipctError("full")
    assert again(tmp_path).rounds([1, 2]) == [frozenset({1, 2})]
    assert list((tmp_path / "begun").iterdir()) == []


def test_layers_of_a_killed_process_are_made_last_and_alone(tmp_path, killed):
    killed(tmp_path, *range(10))
    # 0 to 2 were written; of the others it can have come to three.
    attempts = again(tmp_path, made={0, 1, 2}, at_once=3)
    rounds = attempts.rounds(range(3, 10))
    assert rounds == [frozenset({6, 7, 8, 9}), frozenset({3}), frozenset({4}), frozenset({5})]
    killed(tmp_path, 4)
    attempts = again(tmp_path, made={0, 1, 2, 3, 6, 7, 8, 9})
    assert attempts.rounds([4, 5]) == [frozenset(), frozenset({5}), frozenset({4})]
    assert attempts.killers() == {}
    killed(tmp_path, 4)
    attempts = again(tmp_path, made={5})
    (layer,) = attempts.killers()
    assert layer == 4
    assert f"killed {KILLED_TOO_OFTEN} times" in attempts.killers()[4]
    # Made after all: nothing is said of it any more.
    assert again(tmp_path, made={4}).killers() == {}
    assert not (tmp_path / "begun" / "share-00000.json").exists()


def test_a_process_that_was_warned_is_not_counted(tmp_path, killed):
    killed(tmp_path, 1, 2)
    Attempts(tmp_path, "share-00000").end()
    assert again(tmp_path).rounds([1, 2]) == [frozenset({1, 2})]


def test_a_stream_is_at_the_layers_of_its_buffers(discs):
    plan = make_plan(
        discs(rows=700),
        Config(
            phase={"method": "none"},
            axis={"value": 24.0},
            volume={"chunk": 32, "window": [-20.0, 60.0]},
        ),
    )
    rows = {len(tile.rows) for tile in tiles(plan.organ)}
    depth, cut = plan.spec.layer, plan.cut
    least = cut.layer_buffers + cut.tile_buffers * max(rows) / depth
    assert least <= layers_at_once(plan) <= least + 2
