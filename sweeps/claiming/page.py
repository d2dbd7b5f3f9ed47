"""A claim as one page of Markdown."""

from collections.abc import Iterable, Sequence

from dualpt.core.results import measure_of
from dualpt.sweeps.claiming.claim import ClaimPage
from dualpt.sweeps.claiming.evidence import Searched
from dualpt.sweeps.comparison.labels import column_title
from dualpt.sweeps.comparison.plain import p_text
from dualpt.sweeps.comparison.statistics import LEVEL
from dualpt.sweeps.console import counted
from dualpt.sweeps.names import markdown, markdown_code

TYPED = ("command", "file", "overrides")
"""Facts of a launch that somebody may copy."""
VERDICTS = {"yes": "Claimed", "perhaps": "Not claimed", "no": "Not claimed"}


def to_markdown(page: ClaimPage) -> str:
    """The page; names are escaped, and tables stay within what GitHub and Pandoc read."""
    sections = [
        f"# {VERDICTS[page.verdict]}: {markdown(page.sentence)}",
        _protocol(page),
        "## Result",
        _result(page),
        _by_dataset(page),
        "## What was searched",
        _searched(page.searched),
        "## What must be said with it",
        "\n".join(f"- {markdown(word)}" for word in page.reservations),
        "## Settings",
        _settings(page),
        "## Draws",
        _table(("dataset", "shots", "seed", "SHA-256 of the draw"), (one.values() for one in page.draws)),
        "## Latest launch of the sweep",
        _launch(page),
        "## Computed with",
        _computed(page),
        "## To compute it again",
        "```\n" + "\n".join(page.commands) + "\n```",
        "\n".join(f"- {markdown(note)}" for note in page.command_notes),
        f"*{markdown(page.made_by)}, from sweep {markdown(page.sweep)}*",
    ]
    return "\n\n".join(section for section in sections if section)


def _protocol(page: ClaimPage) -> str:
    rows = [
        ("protocol", page.protocol),
        ("selection", page.selection),
        ("metric", page.metric),
        ("shots", page.shots),
        ("datasets", f"{len(page.datasets)}: {', '.join(page.datasets)}"),
        ("seeds", ", ".join(map(str, page.seeds))),
        ("n", page.n),
    ]
    return _table(("what", "value"), (row for row in rows if row[1] != ""))


def _launch(page: ClaimPage) -> str:
    """What is on record of it; what is to be typed stands as code."""
    facts = [(name, fact) for name, fact in page.launch.items() if fact]
    if not facts:
        return "Nothing is on record of it."
    rows = [(name, markdown_code(fact) if name in TYPED else markdown(fact)) for name, fact in facts]
    table = _lines(("what", "value"), rows)
    return f"{table}\n\nEarlier launches may have trained some of the cells; what follows is on record of each cell."


def _result(page: ClaimPage) -> str:
    found, measure = page.result, measure_of(page.metric)
    digits, unit = measure.digits, measure.difference_unit
    better = f"{found.better:.2f} [{found.better_interval.low:.2f}, {found.better_interval.high:.2f}]"
    rows = [
        (f"difference, in {unit}", f"{found.difference:+.{digits}f}"),
        (f"{LEVEL:.0%} interval (datasets, then seeds within them, resampled)", found.interval.text(digits)),
        ("datasets higher/lower", f"{found.higher}/{found.lower}"),
        ("probability of being better", better),
        ("p (Wilcoxon over datasets, two-sided)", p_text(found.p)),
        ("p corrected for the search", p_text(found.search_p) if page.searched else "nothing was searched"),
        ("p corrected for all comparisons too (Holm)", p_text(found.holm)),
    ]
    return _table((f"{page.method.title} against {page.baseline.title}", ""), rows)


def _by_dataset(page: ClaimPage) -> str:
    digits = measure_of(page.metric).digits
    sides = (page.method, page.baseline)
    rows = [
        (column_title(name), *(side.by_dataset[name].text(digits=digits) for side in sides)) for name in page.datasets
    ]
    ns = " and ".join(" or ".join(map(str, sorted({one.n for one in side.by_dataset.values()}))) for side in sides)
    table = _table(("dataset", *(side.title for side in sides)), rows)
    return f"{table}\n\nMean ± standard deviation over seeds; n = {ns}."


def _searched(searched: Searched | None) -> str:
    if searched is None:
        return "Nothing: the method's setting was declared, not selected among candidates."
    rows = [
        ("candidates judged", searched.candidates),
        ("given up before they were judged on everything", searched.given_up),
        ("sampler", ", ".join(searched.samplers)),
        ("race", ", ".join(searched.racing)),
        ("started from what these sweeps selected", ", ".join(searched.earlier_sweeps) or "none"),
        ("judged on", f"{counted(len(searched.datasets), 'dataset')}: {', '.join(searched.datasets)}"),
        ("at shots", ", ".join(map(str, searched.shots))),
        ("with seeds", ", ".join(map(str, searched.seeds))),
        ("validation accuracy of the selected one", f"{searched.validation_accuracy:.1f}"),
        ("it is the", f"{searched.rests_on or 'highest of them'}: a maximum, and so likely too high"),
    ]
    return _table(("what", "value"), rows)


def _settings(page: ClaimPage) -> str:
    sides = (page.method.settings, page.baseline.settings)
    keys = dict.fromkeys(key for side in sides for key in side)
    rows = [(key, *(side.get(key, "") for side in sides)) for key in keys]
    table = _table(("key", page.method.title, page.baseline.title), rows)
    return f"{table}\n\nA blank does not matter there."


def _computed(page: ClaimPage) -> str:
    rows = [(what, value, cells) for what, values in page.computed_with.items() for value, cells in values.items()]
    return _table(("what", "value", "cells"), rows)


def _table(head: Sequence[object], rows: Iterable[Iterable[object]]) -> str:
    first, *others = [[markdown(str(entry)) for entry in line] for line in (head, *rows)]
    return _lines(first, others)


def _lines(head: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of entries that are Markdown already."""
    texts = ["| " + " | ".join(line) + " |" for line in (head, *rows)]
    return "\n".join([texts[0], "|---" * len(head) + "|", *texts[1:]])
