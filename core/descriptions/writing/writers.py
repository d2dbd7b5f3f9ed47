"""What every writer of descriptions does, whether a model in this process or a server."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from dualpt.core.descriptions.writing.cleaning import Answer
from dualpt.core.descriptions.writing.questions import Question

Answered = list[tuple[Question, Answer]]


class Writer(Protocol):
    """Answers questions by sampling from a language model."""

    name: str
    """The model, as provenance names it."""
    revision: str | None
    """What tells this model from later ones of the same name; None where that is not known."""
    endpoint: str | None
    """Address of the server, or None."""

    def answers(self, questions: Sequence[Question]) -> Iterator[Answered]:
        """Answer all questions, a part at a time.

        What is said to a question depends on its text and seed alone, up to the rounding of floats (and as far as a
        server honours seeds).
        """
        ...
