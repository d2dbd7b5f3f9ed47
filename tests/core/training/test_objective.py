"""The presets' losses against the published steps, written down as their authors' code has them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.arrays import ImageFeatures
from dualpt.core.config.activity import active_values, sums_logits
from dualpt.core.config.setting import Setting
from dualpt.core.learned.scorers import llm_alignment, local_scorer
from dualpt.core.presets import method_setting
from dualpt.core.recipes import global_weight_on
from dualpt.core.training.evaluate import evaluate
from dualpt.core.training.objective import Objective, Target

R, B, C, N, P, D = 2, 5, 3, 4, 7, 16
SCALE = 30.0
SWEEPS = 400
"""Of both, where the published code stops by an error that is averaged over the batch."""


def unit(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


PROMPTS, IMAGES, PATCHES = unit(R, C, N, D, seed=1), unit(R, B, D, seed=2), unit(R, B, P, D, seed=3)
LABELS = torch.tensor([[0, 2, 1, 1, 0], [2, 2, 0, 1, 1]])


def published_plot_logits(image: Tensor, patches: Tensor, text: Tensor, dataset: str) -> Tensor:
    """Logits (B, C) of CHENGY12/PLOT@728539f, plot-coop/trainers/plot.py, `CustomCLIP.forward`.

    Args:
        image: `image_feature_pool` (B, D).
        patches: `image_features` (M, B, D).
        text: `text_features` (N, C, D), which are unit vectors here, so that their mean is that of normalised ones.
    """
    text_pool = F.normalize(text.mean(dim=0), dim=1)
    sim = torch.einsum("mbd,ncd->mnbc", patches, text).reshape(P, N, B * C).permute(2, 0, 1)
    with torch.no_grad():
        kernel = torch.exp(-(1.0 - sim) / 0.1)
        rows, columns = sim.new_full((B * C, P), 1.0 / P), sim.new_full((B * C, N), 1.0 / N)
        c = torch.ones_like(columns)
        for _ in range(SWEEPS):
            r = rows / torch.matmul(kernel, c.unsqueeze(-1)).squeeze(-1)
            c = columns / torch.matmul(kernel.permute(0, 2, 1), r.unsqueeze(-1)).squeeze(-1)
        plan = torch.matmul(r.unsqueeze(-1), c.unsqueeze(-2)) * kernel
    logits2 = SCALE * torch.sum(plan * sim, dim=(1, 2)).reshape(B, C)
    return logits2 + SCALE * image @ text_pool.t() if dataset == "ImageNet" else logits2


def published(prompts: Tensor, replica: int, dataset: str) -> Tensor:
    patches, text = PATCHES[replica].permute(1, 0, 2), prompts[replica].permute(1, 0, 2)
    return published_plot_logits(IMAGES[replica], patches, text, dataset)


def plot() -> Setting:
    return method_setting("plot").with_values({"alignment.ot_iterations": SWEEPS})


def objective(setting: Setting, dataset: str, target: Target | None = None) -> Objective:
    alignment = setting.alignment
    every = torch.ones(R, dtype=torch.float64)
    return Objective(
        scale=SCALE,
        global_weight=global_weight_on(dataset, alignment.global_weight) * every,
        cross_entropy="summed" if sums_logits(setting) else "separate",
        local_weight=alignment.local_weight * every,
        local_scorer=local_scorer(alignment),
        llm_weight=alignment.llm_weight * every,
        llm=llm_alignment(alignment),
        target=target,
    )


@pytest.mark.parametrize("dataset", ["OxfordPets", "ImageNet", "mini-pets"])
def test_plot_steps_as_published(dataset: str) -> None:
    ours, theirs = PROMPTS.clone().requires_grad_(), PROMPTS.clone().requires_grad_()
    losses = objective(plot(), dataset)(ours, IMAGES, PATCHES, LABELS)
    expected = torch.stack([F.cross_entropy(published(theirs, r, dataset), LABELS[r]) for r in range(R)])
    assert losses.tolist() == pytest.approx(expected.tolist(), abs=1e-9)
    (gradient,) = torch.autograd.grad(losses.sum(), ours)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), theirs)[0], atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("dataset", ["OxfordPets", "ImageNet"])
def test_plot_classifies_as_published(dataset: str) -> None:
    setting = plot()
    every = torch.ones(1, dtype=torch.float64)
    for r in range(R):
        (found,) = evaluate(
            ImageFeatures(IMAGES[r], PATCHES[r], LABELS[r]),
            PROMPTS[r : r + 1],
            scale=SCALE,
            global_weight=global_weight_on(dataset, setting.inference.global_weight) * every,
            local_weight=setting.inference.local_weight * every,
            local_scorer=local_scorer(setting.alignment),
            description_weight=0 * every,
            mean_descriptions=None,
        )
        logits = published(PROMPTS, r, dataset)
        assert torch.equal(found.predictions, logits.argmax(-1))
        assert found.negative_log_likelihood == pytest.approx(F.cross_entropy(logits, LABELS[r]).item(), rel=1e-5)


def test_kgcoop_steps_as_published() -> None:
    """htyao89/KgCoOp@c43ccc3, trainers/kgcoop.py: `CustomCLIP.forward` and `forward_backward`."""
    setting, template = method_setting("kgcoop"), unit(C, D, seed=5)
    ours, theirs = (PROMPTS[:, :, :1].clone().requires_grad_() for _ in range(2))
    losses = objective(setting, "OxfordPets", Target(template[:, None], torch.ones(C, 1, dtype=torch.bool)))(
        ours, IMAGES, None, LABELS
    )
    expected = []
    for r in range(R):
        text_features = theirs[r, :, 0] / theirs[r, :, 0].norm(dim=-1, keepdim=True)
        score = 1.0 - torch.mean(torch.nn.CosineSimilarity(dim=1, eps=1e-7)(text_features, template))
        expected.append(F.cross_entropy(SCALE * IMAGES[r] @ text_features.t(), LABELS[r]) + 8.0 * score)
    assert losses.tolist() == pytest.approx([loss.item() for loss in expected], abs=1e-9)
    (gradient,) = torch.autograd.grad(losses.sum(), ours)
    torch.testing.assert_close(gradient, torch.autograd.grad(sum(expected), theirs)[0], atol=1e-9, rtol=1e-7)  # type: ignore[arg-type]


def test_plot_reads_ordinary_tokens_and_plot_global_is_what_plot_was() -> None:
    assert method_setting("plot").backbone.local_features == "tokens"
    former = active_values(method_setting("plot-global"))
    assert former["backbone.local_features"] == "value"
    assert not {"alignment.global_weight", "alignment.cross_entropy", "inference.global_weight"} & former.keys()


def test_weights_of_global_logits_are_each_replicas_own() -> None:
    weights = torch.tensor([0.0, 2.0], dtype=torch.float64)
    for form in ("separate", "summed"):

        def of(rows: slice, form: str = form) -> Tensor:
            made = Objective(
                scale=SCALE,
                global_weight=weights[rows],
                cross_entropy=form,  # type: ignore[arg-type]
                local_weight=torch.ones_like(weights[rows]),
                local_scorer=local_scorer(plot().alignment),
                llm_weight=torch.zeros_like(weights[rows]),
                llm=llm_alignment(plot().alignment),
                target=None,
            )
            return made(PROMPTS[rows], IMAGES[rows], PATCHES[rows], LABELS[rows])

        both = of(slice(0, 2))
        assert both.tolist() == pytest.approx([*of(slice(0, 1)).tolist(), *of(slice(1, 2)).tolist()], abs=1e-12)
