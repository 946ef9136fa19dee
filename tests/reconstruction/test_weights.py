"""Angular weights: the quadrature of the back-projection integral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import InputError
from hipct.reconstruction.weights import angular_weights, largest_gap

DEGREE = np.pi / 180


@pytest.mark.parametrize("degrees", [
    np.arange(180), np.arange(181), np.arange(180, 0, -1), np.arange(0, 360),
    np.arange(0, 361), np.linspace(0, 357, 320), np.arange(0, 400, 0.7), np.arange(-30, 90, 1.5),
    [10.0], [0.0, 180.0], np.linspace(0, 180, 50) ** 2 / 180,
])  # fmt: skip
def test_weights_are_positive_and_add_up_to_pi(degrees):
    weights = angular_weights(np.asarray(degrees, float) * DEGREE)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(np.pi, rel=1e-12)


def test_uniform_angles_have_equal_weights_and_repeats_share():
    assert angular_weights(np.arange(90) * 2 * DEGREE) == pytest.approx(2 * DEGREE)
    both_ends = angular_weights(np.arange(181) * DEGREE) / DEGREE
    assert both_ends[[0, -1]] == pytest.approx(0.5)
    assert both_ends[1:-1] == pytest.approx(1.0)
    # float32 metadata: 180 degrees may lie on either side of pi.
    for end in (np.pi - 1e-7, np.pi + 1e-7):
        nearly = angular_weights(np.append(np.arange(180) * DEGREE, end)) / DEGREE
        assert nearly[[0, -1]] == pytest.approx(0.5, abs=1e-4)


def test_357_degrees_of_a_full_scan():
    """0..177 degrees are measured twice (half the weight), 178 and 179 once."""
    weights = angular_weights(np.arange(357) * DEGREE) / DEGREE
    folded = np.arange(357) % 180
    assert weights[folded < 177] == pytest.approx(0.5)
    assert weights[folded >= 177] == pytest.approx(1.0)


def test_period_of_a_turn_gives_the_gap_to_its_edges():
    weights = angular_weights(np.arange(0, 358) * DEGREE, period=2 * np.pi, total=2 * np.pi)
    assert weights[1:-1] == pytest.approx(DEGREE)
    assert weights[[0, -1]] == pytest.approx(2 * DEGREE)
    assert largest_gap(np.arange(0, 358) * DEGREE, period=2 * np.pi) == pytest.approx(3 * DEGREE)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_order_turns_and_mirror_images_do_not_matter(values, random):
    angles = np.round(np.array(values), 3)
    weights = angular_weights(angles)
    shuffle = list(range(angles.size))
    random.shuffle(shuffle)
    assert angular_weights(angles[shuffle]) == pytest.approx(weights[shuffle], abs=1e-9)
    assert angular_weights(angles + 4 * np.pi) == pytest.approx(weights, abs=1e-9)
    assert angular_weights(-angles) == pytest.approx(weights, abs=1e-9)


def test_exact_for_low_orders_on_shuffled_angles_of_two_steps():
    """The weights are the trapezium rule, so they integrate a smooth function well."""
    angles = np.concatenate([np.arange(0, 60, 0.5), np.arange(60, 180, 0.25)]) * DEGREE
    weights = angular_weights(angles)
    assert (weights * np.cos(2 * angles)).sum() == pytest.approx(0, abs=2e-4)


@pytest.mark.parametrize("angles", [[], [[0.0, 1.0]], [0.0, np.nan], [np.inf]])
def test_bad_angles(angles):
    with pytest.raises(InputError, match="angle"):
        angular_weights(angles)
