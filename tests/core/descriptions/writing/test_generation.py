"""A bank depends on the answers alone: not on kills, on what was asked for before, or on who answered first."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dualpt.core.descriptions.classes import DatasetClass
from dualpt.core.descriptions.writing.answers import open_answers
from dualpt.core.descriptions.writing.cleaning import Answer, Rules
from dualpt.core.descriptions.writing.generation import Generated, generate
from dualpt.core.descriptions.writing.questions import Question, Questionnaire
from dualpt.core.descriptions.writing.writers import Answered
from dualpt.core.errors import UserError

CLASSES = tuple(map(DatasetClass, ("marlet", "goby", "finch")))
TEMPLATES = ("What is {class}?", "How does {photo} look?")
RULES = Rules(context_length=77, count_tokens=lambda text: len(text.split()))
HEADER = {"llm": "scripted", "seed": 1, "date": "2026-01-02"}


class Scripted:
    """Answers by a function, in batches; may be killed after some batches, or answer backwards."""

    name, revision, endpoint = "scripted", None, None

    def __init__(
        self,
        say: Callable[[Question], str] = lambda question: f"It has {question.seed} dots.",
        batch: int = 2,
        killed_after: int = 10**9,
        backwards: bool = False,
    ) -> None:
        self._say, self._batch, self._left, self._backwards = say, batch, killed_after, backwards
        self.batches: list[list[tuple[int, int]]] = []

    def answers(self, questions: Sequence[Question]) -> Iterator[Answered]:
        ordered = list(reversed(questions)) if self._backwards else list(questions)
        for start in range(0, len(ordered), self._batch):
            if self._left == 0:
                raise KeyboardInterrupt
            self._left -= 1
            part = ordered[start : start + self._batch]
            self.batches.append([(question.label, question.number) for question in part])
            yield [(question, Answer(self._say(question), whole=True)) for question in part]


def run(path: Path, writer: Scripted, per_class: int = 3, tries: int = 12, **header: Any) -> Generated:
    questionnaire = Questionnaire(CLASSES, "a {}.", TEMPLATES, "any", 1)
    with open_answers(path, {**HEADER, **header}, restart=False) as file:
        return generate(CLASSES, questionnaire, writer, file, rules=RULES, per_class=per_class, tries=tries)


def texts(generated: Generated) -> list[list[str]]:
    return [found.texts for found in generated.classes]


def every_third_is_refused(question: Question) -> str:
    return "I'm sorry, I cannot." if question.number % 3 == 0 else f"It has {question.seed} dots."


def test_each_class_gets_k_descriptions(tmp_path: Path) -> None:
    generated = run(tmp_path / "a", Scripted())
    assert [len(found) for found in texts(generated)] == [3, 3, 3]
    assert [found.numbers for found in generated.classes] == [[0, 1, 2]] * 3
    assert generated.asked == 9


def test_what_is_rejected_is_asked_again(tmp_path: Path) -> None:
    generated = run(tmp_path / "a", Scripted(every_third_is_refused))
    assert [found.numbers for found in generated.classes] == [[1, 2, 4]] * 3
    assert generated.rejected == {"refusal": 6}


def test_duplicates_are_kept_once(tmp_path: Path) -> None:
    generated = run(tmp_path / "a", Scripted(lambda question: f"It has {question.number // 2} dots, or SO."))
    assert [found.numbers for found in generated.classes] == [[0, 2, 4]] * 3
    assert generated.rejected == {"duplicate": 6}


def test_the_limit_of_tries_leaves_classes_short(tmp_path: Path) -> None:
    generated = run(
        tmp_path / "a", Scripted(lambda question: "No." if question.label == 1 else "It has dots."), tries=5
    )
    assert generated.short(3) == [0, 1, 2]
    assert [len(found) for found in texts(generated)] == [1, 0, 1]
    assert generated.asked == 15


def test_progress_reaches_the_whole(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    questionnaire = Questionnaire(CLASSES, "a {}.", TEMPLATES, "any", 1)
    with open_answers(tmp_path / "a", HEADER, restart=False) as file:
        generate(
            CLASSES,
            questionnaire,
            Scripted(),
            file,
            rules=RULES,
            per_class=3,
            tries=3,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert seen[-1] == (9, 9)
    assert seen == sorted(seen)


@pytest.mark.parametrize("killed_after", [0, 1, 2, 5, 6, 7])
def test_a_killed_run_continues_in_the_same_batches(tmp_path: Path, killed_after: int) -> None:
    whole = Scripted(every_third_is_refused)
    expected = run(tmp_path / "whole", whole)
    killed = Scripted(every_third_is_refused, killed_after=killed_after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed)
    resumed = Scripted(every_third_is_refused)
    assert texts(run(tmp_path / "killed", resumed)) == texts(expected)
    assert killed.batches + resumed.batches == whole.batches


def test_a_line_that_was_cut_off_is_answered_again(tmp_path: Path) -> None:
    expected = run(tmp_path / "a", Scripted())
    whole = (tmp_path / "a").read_bytes()
    for cut in range(len(whole) - 60, len(whole)):
        (tmp_path / "b").write_bytes(whole[:cut])
        generated = run(tmp_path / "b", Scripted())
        assert texts(generated) == texts(expected)
        assert (tmp_path / "b").read_bytes() == whole


def test_the_order_of_answers_does_not_matter(tmp_path: Path) -> None:
    expected = texts(run(tmp_path / "a", Scripted(every_third_is_refused)))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", Scripted(every_third_is_refused, batch=1, backwards=True, killed_after=5))
    assert texts(run(tmp_path / "b", Scripted(every_third_is_refused, batch=4))) == expected


def test_a_finished_run_asks_nothing_and_more_per_class_use_what_is_there(tmp_path: Path) -> None:
    run(tmp_path / "a", Scripted())
    again = Scripted()
    assert run(tmp_path / "a", again).asked == 0
    assert again.batches == []
    more = run(tmp_path / "a", Scripted(), per_class=5)
    assert more.asked == 6
    assert texts(more) == texts(run(tmp_path / "b", Scripted(), per_class=5))


class TestFaults:
    def test_other_settings(self, tmp_path: Path) -> None:
        run(tmp_path / "a", Scripted())
        with pytest.raises(UserError, match=r"asked for with seed = 1, now 2; use another --out, or --restart"):
            run(tmp_path / "a", Scripted(), seed=2)
        run(tmp_path / "a", Scripted(), date="2027-01-01")  # the day is no setting

    def test_of_several_values_the_changed_one_is_named(self, tmp_path: Path) -> None:
        sampling = {"temperature": 0.7, "top_p": 0.95, "max_new_tokens": 96, "class_name": "any"}
        run(tmp_path / "a", Scripted(), sampling=sampling)
        with pytest.raises(UserError, match=r'asked for with class_name = "any", now "required"; use another --out'):
            run(tmp_path / "a", Scripted(), sampling={**sampling, "class_name": "required"})

    def test_a_file_without_answers_stands_in_nobodys_way(self, tmp_path: Path) -> None:
        with open_answers(tmp_path / "a", HEADER, restart=False) as file:
            file.begin_round([(0, 0)])  # and the server knew no such model
        with open_answers(tmp_path / "a", {**HEADER, "seed": 3}, restart=False) as file:
            assert (file.header["seed"], file.round) == (3, [])
        assert [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()] == [file.header]

    def test_two_runs_at_once(self, tmp_path: Path) -> None:
        with (
            open_answers(tmp_path / "a", HEADER, restart=False),
            pytest.raises(UserError, match="another run is writing answers there"),
            open_answers(tmp_path / "a", HEADER, restart=False),
        ):
            pass

    @pytest.mark.parametrize("damage", ["nonsense\n", '{"answers": [[1]]}\n', "[]\n"])
    def test_a_damaged_line(self, tmp_path: Path, damage: str) -> None:
        run(tmp_path / "a", Scripted())
        header, *rest = (tmp_path / "a").read_text().splitlines(keepends=True)
        (tmp_path / "a").write_text(header + damage + "".join(rest))
        with pytest.raises(UserError, match="line 2 is damaged; move the file away"):
            run(tmp_path / "a", Scripted())

    def test_restart_throws_answers_away(self, tmp_path: Path) -> None:
        run(tmp_path / "a", Scripted())
        with open_answers(tmp_path / "a", {**HEADER, "seed": 3}, restart=True) as file:
            assert file.answers == {}
        assert json.loads((tmp_path / "a").read_text())["seed"] == 3
