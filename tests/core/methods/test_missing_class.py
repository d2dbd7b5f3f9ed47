"""A draw that lacks a class, as realistic ones do: a method classifies all the same, or says that it can't."""

from dataclasses import replace

import pytest

from dualpt.core.errors import UserError
from dualpt.core.method_catalog import CATALOGUE, load_method
from tests.core.methods.clip_like import C, clip_like_support, new_images

NEED_EVERY_CLASS = {"clap", "gda", "gda-image", "lp-plus-plus", "prolip", "rla", "tip-adapter-f"}
LACKED = C - 1


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_draw_without_a_class(name: str) -> None:
    loaded = load_method(name)
    support = clip_like_support()
    lacking = replace(support, labels=support.labels.where(support.labels != LACKED, 0))
    if name in NEED_EVERY_CLASS:
        assert loaded.definition.every_class
        with pytest.raises(UserError, match=f"number {LACKED} of seed 0 has none") as caught:
            loaded.instance.fit(lacking, [loaded.options({})] * 3)
        assert "\n" not in str(caught.value)
        return
    assert not loaded.definition.every_class
    fitted = loaded.instance.fit(lacking, [loaded.options({})] * 3)
    assert not any(fitted.failures)
    logits = fitted.classifier.logits(new_images())
    assert logits.isfinite().all()
