"""From folders of cached features to imports: what is kept, and what is refused before anything is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.imported_split import find_import
from dualpt.core.errors import UserError
from dualpt.core.features.imported.import_parts import Declared
from dualpt.core.features.imported.make_import import NO_NORMS, UNCOMPARED, make_import, write_import
from tests.core.features.imported.caches import (
    CLASSES,
    DATASET,
    WIDTH,
    crops_of,
    declared,
    made,
    part,
    split_of,
    text_features,
    write_tip_cache,
)


def test_a_cache_becomes_an_import(tmp_path: Path) -> None:
    one = made(write_tip_cache(tmp_path / "cache", text=True))
    assert torch.allclose(one.tensors["train"], part(16, seed=16).rows, atol=2e-3)
    assert torch.allclose(one.tensors["test"].norm(dim=1), torch.ones(320), atol=1e-6)
    assert torch.allclose(one.tensors["text"], text_features(), atol=2e-3)
    about = one.about
    assert (about.complete, about.crops, about.raw, about.width) == (False, 0, False, WIDTH)
    assert [(draw.shots, draw.seed, len(draw.train)) for draw in about.draws] == [(16, 1, 128)]
    assert about.class_names[3] == "class 3"
    assert {NO_NORMS, UNCOMPARED} < set(about.notes)


def test_what_is_written_is_read_back_and_never_replaced(tmp_path: Path) -> None:
    one = made(write_tip_cache(tmp_path / "cache"))
    path = write_import(one, tmp_path / "out")
    assert write_import(one, tmp_path / "out") == path
    found = find_import(tmp_path / "out", DATASET)
    assert found.labels == one.about.labels
    assert found.draws == one.about.draws
    assert found.notes == one.about.notes
    other = made(write_tip_cache(tmp_path / "cache"), seed=2)
    before = path.read_bytes()
    with pytest.raises(UserError, match="holds other features of mini-tiles"):
        write_import(other, tmp_path / "out")
    assert path.read_bytes() == before
    assert [file.name for file in (tmp_path / "out").iterdir()] == [path.name]


def test_raw_rows_keep_their_norms_and_crops(tmp_path: Path) -> None:
    one = made(write_tip_cache(tmp_path, views=3, ending="_unnormed"))
    keys = part(16, seed=16)
    assert one.about.raw
    assert one.about.crops == 3
    assert torch.allclose(one.tensors["train"] * one.tensors["train_norms"][:, None], keys.raw, atol=0.02)
    raw_crops = one.tensors["train_crops"] * one.tensors["train_crop_norms"][..., None]
    assert torch.allclose(raw_crops, crops_of(keys, 3), atol=0.02)


@pytest.mark.parametrize("keys", [True, False])
def test_crops_alone_give_their_mean(tmp_path: Path, keys: bool) -> None:
    write_tip_cache(tmp_path, views=4)
    if not keys:
        (tmp_path / "keys_16shots.pt").unlink()
    one = made(tmp_path)
    crops = normalize(crops_of(part(16, seed=16), 4), dim=-1)
    wanted = part(16, seed=16).rows if keys else normalize(crops.mean(0), dim=-1)
    assert torch.allclose(one.tensors["train"], wanted, atol=2e-3)
    assert torch.allclose(one.tensors["train_crops"], crops, atol=2e-3)


def test_draws_of_several_shots(tmp_path: Path) -> None:
    about = made(write_tip_cache(tmp_path, shots=(1, 4, 16)), seed=3).about
    assert [(draw.shots, draw.seed, draw.train[0], len(draw.train)) for draw in about.draws] == [
        (1, 3, 0, 8),
        (4, 3, 8, 32),
        (16, 3, 40, 128),
    ]


def test_all_training_images_are_told_from_a_draw(tmp_path: Path) -> None:
    for count, complete in ((20, True), (5, False)):
        arrays = {"train": part(count, 1), "val": part(8, 2), "test": part(40, 3)}
        named = {f"{name}_features": one.rows.numpy() for name, one in arrays.items()}
        np.savez(
            tmp_path / "all.npz", **named, **{f"{name}_labels": one.labels.numpy() for name, one in arrays.items()}
        )
        about = made(tmp_path, split=split_of()).about
        assert about.complete is complete
        assert [draw.shots for draw in about.draws] == ([] if complete else [5])
        assert ("train" in about.paths) is complete


def test_the_split_names_classes_and_images(tmp_path: Path) -> None:
    about = made(write_tip_cache(tmp_path), split=split_of()).about
    assert about.class_names[7] == "kind 7"
    assert about.paths["test"][0] == "test-0-0.png"
    assert UNCOMPARED not in about.notes


def test_imagenets_test_is_cached_as_val(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    for name in ("test_f.pt", "test_l.pt"):
        (tmp_path / name).unlink()
    info = replace(dataset_info("ImageNet"), n_classes=CLASSES, n_images=(1000, 0, 64))
    labels = make_import(tmp_path, Declared(info, "toy")).about.labels
    assert (len(labels["test"]), "val" in labels) == (64, False)
    with pytest.raises(UserError, match="holds no test features"):
        made(tmp_path)


def edited(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        torch.save(change(torch.load(folder / name)), folder / name)

    return edit


def with_nan(rows: Tensor) -> Tensor:
    return rows.index_fill(0, torch.tensor([17]), torch.nan)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "nan": (edited("val_f.pt", with_nan), r"val_f\.pt: row 17 is not finite"),
    "zero": (edited("test_f.pt", lambda rows: rows * (torch.arange(320) != 5)[:, None]), r"row 5 is zero everywhere"),
    "unnormalised": (
        edited("test_f.pt", lambda rows: 10 * rows),
        r"test_f\.pt: row 0 \(319 more like it\) has norm 10",
    ),
    "width": (edited("val_f.pt", lambda rows: normalize(rows[:, :8].float(), dim=-1)), r"width 8, and .* has 12"),
    "count": (edited("test_f.pt", lambda rows: rows[1:]), r"test_l\.pt: 320 labels for the 319 rows"),
    "one hot": (edited("values_16shots.pt", lambda rows: rows + 1), r"values_16shots\.pt: row 0 .* is not one-hot"),
    "fractions": (edited("val_l.pt", lambda labels: labels + 0.5), r"val_l\.pt: row 0 .* is not a whole number"),
    "negative": (edited("val_l.pt", lambda labels: labels - 1), r"val_l\.pt: row 0 \(7 more like it\) is negative"),
    "foreign": (edited("val_l.pt", lambda labels: labels + 2), r"is no label of the dataset's 8 classes"),
    "integers": (edited("val_f.pt", lambda rows: rows.int()), r"val_f\.pt: expected floating-point features"),
    "transposed": (edited("val_f.pt", lambda rows: rows.mT), r"val_f\.pt: found shape \(12, 64\) for 64 labels; trans"),
    "crops of images": (edited("val_f.pt", lambda rows: rows[None]), r"val_f\.pt: expected rows of features"),
    "empty": (edited("val_f.pt", lambda rows: rows[:0]), r"val_f\.pt: is empty"),
    "classes": (edited("values_16shots.pt", lambda rows: rows[:, :7]), r"row|classes"),
    "text": (edited("text_weights_t.pt", lambda text: text[:, :5]), r"text_weights_t\.pt: text features of shape"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_features_are_one_line_and_nothing_is_written(tmp_path: Path, fault: str) -> None:
    change, line = FAULTS[fault]
    write_tip_cache(tmp_path, text=True)
    change(tmp_path)
    with pytest.raises(UserError, match=line) as caught:
        made(tmp_path)
    assert "\n" not in str(caught.value)


def test_rows_of_another_order_or_number(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    with pytest.raises(UserError, match="the same labels in another order"):
        made(tmp_path, split=split_of([1, 0, *range(2, 8)]))
    edited("test_f.pt", lambda rows: rows[:-1])(tmp_path)
    edited("test_l.pt", lambda labels: labels[:-1])(tmp_path)
    with pytest.raises(UserError, match="and the split lists"):
        made(tmp_path, split=split_of())
    with pytest.raises(UserError, match=r"319 rows, and mini-tiles has 320 images in 'test'"):
        made(tmp_path)


def test_a_draw_that_cannot_be_one(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    for name in ("keys", "values"):
        (tmp_path / f"{name}_16shots.pt").rename(tmp_path / f"{name}_8shots.pt")
    with pytest.raises(UserError, match="16 rows of class 0, and a draw of 8 shots has 1 to 8"):
        made(tmp_path)


def test_crops_in_another_order(tmp_path: Path) -> None:
    write_tip_cache(tmp_path, views=2)
    edited("16_labels_f.pt", lambda labels: labels.flip(0))(tmp_path)
    with pytest.raises(UserError, match="later passes aren't over the images of the first"):
        made(tmp_path)


def test_one_images_crops_together(tmp_path: Path) -> None:
    write_tip_cache(tmp_path, views=2)
    edited("16_vecs_f.pt", lambda crops: crops.unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1))(tmp_path)
    edited("16_labels_f.pt", lambda labels: labels.unflatten(0, (2, -1)).mT.flatten())(tmp_path)
    for keys_too in (True, False):
        with pytest.raises(UserError, match="not one image's crops together"):
            made(tmp_path)
        if keys_too:
            (tmp_path / "keys_16shots.pt").unlink()


def test_a_cache_without_validation_images(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    for name in ("val_f.pt", "val_l.pt"):
        (tmp_path / name).unlink()
    about = made(tmp_path, split=split_of()).about
    assert set(about.paths) == {"test"}
    assert about.split.val == ()


def test_text_weights_may_lie_either_way(tmp_path: Path) -> None:
    write_tip_cache(tmp_path, text=True)
    edited("text_weights_t.pt", lambda text: text.mT)(tmp_path)
    assert torch.allclose(made(tmp_path).tensors["text"], text_features(), atol=2e-3)


def test_the_backbones_width_is_known(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    with pytest.raises(UserError, match="features of width 12, and those of ViT-B-16 have 512; check --backbone"):
        make_import(tmp_path, Declared(dataset_info(DATASET), "ViT-B-16"))


def test_raw_rows_may_be_declared(tmp_path: Path) -> None:
    write_tip_cache(tmp_path)
    edited("test_f.pt", lambda rows: 10 * rows)(tmp_path)
    one = make_import(tmp_path, declared(raw=True))
    assert one.about.raw
    assert torch.allclose(one.tensors["test_norms"], torch.full((320,), 10.0), rtol=1e-2)


NAMES = [f"kind {c}" for c in range(CLASSES)]
ORDER = [3, 0, 1, 2, 7, 6, 5, 4]
"""Of each of the split's classes, the number that the features' files give it."""


def named_arrays(folder: Path, labels: Callable[[Tensor], Any], **more: Any) -> Path:
    """One `.npz` with the numbers of mini-tiles, 16 training rows of a class and labels of some form."""
    folder.mkdir(exist_ok=True)
    parts = {"train": part(16, 16), "val": part(8, 103), "test": part(40, 104)}
    arrays = {f"{name}_features": one.rows.numpy() for name, one in parts.items()}
    np.savez(
        folder / "all.npz", **arrays, **{f"{name}_labels": labels(one.labels) for name, one in parts.items()}, **more
    )
    return folder


def test_classes_in_another_order_are_renumbered_by_their_names(tmp_path: Path) -> None:
    number, text = torch.tensor(ORDER), text_features()
    plain = made(named_arrays(tmp_path / "plain", lambda labels: labels.numpy()), split=split_of())
    names = [NAMES[c].title().replace(" ", "_") for c in number.argsort()]
    theirs = {"class_names": np.array(names), "text_features": text[number.argsort()].numpy()}
    other = named_arrays(tmp_path / "other", lambda labels: number[labels].numpy(), **theirs)
    one = made(other, split=split_of())
    assert one.about.labels == plain.about.labels
    assert torch.allclose(one.tensors["text"], text, atol=1e-6)
    assert "labels renumbered by the class names that came with them" in one.about.notes
    beside = named_arrays(tmp_path / "beside", lambda labels: number[labels].numpy())
    with pytest.raises(UserError, match="the same labels in another order of classes; save class_names"):
        made(beside, split=split_of())
    (beside / "classnames.txt").write_text("\n".join(names))
    assert made(beside, split=split_of()).about.labels == plain.about.labels


def test_names_that_are_not_the_splits_say_nothing_of_an_order(tmp_path: Path) -> None:
    names = {"class_names": np.array([f"photo of {name}" for name in NAMES])}
    found = made(named_arrays(tmp_path, lambda labels: labels.numpy(), **names), split=split_of())
    assert found.about.class_names == tuple(NAMES)


@pytest.mark.parametrize("kind", ["U", "S"])
def test_labels_may_be_names(tmp_path: Path, kind: str) -> None:
    named = named_arrays(tmp_path, lambda labels: np.array([NAMES[c] for c in labels]).astype(kind))
    assert made(named, split=split_of()).about.labels["val"] == tuple(part(8, 103).labels.tolist())
    with pytest.raises(UserError, match=r"labels are names, and nothing says their order; give data\.root"):
        made(named)
    wrong = named_arrays(tmp_path, lambda labels: np.array([f"kynd {c}" for c in labels]))
    with pytest.raises(UserError, match="'kynd 0' is no class of the dataset; did you mean 'kind 0'"):
        made(wrong, split=split_of())


def test_labels_from_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labels are 1 to 8; subtract 1, they count from 0"):
        made(named_arrays(tmp_path, lambda labels: labels.numpy() + 1), split=split_of())


def test_passes_over_the_same_images_are_no_shots(tmp_path: Path) -> None:
    """Three augmented epochs of four shots, one after another, are not twelve images of a class."""
    rows, labels = part(4, 16).rows.repeat(3, 1), part(4, 16).labels.repeat(3)
    arrays = {"train_features": rows.numpy(), "train_labels": labels.numpy()}
    test = {"test_features": part(40, 104).rows.numpy(), "test_labels": part(40, 104).labels.numpy()}
    np.savez(tmp_path / "all.npz", **arrays, **test)
    with pytest.raises(UserError, match=r"labels of 32 rows come 3 times: .* train_crops \(3, 32, D\)"):
        made(tmp_path)
    said = {name.replace("train", "train_12shots"): array for name, array in arrays.items()}
    np.savez(tmp_path / "all.npz", **said, **test)
    assert made(tmp_path).about.draws[0].shots == 12
    np.savez(tmp_path / "all.npz", train_features=rows.unflatten(0, (3, -1)).numpy(), train_labels=labels[:32], **test)
    with pytest.raises(UserError, match=r"one row per image, and crops as train_crops \(V, n, D\)"):
        made(tmp_path)
