"""The one exception that is shown to a user as a single line."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: the message names the key, the file and the remedy in one line.

    The command line prints it without a traceback and exits with code 2.
    """


def nearest(word: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
