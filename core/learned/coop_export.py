"""Learned prompts as a checkpoint that the code of CoOp, KgCoOp or PLOT loads.

Dassl's format, `prompt_learner/model.pth.tar-<epoch>`: a torch file of `state_dict` (`ctx`, and the token embeddings
before and behind it), `epoch`, `optimizer` and `scheduler`. The code drops `token_prefix` and `token_suffix` when it
loads (KaiyangZhou/CoOp at 1e5ec09, `trainers/coop.py`) and makes them from its own classes; they are written, as it
writes them, because they say which classes, and in which order, the prompts were learned for.

Shapes: C classes, N prompts per class, L context tokens, W text width.
"""

import io
from typing import Any, Literal

import torch
from torch import Tensor

from dualpt.core.config.setting import Setting
from dualpt.core.data.sampling import n_base_classes
from dualpt.core.errors import UserError
from dualpt.core.learned.coop_checkpoint import PLOT, tokens_behind
from dualpt.core.learned.image_classifier import open_backbone
from dualpt.core.learned.prompts import LearnedPrompts
from dualpt.core.presets import method_setting
from dualpt.core.prompts.contexts_file import BEFORE_KEY, BEHIND_KEY, COOP_KEY
from dualpt.core.recipes import global_weight_on, resolve_recipe

Trainer = Literal["CoOp", "PLOT"]
"""Whose code classifies by these prompts as we do; KgCoOp's classifies as CoOp's."""
PLOT_KEYS = (
    "backbone.local_features",
    "alignment.local_form",
    "alignment.ot_marginals",
    "alignment.ot_epsilon",
    "inference.local_weight",
    "prompt.class_token_position",
    "prompt.class_specific",
)
"""What has to be as in the preset `plot` for PLOT's code to classify alike."""


def trainer_of(prompts: LearnedPrompts) -> Trainer:
    """Whose code gives the same logits.

    Raises:
        UserError: nobody's; the line names what only we have.
    """
    setting, test = prompts.cell.setting, prompts.cell.setting.inference
    weight = global_weight_on(prompts.cell.dataset, test.global_weight)
    if test.description_weight:
        raise _ours_alone(setting, "inference.description_weight")
    if not test.local_weight:
        if setting.prompt.n_prompts > 1:
            raise _ours_alone(setting, "prompt.n_prompts")
        if weight != 1:
            raise _ours_alone(setting, "inference.global_weight")
        return "CoOp"
    plot = method_setting(PLOT).flat()
    if other := next((key for key in PLOT_KEYS if setting.flat()[key] != plot[key]), None):
        raise _ours_alone(setting, other)
    if weight != global_weight_on(prompts.cell.dataset, None):
        raise _ours_alone(setting, "inference.global_weight")
    return "PLOT"


def _ours_alone(setting: Setting, key: str) -> UserError:
    return UserError(
        f"{key}={setting.flat()[key]}: the code of CoOp and PLOT doesn't classify that way; name a cell of coop or plot"
    )


def epochs_of(prompts: LearnedPrompts) -> int:
    """Epochs that the prompts were trained for, by which the file is called."""
    cell, optim = prompts.cell, prompts.cell.setting.optim
    recipe = resolve_recipe(
        optim.recipe,
        dataset=cell.dataset,
        shots=cell.shots,
        n_images=cell.shots * len(_classes(prompts)),
        epochs=optim.epochs,
        batch_size=optim.batch_size,
        epoch_scale=optim.epoch_scale,
    )
    return recipe.epochs


def checkpoint_file(prompts: LearnedPrompts) -> bytes:
    """The content of the file.

    Raises:
        UserError: prompts that neither code classifies by as we do, or a backbone that is missing or has other weights.
    """
    trainer_of(prompts)
    content = {"state_dict": _state(prompts), "epoch": epochs_of(prompts), "optimizer": None, "scheduler": None}
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@torch.no_grad()
def _state(prompts: LearnedPrompts) -> dict[str, Tensor]:
    """`ctx` as (L, W), (C, L, W) where class-specific, or PLOT's (N, L, W), and what stands before and behind it."""
    section = prompts.cell.setting.backbone
    backbone = open_backbone(section, prompts.weights, "the prompts were", "cpu")
    tower = backbone.text
    contexts, names = prompts.contexts.float().cpu(), _classes(prompts)
    plot = trainer_of(prompts) == "PLOT"
    repeats = len(contexts) if plot else 1
    length = contexts.shape[-2]
    behind = torch.stack([tower.embed(tokens_behind(tower, name, length)) for name in names]).repeat(repeats, 1, 1)
    before = tower.embed(torch.tensor([tower.start_token])).expand(len(behind), 1, -1)
    return {
        COOP_KEY: (contexts if plot else contexts.squeeze(-3)).clone(),
        BEFORE_KEY: before.float().cpu().clone(),
        BEHIND_KEY: behind.float().cpu().clone(),
    }


def _classes(prompts: LearnedPrompts) -> tuple[str, ...]:
    """The classes that were trained on."""
    names = prompts.class_names
    return names[: n_base_classes(len(names))] if prompts.cell.protocol == "base-to-new" else names


def loading_options(prompts: LearnedPrompts) -> dict[str, Any]:
    """Keys of that code's configuration which have to say what the prompts are."""
    prompt, trainer = prompts.cell.setting.prompt, trainer_of(prompts)
    options: dict[str, Any] = {
        "TRAINER.COOP.N_CTX": prompt.context_length,
        "TRAINER.COOP.CSC": prompt.class_specific,
        "TRAINER.COOP.CLASS_TOKEN_POSITION": prompt.class_token_position,
    }
    if prompts.cell.protocol == "base-to-new":
        options["DATASET.SUBSAMPLE_CLASSES"] = "base"
    return {**options, "MODEL.N": prompt.n_prompts} if trainer == "PLOT" else options
