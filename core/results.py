"""Typed results of one cell. The serialised field names ARE the metric names, here, in MLflow and in tables.

A metric is a field here, measured in `training.evaluate` and filled in by `running.cell_runner`; MLflow and tables take
it from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

VAL_ACCURACY = "val/accuracy"
TEST_ACCURACY = "test/accuracy"
BASE_ACCURACY = "base/accuracy"
NEW_ACCURACY = "new/accuracy"
HARMONIC_MEAN = "harmonic_mean"
TARGET_MEAN = "target/mean/accuracy"
"""Mean over the targets of a cell."""
PLAN_ERROR = "plan_error"
LARGE_PLAN_ERROR = 0.01
"""From here on `plan_error` says that `alignment.ot_iterations` are too few for `alignment.ot_epsilon`."""

SELECTION_METRICS = (VAL_ACCURACY,)
"""What a searcher or scheduler may see. Test metrics are recorded and never steer a search."""


@dataclass(frozen=True)
class Measure:
    """What the values of a metric are, and which way is better."""

    title: str
    """In running text and on axes."""
    unit: str
    """Of a value."""
    difference_unit: str
    """Of a difference of two values."""
    digits: int
    """After the decimal point, as shown."""
    lower_is_better: bool = False


ACCURACY = Measure("accuracy", "percent", "points", 1)
MEASURES = {
    "accuracy": ACCURACY,
    "balanced_accuracy": Measure("balanced accuracy", "percent", "points", 1),
    "ece": Measure("expected calibration error", "percent", "points", 1, lower_is_better=True),
    "nll": Measure("negative log-likelihood", "nats", "nats", 3, lower_is_better=True),
}
"""What is measured on every set of images, by the last part of the metric's name."""


def measure_of(metric: str) -> Measure:
    """The measure of a metric by its name; the harmonic mean is an accuracy."""
    return MEASURES.get(metric.rpartition("/")[2], ACCURACY)


_BESIDE_ACCURACY = tuple(name for name in MEASURES if name != "accuracy")

COMPARED_METRICS = (
    TEST_ACCURACY,
    BASE_ACCURACY,
    NEW_ACCURACY,
    HARMONIC_MEAN,
    TARGET_MEAN,
    VAL_ACCURACY,
    *(f"{images}/{measure}" for images in ("test", "base", "new", "target/mean") for measure in _BESIDE_ACCURACY),
)
"""What `dualpt compare --metric` takes, besides the measures on one target."""


def target_accuracy(dataset: str) -> str:
    """The metric of a target: accuracy on the test set of `dataset`, which the cell was not trained on."""
    return f"target/{dataset}/accuracy"


def harmonic_mean(base: float, new: float) -> float:
    """H = 2 * base * new / (base + new), in percent; 0 when both are 0."""
    return 2 * base * new / (base + new) if base + new else 0.0


class CellMetrics(BaseModel):
    """What is measured of a cell, in the units of `MEASURES`; None where the protocol does not define it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    val_accuracy: float | None = Field(None, alias=VAL_ACCURACY)
    """On the few-shot validation set; None for zero-shot classifiers, which see no sample."""
    test_accuracy: float | None = Field(None, alias=TEST_ACCURACY)
    base_accuracy: float | None = Field(None, alias=BASE_ACCURACY)
    new_accuracy: float | None = Field(None, alias=NEW_ACCURACY)
    harmonic_mean: float | None = Field(None, alias=HARMONIC_MEAN)
    targets: Mapping[str, float] = Field(default_factory=dict)
    """Target dataset -> accuracy; `by_name` adds their mean."""
    beside_accuracy: Mapping[str, float] = Field(default_factory=dict)
    """The other measures on every test set, by metric name (`test/ece`, `target/<dataset>/nll`); `by_name` adds their
    means over targets."""
    train_loss: float | None = Field(None, alias="train/loss")
    """Mean total loss over the last epoch."""
    train_seconds: float = Field(0.0, alias="train/seconds", ge=0)
    """Wall time of the training this cell took part in, divided by the replicas trained in the same steps."""
    plan_entropy: float | None = Field(None, alias="plan_entropy")
    """Mean entropy of the local transport plans on the test sets, relative to the uniform plan's (0..1)."""

    plan_error: float | None = Field(None, alias=PLAN_ERROR)
    """Share of a transport plan's mass (0..1) that more Sinkhorn sweeps would put elsewhere: the largest of a few."""

    def by_name(self) -> dict[str, float]:
        """The defined metrics by their metric names."""
        own = self.model_dump(by_alias=True, exclude={"targets", "beside_accuracy"})
        metrics = {name: value for name, value in own.items() if value is not None}
        metrics |= {target_accuracy(dataset): value for dataset, value in self.targets.items()}
        metrics |= self.beside_accuracy
        return metrics | _target_means(metrics)


def _target_means(metrics: Mapping[str, float]) -> dict[str, float]:
    """`target/mean/<measure>`: the mean over targets of each measure that they have."""
    by_measure: dict[str, list[float]] = {}
    for name, value in metrics.items():
        if name.startswith("target/"):
            by_measure.setdefault(name.rpartition("/")[2], []).append(value)
    return {f"target/mean/{measure}": fmean(values) for measure, values in by_measure.items()}
