"""The GPU of a worker, with stand-ins for PyTorch and for NVIDIA's library: where there is none, none is reported."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ray._private.thirdparty import pynvml

from dualpt.sweeps.dispatch.worker_reports import GpuState
from dualpt.sweeps.ray_private import gpu_load
from dualpt.sweeps.workers.gpu_state import GIB, gpu_here


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """PyTorch on a GPU, whose memory is 80 GiB, 3 of them its own."""
    properties = SimpleNamespace(name="H100", uuid="12345678-9abc", total_memory=80 * GIB)
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        current_device=lambda: 0,
        get_device_properties=lambda device: properties,
        memory_reserved=lambda: 3 * GIB,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return cuda


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVIDIA's library, of which one GPU is known."""

    def device(uuid: str) -> str:
        if uuid != "GPU-12345678-9abc":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return "device"

    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByUUID": device,
        "nvmlDeviceGetMemoryInfo": lambda device: SimpleNamespace(used=12 * GIB, total=80 * GIB),
        "nvmlDeviceGetUtilizationRates": lambda device: SimpleNamespace(gpu=87),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)


def test_memory_and_utilisation_are_asked_by_the_gpus_own_number(torch: Any, library: None) -> None:
    gpu = gpu_here()
    assert gpu is not None
    assert gpu.state() == GpuState("H100", 3.0, 80.0, 12.0, 87)
    assert gpu_load("GPU-another") is None


def test_what_the_library_does_not_say_is_unknown(torch: Any, library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a GPU have no utilisation, and a machine may lack the library."""

    def refuse(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    gpu = gpu_here()
    assert gpu is not None
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", refuse)
    assert gpu.state() == GpuState("H100", 3.0, 80.0, 12.0, None)
    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert gpu.state() == GpuState("H100", 3.0, 80.0)


def test_no_gpu_is_reported_before_one_is_used(torch: Any) -> None:
    torch.is_initialized = lambda: False
    assert gpu_here() is None
    torch.is_available = lambda: False
    assert gpu_here() is None
