"""From the settings of a pack's cells to the options that training takes."""

from collections.abc import Sequence

from dualpt.core.cell import Cell
from dualpt.core.config.activity import sums_logits
from dualpt.core.config.sections import OptimSection
from dualpt.core.recipes import global_weight_on
from dualpt.core.training.arguments import InferenceWeights, LossWeights
from dualpt.core.training.optim import SGDOptions


def loss_weights(cells: Sequence[Cell]) -> LossWeights:
    """One replica per cell."""
    alignments = [cell.setting.alignment for cell in cells]
    return LossWeights(
        llm_weight=[alignment.llm_weight for alignment in alignments],
        local_weight=[alignment.local_weight for alignment in alignments],
        global_weight=[global_weight_on(cell.dataset, cell.setting.alignment.global_weight) for cell in cells],
        cross_entropy="summed" if sums_logits(cells[0].setting) else "separate",
    )


def inference_weights(cells: Sequence[Cell]) -> InferenceWeights:
    """One replica per cell."""
    inferences = [cell.setting.inference for cell in cells]
    return InferenceWeights(
        local_weight=[inference.local_weight for inference in inferences],
        global_weight=[global_weight_on(cell.dataset, cell.setting.inference.global_weight) for cell in cells],
        description_weight=[inference.description_weight for inference in inferences],
    )


def sgd_options(optim: OptimSection, learning_rates: Sequence[float]) -> SGDOptions:
    """With one learning rate per replica, its recipe resolved."""
    return SGDOptions(
        learning_rate=list(learning_rates),
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        warmup_learning_rate=optim.warmup_learning_rate,
    )
