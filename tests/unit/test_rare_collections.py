import gc

import pytest

from entrypoints.rare_collections import YOUNG_OBJECTS, rare_collections


def test_what_was_there_before_is_passed_over_and_collections_are_rare() -> None:
    with rare_collections():
        within = (gc.get_freeze_count() > 0, gc.get_threshold()[0])

    assert within == (True, YOUNG_OBJECTS)


def test_afterwards_all_is_as_it_was_also_after_an_error() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="failed"), rare_collections():
        raise ValueError("failed")

    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
