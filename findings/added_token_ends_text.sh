#!/usr/bin/env bash
# One would guess: a pseudo-word added to CLIP's vocabulary (tokenizer with one token more, embedding with one row more, the way of
#   textual inversion) is a word like any other: a prompt's feature is read where the text ends, after all words.
# What happens: open_clip reads it at the LARGEST token id. The end has been the largest of 49,408, and an added token is larger: the
#   text ends at the pseudo-word. As attention looks back only, nothing after it has any effect: "a photo of a <toy>" and
#   "a photo of a <toy> in the snow, at night" are one feature, bit for bit, and what is learned after the word has a gradient of
#   exactly 0. transformers does the same if the configuration says eos_token_id 2, as those of OpenAI's checkpoints were
#   published; with 49407, its default today, the same call reads at the end.
# Why it matters: for learned class words, a suffix ("a type of flower", a learned context behind the class) does something in one
#   library and nothing in the other, and an ablation of it finds that it is of no use. Nothing warns. transformers was
#   reported in 2023 and mended for other ids than 2, says a comment in its source; of open_clip no report was found. Remedy:
#   "pool_type": "eos" and "eos_id": 49407 in text_cfg; none of the 94 configurations with CLIP's vocabulary has that.
# Versions: open_clip_torch 3.3.0, transformers 5.24.0, torch 2.13.0, CPU build (Python 3.11). Weights are random, two layers.
# Seen, cosine of the two prompts and gradient of what stands behind the word: open_clip 1 (equal) and 0; with pool_type "eos"
#   0.691 and 82; transformers with eos_token_id 2: 1 (equal) and 0, with 49407: 0.772 and 67. With "toy", a word of the old
#   vocabulary, all four differ: 0.696 in open_clip, 0.781 in transformers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.4.6 ftfy==6.3.1 regex==2026.11.19
"$work/venv/bin/pip" install --quiet --no-deps open_clip_torch==3.3.0
cat > "$work/check.py" <<'PY'
import sys
import warnings
from unittest.mock import MagicMock

import torch
from torch.nn.functional import cosine_similarity
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

warnings.simplefilter("ignore")
for name in ("", ".ops", ".ops.misc", ".transforms", ".transforms.functional"):  # for images, of which there are none here
    sys.modules[f"torchvision{name}"] = MagicMock()
sys.modules["timm"] = MagicMock()
import open_clip
from open_clip.model import CLIP

START, END, ADDED = 49406, 49407, 49408
tokenizer = open_clip.get_tokenizer("ViT-B-32")


def words(text):
    return [token for token in tokenizer([text])[0].tolist() if 0 < token < START]


def prompt(word, suffix):
    tokens = [START, *words("a photo of a"), word, *words(suffix), END]
    return torch.tensor([tokens + [0] * (77 - len(tokens))]), tokens.index(word)


def ours(pool):
    text = {"vocab_size": ADDED + 1, "width": 64, "heads": 2, "layers": 2, "pool_type": pool, "eos_id": END}
    model = CLIP(64, {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32}, text)
    return model.eval().encode_text, model.token_embedding


def theirs(end):
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 64}
    model = CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=ADDED + 1, eos_token_id=end, **sizes)).eval()
    return lambda tokens: model(input_ids=tokens).text_embeds, model.get_input_embeddings()


def compare(encode, embedding, word):
    """Cosine of the prompts with a short and a long suffix, and the gradient of what stands behind the word."""
    captured = []

    def keep(module, arguments, output):
        output.retain_grad()
        captured.append(output)

    handle = embedding.register_forward_hook(keep)
    (short, _), (long, place) = prompt(word, ""), prompt(word, "in the snow, at night")
    one, other = encode(short), encode(long)
    other.square().sum().backward()
    handle.remove()
    behind = captured[1].grad[0, place + 1 :].abs().max()
    return torch.equal(one, other), float(cosine_similarity(one, other)), float(behind)


assert open_clip.__version__ == "3.3.0" and words("toy") == [5988]
for said, make, argument, cut in (
    ("open_clip", ours, "argmax", True),
    ("open_clip, eos", ours, "eos", False),
    ("transformers, 2", theirs, 2, True),
    ("transformers, 49407", theirs, END, False),
):
    for word in (ADDED, *words("toy")):
        torch.manual_seed(0)
        equal, cosine, gradient = compare(*make(argument), word)
        print(f"{said:20s} word {word}: equal {equal}, cosine {cosine:.3f}, gradient behind it {gradient:.2g}")
        expected = cut and word == ADDED
        assert equal == expected and (gradient == 0) == expected
default = open_clip.model.CLIPTextCfg()
print("defaults:", default.pool_type, CLIPTextConfig().eos_token_id)
assert default.pool_type == "argmax" and CLIPTextConfig().eos_token_id == END
texts = [open_clip.get_model_config(name)["text_cfg"] for name in open_clip.list_models()]
pools = [text.get("pool_type", "argmax") for text in texts if text.get("vocab_size") == ADDED]
print(f"{len(pools)} configurations have CLIP's vocabulary; they read at {set(pools)}")
assert set(pools) == {"argmax"}
PY
"$work/venv/bin/python" "$work/check.py"
