"""Results in the output folders of CoOp and its descendants: `DATASET/TRAINER/CONFIG/seed1/log.txt`.

Dassl writes what it prints to `log.txt` (to `log.txt-<date>` where there is one already): the arguments, the
configuration as yacs prints it, training, and after `=> result` the accuracy on the test images (KaiyangZhou/CoOp at
7d03d3e, `train.py` and `parse_test_res.py`; Dassl.pytorch at 0eff13a, `dassl/evaluation/evaluator.py`). What was
trained on what is read from arguments and configuration; the folder's name serves only where the seed or the shots
stand nowhere else.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualpt.core.data.draws.coop_folders import seed_in, shots_in
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular
from dualpt.core.results import BASE_ACCURACY, NEW_ACCURACY, TEST_ACCURACY
from dualpt.sweeps.comparison.imported.imported_result import Findings, ImportedResult, dataset_words

FILES = "log.txt*"
METRIC_OF_CLASSES = {"all": TEST_ACCURACY, "base": BASE_ACCURACY, "new": NEW_ACCURACY}
"""By `DATASET.SUBSAMPLE_CLASSES`."""
TRAINED = ("Finish training", "Finished training")
"""Before the test's result in the log of a training; which of them depends on Dassl's version."""
EVALUATES = re.compile(r"(?:Evaluate|Do evaluation) on (?:the )?\*?(\w+)\*? set")
ACCURACY = re.compile(r"\* accuracy: ([\d.]+)%")

UNFINISHED = "the log ends before the result on the test images"
NOT_A_LOG = "it doesn't say arguments and configuration, as CoOp's logs do"
UNKNOWN = "it is of a dataset that isn't known here"
TRANSFERRED = "it evaluates prompts that were learned on another dataset"
NOT_FEW_SHOT = "it was trained on all images, or doesn't say on how many"
NO_SEED = "neither the configuration nor a folder's name says the seed"


@dataclass(frozen=True)
class Log:
    """What one log says."""

    path: Path
    arguments: Mapping[str, str]
    config: Mapping[str, str]
    """By dotted key: `DATASET.NAME`."""
    accuracy: float | None
    """Percent of the test images; None where it ends before."""

    @property
    def evaluates_only(self) -> bool:
        """Whether nothing was trained in this run."""
        return self.arguments.get("eval_only") == "True"

    @property
    def learned(self) -> str:
        """Where what it evaluates was learned; empty where this run trains, or nothing was learned."""
        return self.arguments.get("model_dir", "") if self.evaluates_only else ""

    @property
    def is_untrained(self) -> bool:
        """Whether nothing was learned at all, as by CoOp's `ZeroshotCLIP`."""
        return self.evaluates_only and not self.learned

    @property
    def metric(self) -> str | None:
        """What its accuracy is; None where the classes are divided in a way that isn't CoOp's."""
        return METRIC_OF_CLASSES.get(self.config.get("DATASET.SUBSAMPLE_CLASSES", "all"))

    @property
    def shots(self) -> int | None:
        """Training images per class; 0 where nothing was learned, None where it isn't said."""
        if self.is_untrained:
            return 0
        said = self.config.get("DATASET.NUM_SHOTS", "-1")
        return int(said) if said.isdecimal() and int(said) else shots_in(self.learned)

    @property
    def seed(self) -> int | None:
        """The seed of draw and training; None where it isn't said."""
        if self.is_untrained:
            return 0
        said = self.config.get("SEED", "-1")
        return int(said) if said.isdecimal() else seed_in(self.path.parent.as_posix())

    @property
    def is_transferred(self) -> bool:
        """Whether it evaluates what was learned on another dataset, as far as the folder's name says on which."""
        if not self.learned:
            return False
        own = {self.config["DATASET.NAME"].casefold(), Path(self.arguments.get("dataset_config_file", "")).stem}
        return own.isdisjoint(part.casefold() for part in Path(self.learned).parts)


def read_logs(folder: Path, own_datasets: Sequence[str]) -> Findings:
    """The results of every log in a folder, at whatever depth.

    Args:
        folder: an output folder, or one log.
        own_datasets: see `dataset_words`.

    Raises:
        UserError: no log, or one that can't be read.
    """
    paths = sorted(folder.rglob(FILES)) if folder.is_dir() else [folder]
    if not paths:
        raise UserError(f"--imported: {folder} holds no log.txt; give an output folder of CoOp's code, or a .csv")
    findings, kept, datasets = Findings(), [], dataset_words(own_datasets)
    for path in paths:
        log = read_log(path)
        if why := _why_not(log, datasets):
            findings.leave(path, why)
        else:
            kept.append(log)
    names = _method_names(kept)
    findings.results += [_result(log, names[log.path], datasets) for log in kept]
    _forget_repeated(findings)
    return findings


def _why_not(log: Log, datasets: Mapping[str, str]) -> str | None:
    """Why a log gives no row; None where it does."""
    if not {"DATASET.NAME", "TRAINER.NAME"} <= set(log.config) or log.metric is None:
        return NOT_A_LOG
    if log.config["DATASET.NAME"].casefold() not in datasets:
        return UNKNOWN
    if log.accuracy is None:
        return UNFINISHED
    if log.is_transferred:
        return TRANSFERRED
    if log.shots is None:
        return NOT_FEW_SHOT
    return NO_SEED if log.seed is None else None


def _result(log: Log, method: str, datasets: Mapping[str, str]) -> ImportedResult:
    assert log.metric is not None  # `_why_not`
    assert log.accuracy is not None
    assert log.shots is not None
    backbone = log.config.get("MODEL.BACKBONE.NAME", "").replace("/", "-")
    return ImportedResult(
        method=method,
        dataset=datasets[log.config["DATASET.NAME"].casefold()],
        shots=log.shots,
        seed=log.seed,
        metric=log.metric,
        value=log.accuracy,
        spread=None,
        backbone=backbone or None,
        source=str(log.path),
    )


def _method_names(logs: Sequence[Log]) -> dict[Path, str]:
    """What each log's method is called: its trainer, with the keys in which the trainer's settings differ here."""
    names = {}
    for trainer in {log.config["TRAINER.NAME"] for log in logs}:
        own = [log for log in logs if log.config["TRAINER.NAME"] == trainer]
        shared = set.intersection(*({key for key in log.config if key.startswith("TRAINER.")} for log in own))
        differing = sorted(key for key in shared if len({log.config[key] for log in own}) > 1)
        for log in own:
            words = [f"{key.rpartition('.')[2]} {log.config[key]}" for key in differing]
            names[log.path] = ", ".join([trainer, *words])
    return names


def _forget_repeated(findings: Findings) -> None:
    """Keep the last log of a run that was repeated in its folder, since Dassl never overwrites one."""
    latest: dict[tuple[object, ...], ImportedResult] = {}
    for result in findings.results:  # by name, so in the order of their dates
        run = (result.method, result.dataset, result.shots, result.seed, result.metric, Path(result.source).parent)
        if (earlier := latest.pop(run, None)) is not None:
            findings.leave(Path(earlier.source), "a later log in the same folder repeats it")
        latest[run] = result
    findings.results = list(latest.values())


def read_log(path: Path) -> Log:
    """Read one log.

    Raises:
        UserError: it can't be read.
    """
    check_regular(path)
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _parsed(path, (line.rstrip("\n") for line in file))
    except OSError as error:
        raise UserError(f"--imported: {path} cannot be read ({error.strerror})") from None


def _parsed(path: Path, lines: Iterator[str]) -> Log:
    arguments = dict(_arguments(lines))
    config = _config(lines)
    trained, part, in_result, accuracy = arguments.get("eval_only") == "True", "test", False, None
    for line in map(str.strip, lines):
        if line in TRAINED:
            trained = True
        elif found := EVALUATES.search(line):
            part, in_result = found[1], False
        elif line == "=> result":
            in_result = True
        elif in_result and trained and part == "test" and (found := ACCURACY.fullmatch(line)):
            accuracy = float(found[1])
    return Log(path, arguments, config, accuracy)


def _arguments(lines: Iterator[str]) -> Iterable[tuple[str, str]]:
    """The arguments, up to the head of the configuration."""
    for line in lines:
        if line == "** Config **":
            return
        key, colon, value = line.partition(":")
        if colon:
            yield key, value.strip()


def _config(lines: Iterator[str]) -> dict[str, str]:
    """The configuration as yacs prints it, by dotted key: sections are indented by two spaces, and values are raw."""
    values: dict[str, str] = {}
    sections: list[str] = []
    for line in lines:
        if line.startswith(("Collecting env info", "** System info **")):
            break
        key, colon, value = line.strip().partition(":")
        if not colon:
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        sections[depth:] = [key]
        values[".".join(sections)] = value.strip()
    return values
