"""Kernels compiled for a GPU that isn't here."""

import re

import pytest

gpu_kernels = pytest.importorskip("benchmarks.gpu.kernels", reason="Triton comes with torch on Linux alone")


@pytest.mark.slow
def test_every_kernel_compiles_and_fits_into_registers(capsys):
    gpu_kernels.main(["--capability", "90"])
    rows = re.findall(r"^\| .*? \| (\d+) \| (\d+) \| (\d+) \|$", capsys.readouterr().out, re.MULTILINE)
    assert len(rows) == len(gpu_kernels.kernels())
    for registers, spilled, shared in (map(int, row) for row in rows):
        assert 0 < registers <= 255
        assert spilled == 0
        assert shared < 100 * 1024  # two programs on a multiprocessor of an H100
