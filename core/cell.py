"""What a cell is: one setting on one dataset at one number of shots with one seed. Loads no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dualpt.core.config.activity import active_values, has_cross_entropy, has_logits
from dualpt.core.config.sections import Protocol
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.selection_rules import SelectionRule, divides, least_left

PACKABLE = frozenset(
    {
        "alignment.llm_weight",
        "alignment.global_weight",
        "alignment.local_weight",
        "inference.global_weight",
        "inference.local_weight",
        "inference.description_weight",
        "optim.learning_rate",
    }
)
"""Keys in which replicas that learn prompts may differ within the same training step, apart from their seed."""


@dataclass(frozen=True)
class Cell:
    """What is trained and judged once. Zero-shot methods have `shots=0, seed=0`: nothing is drawn."""

    setting: Setting
    dataset: str
    protocol: Protocol
    shots: int
    seed: int
    targets: tuple[str, ...] = ()
    """Other datasets that it is tested on, under the protocols that have targets."""
    selection: SelectionRule = "validation"
    """By which images it is judged, and its method's own options are chosen."""

    @property
    def label(self) -> str:
        """A short name for progress and run names."""
        if not self.setting.trains:
            return self.dataset
        return f"{self.dataset} {self.shots}-shot seed {self.seed}"


def packable_keys(setting: Setting) -> frozenset[str]:
    """Keys in which the cells of a pack may differ, apart from their seed."""
    if not setting.fits_features:
        return PACKABLE
    method = setting.definition
    return frozenset(f"{method.name}.{option}" for option in method.definition.packable)


def chooses(setting: Setting) -> bool:
    """Whether its method leaves options to be chosen on images that judge."""
    return setting.fits_features and setting.reads.validation


def choosing_remedy(setting: Setting) -> str:
    """What spares the method of a setting that `chooses` its choice: setting the options that it leaves open."""
    options = [f"{setting.method_name}.{option}" for option, value in setting.own if value is None]
    return f"set {' and '.join(options) or 'them'}"


def selection_of(setting: Setting, asked: SelectionRule, *, searched: bool) -> SelectionRule:
    """How a cell of a sweep is judged: not at all where nothing selects its setting and its method chooses nothing.

    Args:
        asked: the sweep's rule.
        searched: whether the setting is a candidate of a search, or what one selected.
    """
    if asked == "validation" or not setting.trains:
        return "validation"
    return asked if searched or chooses(setting) else "none"


def check_serves(
    setting: Setting, protocol: Protocol, shots: Sequence[int], selection: SelectionRule = "validation"
) -> None:
    """Refuse a protocol, shots or a selection that the method isn't made for, and prompts without any logits.

    Raises:
        UserError: naming the method and what it takes, or its options that don't serve the protocol.
    """
    if setting.learns_prompts:
        check_terms(setting)
    fewest = min(shots)
    if setting.trains and divides(selection) and fewest < 2:
        raise UserError(
            f"selection {selection}: 1 shot can't be divided, since nothing would be left to train on; give 2 shots or "
            "more, or selection: none with a fixed recipe"
        )
    if not setting.fits_features:
        return
    _check_choices(setting, selection, fewest)
    definition, name = setting.definition.definition, setting.definition.name
    if protocol not in definition.protocols:
        served = ", ".join(sorted(definition.protocols))
        raise UserError(f"{name}: can't be judged under protocol {protocol}, since it serves {served} alone")
    setting.definition.check(dict(setting.own), protocol)
    left = least_left(fewest, selection)
    if setting.data.features is None:
        check_rows(setting, max(1, setting.reads.views), left, within="" if left == fewest else selection)
    if fewest < definition.min_shots:
        raise UserError(
            f"{name}: needs at least {definition.min_shots} shots, found {fewest}; raise or leave out shots"
        )
    if left < definition.min_shots:
        raise UserError(
            f"{name}: needs at least {definition.min_shots} shots, and selection {selection} leaves {left} of "
            f"{fewest} to train on; raise shots, or choose another selection"
        )


def _check_choices(setting: Setting, selection: SelectionRule, fewest: int) -> None:
    """Refuse a method that chooses options where a selection shows it no images to choose by."""
    if not chooses(setting) or selection in ("validation", "support-holdout"):
        return
    other = "support-holdout" if fewest > 1 else "validation"  # a single shot can't be divided
    remedy = f"{choosing_remedy(setting)}, or choose selection: {other}"
    if selection == "none":
        raise UserError(f"{setting.definition.name}: chooses options by images, and selection none has none; {remedy}")
    raise UserError(
        f"{setting.definition.name}: chooses options on one set of images, and support-cv has several; {remedy}"
    )


def check_terms(setting: Setting) -> None:
    """Refuse prompts that no label trains, and prompts that classify by nothing.

    Raises:
        UserError: naming the weights, of which one must be above 0.
    """
    if not has_cross_entropy(setting):
        raise UserError(
            "alignment.global_weight and alignment.local_weight are 0 (null is 0 but on ImageNet), so no label enters "
            "the loss; raise one"
        )
    if not has_logits(setting):
        raise UserError(
            "inference.global_weight, inference.local_weight and inference.description_weight are 0 (null is 0 but on "
            "ImageNet), so there are no logits; raise one"
        )


def check_rows(setting: Setting, views: int, shots: int, within: str = "") -> None:
    """Refuse fewer rows of a class than the method needs.

    Args:
        views: of each image, each a row.
        shots: images of each class that are fitted to.
        within: the selection that leaves no more of them; empty where all shots are meant.

    Raises:
        UserError: naming the method and the number.
    """
    name, rows = setting.definition.name, setting.reads.rows
    if shots * views < rows:
        left = f"{shots}, which selection {within} leaves" if within else f"{shots}"
        raise UserError(
            f"{name}: needs {rows} rows of each class, and finds {shots * views} (images {left}, views of each "
            f"{views}); raise the shots, or leave it out"
        )


def pack_of(cell: Cell) -> str:
    """Cells with equal strings may train in the same steps: they differ in seed, weights and learning rate only.

    Cells that use local features or descriptions never share steps with cells that do not: a weight of zero would
    still pay for the others' forward pass.
    """
    return (
        f"{_shape(cell.setting)} {json.dumps([cell.dataset, cell.protocol, cell.shots, cell.targets, cell.selection])}"
    )


@lru_cache(maxsize=1024)
def _shape(setting: Setting) -> str:
    """The setting's part of `pack_of`; a trial asks for it once per cell."""
    packable = packable_keys(setting)
    active = {key: value for key, value in active_values(setting).items() if key not in packable}
    return json.dumps([active, setting.data.root, setting.data.features, setting.descriptions.bank], sort_keys=True)
