"""By which images settings are selected, and methods choose their own options.

- `validation`: the few-shot validation set, up to 4 images per class beside the shots, as CoOp draws it.
- `support-holdout`: one shot per class is held out of the support set; what is judged is fitted without it, and what is
  tested is fitted again with all shots.
- `support-cv`: the same with folds of the support set, each held out once.
- `none`: nothing is selected, so the recipe has to be fixed.
"""

from typing import Literal

SelectionRule = Literal["validation", "support-holdout", "support-cv", "none"]

IN_WORDS: dict[str, str] = {
    "validation": "validation: up to 4 validation images per class beside the shots, no more than there are shots",
    "support-holdout": "support-holdout: one shot per class held out to judge by, all shots used for what is tested",
    "support-cv": "support-cv: folds of the shots held out in turn to judge by, all shots used for what is tested",
    "none": "none: one fixed recipe, nothing is selected",
}
"""What a reader of results must know of each rule."""
MOST_FOLDS = 4
"""Of a support set that is divided for cross-validation."""


def least_left(shots: int, rule: SelectionRule) -> int:
    """Images per class that are left to train on while the others judge."""
    match rule:
        case "validation" | "none":
            return shots
        case "support-holdout":
            return shots - 1
        case "support-cv":
            return shots - -(-shots // min(MOST_FOLDS, shots))


def divides(rule: SelectionRule) -> bool:
    """Whether the support set itself is divided."""
    return rule in ("support-holdout", "support-cv")
