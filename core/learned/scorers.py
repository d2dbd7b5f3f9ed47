"""From a setting to the frozen objects that training and classifying are handed: where configuration ends."""

from dualpt.core.config.sections import AlignmentSection, PromptSection
from dualpt.core.training.alignment import LlmAlignment, LocalScorer
from dualpt.core.training.arguments import PromptOptions


def local_scorer(alignment: AlignmentSection) -> LocalScorer:
    """The local form with its knobs."""
    return LocalScorer(
        local_form=alignment.local_form,
        topk=alignment.topk,
        topk_step=alignment.topk_step,
        attention_beta=alignment.attention_beta,
        ot_epsilon=alignment.ot_epsilon,
        ot_iterations=alignment.ot_iterations,
        ot_marginals=alignment.ot_marginals,
        ot_relaxation=alignment.ot_relaxation,
    )


def llm_alignment(alignment: AlignmentSection) -> LlmAlignment:
    """The form of the alignment with descriptions, with its knobs."""
    return LlmAlignment(
        llm_form=alignment.llm_form,
        llm_target=alignment.llm_target,
        llm_gradient=alignment.llm_gradient,
        ot_epsilon=alignment.ot_epsilon,
        ot_iterations=alignment.ot_iterations,
    )


def prompt_options(prompt: PromptSection, init: str | None) -> PromptOptions:
    """The shape of prompts; `init` is what contexts start from, where they are still to be learned."""
    return PromptOptions(
        context_length=prompt.context_length,
        n_prompts=prompt.n_prompts,
        class_token_position=prompt.class_token_position,
        class_specific=prompt.class_specific,
        init=init,
        init_at=prompt.init_at,
        init_std=prompt.init_std,
    )
