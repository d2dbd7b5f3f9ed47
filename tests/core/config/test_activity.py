"""Which knobs identify a setting."""

from dualpt.core.config.activity import ACTIVE_WHEN, active_values
from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.presets import METHODS, method_setting


def test_knobs_that_are_switched_off_do_not_identify_a_setting() -> None:
    coop = method_setting("coop")
    assert active_values(coop.with_values({"alignment.topk": 3})) == active_values(coop)
    assert active_values(coop.with_values({"data.root": "/elsewhere"})) == active_values(coop)
    assert active_values(coop.with_values({"prompt.context_length": 4})) != active_values(coop)
    local = method_setting("dualpt-local-only", {"alignment.local_form": "topk"})
    assert active_values(local.with_values({"alignment.topk": 3})) != active_values(local)
    assert active_values(local.with_values({"alignment.ot_epsilon": 0.2})) == active_values(local)


def test_conditions_name_existing_keys() -> None:
    assert set(ACTIVE_WHEN) <= set(SETTING_KEYS)


def test_what_prograd_brought_is_no_part_of_other_settings() -> None:
    for name in set(METHODS) - {"prograd"}:
        assert not {"prompt.init_at", "alignment.llm_gradient"} & active_values(method_setting(name)).keys()
    coop = method_setting("coop")
    assert active_values(
        coop.with_values({"prompt.init_at": "end", "alignment.llm_gradient": "projected"})
    ) == active_values(coop)


def test_logits_that_are_summed_matter_only_where_that_is_another_loss() -> None:
    coop = method_setting("coop")
    assert active_values(coop.with_values({"alignment.cross_entropy": "summed"})) == active_values(coop)
    dualpt = method_setting("dualpt")
    assert active_values(dualpt.with_values({"alignment.cross_entropy": "summed"})) != active_values(dualpt)
