"""Results in a CSV: one line per result, or one per method with a column per dataset.

    method,dataset,shots,seed,accuracy          method,shots,EuroSAT,DTD
    MaPLe,EuroSAT,16,1,92.3                     MaPLe,16,92.3 ± 0.6,71.4

`base` and `new` in place of `accuracy` are base-to-new's; every metric of `dualpt compare` may be a column by its name.
`seed` may be left out: the number is then a mean over seeds, and may have its spread behind ±. So may `backbone`.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dualpt.core.data.table_file import DELIMITERS
from dualpt.core.data.text_files import read_text
from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, COMPARED_METRICS, NEW_ACCURACY, TEST_ACCURACY, measure_of
from dualpt.sweeps.comparison.imported.imported_result import Findings, ImportedResult, dataset_named

SHORT_NAMES = {"accuracy": TEST_ACCURACY, "base": BASE_ACCURACY, "new": NEW_ACCURACY}
METRICS = {**SHORT_NAMES, **{metric: metric for metric in COMPARED_METRICS if not metric.startswith("target/")}}
"""Head of a column -> the metric that it holds."""
NUMBER = re.compile(r"([\d.]+)\s*%?(?:\s*(?:±|\+-|\+/-)\s*([\d.]+)\s*%?)?")
KEYS = ("method", "dataset", "shots", "seed", "backbone")


def read_csv(path: Path, own_datasets: Sequence[str]) -> Findings:
    """The results of a `.csv` or `.tsv`.

    Args:
        own_datasets: see `dataset_named`.

    Raises:
        UserError: a column that is missing or unknown, or a faulty line; the line names file and line.
    """
    text = read_text(path, "a table of results")
    reader = csv.DictReader(text.splitlines(), delimiter=DELIMITERS[path.suffix.lower()], strict=True)
    try:
        heads = [head.strip() for head in reader.fieldnames or ()]
        reader.fieldnames = heads
        columns = _columns(heads, own_datasets, path)
        findings = Findings()
        for row in reader:
            findings.results += _results(row, columns, own_datasets, f"{path}, line {reader.line_num}")
    except csv.Error as fault:
        raise UserError(f"{path}: line {reader.line_num}: {fault}") from None
    if not findings.results:
        raise UserError(f"{path}: holds no result; give a line for each, below the columns' names")
    return findings


def _columns(heads: Sequence[str], own_datasets: Sequence[str], path: Path) -> dict[str, tuple[str | None, str]]:
    """Head of a column of numbers -> its dataset (None where lines name theirs) and its metric.

    Raises:
        UserError: a column twice or missing, or one that is neither a key, a metric nor a dataset.
    """
    for name in ("method", "shots"):
        if heads.count(name) != 1:
            raise UserError(f"{path}: needs one column '{name}'; the first line names {', '.join(KEYS[:4])}, accuracy")
    others = [head for head in heads if head not in KEYS]
    if twice := next((head for head in heads if heads.count(head) > 1), None):
        raise UserError(f"{path}: column '{twice}' is there twice; keep one")
    if "dataset" not in heads:
        found = {head: (dataset_named(head, own_datasets, str(path)), TEST_ACCURACY) for head in others}
    elif unknown := next((head for head in others if head not in METRICS), None):
        raise UserError(f"{path}: unknown column '{unknown}' (known: {', '.join((*KEYS, *SHORT_NAMES))}, test/ece, …)")
    else:
        return {head: (None, METRICS[head]) for head in others}
    return dict(found)


def _results(
    row: dict[str, str | None], columns: dict[str, tuple[str | None, str]], own_datasets: Sequence[str], where: str
) -> Iterator[ImportedResult]:
    """The numbers of one line; empty fields are none.

    Raises:
        UserError: a field that is missing or no number, or more fields than columns.
    """
    if None in row or None in row.values():
        raise UserError(f"{where}: has more or fewer fields than the first line")
    said = {key: (value or "").strip() for key, value in row.items()}
    if not said["method"]:
        raise UserError(f"{where}: names no method")
    shots = _whole(said["shots"], "shots", where)
    seed = _whole(said["seed"], "seed", where) if said.get("seed") else None
    for head, (dataset, metric) in columns.items():
        if not said[head]:
            continue
        value, spread = _number(said[head], head, metric, where)
        if spread is not None and seed is not None:
            raise UserError(f"{where}: {head} has a spread, and one seed has none; leave out the seed or the spread")
        yield ImportedResult(
            method=said["method"],
            dataset=dataset or dataset_named(said["dataset"], own_datasets, where),
            shots=shots,
            seed=seed,
            metric=metric,
            value=value,
            spread=spread,
            backbone=(said.get("backbone") or "").replace("/", "-") or None,
            source=where,
        )


def _whole(text: str, name: str, where: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UserError(f"{where}: {name} {text!r:.40} is not a whole number")
    return int(text)


def _number(text: str, head: str, metric: str, where: str) -> tuple[float, float | None]:
    """A value and its spread: `92.3`, `92.3%`, `92.3 ± 0.6`."""
    found = NUMBER.fullmatch(text)
    try:
        value, spread = float(found[1]) if found else math.nan, float(found[2]) if found and found[2] else None
    except ValueError:
        value, spread = math.nan, None
    percent = measure_of(metric).unit == "percent"
    if math.isnan(value) or (percent and value > 100):
        raise UserError(f"{where}: {head} {text!r:.40} is not a number{' of percent' if percent else ''}")
    return value, spread
