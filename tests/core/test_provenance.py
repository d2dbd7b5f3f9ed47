"""What numbers were computed with, in one line."""

import importlib.util

import pytest

from dualpt.core.provenance import software


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    software.cache_clear()


@pytest.mark.parametrize(
    ("device", "asked", "named"),
    [("cuda", "", True), ("cuda", "triton", True), ("cuda", "torch", False), ("cpu", "", False)],
)
def test_triton_is_named_where_its_kernels_may_run(
    monkeypatch: pytest.MonkeyPatch, device: str, asked: str, named: bool
) -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton comes with torch on Linux")
    monkeypatch.setenv("DUALPT_GPU_KERNELS", asked)
    assert (", triton " in software(device)) is named
    assert "torch " in software(device)
