"""Making hundreds of thousands of objects, as a split file has entries."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Keep Python from searching new objects for cycles, again and again as they become more; also a decorator.

    What is read from a file holds none. Garbage without cycles is freed as ever.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
