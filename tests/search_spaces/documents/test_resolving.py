"""A sweep written out is the same sweep."""

from pathlib import Path

import pytest
import yaml

from dualpt.core.presets import method_setting
from dualpt.search_spaces.ablation import load_ablation
from dualpt.search_spaces.documents.resolving import resolved_document
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.shipped import shipped_ablation_or_path, shipped_ablations, shipped_folder, shipped_or_path
from dualpt.search_spaces.sweep_file import load_sweep


@pytest.mark.parametrize("name", sorted(path.stem for path in shipped_folder().glob("*.yaml")))
def test_every_shipped_sweep_written_out_loads_as_itself(name: str, tmp_path: Path) -> None:
    sweep = load_sweep(shipped_or_path(name))
    path = tmp_path / "written.yaml"
    path.write_text(yaml.safe_dump(resolved_document(sweep), sort_keys=False))
    again = load_sweep(path)
    assert (again.space, again.reference, again.constraints) == (sweep.space, sweep.reference, sweep.constraints)
    assert (again.file.grid, again.file.search) == (sweep.file.grid, sweep.file.search)
    for baseline in sweep.file.baselines:
        there, here = (method_setting(baseline, one.file.base_values()) for one in (sweep, again))
        assert there == here


@pytest.mark.parametrize("name", sorted(path.stem for path in shipped_ablations().glob("*.yaml")))
def test_every_shipped_ablation_written_out_loads_as_itself(name: str, tmp_path: Path) -> None:
    ablation = load_ablation(shipped_ablation_or_path(name))
    path = tmp_path / "written.yaml"
    path.write_text(yaml.safe_dump(resolved_document(ablation.sweep), sort_keys=False))
    assert load_ablation(path).sweep.variants == ablation.sweep.variants


def test_every_key_is_there_with_its_value() -> None:
    document = resolved_document(load_sweep(shipped_or_path("demo"), parse_overrides(["optim.momentum=0.5"])))
    assert document["setting"]["optim"]["momentum"] == 0.5
    assert document["setting"]["backbone"]["name"] == "mini-clip"
    assert document["search"]["sampler"] == "tpe"
    assert "learning_rate" not in document["setting"]["optim"]
    assert document["search"]["space"]["optim.learning_rate"] == {"float": [0.001, 0.01], "log": True}
