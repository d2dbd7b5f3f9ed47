"""`dualpt import-prompts` and `export-prompts` as they are typed: a file of the other kind, or nothing is written."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dualpt.core.clip.backbone import load_backbone
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.learned.prompts import load_prompts
from dualpt.sweeps.cli import app


def run(*words: object) -> str:
    """Run a command in this process; its `UserError`, if any, is raised."""
    result = CliRunner(env={"COLUMNS": "220"}).invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_from_a_checkpoint_to_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "CoOp" / "rn50_16shots" / "seed2"
    folder.mkdir(parents=True)
    torch.save({"state_dict": {"ctx": torch.randn(4, _text_width())}}, folder / "model.pth.tar-50")
    file = tmp_path / "coop.safetensors"
    said = run("import-prompts", folder / "model.pth.tar-50", "--dataset", "mini-tiles", "--out", file)
    assert "coop on mini-tiles, few-shot, 16 shots, seed 2; 4 context tokens" in said
    assert load_prompts(file).cell_key.startswith("imported:")
    said = run("export-prompts", "--contexts", file, "--out", tmp_path / "back")
    (written,) = (tmp_path / "back").rglob("*.*")
    assert written.parent.name == "prompt_learner"
    assert f"python train.py --eval-only --trainer CoOp --model-dir {tmp_path / 'back'} --load-epoch" in said
    assert "TRAINER.COOP.N_CTX 4 TRAINER.COOP.CSC False TRAINER.COOP.CLASS_TOKEN_POSITION end" in said
    before, after = (torch.load(path)["state_dict"]["ctx"] for path in (folder / "model.pth.tar-50", written))
    assert torch.equal(before, after)


def _text_width() -> int:
    section = Setting().backbone
    model = load_backbone(section.name, section.pretrained, section.precision, "cpu").model
    return int(model.token_embedding.weight.shape[1])


def test_nothing_is_written_where_it_does_not_fit(tmp_path: Path) -> None:
    torch.save({"state_dict": {"ctx": torch.randn(4, 7)}}, tmp_path / "model.pth")
    words = ("--dataset", "mini-tiles", "--shots", 1, "--seed", 1, "--out", tmp_path / "out.safetensors")
    with pytest.raises(UserError, match="its contexts have 7 numbers"):
        run("import-prompts", tmp_path / "model.pth", *words)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_classifier_is_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the prompts once"):
        run("export-prompts", "--out", tmp_path / "out")
    run("train", "--method", "nearest-mean", "--dataset", "mini-tiles", "--shots", 1, "--save", tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.safetensors")
    with pytest.raises(UserError, match="nearest-mean: learned no prompts"):
        run("export-prompts", "--contexts", file, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
