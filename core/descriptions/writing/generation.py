"""Writes a bank: asks until each class has K clean, distinct descriptions, or its limit of questions is reached.

A class's descriptions are the first K good answers in the order of its questions. So the bank depends on the answers
alone: not on how often the work was killed, nor on whether fewer were asked for before.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dualpt.core.descriptions.bank import Bank, BankClass, Provenance, make_bank
from dualpt.core.descriptions.classes import DatasetClass
from dualpt.core.descriptions.names import display_name
from dualpt.core.descriptions.writing.answers import AnswerFile, Place
from dualpt.core.descriptions.writing.cleaning import Answer, Cleaned, Reason, Rules, clean, sentence_key
from dualpt.core.descriptions.writing.questions import Questionnaire
from dualpt.core.descriptions.writing.writers import Writer

Progress = Callable[[int, int], None]
"""Called with descriptions had and wanted."""


@dataclass
class ClassDescriptions:
    """What one class has."""

    texts: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """For each text, the question that it answers."""
    rejected: Counter[Reason] = field(default_factory=Counter)
    unanswered: list[int] = field(default_factory=list)
    """Questions to ask next: enough of them if every answer is good."""


@dataclass(frozen=True)
class Generated:
    classes: tuple[ClassDescriptions, ...]
    """By label."""
    asked: int
    """Questions answered in this run."""

    def short(self, per_class: int) -> list[int]:
        """Labels with fewer descriptions than wanted."""
        return [label for label, found in enumerate(self.classes) if len(found.texts) < per_class]

    @property
    def rejected(self) -> Counter[Reason]:
        """Answers by why they are not descriptions."""
        return sum((found.rejected for found in self.classes), Counter())


def generate(
    classes: Sequence[DatasetClass],
    questionnaire: Questionnaire,
    writer: Writer,
    file: AnswerFile,
    *,
    rules: Rules,
    per_class: int,
    tries: int,
    progress: Progress | None = None,
) -> Generated:
    """Ask what is missing, in rounds, until every class is full or has had its tries.

    Args:
        classes: by label.
        questionnaire: the questions.
        writer: who answers.
        file: answers so far; new ones are added.
        rules: what a description must satisfy.
        per_class: K, descriptions wanted of each class.
        tries: at most this many questions are asked about a class.
        progress: called after every part.

    Raises:
        UserError: the writer fails for good; answers so far are kept.
    """
    shelf = _Shelf(classes, rules, per_class, tries, file.answers)
    asked = 0

    def ask(places: Sequence[Place]) -> None:
        nonlocal asked
        for answered in writer.answers([questionnaire.question(*place) for place in places]):
            file.add(answered)
            asked += len(answered)
            if progress is not None:
                shelf.refresh({question.label for question, _ in answered})
                progress(shelf.had(), per_class * len(classes))

    ask([place for place in file.round if place not in file.answers])
    while wanted := shelf.unanswered():
        file.begin_round(wanted)
        ask(wanted)
    return Generated(tuple(shelf.classes), asked)


class _Shelf:
    """The descriptions that the answers so far amount to."""

    def __init__(
        self,
        classes: Sequence[DatasetClass],
        rules: Rules,
        per_class: int,
        tries: int,
        answers: dict[Place, Answer],
    ) -> None:
        self._names = [display_name(item.name) for item in classes]
        self._rules, self._per_class, self._tries, self._answers = rules, per_class, tries, answers
        self._cleaned: dict[Place, Cleaned] = {}
        self.classes = [ClassDescriptions() for _ in classes]

    def unanswered(self) -> list[Place]:
        """Questions to ask next, of all classes."""
        self.refresh(range(len(self.classes)))
        return [(label, number) for label, found in enumerate(self.classes) for number in found.unanswered]

    def had(self) -> int:
        return sum(len(found.texts) for found in self.classes)

    def refresh(self, labels: Sequence[int] | set[int] | range) -> None:
        for label in labels:
            self.classes[label] = self._collect(label)

    def _collect(self, label: int) -> ClassDescriptions:
        """Walk through a class's questions in order."""
        found, seen = ClassDescriptions(), set[str]()
        for number in range(self._tries):
            if len(found.texts) + len(found.unanswered) >= self._per_class:
                break
            if (label, number) not in self._answers:
                found.unanswered.append(number)
                continue
            text, reason = self._clean((label, number))
            if text is not None and sentence_key(text) in seen:
                text, reason = None, "duplicate"
            if text is None:
                found.rejected[reason or "no text"] += 1
                continue
            seen.add(sentence_key(text))
            found.texts.append(text)
            found.numbers.append(number)
        return found

    def _clean(self, place: Place) -> Cleaned:
        if place not in self._cleaned:
            self._cleaned[place] = clean(self._answers[place], self._names[place[0]], self._rules)
        return self._cleaned[place]


def generated_bank(dataset: str, classes: Sequence[DatasetClass], generated: Generated, provenance: Provenance) -> Bank:
    """The bank of what was generated; `provenance.templates` are the question templates in their order."""
    n_templates = len(provenance.templates)
    return make_bank(
        dataset,
        provenance,
        [
            BankClass(
                label=label,
                name=item.name,
                wnid=item.wnid,
                sentences=tuple(found.texts),
                templates=tuple(number % n_templates for number in found.numbers),
            )
            for label, (item, found) in enumerate(zip(classes, generated.classes, strict=True))
        ],
    )
