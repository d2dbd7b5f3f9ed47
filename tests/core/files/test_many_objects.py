"""The search for cycles is off while many objects are made, and afterwards as it was before."""

import gc

import pytest

from dualpt.core.files.many_objects import no_search_for_cycles


def test_the_search_is_on_again_after_an_error() -> None:
    @no_search_for_cycles()
    def read() -> None:
        assert not gc.isenabled()
        raise ValueError("bad entry")

    with pytest.raises(ValueError, match="bad entry"):
        read()
    assert gc.isenabled()


def test_a_search_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with no_search_for_cycles():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
