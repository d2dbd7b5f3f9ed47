"""A causal language model in this process, through `transformers`: from a local folder, or from the hub by name.

Shapes: B questions in a batch, T tokens, V vocabulary.
"""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils.import_utils import is_accelerate_available
from transformers.utils.logging import disable_progress_bar

from dualpt.core.clip.architectures import first_line
from dualpt.core.descriptions.writing.cleaning import Answer
from dualpt.core.descriptions.writing.questions import Question
from dualpt.core.descriptions.writing.writers import Answered
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256, fingerprint

WEIGHT_PATTERNS = ("*.safetensors", "*.json", "*.model")
"""Files of a local model that its revision is a hash of."""
HUB_SECONDS = 5.0
"""How long the hub may take to answer at all."""


class CausalLM:
    """Samples answers in batches, padded on the left; bfloat16 on a GPU, float32 on a CPU.

    Args:
        llm: a local folder as `save_pretrained` writes it, or a name on the hub, which is fetched where not cached.
        temperature: of sampling, above 0.
        top_p: smallest probability mass that is sampled from, in (0, 1].
        max_new_tokens: longest answer.
        batch_size: questions answered at once.
        device: a torch device; `auto` spreads the model over the GPUs where `accelerate` is installed, else takes one
            GPU where there is one.

    Raises:
        UserError: no such model, a model that needs its own code, or no such device.
    """

    endpoint: str | None = None

    def __init__(
        self,
        llm: str,
        *,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        batch_size: int,
        device: str = "auto",
    ) -> None:
        folder = _local_folder(llm)
        self._temperature, self._top_p = temperature, top_p
        self._max_new_tokens, self._batch_size = max_new_tokens, batch_size
        self._tokenizer, self._model = _load(llm, folder, device)
        self.name = folder.resolve().name if folder else llm
        self.revision = _folder_revision(folder) if folder else getattr(self._model.config, "_commit_hash", None)
        self._ends = _end_tokens(self._model, self._tokenizer)

    def answers(self, questions: Sequence[Question]) -> Iterator[Answered]:
        """See `Writer.answers`; a part is a batch."""
        for start in range(0, len(questions), self._batch_size):
            batch = questions[start : start + self._batch_size]
            yield list(zip(batch, self._answer(batch), strict=True))

    @torch.inference_mode()
    def _answer(self, batch: Sequence[Question]) -> list[Answer]:
        inputs = self._tokenizer(
            [self._prompt(question.text) for question in batch],
            return_tensors="pt",
            padding=True,
            add_special_tokens=not self._tokenizer.chat_template,  # chat templates write them out
        )
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        length = ids.shape[1]
        self._check_length(length)
        warpers = LogitsProcessorList([TemperatureLogitsWarper(self._temperature)])
        if self._top_p < 1:
            warpers.append(TopPLogitsWarper(self._top_p))
        warpers.append(SeededSampling([question.seed for question in batch], length))
        try:
            output = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                max_new_tokens=self._max_new_tokens,
                do_sample=False,  # `SeededSampling` has drawn, and leaves one token to choose from
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self._tokenizer.pad_token_id,
                logits_processor=warpers,
            )
        except torch.cuda.OutOfMemoryError:
            raise UserError(
                f"--batch-size: {self._batch_size} answers at once do not fit the GPU's memory; answers so far are "
                "kept, run again with a smaller one"
            ) from None
        return [self._read(row[length:].tolist()) for row in output]

    def _read(self, tokens: list[int]) -> Answer:
        """The answer in new tokens, up to the first end token."""
        ends = [place for place, token in enumerate(tokens) if token in self._ends]
        text = self._tokenizer.decode(tokens[: ends[0]] if ends else tokens, skip_special_tokens=True)
        if self._tokenizer.chat_template:
            return Answer(text, whole=bool(ends))
        line, newline, _ = text.strip().partition("\n")  # a base model goes on to write questions itself
        return Answer(line, whole=bool(ends or newline))

    def _prompt(self, question: str) -> str:
        if not self._tokenizer.chat_template:
            return f"Question: {question}\nAnswer:"
        message = [{"role": "user", "content": question}]
        prompt = self._tokenizer.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return str(prompt)

    def _check_length(self, prompt_length: int) -> None:
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and prompt_length + self._max_new_tokens > limit:
            raise UserError(
                f"--max-new-tokens: a question of {prompt_length} tokens and {self._max_new_tokens} new ones exceed "
                f"the model's {limit} positions; give fewer, or shorter templates"
            )


class SeededSampling(LogitsProcessor):
    """Samples each row by its own seed, and leaves only the sampled token.

    Inverse-CDF sampling with one uniform number for each (seed, step): who else is in the batch, on which device, and
    whether a run was resumed does not matter. The generator that `do_sample` draws from is shared by the batch.
    """

    def __init__(self, seeds: Sequence[int], prompt_length: int) -> None:
        self._seeds, self._prompt_length = seeds, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V), zero for the sampled token and -inf elsewhere."""
        step = input_ids.shape[1] - self._prompt_length
        uniform = torch.tensor([_uniform(seed, step) for seed in self._seeds], dtype=torch.float64)
        cumulative = scores.double().softmax(-1).cumsum(-1)
        threshold = uniform.to(scores.device)[:, None] * cumulative[:, -1:]  # the sum is not quite 1
        token = torch.searchsorted(cumulative, threshold, right=True).clamp_max(scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)


def _uniform(seed: int, step: int) -> float:
    """In [0, 1), with 53 bits."""
    digest = hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def _local_folder(llm: str) -> Path | None:
    """The folder that `--llm` names, or None for a name on the hub.

    Raises:
        UserError: a path without a model.
    """
    folder = Path(llm).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"--llm: {folder} has no config.json; give a folder as save_pretrained writes it")
        return folder
    if folder.exists() or llm.startswith(("/", "~", ".")) or llm.count("/") > 1:
        raise UserError(f"--llm: no folder '{llm}'; give a model's folder, or its name on the hub as owner/name")
    return None


def _load(llm: str, folder: Path | None, device: str) -> tuple[Any, Any]:
    """Tokenizer and model; never code from the model's folder, never a pickle."""
    local = folder is not None or not _must_be_fetched(llm)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": local}
    disable_progress_bar()  # it would break into the bar of whoever loads the model
    spread = device == "auto" and torch.cuda.is_available() and is_accelerate_available()
    try:
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        tokenizer = AutoTokenizer.from_pretrained(folder or llm, padding_side="left", **options)
        model = AutoModelForCausalLM.from_pretrained(
            folder or llm,
            dtype=torch.bfloat16 if place.type == "cuda" else torch.float32,
            use_safetensors=True,
            device_map="auto" if spread else None,
            **options,
        )
        model = model.eval() if spread else model.eval().to(str(place))
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        raise UserError(
            f"--llm: '{llm}' cannot be loaded on {device} ({first_line(error)}); give a causal LM with safetensors "
            "weights, in a folder or on the hub"
        ) from None
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(f"--llm: the tokenizer of '{llm}' has neither a padding nor an end token; add one to it")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model


def _must_be_fetched(llm: str) -> bool:
    """Whether the hub is to be asked for a model; False where it cannot be, and the cache has the model.

    Where the hub does not answer, `transformers` would go on trying for half a minute.

    Raises:
        UserError: the hub does not answer, and the model was never fetched.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        with urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError:  # an answer
        return True
    except (OSError, ValueError) as error:
        if isinstance(try_to_load_from_cache(llm, "config.json"), str):
            return False
        raise UserError(
            f"--llm: '{llm}' is neither a folder here nor in the hub's cache, and {constants.ENDPOINT} does not answer "
            f"({first_line(error)}); give a folder, or --endpoint"
        ) from None


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return {token for token in (*ends, tokenizer.eos_token_id) if token is not None}


def _folder_revision(folder: Path) -> str:
    """A hash of the model's files, so answers of two models are never mixed."""
    files = sorted(file for pattern in WEIGHT_PATTERNS for file in folder.glob(pattern))
    return f"sha256:{fingerprint({file.name: file_sha256(file) for file in files})}"
