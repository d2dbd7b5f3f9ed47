"""What serves in a cell, and which cells share a pack."""

import pytest

from dualpt.core.cell import Cell, check_serves, pack_of
from dualpt.core.errors import UserError
from dualpt.core.presets import method_setting


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alignment.global_weight": 0.0, "alignment.local_weight": 0.0}, "no label enters the loss"),
        ({"inference.global_weight": 0.0, "inference.local_weight": 0.0}, "there are no logits"),
        ({"alignment.global_weight": None, "alignment.local_weight": 0.0}, "no label enters the loss"),
        ({"inference.global_weight": None, "inference.local_weight": 0.0}, "there are no logits"),
    ],
)
def test_prompts_without_any_logits_are_refused(values: dict[str, float | None], said: str) -> None:
    setting = method_setting("dualpt").with_values(values)
    with pytest.raises(UserError, match=said):
        check_serves(setting, "few-shot", [4])


def test_packs_hold_cells_that_differ_in_seed_and_weights_only() -> None:
    setting = method_setting("dualpt")
    one = Cell(setting, "mini-pets", "few-shot", 4, 1)
    heavier = setting.with_values({"alignment.llm_weight": 9.0, "optim.learning_rate": 0.5})
    longer = setting.with_values({"prompt.context_length": 4})
    assert pack_of(one) == pack_of(Cell(heavier, "mini-pets", "few-shot", 4, 2))
    assert pack_of(one) != pack_of(Cell(longer, "mini-pets", "few-shot", 4, 1))
    assert pack_of(one) != pack_of(Cell(setting, "mini-cars", "few-shot", 4, 1))
    assert pack_of(one) != pack_of(Cell(setting, "mini-pets", "few-shot", 8, 1))
