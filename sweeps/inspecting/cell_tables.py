"""The tables of an inspection, once for the terminal and for the page: a title, heads, rows, and how to read them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from dualpt.core.learned.inspection.similarity import DescriptionSimilarity
from dualpt.core.learned.inspection.vocabulary import NearestWords
from dualpt.core.training.calibration import BINS
from dualpt.sweeps.console import say
from dualpt.sweeps.inspecting.measurements import Measurements, SetMeasurements
from dualpt.sweeps.word_table import WordTable

SHOWN_CLASSES = 12
"""Classes that a terminal has room for, those that are hardest to tell apart."""


@dataclass(frozen=True)
class TextTable:
    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    reading: str
    """How to read it, in a sentence or two."""
    terminal_columns: int | None = None
    """Columns that a terminal has room for, from the left; None is all. The page shows the others too."""
    terminal_rows: int | None = None


def cell_tables(measured: Measurements) -> list[TextTable]:
    """All tables: of prompts words and descriptions; calibration; confusions and classes of each test set."""
    tables = []
    if (prompts := measured.prompts) is not None:
        tables.append(word_table(prompts.words, measured.cell.setting.prompt.class_specific))
        if prompts.descriptions is not None:
            tables.append(description_table(prompts.descriptions, prompts.class_names))
    tables.append(calibration_table(measured.tests))
    for test in measured.tests:
        tables += [confusion_table(test), class_table(test)]
    return tables


def word_table(words: NearestWords, class_specific: bool) -> TextTable:
    """One row per context token, one column per prompt."""
    heads = ("token", *(f"prompt {n}" for n in range(1, len(words.contexts) + 1)))
    rows = [
        (str(token + 1), *(", ".join(f"{near.word} {near.distance:.2f}" for near in p[token]) for p in words.contexts))
        for token in range(len(words.contexts[0]))
    ]
    nearest = min(token[0].distance for prompt in words.contexts for token in prompt)
    of_class = " Contexts are class-specific: these are the first class's." if class_specific else ""
    reading = (
        f"Euclidean distance to the nearest of {words.words} vocabulary words. The nearest context token is "
        f"{nearest:.2f} away; words are {words.between_words:.2f} from their nearest neighbour (median). Tokens much "
        f"farther than that are not words.{of_class}"
    )
    return TextTable("nearest words to the learned contexts", heads, rows, reading)


def description_table(similarity: DescriptionSimilarity, names: Sequence[str]) -> TextTable:
    """One row per class, the least similar to its own descriptions first."""
    n_prompts = similarity.by_prompt.shape[1]
    heads: tuple[str, ...] = ("class", "own description", "rank", "nearest other", "its cosine")
    heads += tuple(f"prompt {n}" for n in range(1, n_prompts + 1)) if n_prompts > 1 else ()
    heads += ("closest sentence",)
    rows: list[tuple[str, ...]] = []
    margin = similarity.own - similarity.by_class.gather(1, similarity.rival[:, None]).flatten()
    for c in margin.argsort(stable=True).tolist():
        rival = int(similarity.rival[c])
        row: tuple[str, ...] = (names[c], f"{similarity.own[c]:.3f}", str(int(similarity.rank[c])), names[rival])
        row += (f"{similarity.by_class[c, rival]:.3f}",)
        row += tuple(f"{value:.3f}" for value in similarity.by_prompt[c].tolist()) if n_prompts > 1 else ()
        rows.append((*row, " / ".join(dict.fromkeys(similarity.closest[c]))))
    first = int((similarity.rank == 1).sum())
    reading = (
        f"Cosine of a class's mean prompt with its own mean description, and with the nearest other class's; {first} "
        f"of {len(names)} classes are nearest to their own. Classes with the smallest difference of the two come first."
    )
    return TextTable("similarity of prompts to descriptions", heads, rows, reading, 5, SHOWN_CLASSES)


def calibration_table(tests: Sequence[SetMeasurements]) -> TextTable:
    """One row per test set."""
    heads = ("test set", "accuracy", "mean confidence", "ECE", "NLL")
    rows = [
        (
            test.name,
            f"{test.accuracy:.1f}",
            f"{100 * test.reliability.mean_confidence:.1f}",
            f"{test.reliability.expected_calibration_error:.1f}",
            f"{test.negative_log_likelihood:.3f}",
        )
        for test in tests
    ]
    reading = (
        f"Accuracy, confidence and expected calibration error (ECE, {BINS} bins of equal width) in percent; negative "
        "log-likelihood (NLL) in nats."
    )
    return TextTable("calibration", heads, rows, reading)


def confusion_table(test: SetMeasurements) -> TextTable:
    names = test.class_names
    rows: list[tuple[str, ...]] = [
        (names[pair.true], names[pair.predicted], str(len(pair.images)), f"{pair.share:.0%}")
        for pair in test.confusions
    ]
    reading = f"{test.accuracy:.1f} % of {test.n_images} images are right. Share: of the true class's images."
    return TextTable(
        f"most confused classes, {test.name} set", ("class", "taken for", "images", "share"), rows, reading
    )


def class_table(test: SetMeasurements) -> TextTable:
    """One row per class, the least accurate first; beside the zero-shot classifier where there is one."""
    beside, rows = test.beside_zero_shot, []
    for one in test.by_class:
        row: tuple[str, ...] = (one.name, str(one.n_images), f"{one.accuracy:.1f}")
        row += () if one.other is None else (f"{one.other:.1f}", f"{one.accuracy - one.other:+.1f}")
        rows.append(row)
    heads: tuple[str, ...] = ("class", "images", "accuracy")
    reading = "Accuracy in percent, the least accurate classes first."
    if beside is not None:
        heads += ("zero-shot", "difference")
        reading += (
            f" Of {test.n_images} images, {beside.both} are right here and by the zero-shot classifier, "
            f"{beside.first_alone} here alone, {beside.second_alone} by zero-shot alone, {beside.neither} by neither."
        )
    return TextTable(f"classes of the {test.name} set", heads, rows, reading, None, SHOWN_CLASSES)


def print_tables(tables: Sequence[TextTable], console: Console) -> None:
    for table in tables:
        columns, rows = slice(table.terminal_columns), slice(table.terminal_rows)
        grid = WordTable(*table.heads[columns], title=table.title)
        for row in table.rows[rows]:
            grid.add_row(*row[columns])
        grid.show(console, markup=False)
        left = len(table.rows) - len(grid)
        more = f" {left} more classes on the page." if left else ""
        say(console, f"{table.reading}{more}", "dim")
