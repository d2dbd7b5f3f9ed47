"""Alignments as a setting makes them, from the knobs that a test names; all others have their defaults."""

from typing import Any

from dualpt.core.config.sections import AlignmentSection, LlmForm, LocalForm
from dualpt.core.learned import scorers
from dualpt.core.training.alignment import LlmAlignment, LocalScorer


def local_scorer(form: LocalForm, **knobs: Any) -> LocalScorer:
    return scorers.local_scorer(AlignmentSection(local_form=form, **knobs))


def llm_alignment(form: LlmForm = "cosine", **knobs: Any) -> LlmAlignment:
    return scorers.llm_alignment(AlignmentSection(llm_form=form, **knobs))
