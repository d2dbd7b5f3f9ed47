"""The pace of earlier builds, for estimates."""

import pytest

from dualpt.core.features.pace import Pace


def test_it_is_kept_and_short_builds_say_nothing(tmp_path) -> None:
    Pace(tmp_path).note("tiny", images=100, seconds=0.1)
    assert Pace(tmp_path).known("tiny") is None
    Pace(tmp_path).note("tiny", images=100, seconds=4)
    Pace(tmp_path).note("other", images=10, seconds=2)
    assert Pace(tmp_path).known("tiny") == 25


@pytest.mark.parametrize("content", ["{", "[]", '{"tiny": "fast"}', '{"tiny": 0}'])
def test_a_damaged_file_is_no_pace(tmp_path, content) -> None:
    (tmp_path / "pace.json").write_text(content)
    assert Pace(tmp_path).known("tiny") is None
