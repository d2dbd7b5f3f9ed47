"""Benchmarks run, on models too small to mean anything; what they measure is not a test's business."""

import json

import pytest
import torch

from benchmarks import __main__ as benchmarks
from benchmarks.class_shapes import real_class_shapes
from benchmarks.gpu.steps import main as gpu
from dualpt.core.prompts.grouping import common_beginning


def test_the_shapes_are_those_of_eleven_class_lists():
    shapes = real_class_shapes()
    assert {name: len(names) for name, names in shapes.items()} == {
        "Caltech101": 100,
        "DescribableTextures": 47,
        "EuroSAT": 10,
        "FGVCAircraft": 100,
        "Food101": 101,
        "ImageNet": 1000,
        "OxfordFlowers": 102,
        "OxfordPets": 37,
        "SUN397": 397,
        "StanfordCars": 196,
        "UCF101": 101,
    }
    cars = shapes["StanfordCars"]
    assert cars == sorted(cars)
    assert common_beginning(cars[0], cars[1]) > 0


@pytest.mark.slow
def test_the_ratios_are_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "RESULTS", tmp_path / "runner.json")
    benchmarks.main(["--quick", "--markdown", "--only", "text-step", "--only", "replicas", "--clock", "cpu"])
    assert "| packed is faster by | " in capsys.readouterr().out
    written = json.loads((tmp_path / "runner.json").read_text())
    assert written["results"]["text_step_mini_clip_ratio"]["value"] > 1
    assert written["results"]["text_step_mini_clip_largest_difference"]["value"] <= 1e-5
    assert written["machine"]["repeats"] == "1"


@pytest.mark.slow
def test_the_gpu_table_comes_out_on_a_cpu(capsys):
    gpu(["--device", "cpu", "--quick"])
    printed = capsys.readouterr().out
    assert "TFLOP/s measured" in printed
    assert "no estimate of the grid" in printed
    assert "165-cell grid" not in printed


def test_without_a_gpu_the_gpu_table_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu(["--quick"])
    assert "torch finds no GPU here; `--device cpu --quick` shows" in capsys.readouterr().err
