"""A real causal LM in small: each answer follows its own seed, whoever else is in the batch."""

from pathlib import Path

import pytest
import torch

from dualpt.core.descriptions.writing.causal_lm import CausalLM, SeededSampling
from dualpt.core.descriptions.writing.cleaning import Answer
from dualpt.core.descriptions.writing.questions import Question
from dualpt.core.errors import UserError
from tests.tiny_llm import save_tiny_llm

QUESTIONS = [
    Question(0, number, 0, f"What does {'a very ' * number}striped marlet look like?", seed=100 + number)
    for number in range(5)
]


def load(folder: Path | str, batch_size: int = 2, **changes: object) -> CausalLM:
    options = {"temperature": 0.9, "top_p": 0.95, "max_new_tokens": 12, "device": "cpu"}
    return CausalLM(str(folder), batch_size=batch_size, **{**options, **changes})  # type: ignore[arg-type]


def said(model: CausalLM, questions: list[Question] = QUESTIONS) -> dict[int, Answer]:
    return {question.number: answer for part in model.answers(questions) for question, answer in part}


@pytest.fixture(scope="module")
def answers(tiny_llm: Path) -> dict[int, Answer]:
    return said(load(tiny_llm))


def test_answers_come_in_batches(tiny_llm: Path) -> None:
    assert [len(part) for part in load(tiny_llm).answers(QUESTIONS)] == [2, 2, 1]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_does_not_matter(tiny_llm: Path, answers: dict[int, Answer], batch_size: int) -> None:
    """Also left padding: questions are of different lengths."""
    assert said(load(tiny_llm, batch_size)) == answers


def test_the_order_does_not_matter(tiny_llm: Path, answers: dict[int, Answer]) -> None:
    assert said(load(tiny_llm), QUESTIONS[::-1]) == answers


def test_the_seed_does(tiny_llm: Path, answers: dict[int, Answer]) -> None:
    reseeded = Question(0, 0, 0, QUESTIONS[0].text, seed=7)
    assert said(load(tiny_llm), [reseeded])[0] != answers[0]
    assert len({answer.text for answer in answers.values()}) == len(answers)


@pytest.mark.parametrize("change", [{"temperature": 3.0}, {"top_p": 0.2}, {"max_new_tokens": 40}])
def test_so_does_sampling(tiny_llm: Path, answers: dict[int, Answer], change: dict[str, float]) -> None:
    assert said(load(tiny_llm, **change)) != answers


def test_whether_an_answer_ended_by_itself(tiny_llm: Path) -> None:
    longer = said(load(tiny_llm, max_new_tokens=200))
    shorter = said(load(tiny_llm, max_new_tokens=5))
    assert all(answer.whole for answer in longer.values())
    for number, answer in shorter.items():
        assert longer[number].text.startswith(answer.text)
        assert answer.whole == (longer[number].text == answer.text)


def test_a_plain_model_answers_a_line(tmp_path: Path) -> None:
    model = load(save_tiny_llm(tmp_path / "plain", chat=False, words=False), 5, max_new_tokens=300, temperature=2.0)
    found = said(model)
    assert all("\n" not in answer.text for answer in found.values())
    assert any(answer.whole for answer in found.values())


def test_provenance_of_a_folder(tiny_llm: Path, tmp_path: Path) -> None:
    model = load(tiny_llm)
    assert (model.name, model.endpoint) == ("tiny-llm", None)
    other = load(save_tiny_llm(tmp_path / "tiny-llm", seed=1))
    assert model.revision is not None
    assert model.revision.startswith("sha256:")
    assert model.revision != other.revision


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([2.0, 0.0, -torch.inf, 1.0])
    sampler = SeededSampling(range(4000), prompt_length=3)
    chosen = sampler(torch.zeros(4000, 5), logits.expand(4000, 4))
    assert ((chosen == 0).sum(1) == 1).all()
    shares = (chosen == 0).double().mean(0)
    expected = logits.softmax(0).double()
    assert shares[2] == 0
    assert torch.allclose(shares, expected, atol=4 * 0.5 / 4000**0.5)  # four standard errors


class TestFaults:
    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"--llm: no folder '.*nowhere'; give a model's folder"):
            load(tmp_path / "nowhere")

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"has no config\.json"):
            load(tmp_path)

    def test_a_hub_name_that_cannot_be_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match="--llm: 'dualpt-nobody/no-such-model' cannot be loaded"):
            load("dualpt-nobody/no-such-model")

    def test_a_hub_that_does_not_answer_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(
            UserError, match=r"neither a folder here nor in the hub's cache, and http://127.0.0.1:9 does"
        ):
            load("dualpt-nobody/no-such-model")

    def test_damaged_weights(self, tmp_path: Path) -> None:
        folder = save_tiny_llm(tmp_path / "llm")
        (folder / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(UserError, match="cannot be loaded"):
            load(folder)

    def test_weights_as_a_pickle(self, tmp_path: Path) -> None:
        folder = save_tiny_llm(tmp_path / "llm")
        (folder / "model.safetensors").unlink()
        torch.save({}, folder / "pytorch_model.bin")
        with pytest.raises(UserError, match="give a causal LM with safetensors weights"):
            load(folder)

    def test_no_such_device(self, tiny_llm: Path) -> None:
        with pytest.raises(UserError, match="cannot be loaded on gpu"):
            load(tiny_llm, device="gpu")

    def test_more_than_the_model_has_positions_for(self, tmp_path: Path) -> None:
        model = load(save_tiny_llm(tmp_path / "llm", positions=64))
        with pytest.raises(UserError, match=r"--max-new-tokens: .* exceed the model's 64 positions"):
            said(model)
