"""Train the tiny CLIP on drawn images and made-up captions: `python -m dualpt.core.mini.pretrain --out FILE`.

Two stages of contrastive training. `global` is CLIP's own: every image against every caption of the batch. `local` adds
the same loss on the mean of the best-matching positions of the attention pool's value path, so positions keep
their own evidence. From the last third of the first stage on, half of the images are composites, one image pasted
small into another, and the caption speaks of either: what is said is then somewhere, not everywhere.

Shape legend: B batch, T tokens, D joint width, P image positions. On two cores it takes about half an hour.
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from dualpt.core.mini.attributes import KINDS
from dualpt.core.mini.clip import (
    CONTEXT_LENGTH,
    MINI_CLIP_MEAN,
    MINI_CLIP_STD,
    build_mini_clip,
    initial_token_table,
    load_mini_clip,
    save_mini_clip,
)
from dualpt.core.mini.language import vocabulary_texts, with_opening
from dualpt.core.mini.pretraining_set import PretrainingSet, load_or_render
from dualpt.core.mini.world import build_world

SEED = 0
IMAGE_SEED = 1000
N_IMAGE_CHUNKS = 64
BATCH_SIZE = 128
WEIGHT_DECAY = 0.1
MAX_LOGIT_SCALE = 100.0
LOCAL_POSITIONS = 4
"""Positions whose mean similarity is the local score."""
LOG_EVERY = 50
SAVE_EVERY = 250


@dataclass(frozen=True, kw_only=True)
class Stage:
    name: str
    n_steps: int
    peak_learning_rate: float
    n_warm_up: int
    composites_from: float
    """Fraction of the stage after which half of the images are composites."""
    local_weight: float
    """Weight of the local loss."""


STAGES: tuple[Stage, ...] = (
    Stage(name="global", n_steps=1250, peak_learning_rate=1e-3, n_warm_up=80, composites_from=0.71, local_weight=0.0),
    Stage(name="local", n_steps=310, peak_learning_rate=5e-4, n_warm_up=20, composites_from=0.0, local_weight=1.0),
)


class CaptionTokenizer:
    """CLIP's tokenizer, its ids renumbered to the few that captions use; a token outside them is a KeyError."""

    def __init__(self) -> None:
        self._tokenizer = SimpleTokenizer()
        texts = vocabulary_texts()
        texts += [thing.name for thing in build_world().named_things]
        texts += [f"{kind} {' '.join(values)}" for kind, parts in KINDS.items() for values in parts.values()]
        ids = {token for text in texts for token in self._tokenizer.encode(text)}
        self.rows = torch.tensor(sorted(ids | set(self._tokenizer.all_special_ids)))
        self._number = {int(row): number for number, row in enumerate(self.rows)}

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """(B, T) with T the longest caption; the end token has the highest number, as argmax pooling needs."""
        start, end = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        rows = [[start, *self._tokenizer.encode(text)[: CONTEXT_LENGTH - 2], end] for text in captions]
        tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = torch.tensor([self._number[token] for token in row])
        return tokens


def compose(
    guest: npt.NDArray[np.uint8], host: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The guest at half size somewhere in the host, (S, S, 3)."""
    half = guest.shape[0] // 2
    small = guest.reshape(half, 2, half, 2, 3).mean((1, 3)).astype(np.uint8)
    top, left = rng.integers(0, half + 1, 2)
    composite = host.copy()
    composite[top : top + half, left : left + half] = small
    return composite


def make_batch(
    data: PretrainingSet, indices: Sequence[int], composites: bool, rng: np.random.Generator
) -> tuple[Tensor, list[str]]:
    """Normalised images (B, 3, S, S) and a fresh caption for each."""
    images = data.images[indices]
    captions = [data.subjects[index].caption(rng) for index in indices]
    for place in range(len(indices) // 2 if composites else 0):
        other = int(rng.integers(len(data.subjects)))
        images[place] = compose(images[place], data.images[other], rng)
        spoken_of = rng.random()
        if spoken_of < 0.3:
            captions[place] = data.subjects[other].caption(rng)
        elif spoken_of < 0.5:
            captions[place] = f"{captions[place].rstrip('.')} and {data.subjects[other].caption_by_name(rng)}"
    pixels = normalise(images)
    if rng.random() < 0.5:
        pixels = pixels.flip(-1)
    return pixels, [with_opening(text, rng) for text in captions]


def normalise(images: npt.NDArray[np.uint8]) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 as the image tower wants it."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MINI_CLIP_MEAN, MINI_CLIP_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def encode_images(model: CLIP, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised global features (B, D) and value-path features of every position (B, P, D)."""
    visual = model.visual
    maps = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
    pool = visual.attnpool
    positions = maps.flatten(2).transpose(1, 2) + pool.positional_embedding[1:]
    local = pool.c_proj(pool.v_proj(positions))
    return F.normalize(pool(maps).float(), dim=-1), F.normalize(local.float(), dim=-1)


def encode_texts(model: CLIP, tokens: Tensor) -> Tensor:
    """Normalised text features (B, D).

    Causal attention makes what follows the end token irrelevant, so captions go through the tower in four groups of
    similar length, each cut to its longest.
    """
    lengths = tokens.argmax(-1) + 1
    order = lengths.argsort()
    features = [encode_truncated(model, tokens[group, : int(lengths[group[-1]])]) for group in order.chunk(4)]
    return torch.cat(features)[order.argsort()]


def encode_truncated(model: CLIP, tokens: Tensor) -> Tensor:
    """Normalised text features of tokens cut to the longest text, (B, T) to (B, D)."""
    n_tokens = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:n_tokens]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:n_tokens, :n_tokens]))
    pooled = x[torch.arange(len(tokens)), tokens.argmax(-1)] @ model.text_projection
    return F.normalize(pooled.float(), dim=-1)


def contrastive_loss(similarity: Tensor) -> Tensor:
    """CLIP's loss on scaled similarities of images and captions, (B, B) to a scalar."""
    target = torch.arange(len(similarity))
    return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2


def batch_loss(model: CLIP, pixels: Tensor, tokens: Tensor, local_weight: float) -> tuple[Tensor, float]:
    """The loss of a batch, and how often an image finds its own caption."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image_features, local_features = encode_images(model, pixels)
        text_features = encode_texts(model, tokens)
    scale = model.logit_scale.exp()
    similarity = scale * image_features @ text_features.T
    loss = contrastive_loss(similarity)
    if local_weight:
        by_position = torch.einsum("ipd,td->itp", local_features, text_features)  # (B, B, P)
        local_similarity = scale * by_position.topk(LOCAL_POSITIONS, dim=-1).values.mean(-1)
        loss = loss + local_weight * contrastive_loss(local_similarity)
    accuracy = (similarity.argmax(1) == torch.arange(len(tokens))).float().mean().item()
    return loss, accuracy


def make_optimiser(model: CLIP, learning_rate: float) -> torch.optim.AdamW:
    """AdamW without weight decay on embeddings, gains and biases: decay would move tokens that no caption uses."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decayed if parameter.ndim >= 2 and "embedding" not in name else spared).append(parameter)
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": spared, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)


def learning_rate_at(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / stage.n_steps)) + 0.01
    return stage.peak_learning_rate * min(1.0, (step + 1) / stage.n_warm_up) * cosine


def index_batches(n_images: int, rng: np.random.Generator) -> "npt.NDArray[np.int64]":
    """One epoch of shuffled indices, (n_batches, B)."""
    n_batches = n_images // BATCH_SIZE
    return rng.permutation(n_images)[: n_batches * BATCH_SIZE].reshape(n_batches, BATCH_SIZE)


def train_stage(
    stage: Stage, model: CLIP, tokenizer: CaptionTokenizer, data: PretrainingSet, rng: np.random.Generator, out: Path
) -> None:
    """Train `model`, whose token table holds the tokenizer's rows only, and write it to `out` now and then."""
    optimiser = make_optimiser(model, stage.peak_learning_rate)
    started, losses, accuracies = time.monotonic(), [], []
    batches = iter(index_batches(len(data.subjects), rng))
    model.train()
    for step in range(stage.n_steps):
        indices = next(batches, None)
        if indices is None:
            batches = iter(index_batches(len(data.subjects), rng))
            indices = next(batches)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(stage, step)
        composites = step >= stage.composites_from * stage.n_steps
        pixels, captions = make_batch(data, indices.tolist(), composites, rng)
        loss, accuracy = batch_loss(model, pixels, tokenizer(captions), stage.local_weight)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(MAX_LOGIT_SCALE))
        losses.append(loss.item())
        accuracies.append(accuracy)
        if (step + 1) % LOG_EVERY == 0:
            print(
                f"{stage.name} {step + 1}/{stage.n_steps} loss {np.mean(losses[-LOG_EVERY:]):.3f} "
                f"accuracy {np.mean(accuracies[-LOG_EVERY:]):.3f} scale {model.logit_scale.exp().item():.1f} "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == stage.n_steps:
            save_mini_clip(with_full_table(model, tokenizer), tokenizer.rows, out, provenance(stage, step + 1))


def with_trimmed_table(model: CLIP, tokenizer: CaptionTokenizer) -> CLIP:
    """The model with a token table of the tokenizer's rows only: a step over all 49408 rows would waste time."""
    weight = model.token_embedding.weight.detach()[tokenizer.rows]
    model.token_embedding = nn.Embedding.from_pretrained(weight.clone(), freeze=False)
    return model


def with_full_table(model: CLIP, tokenizer: CaptionTokenizer) -> CLIP:
    """A copy of the model with the full vocabulary: trained rows where there are any, seeded rows elsewhere."""
    table = initial_token_table()
    table[tokenizer.rows] = model.token_embedding.weight.detach()
    full = build_mini_clip()
    full.load_state_dict({**model.state_dict(), "token_embedding.weight": table})
    return full


def provenance(stage: Stage, n_steps: int) -> dict[str, str]:
    """What the weight file tells about its making."""
    return {
        "trained_by": "python -m dualpt.core.mini.pretrain",
        "progress": f"stage {stage.name}, step {n_steps} of {stage.n_steps}",
        "stages": ", ".join(f"{s.name}: {s.n_steps} steps, peak learning rate {s.peak_learning_rate}" for s in STAGES),
        "batch_size": str(BATCH_SIZE),
        "seed": str(SEED),
        "versions": f"torch {torch.__version__}, open_clip {open_clip.__version__}, numpy {np.__version__}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="weight file to write")
    parser.add_argument("--images", type=Path, required=True, help="folder that keeps the rendered training images")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--resume-from", type=Path, help="weights after the global stage: train the local stage only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    tokenizer = CaptionTokenizer()
    data = load_or_render(arguments.images, N_IMAGE_CHUNKS, IMAGE_SEED)
    start = load_mini_clip(arguments.resume_from).requires_grad_(True) if arguments.resume_from else build_mini_clip()
    model = with_trimmed_table(start, tokenizer)
    model.visual.to(memory_format=torch.channels_last)
    for number, stage in enumerate(STAGES):
        if stage.name == "global" and arguments.resume_from:
            continue
        train_stage(stage, model, tokenizer, data, np.random.default_rng([SEED, number]), arguments.out)


if __name__ == "__main__":
    main()
