"""From cells to results. Config stops here; below are options and tensors.

A `CellRunner` trains packs of cells as replicas of the same steps, on the frozen parts that they share in one process.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpt.core.arrays import ClassText
from dualpt.core.cell import Cell, pack_of
from dualpt.core.config.setting import Setting
from dualpt.core.data.protocols import TARGET, CellData
from dualpt.core.descriptions.bank import Sentences
from dualpt.core.features.needs import reads_norms
from dualpt.core.inputs.key import cell_key, key_of
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.inputs.templates import start_of
from dualpt.core.learned.fitted import LearnedClassifier
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.learned.scorers import llm_alignment, local_scorer, prompt_options
from dualpt.core.provenance import Provenance
from dualpt.core.results import CellMetrics, harmonic_mean
from dualpt.core.running.feature_fits import FeatureFit, fit_cells, pool_of
from dualpt.core.running.frozen_parts import Count, FrozenParts
from dualpt.core.running.train_options import inference_weights, loss_weights, sgd_options
from dualpt.core.running.within_support import Judged, fit_within, train_within
from dualpt.core.selection_rules import divides
from dualpt.core.training.alignment import mean_feature
from dualpt.core.training.arguments import TrainingData
from dualpt.core.training.checkpoint import TrainState
from dualpt.core.training.evaluate import Evaluation, zero_shot
from dualpt.core.training.progress import Report
from dualpt.core.training.replica_results import Judge, TrainResult
from dualpt.core.training.trainer import alignment_target, train


@dataclass(frozen=True)
class CellResult:
    cell: Cell
    key: str
    """Hash of everything that determines the numbers."""
    metrics: CellMetrics
    per_class: Mapping[str, Mapping[str, float]]
    """Test set name (`test`, `base`, `new`, `target/<dataset>`) -> class name -> accuracy in percent."""
    loss_curve: tuple[float, ...] = ()
    contexts: Tensor | None = None
    """Learned contexts (N, L, W), or (C, N, L, W) where class-specific."""
    sample_fingerprint: str | None = None
    failure: str | None = None
    """Why the cell failed (for example a loss that is not finite), or None."""
    class_names: tuple[str, ...] = ()
    """Every class of the dataset, by label."""
    sentences: Sentences | None = None
    """Of every class, where descriptions enter at test."""
    provenance: Provenance | None = None
    weights: str = ""
    """SHA-256 of those that learned prompts classify images with; what `provenance` says where they aren't known."""
    learned: LearnedClassifier | None = None
    """What a method on frozen features left; None for others, and where it failed."""

    @property
    def prompts(self) -> LearnedPrompts | None:
        """The learned contexts with what explains them; None where nothing was learned."""
        if self.contexts is None or self.provenance is None:
            return None
        return LearnedPrompts(self.contexts, self.cell, self.key, self.class_names, self.sentences, self.weights)


class CellRunner:
    """Checks, prepares and trains cells.

    Args:
        cache: folder of the feature store; None is the user's cache folder.
        device: a torch device, or `auto` for a GPU where there is one.

    Raises:
        UserError: `DUALPT_GPU_KERNELS` names no kernels.
    """

    def __init__(self, *, cache: Path | None = None, device: str = "auto") -> None:
        self.parts = FrozenParts(cache=cache, device=device)
        """What the cells of this process share, and none of them changes."""

    def check(self, cells: Sequence[Cell]) -> None:
        """As `FrozenParts.check`."""
        self.parts.check(cells)

    def prepare(self, cells: Sequence[Cell], progress: Count | None = None) -> None:
        """As `FrozenParts.prepare`."""
        self.parts.prepare(cells, progress)

    def key(self, cell: Cell) -> str:
        """Hash of all that determines the cell's numbers (see `inputs.key.key_of`); loads no model."""
        return cell_key(cell)

    def run(
        self,
        cells: Sequence[Cell],
        report: Report | None = None,
        checkpoint: Path | None = None,
    ) -> list[CellResult]:
        """Train and judge one pack; results in the given order.

        Args:
            cells: cells of equal `pack_of`, trained as replicas of the same steps.
            report: called after every epoch, with the losses of the pack's cells in their order; of a method on
                frozen features after some of them, and not at all where it is a closed form.
            checkpoint: file to continue from and to write to; removed by the caller when results are kept.
        """
        if len({pack_of(cell) for cell in cells}) != 1:
            raise ValueError("cells of one pack must share everything but their seed and what is packable")
        pack = [CellInputs(cell) for cell in cells]
        if not cells[0].setting.trains:
            return [self._run_zero_shot(inputs) for inputs in pack]
        if divides(cells[0].selection):
            return self._judged_within(pack, report, checkpoint)
        if cells[0].setting.fits_features:
            fits = fit_cells(self.parts, pack, report=report)
            return [self._fitted(inputs, fit) for inputs, fit in zip(pack, fits, strict=True)]
        data = [inputs.data for inputs in pack]
        results = self._train(pack, data, tested=True, report=report, checkpoint=checkpoint)
        return [self._result(inputs, result) for inputs, result in zip(pack, results, strict=True)]

    def _judged_within(
        self, pack: Sequence[CellInputs], report: Report | None, checkpoint: Path | None
    ) -> list[CellResult]:
        """Tested on what all shots teach, judged by divisions of the support set."""
        if pack[0].cell.setting.fits_features:
            fits = zip(pack, fit_within(self.parts, pack, report), strict=True)
            return [_judged_by(self._fitted(inputs, fit), judged) for inputs, (fit, judged) in fits]
        trained = zip(pack, train_within(pack, partial(self._train, pack), report, checkpoint), strict=True)
        return [_judged_by(self._result(inputs, result), judged) for inputs, (result, judged) in trained]

    def evaluate(self, cell: Cell, contexts: Tensor) -> CellResult:
        """Evaluate learned contexts as at the end of their training. The result has no loss and no training time.

        Args:
            cell: whose contexts they are; its features come from the store (`prepare`).
            contexts: (N, L, W), or (C, N, L, W) where class-specific.
        """
        inputs, setting = CellInputs(cell), cell.setting
        tower, text, val = self.parts.towers_of(setting).text, self.parts.class_text(inputs, "train"), inputs.data.val
        learned, alignment = contexts[None].to(tower.device), setting.alignment
        judge = Judge.of(
            tower,
            prompt_options(setting.prompt, init=None),
            loss=loss_weights([cell]),
            inference=inference_weights([cell]),
            local_scorer=local_scorer(alignment),
            llm=llm_alignment(alignment),
            target=alignment_target(text, alignment.llm_target, tower.device) if alignment.llm_weight else None,
        )
        (result,) = judge.results(
            TrainState(learned, torch.zeros_like(learned), torch.empty(0, 1, dtype=torch.float64), seconds=0.0),
            [cell.seed],
            text,
            self.parts.features(setting, inputs.source, val) if val else None,
            torch.arange(len(val))[None] if val else None,
            self.parts.test_sets(inputs),
        )
        return self._result(inputs, result)

    def _train(
        self,
        pack: Sequence[CellInputs],
        data: Sequence[CellData],
        *,
        tested: bool,
        report: Report | None,
        checkpoint: Path | None,
    ) -> list[TrainResult]:
        """Train a pack on the data of each cell, by the recipes of all their shots."""
        first, cells, recipes = pack[0], [inputs.cell for inputs in pack], [inputs.recipe for inputs in pack]
        setting = first.cell.setting
        pool, samples = pool_of([one.train for one in data])
        val_pool, val_samples = pool_of([one.val for one in data])
        return train(
            self.parts.towers_of(setting).text,
            TrainingData(
                text=self.parts.class_text(first, "train"),
                images=self.parts.train_images(first, pool),
                labels=torch.tensor([item.label for item in pool]),
                samples=samples,
                val=self.parts.features(setting, first.source, val_pool) if val_pool else None,
                val_samples=val_samples if val_pool else None,
                tests=self.parts.test_sets(first) if tested else {},
            ),
            seeds=[cell.seed for cell in cells],
            prompt=prompt_options(setting.prompt, start_of(first)),
            loss=loss_weights(cells),
            llm=llm_alignment(setting.alignment),
            local_scorer=local_scorer(setting.alignment),
            inference=inference_weights(cells),
            sgd=sgd_options(setting.optim, [recipe.learning_rate for recipe in recipes]),
            batch_size=recipes[0].batch_size,
            epochs=recipes[0].epochs,
            report=report,
            checkpoint=checkpoint,
        )

    def _run_zero_shot(self, inputs: CellInputs) -> CellResult:
        setting = inputs.cell.setting
        scale, evaluations = self.parts.scale_of(inputs), {}
        for name, test in self.parts.test_sets(inputs).items():
            classifier = _zero_shot_classifier(setting, test.text)
            evaluations[name] = zero_shot(classifier, test.images, scale=scale)
        return CellResult(
            cell=inputs.cell,
            key=key_of(inputs),
            metrics=CellMetrics(**_measures(evaluations)),
            per_class=_per_class(inputs, evaluations),
            provenance=self.parts.provenance_of(inputs),
        )

    def _result(self, inputs: CellInputs, result: TrainResult) -> CellResult:
        cell, provenance = inputs.cell, self.parts.provenance_of(inputs)
        metrics = CellMetrics(
            val_accuracy=None if result.val is None else result.val.accuracy,
            train_loss=result.loss_curve[-1] if result.loss_curve else None,
            train_seconds=result.seconds,
            plan_entropy=_over_images(result.tests, lambda test: test.plan_entropy),
            plan_error=result.plan_error,
            **_measures(result.tests),
        )
        return CellResult(
            cell=cell,
            key=key_of(inputs),
            metrics=metrics,
            per_class=_per_class(inputs, result.tests),
            loss_curve=tuple(result.loss_curve),
            contexts=result.contexts,
            sample_fingerprint=inputs.data.sample_fingerprint,
            failure=result.failure,
            class_names=inputs.source.split.class_names,
            sentences=inputs.sentences(cell.dataset) if cell.setting.inference.description_weight else None,
            provenance=provenance,
            weights=_weights_to_classify_with(inputs, provenance),
        )

    def _fitted(self, inputs: CellInputs, fit: FeatureFit) -> CellResult:
        cell, key, provenance = inputs.cell, key_of(inputs), self.parts.provenance_of(inputs)
        metrics = CellMetrics(
            val_accuracy=None if fit.val is None else fit.val.accuracy,
            train_loss=fit.losses[-1] if fit.losses else None,
            train_seconds=fit.seconds,
            **_measures(fit.tests),
        )
        learned = LearnedClassifier(
            classifier=fit.classifier,
            cell=cell,
            cell_key=key,
            class_names=inputs.class_names("train"),
            template=inputs.source.template,
            weights=_weights_to_classify_with(inputs, provenance),
            chosen=fit.chosen,
        )
        return CellResult(
            cell=cell,
            key=key,
            metrics=metrics,
            per_class=_per_class(inputs, fit.tests),
            loss_curve=fit.losses,
            sample_fingerprint=inputs.data.sample_fingerprint,
            failure=fit.failure,
            class_names=inputs.source.split.class_names,
            provenance=provenance,
            learned=None if fit.failure else learned,
        )


def _weights_to_classify_with(inputs: CellInputs, provenance: Provenance) -> str:
    """SHA-256 of those that gave the features; of imported ones theirs, if they are known and no norms are missing."""
    if not inputs.source.is_imported:
        return provenance.weights
    about = inputs.source.imported
    without_norms = reads_norms(inputs.cell.setting) and not about.raw
    return provenance.weights if without_norms else about.weights or provenance.weights


def _judged_by(result: CellResult, judged: Judged) -> CellResult:
    """With what the divisions of the support set say; a setting that failed on one of them cannot be judged."""
    seconds = result.metrics.train_seconds + judged.seconds
    metrics = result.metrics.model_copy(update={"val_accuracy": judged.accuracy, "train_seconds": seconds})
    failure = f"judged within its shots: {judged.failure}" if judged.failure else result.failure
    return replace(result, metrics=metrics, failure=failure)


def _zero_shot_classifier(setting: Setting, text: ClassText) -> Tensor:
    """(C, D): the template's features, or the normalised mean of each class's descriptions."""
    match setting.method:
        case "zero-shot":
            assert text.template is not None
            return text.template
        case "zero-shot-descriptions":
            assert text.descriptions is not None
            assert text.description_mask is not None
            return mean_feature(text.descriptions, text.description_mask)
        case _:
            raise ValueError(f"{setting.method} has no classifier before training")


def _per_class(inputs: CellInputs, evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, float]]:
    return {
        test: dict(zip(_distinct(inputs.class_names(test)), evaluation.per_class, strict=True))
        for test, evaluation in evaluations.items()
    }


def _measures(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """What is measured on the test sets, by the field names of `CellMetrics`."""
    accuracy = {name: evaluation.accuracy for name, evaluation in evaluations.items()}
    targets = {name.removeprefix(TARGET): value for name, value in accuracy.items() if name.startswith(TARGET)}
    own = {f"{name}_accuracy": value for name, value in accuracy.items() if not name.startswith(TARGET)}
    both = {"base", "new"} <= set(accuracy)
    beside = {
        f"{name}/{measure}": value
        for name, evaluation in evaluations.items()
        for measure, value in evaluation.beside_accuracy.items()
    }
    return {
        **own,
        "harmonic_mean": harmonic_mean(accuracy["base"], accuracy["new"]) if both else None,
        "targets": targets,
        "beside_accuracy": beside,
    }


def _over_images(evaluations: Mapping[str, Evaluation], measure: Callable[[Evaluation], float | None]) -> float | None:
    """Mean of a measure over the images of all test sets; None where none of them has it."""
    measured = [(value, one.count) for one in evaluations.values() if (value := measure(one)) is not None]
    n_images = sum(n for _, n in measured)
    return sum(value * n for value, n in measured) / n_images if n_images else None


def _distinct(names: Sequence[str]) -> list[str]:
    """Names as keys: the second of two equal names gets its label (ImageNet has two such pairs)."""
    return [name if name not in names[:label] else f"{name} ({label})" for label, name in enumerate(names)]
