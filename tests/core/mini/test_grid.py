"""The grid on disk: the field's layout, the same pixels everywhere, whole after any interruption."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpt.core.errors import UserError
from dualpt.core.mini import grid
from dualpt.core.mini.datasets import IMAGES_PER_CLASS, MINI_DATASETS, RECIPES, folder_name, split_file_name
from dualpt.core.mini.world import MiniClass, build_world
from tests.drawn_once import DRAW

GOLDEN = Path(__file__).with_name("golden_grid.json")
SMALL = "mini-tiles"
"""The dataset with the fewest classes."""

ENSURE = """
import sys
from pathlib import Path
from dualpt.core.mini.grid import ensure_mini_grid
ensure_mini_grid(Path(sys.argv[1]), sys.argv[2].split(","), lambda *_: print("drawn a class"))
"""


@pytest.fixture(scope="module", autouse=True)
def _really_draws() -> Iterator[None]:
    """Whatever tests have run before in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "_draw_datasets", DRAW)
        yield


def start_process(root: Path, datasets: tuple[str, ...], hash_seed: str = "random") -> subprocess.Popen[bytes]:
    """Another Python that draws datasets, in a process group of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", ENSURE, str(root), ",".join(datasets)]
    house = Path(grid.__file__).parents[3]
    return subprocess.Popen(command, env=environment, cwd=house, stdout=subprocess.PIPE, start_new_session=True)


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grid.ensure_mini_grid(tmp_path_factory.mktemp("grid"), [SMALL])


def test_layout_is_the_fields(small_root: Path) -> None:
    folder = small_root / folder_name(SMALL)
    split = json.loads((folder / split_file_name(SMALL)).read_text())
    assert list(split) == ["train", "val", "test"]
    n_classes = RECIPES[SMALL].n_classes
    for name, rows in split.items():
        assert len(rows) == n_classes * IMAGES_PER_CLASS[name]
        for path, label, class_name in rows:
            assert path.startswith(class_name.replace(" ", "_") + "/")
            assert 0 <= label < n_classes
            assert (folder / "images" / path).is_file()
    paths = [row[0] for rows in split.values() for row in rows]
    assert len(set(paths)) == len(paths)
    with Image.open(folder / "images" / paths[0]) as image:
        assert (image.mode, image.size, image.format) == ("RGB", (48, 48), "PNG")


def test_description_bank_names_every_class(small_root: Path) -> None:
    bank = json.loads((small_root / "descriptions" / f"{SMALL}.json").read_text())
    split = json.loads((small_root / folder_name(SMALL) / split_file_name(SMALL)).read_text())
    assert list(bank) == list(dict.fromkeys(row[2] for row in split["train"]))
    assert all(len(sentences) == 5 for sentences in bank.values())


def test_files_hold_the_pixels_that_the_manifest_hashes(small_root: Path) -> None:
    folder = small_root / folder_name(SMALL)
    digests = ""
    for class_folder in (folder / "images" / item.name.replace(" ", "_") for item in classes_of(SMALL)):
        digest = hashlib.sha256()
        for file in sorted(class_folder.iterdir()):
            digest.update(np.asarray(Image.open(file)).tobytes())
        digests += digest.hexdigest()
    assert grid.read_manifest(small_root)[SMALL]["pixels"] == hashlib.sha256(digests.encode()).hexdigest()


def classes_of(dataset: str) -> tuple[MiniClass, ...]:
    return build_world().classes[dataset]


def test_a_whole_grid_is_not_drawn_again(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(grid, "_draw_datasets", refuse)
    assert grid.ensure_mini_grid(small_root, [SMALL]) == small_root


def test_unknown_datasets_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mini-pet'; did you mean 'mini-pets'"):
        grid.ensure_mini_grid(tmp_path, ["mini-pet"])


def test_progress_counts_classes(tmp_path: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    grid.ensure_mini_grid(tmp_path, [SMALL], lambda *call: heard.append(call))
    n_classes = RECIPES[SMALL].n_classes
    assert heard == [(number, n_classes, SMALL) for number in range(1, n_classes + 1)]


def test_processes_with_other_hash_seeds_draw_the_same(small_root: Path, tmp_path: Path) -> None:
    for hash_seed in ("0", "4242"):
        process = start_process(tmp_path / hash_seed, (SMALL,), hash_seed)
        process.communicate()
        assert process.returncode == 0
        assert grid.read_manifest(tmp_path / hash_seed) == grid.read_manifest(small_root)


def test_small_dataset_matches_the_golden_hashes(small_root: Path) -> None:
    assert grid.read_manifest(small_root)[SMALL] == json.loads(GOLDEN.read_text())[SMALL]


@pytest.mark.slow
def test_the_whole_grid_matches_the_golden_hashes(drawn_grid: Path) -> None:
    root = grid.ensure_mini_grid(drawn_grid)
    assert grid.read_manifest(root) == json.loads(GOLDEN.read_text())
    assert set(grid.read_manifest(root)) == set(MINI_DATASETS)


def test_two_processes_at_once_draw_once(tmp_path: Path) -> None:
    processes = [start_process(tmp_path, (SMALL,)) for _ in range(2)]
    drawn = sorted(process.communicate()[0].count(b"drawn") for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert drawn == [0, RECIPES[SMALL].n_classes]
    assert not list(tmp_path.glob(".*.partial"))


def test_a_killed_run_leaves_nothing_half_written_and_a_rerun_completes(small_root: Path, tmp_path: Path) -> None:
    process = start_process(tmp_path, (SMALL, "mini-gadgets"))
    partial = tmp_path / f".{folder_name(SMALL)}.partial"
    while not partial.exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for dataset in (SMALL, "mini-gadgets"):  # a dataset is there and whole, or not there
        assert (tmp_path / folder_name(dataset)).exists() == (dataset in grid.read_manifest(tmp_path))
    grid.ensure_mini_grid(tmp_path, [SMALL])
    assert grid.read_manifest(tmp_path)[SMALL] == grid.read_manifest(small_root)[SMALL]
    assert not partial.exists()


def test_another_version_is_drawn_afresh(small_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / folder_name(SMALL)
    folder.mkdir()
    (folder / "old.txt").write_text("of an older version")
    (tmp_path / grid.MANIFEST_NAME).write_text(json.dumps({"version": 0, "datasets": {SMALL: {}}}))
    grid.ensure_mini_grid(tmp_path, [SMALL])
    assert not (folder / "old.txt").exists()
    assert grid.read_manifest(tmp_path) == grid.read_manifest(small_root)


def test_a_script_without_a_main_guard_can_draw(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(f"from pathlib import Path\n{ENSURE}")
    house = Path(grid.__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(house)}
    command = [sys.executable, str(script), str(tmp_path / "root"), SMALL]
    assert subprocess.run(command, env=environment, timeout=120, capture_output=True).returncode == 0
    assert set(grid.read_manifest(tmp_path / "root")) == {SMALL}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        grid.ensure_mini_grid(tmp_path / "file" / "root", [SMALL])
