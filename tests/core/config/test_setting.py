"""Settings: unknown keys, wrong types, other values, and the options of methods on frozen features."""

from pathlib import Path
from typing import Any

import pytest

from dualpt.core.config.activity import active_values
from dualpt.core.config.setting import SETTING_KEYS, Setting
from dualpt.core.errors import UserError
from dualpt.core.presets import method_setting
from tests.core.own_method import SOURCE


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optim.learning_rat": 1.0}, "did you mean 'optim.learning_rate'?"),
        ({"prompt.n_prompts": 0}, "prompt.n_prompts: input should be greater than or equal to 1 (given: 0)"),
        ({"prompt.n_prompts": 1.5}, "prompt.n_prompts"),
        ({"prompt.class_specific": 1}, "prompt.class_specific: input should be a valid boolean"),
        ({"alignment.llm_form": "cosin"}, "alignment.llm_form: input should be 'cosine', 'ot'"),
        ({"optim.momentum": 1.0}, "less than 1"),
        ({"optim": 1}, "unknown key 'optim'"),
    ],
)
def test_faults_name_the_key(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Setting().with_values(values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        Setting().with_values({"prompt.n_prompts": 0, "optim.learning_rate": "x"})
    assert "prompt.n_prompts" in str(caught.value)
    assert "optim.learning_rate" in str(caught.value)


class TestMethodsOnFeatures:
    def test_their_options_are_keys(self) -> None:
        setting = Setting().with_values({"method": "gda", "gda.alpha": 2.5})
        assert setting.flat()["gda.alpha"] == 2.5
        assert active_values(setting)["gda.alpha"] == 2.5
        assert set(setting.keys) == {*SETTING_KEYS, *setting.own_keys}
        assert Setting().with_values(setting.flat()) == setting
        assert hash(setting) == hash(Setting().with_values(setting.flat()))

    def test_what_shapes_prompts_does_not_matter_to_them(self) -> None:
        active = active_values(method_setting("gda"))
        sections = {key.split(".")[0] for key in active}
        assert sections == {"method", "backbone", "gda"}
        assert "backbone.local_features" not in active

    def test_a_change_of_method_begins_with_its_defaults(self) -> None:
        gda = Setting().with_values({"method": "gda", "gda.alpha": 2.5})
        assert gda.with_values({"method": "tip-adapter"}).with_values({"method": "gda"}).flat()["gda.alpha"] is None
        assert gda.with_values({"method": "prompt"}) == Setting()

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"method": "gdaa"}, "unknown method 'gdaa'; did you mean 'gda'?"),
            ({"gda.alpha": 1.0}, "gda.alpha belongs to the method gda, and this setting's is prompt"),
            ({"method": "gda", "clap.views": 1}, "clap.views belongs to the method clap, and this setting's is gda"),
            ({"method": "gda", "gda.alfa": 1.0}, "unknown key 'gda.alfa'; did you mean 'gda.alpha'?"),
            ({"method": "gda", "gda.alpha": "much"}, "gda.alpha: input should be a valid number (given: 'much')"),
            ({"method": 3}, "method: input should be a valid string (given: 3)"),
        ],
    )
    def test_each_fault_is_one_line(self, values: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError) as caught:
            Setting().with_values(values, source="file")
        assert str(caught.value).startswith(f"file: {said}")

    def test_a_users_own_is_told_by_its_content(self, tmp_path: Path) -> None:
        one, copy, other = (tmp_path / name for name in ("one.py", "copy.py", "other.py"))
        for path in (one, copy):
            path.write_text(SOURCE)
        other.write_text(SOURCE + "# changed\n")
        settings = [Setting().with_values({"method": str(path)}) for path in (one, copy, other)]
        active = [active_values(setting) for setting in settings]
        assert active[0] == active[1] != active[2]
        assert active[0]["method"] == "pulled"
        assert {setting.method_name for setting in settings} == {"pulled"}
        assert settings[0].flat()["method"] == str(one)

    def test_shared_options_of_other_methods_are_left_out(self) -> None:
        shared = {"method": "gda", "gda.alpha": 2.0, "backbone.precision": "bf16"}
        assert method_setting("gda", shared).flat()["gda.alpha"] == 2.0
        assert method_setting("coop", shared) == method_setting("coop", {"backbone.precision": "bf16"})
