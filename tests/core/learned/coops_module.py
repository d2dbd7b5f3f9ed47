"""The prompt learners of CoOp and PLOT written down apart from ours, and their checkpoints."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpt.core.clip.backbone import Backbone

LENGTH = 4


class PromptLearner(nn.Module):
    """CoOp's (KaiyangZhou/CoOp@ff61507: trainers/coop.py), with the class name at the end; with several prompts PLOT's
    (CHENGY12/PLOT@728539f: plot-coop/trainers/plot.py), which repeats the classes for each prompt."""

    def __init__(
        self, backbone: Backbone, names: tuple[str, ...], class_specific: bool = False, n_prompts: int = 1
    ) -> None:
        super().__init__()
        texts = [" ".join(["X"] * LENGTH) + " " + name.replace("_", " ") + "." for name in names]
        tokenizer = backbone.tokenizer
        rows = [[tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts]
        positions = len(backbone.model.positional_embedding)
        self.tokens = torch.tensor([row + [0] * (positions - len(row)) for row in rows]).repeat(n_prompts, 1)
        self.n_prompts, self.n_classes = n_prompts, len(names)
        with torch.no_grad():
            embedding = backbone.model.token_embedding(self.tokens)
        shape = (len(names), LENGTH) if class_specific else (n_prompts, LENGTH) if n_prompts > 1 else (LENGTH,)
        generator = torch.Generator().manual_seed(3)
        self.ctx = nn.Parameter(torch.randn(*shape, embedding.shape[-1], generator=generator) * 0.1)
        self.register_buffer("token_prefix", embedding[:, :1])
        self.register_buffer("token_suffix", embedding[:, 1 + LENGTH :])

    def forward(self) -> Tensor:
        ctx = self.ctx if self.ctx.ndim == 3 else self.ctx.expand(len(self.tokens), -1, -1)
        if self.n_prompts > 1:
            ctx = self.ctx.repeat_interleave(self.n_classes, dim=0)
        return torch.cat([self.token_prefix, ctx, self.token_suffix], dim=1)  # type: ignore[list-item]


@torch.no_grad()
def text_features(backbone: Backbone, learner: PromptLearner) -> Tensor:
    """As the text encoder of both: all positions, and the feature at the end token."""
    model = backbone.model
    x = learner() + model.positional_embedding
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
    return x[torch.arange(len(x)), learner.tokens.argmax(dim=-1)] @ model.text_projection  # type: ignore[no-any-return]


@torch.no_grad()
def coops_logits(backbone: Backbone, learner: PromptLearner, images: Tensor) -> Tensor:
    """As CoOp's CustomCLIP: cosine times the scale."""
    text = text_features(backbone, learner)
    return backbone.model.logit_scale.exp() * images @ F.normalize(text, dim=-1).T  # type: ignore[no-any-return]


@torch.no_grad()
def plots_logits(
    backbone: Backbone,
    learner: PromptLearner,
    pooled: Tensor,
    patches: Tensor,
    *,
    sweeps: int,
    threshold: float,
    pooled_too: bool,
) -> Tensor:
    """PLOT's scores of images, image by image and class by class, from pooled (B, D) and local features (B, M, D).

    Args:
        sweeps: of Sinkhorn, at most.
        threshold: they end where the patches' scales change by less, on average over images and classes.
        pooled_too: whether the cosines of pooled features are added, as on ImageNet.
    """
    text = text_features(backbone, learner).double().view(learner.n_prompts, learner.n_classes, -1)
    prompts = F.normalize(text, dim=-1).transpose(0, 1)
    pairs = [(image.double(), own) for image in patches for own in prompts]
    similarities = [image @ own.T for image, own in pairs]
    kernels = [torch.exp(-(1 - similarity) / 0.1) for similarity in similarities]
    r = [torch.ones(len(kernel), dtype=torch.float64) for kernel in kernels]
    c = [torch.ones(kernel.shape[1], dtype=torch.float64) for kernel in kernels]
    for _ in range(sweeps):
        before = r
        r = [1 / len(kernel) / (kernel @ columns) for kernel, columns in zip(kernels, c, strict=True)]
        c = [1 / kernel.shape[1] / (kernel.T @ rows) for kernel, rows in zip(kernels, r, strict=True)]
        if torch.stack([(new - old).abs().mean() for new, old in zip(r, before, strict=True)]).mean() < threshold:
            break
    scores = [
        (rows[:, None] * kernel * columns * similarity).sum()
        for rows, kernel, columns, similarity in zip(r, kernels, c, similarities, strict=True)
    ]
    found = torch.stack(scores).view(len(patches), learner.n_classes)
    if pooled_too:
        found = found + pooled.double() @ F.normalize(F.normalize(text, dim=-1).mean(0), dim=-1).T
    return (backbone.model.logit_scale.double().exp() * found).float()  # type: ignore[no-any-return]


def saved(learner: PromptLearner, path: Path, *, half: bool = False, buffers: bool = True) -> Path:
    """As Dassl saves it."""
    state = {key: value.half() if half else value for key, value in learner.state_dict().items()}
    kept = {key: value for key, value in state.items() if buffers or key == "ctx"}
    torch.save({"state_dict": kept, "epoch": 50, "optimizer": None}, path)
    return path
