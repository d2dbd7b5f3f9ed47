"""Which array is whose features, in the layouts of published scripts and in arrays by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dualpt.core.errors import UserError
from dualpt.core.features.imported.cache_layouts import mean_direction, read_cache
from tests.core.features.imported.caches import CLASSES, WIDTH, part, text_features, write_tip_cache


def test_tip_adapters_cache(tmp_path: Path) -> None:
    write_tip_cache(tmp_path, shots=(1, 16), text=True)
    torch.save(torch.randn(4, 4), tmp_path / "best_F_16shots.pt")
    cache = read_cache(tmp_path)
    assert set(cache.train) == {1, 16}
    assert torch.allclose(cache.train[16].features.float(), part(16, seed=16).rows, atol=1e-3)
    assert cache.val is not None
    assert cache.test is not None
    assert cache.test.features.shape == (320, WIDTH)
    assert cache.text is not None
    assert torch.allclose(mean_direction(cache.text), text_features(), atol=1e-3)
    assert Path(cache.text_place).name == "text_weights_t.pt"
    assert cache.unread == ("best_F_16shots.pt",)


def test_timos_crops_and_unnormalised_rows(tmp_path: Path) -> None:
    write_tip_cache(tmp_path, views=3)
    assert not read_cache(tmp_path).crops[16].raw
    write_tip_cache(tmp_path, views=3, ending="_unnormed")
    cache = read_cache(tmp_path)
    assert cache.crops[16].raw
    assert cache.train[16].raw
    assert cache.crops[16].features.shape == (3 * 128, WIDTH)
    assert cache.unread == ("16_vecs_f.pt", "keys_16shots.pt", "test_f.pt", "val_f.pt")


def test_keys_are_told_from_their_transpose(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    torch.save(part(16, seed=16).rows, tmp_path / "keys_16shots.pt")
    assert read_cache(tmp_path).train[16].features.shape == (128, WIDTH)


def test_text_of_several_sentences(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    several = torch.randn(CLASSES, 5, WIDTH)
    torch.save(several, tmp_path / "text_weights_cupl_t_all.pt")
    cache = read_cache(tmp_path)
    assert cache.text is not None
    wanted = torch.nn.functional.normalize(torch.nn.functional.normalize(several, dim=-1).mean(1), dim=-1)
    assert torch.allclose(mean_direction(cache.text), wanted)


NAMINGS = {
    "one.npz": ("train_features", "train_labels", "val_features", "val_labels", "test_features", "test_labels"),
    "two.npz": ("X_train", "y_train", "X_val", "y_val", "X_test", "y_test"),
    "three.safetensors": ("train.f", "train.l", "valid.f", "valid.l", "test.f", "test.l"),
    "four.npz": ("trainFeatures", "trainLabels", "valFeatures", "valLabels", "testFeatures", "testLabels"),
}


@pytest.mark.parametrize("name", NAMINGS)
def test_arrays_by_name(tmp_path: Path, name: str) -> None:
    parts = [part(2, seed=1), part(3, seed=2), part(4, seed=3)]
    tensors = [tensor for one in parts for tensor in (one.rows, one.labels)]
    arrays = dict(zip(NAMINGS[name], tensors, strict=True))
    if name.endswith(".npz"):
        np.savez(tmp_path / name, **{key: tensor.numpy() for key, tensor in arrays.items()})
    else:
        save_file(arrays, tmp_path / name)
    cache = read_cache(tmp_path)
    assert cache.val is not None
    assert cache.test is not None
    for found, wanted in zip((cache.train[None], cache.val, cache.test), parts, strict=True):
        assert torch.equal(found.features, wanted.rows)
        assert torch.equal(found.labels, wanted.labels)


def test_a_file_for_each_part(tmp_path: Path) -> None:
    for name in ("train_4shots", "val", "test"):
        one = part(4, seed=1)
        np.savez(tmp_path / f"{name}.npz", features=one.rows.numpy(), labels=one.labels.numpy())
    np.save(tmp_path / "text_features.npy", text_features().numpy())
    cache = read_cache(tmp_path)
    assert set(cache.train) == {4}
    assert cache.text is not None
    assert cache.text.shape == (CLASSES, WIDTH)


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({}, "holds no cached features"),
        ({"a.npz": ("stuff",)}, "call them train_features"),
        ({"a.npz": ("train_features", "test_features", "test_labels")}, "its labels are missing; add train_labels"),
        ({"a.npz": ("test_features", "test_labels", "test_x")}, "keep one of them"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, files: dict[str, tuple[str, ...]], line: str) -> None:
    for name, arrays in files.items():
        np.savez(tmp_path / name, **dict.fromkeys(arrays, np.ones((4, 4))))
    with pytest.raises(UserError, match=line):
        read_cache(tmp_path)


def test_a_folder_above_names_those_inside(tmp_path: Path) -> None:
    write_tip_cache(tmp_path / "dtd")
    with pytest.raises(UserError, match=r"did you mean a folder in it \(dtd\)"):
        read_cache(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        read_cache(tmp_path / "none")


def test_labels_of_keys_are_missed(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    (tmp_path / "values_16shots.pt").unlink()
    with pytest.raises(UserError, match=r"keys_16shots\.pt: its labels, values_16shots\.pt, are missing"):
        read_cache(tmp_path)


def test_one_file_in_place_of_its_folder(tmp_path: Path) -> None:
    one = part(4, seed=1)
    arrays = {"train_features": one.rows, "train_labels": one.labels, "test_features": one.rows}
    file = tmp_path / "dtd.npz"
    np.savez(file, **arrays, test_labels=one.labels)
    np.savez(tmp_path / "pets.npz", **arrays, test_labels=one.labels)
    assert read_cache(file).test is not None
    with pytest.raises(UserError, match="no folder, and no file of arrays"):
        read_cache(Path(__file__))


def test_dicts_in_a_dict(tmp_path: Path) -> None:
    one = part(4, seed=1)
    torch.save({name: {"features": one.rows, "labels": one.labels} for name in ("train", "test")}, tmp_path / "a.pt")
    cache = read_cache(tmp_path)
    assert cache.test is not None
    assert torch.equal(cache.train[None].labels, one.labels)


def test_a_pickle_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "features.pkl").write_bytes(b"")
    with pytest.raises(UserError, match=r"features\.pkl is a pickle, which could run code and isn't read: save its"):
        read_cache(tmp_path)
