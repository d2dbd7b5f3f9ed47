"""`dualpt note`: a text and tags on a sweep, a trial or a cell."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from dualpt.core.errors import UserError, nearest
from dualpt.sweeps.ledger.cell_names import find_cell
from dualpt.sweeps.ledger.contents import LONGEST_TAG
from dualpt.sweeps.steering.targets import Target, named_sweep

LONGEST_NOTE = 2000
"""Characters: a note is a line in tables."""
TAG_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


class Place(NamedTuple):
    """What a note is on."""

    run_id: str
    shown: str


def note(store: str, name: str, words: Sequence[str], tags: Sequence[str]) -> list[str]:
    """Write a note and tags; returns what to say of it. An empty text or value removes what is there.

    Args:
        words: `[TRIAL|CELL] TEXT`; with tags, either may be left out.
        tags: `key=value` each.

    Raises:
        UserError: there is no such sweep, trial or cell, or nothing to write, or too much.
    """
    pairs = _pairs(tags)
    target = named_sweep(store, name)
    place, text = _read(target, words, tagged=bool(pairs))
    if text is not None and len(text) > LONGEST_NOTE:
        raise UserError(f"the note has {len(text)} characters, and {LONGEST_NOTE} are kept; shorten it")
    noted = target.ledger.note(place.run_id, None if text is None else " ".join(text.split()), pairs)
    return [f"{place.shown}: {noted or 'no note'}"]


def _pairs(tags: Sequence[str]) -> dict[str, str]:
    found = {}
    for tag in tags:
        key, sign, value = tag.partition("=")
        if not sign or not re.fullmatch(TAG_NAME, key) or len(value) > LONGEST_TAG // 10:
            raise UserError(
                f"--tag {tag:.80}: expected key=value, the key of letters, digits, dots, dashes and underscores, the "
                f"value of {LONGEST_TAG // 10} characters at most"
            )
        found[key] = " ".join(value.split())
    return found


def _read(target: Target, words: Sequence[str], *, tagged: bool) -> tuple[Place, str | None]:
    """Where the note goes, and its text; None where only tags are written."""
    whole = Place(target.row.run_id, target.name)
    match list(words):
        case [] if tagged:
            return whole, None
        case [word] if tagged and word and not _is_text(target, word):
            return _place(target, word), None
        case [word] if not tagged and _is_place(target, word):
            raise UserError(
                f"'{word}' is in sweep '{target.name}': write its note after it, in quotes, or remove the note with "
                "--remove"
            )
        case [text]:
            return whole, text
        case [where, text]:
            return _place(target, where), text
        case _:
            raise UserError("give one text, in quotes: dualpt note NAME [TRIAL|CELL] 'TEXT', or --tag key=value")


def _is_place(target: Target, word: str) -> bool:
    """Whether one word alone names a trial or a cell: as a note it would replace that of the sweep, unasked."""
    trial, *cell = word.split("/")
    return trial in target.trials() and len(cell) in (0, 3)


def _is_text(target: Target, word: str) -> bool:
    """Whether one word beside tags is a sentence rather than a trial or a cell, or a slip in the name of one."""
    return " " in word.strip() and not _is_place(target, word) and not nearest(word, target.trials())


def _place(target: Target, where: str) -> Place:
    """A trial by name, else a cell as `dualpt inspect` names it, without the sweep.

    Raises:
        UserError: there is neither.
    """
    trials = target.trials()
    if where in trials:
        return Place(trials[where].ref.run_id, f"{target.name}/{where}")
    if "/" in where:
        row = find_cell(target.ledger, f"{target.name}/{where}")
        return Place(row.run_id, f"{target.name}/{row.trial}/{row.dataset}/{row.shots}/{row.seed}")
    raise UserError(
        f"sweep '{target.name}' has no trial '{where}' on record{nearest(where, trials)} (recorded: "
        f"{', '.join(trials) or 'none'}); a cell is named TRIAL/DATASET/SHOTS/SEED"
    )
