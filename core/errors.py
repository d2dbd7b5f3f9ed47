"""The one exception that is shown to a user as a single line."""

import difflib
from collections.abc import Iterable, Mapping


class UserError(Exception):
    """Something the user can fix: the message names the key, the file and the remedy in one line.

    The command line prints it without a traceback and exits with code 2.
    """


class StorageError(UserError):
    """A disk that is full or can't be written, where the work can't go on without: no fault of what is computed."""


def nearest(word: object, known: Iterable[str], meant: Mapping[str, str] | None = None) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known word, whatever its case, or an empty string.

    Args:
        meant: what to suggest in place of known words that are other names of it.
    """
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(str(word).casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean '{(meant or {}).get(folded[close[0]], folded[close[0]])}'?" if close else ""
