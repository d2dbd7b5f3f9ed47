"""Typed results of one cell. The serialised field names ARE the metric names, here, in MLflow and in tables.

A metric is a field here, measured in `training.evaluate` and filled in by `running.cell_runner`; MLflow and tables take
it from there.
"""

from collections.abc import Mapping
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

TEST_BALANCED_ACCURACY = "test/balanced_accuracy"

COMPARED_METRICS = (
    TEST_ACCURACY,
    BASE_ACCURACY,
    NEW_ACCURACY,
    HARMONIC_MEAN,
    TARGET_MEAN,
    VAL_ACCURACY,
    TEST_BALANCED_ACCURACY,
)
"""What `dualpt compare --metric` takes, besides the accuracy on one target."""


def target_accuracy(dataset: str) -> str:
    """The metric of a target: accuracy on the test set of `dataset`, which the cell was not trained on."""
    return f"target/{dataset}/accuracy"


def harmonic_mean(base: float, new: float) -> float:
    """H = 2 * base * new / (base + new), in percent; 0 when both are 0."""
    return 2 * base * new / (base + new) if base + new else 0.0


class CellMetrics(BaseModel):
    """Accuracies in percent; None where the protocol does not define one."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    val_accuracy: float | None = Field(None, alias=VAL_ACCURACY)
    """On the few-shot validation set; None for zero-shot classifiers, which see no sample."""
    test_accuracy: float | None = Field(None, alias=TEST_ACCURACY)
    test_balanced_accuracy: float | None = Field(None, alias=TEST_BALANCED_ACCURACY)
    """Mean over classes of the accuracy on each class's test images: small classes count as much as large ones."""
    base_accuracy: float | None = Field(None, alias=BASE_ACCURACY)
    new_accuracy: float | None = Field(None, alias=NEW_ACCURACY)
    harmonic_mean: float | None = Field(None, alias=HARMONIC_MEAN)
    targets: Mapping[str, float] = Field(default_factory=dict)
    """Target dataset -> accuracy; `by_name` adds their mean."""
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
        own = self.model_dump(by_alias=True, exclude={"targets"})
        metrics = {name: value for name, value in own.items() if value is not None}
        metrics |= {target_accuracy(dataset): value for dataset, value in self.targets.items()}
        if self.targets:
            metrics[TARGET_MEAN] = fmean(self.targets.values())
        return metrics
