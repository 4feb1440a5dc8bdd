"""The cost calculator against numbers worked out by hand, and what it refuses."""

import pytest

from course_utils.cost import Hardware, read_flops, train_flops


def test_gpt3_takes_the_flops_of_its_paper():
    assert train_flops(175e9, 300e9) == pytest.approx(3.15e23)


def test_reading_is_a_third_of_training():
    assert read_flops(10, 7) == 140 and train_flops(10, 7) == 420


def test_hours_and_price_follow_from_what_was_assumed():
    machine = Hardware(peak=300e12, used=1 / 3, price=2.0)  # delivers 1e14 a second
    assert machine.hours(3.6e17) == pytest.approx(1.0)
    assert machine.price_of(3.6e18) == pytest.approx(20.0)


@pytest.mark.parametrize("wrong", [(0, 0.5, 1), (1e12, 0, 1), (1e12, 40, 1), (1e12, 0.4, -1)])
def test_impossible_machines_are_refused(wrong):
    with pytest.raises(ValueError, match="peak > 0"):
        Hardware(*wrong)


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match="neither can be negative"):
        train_flops(-1, 10)
