"""The store's upkeep: damage is found when files are touched, and gc keeps what isn't the store's."""

import errno
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from filelock import FileLock

from dualpt.core.data.images import View
from dualpt.core.errors import StorageError, UserError
from dualpt.core.features.store import FeatureStore
from dualpt.core.features.upkeep import collect_garbage, list_store, verify_store
from tests.core.features.tiny import NAME, agrees, expected, flip

pytestmark = pytest.mark.usefixtures("private_cache")


def features_folder(store: FeatureStore) -> Path:
    (about,) = store.root.rglob("about.json")
    return about.parent


class TestTouchedFiles:
    def test_damage_is_found_and_repaired_by_the_next_reader(self, filled, backbone, image_root, items) -> None:
        flip(next(filled.root.rglob("*.safetensors")), -1)
        for store in (filled, FeatureStore(filled.root)):
            found = store.features(backbone, NAME, image_root, items, "value")
            assert agrees(found, expected(backbone, image_root, items))
        assert verify_store(filled.root).damaged == {}

    def test_only_the_damaged_file_is_encoded_again(self, filled, backbone, image_root, items) -> None:
        flip(max(filled.root.rglob("*.safetensors"), key=lambda path: path.stat().st_size), -1)
        missing, _ = FeatureStore(filled.root).missing(backbone, NAME, image_root, items, "value")
        assert len(missing) == 8

    def test_a_copied_store_is_checked_once_and_used(self, filled, backbone, image_root, items, tmp_path) -> None:
        copied = FeatureStore(Path(shutil.copytree(filled.root, tmp_path / "copy", copy_function=shutil.copyfile)))
        missing, _ = copied.missing(backbone, NAME, image_root, items, "value")
        assert missing == []


class TestCollection:
    def test_by_default_sound_features_stay(self, filled) -> None:
        assert collect_garbage(filled.root).removed == {}
        assert len(list_store(filled.root).folders) == 1

    def test_unused_features_go(self, filled, backbone, image_root, items) -> None:
        folder = features_folder(filled)
        assert collect_garbage(filled.root, unused_days=30).removed == {}
        long_ago = time.time() - 40 * 86400
        os.utime(folder / "about.json", (long_ago, long_ago))
        dry = collect_garbage(filled.root, unused_days=30, dry_run=True)
        assert dry.removed == {folder: "unused for 40 days"}
        assert folder.exists()
        assert collect_garbage(filled.root, unused_days=30).bytes == dry.bytes > 0
        assert not folder.exists()
        assert agrees(
            filled.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items)
        )

    def test_reading_counts_as_use(self, filled, backbone, image_root, items) -> None:
        about = features_folder(filled) / "about.json"
        os.utime(about, (0, 0))
        filled.features(backbone, NAME, image_root, items, "value")
        assert collect_garbage(filled.root, unused_days=1).removed == {}

    def test_named_features_go(self, filled) -> None:
        for wrong, said in (
            ({"backbone": "tinny"}, "--backbone: the store has no backbone 'tinny'; did you mean 'tiny'?"),
            ({"dataset": "EuroSAT"}, "--dataset: the store has no dataset 'EuroSAT'"),
        ):
            with pytest.raises(UserError) as caught:
                collect_garbage(filled.root, **wrong)
            assert said in str(caught.value)
        assert list(collect_garbage(filled.root, dataset=NAME).removed.values()) == ["named"]

    def test_other_versions_and_leftovers_go(self, filled) -> None:
        folder = features_folder(filled)
        about = json.loads((folder / "about.json").read_text())
        (folder / "about.json").write_text(json.dumps(about | {"version": 0}))
        leftover, fresh = filled.root / ".tmp-old", filled.root / ".tmp-new"
        for path in (leftover, fresh):
            path.write_text("half")
        os.utime(leftover, (0, 0))
        removed = collect_garbage(filled.root).removed
        assert removed == {folder: "of another version", leftover: "left by a killed writer"}
        assert fresh.exists()

    def test_what_is_not_the_stores_stays(self, filled) -> None:
        folder = features_folder(filled)
        (folder / "notes.txt").write_text("mine")
        (filled.root / "mine").mkdir()
        (filled.root / "mine" / "about.json").write_text("not the store's")
        assert list_store(filled.root).unreadable == [filled.root / "mine" / "about.json"]
        result = collect_garbage(filled.root, backbone="tiny")
        assert set(result.foreign) == {folder / "notes.txt", filled.root / "mine" / "about.json"}
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
        assert (filled.root / "mine" / "about.json").exists()

    def test_features_in_use_stay(self, filled) -> None:
        folder = features_folder(filled)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            assert collect_garbage(filled.root, backbone="tiny").in_use == [folder]
        assert list_store(filled.root).folders[0][1].rows == 36

    @pytest.mark.parametrize("deleted", [1, 4, 5])
    def test_cut_off_it_leaves_fewer_images_all_sound(
        self, filled, backbone, image_root, items, monkeypatch, deleted
    ) -> None:
        unlink, done = Path.unlink, []

        def cut_off(path: Path, missing_ok: bool = False) -> None:
            if len(done) == deleted:
                raise KeyboardInterrupt
            done.append(path)
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", cut_off)
        with pytest.raises(KeyboardInterrupt):
            collect_garbage(filled.root, backbone="tiny")
        monkeypatch.setattr(Path, "unlink", unlink)
        again = FeatureStore(filled.root)
        assert agrees(again.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items))
        assert verify_store(filled.root).damaged == {}

    def test_a_description_that_was_lost_is_rewritten(self, filled, backbone, image_root, items) -> None:
        about = features_folder(filled) / "about.json"
        about.write_text("{")
        assert list_store(filled.root).unreadable == [about]
        FeatureStore(filled.root).features(backbone, NAME, image_root, items, "value")
        assert list_store(filled.root).unreadable == []


class TestStoresThatCannotBeWritten:
    """Tests may run as root, whom no permission stops: the system's refusals are played."""

    def refuse(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(FileLock, "acquire", refused)
        monkeypatch.setattr(os, "open", refused)
        monkeypatch.setattr(os, "utime", refused)

    def test_a_full_store_is_still_read(self, filled, backbone, image_root, items, monkeypatch) -> None:
        os.utime(next(filled.root.rglob("*.safetensors")))  # it has to be checked first
        self.refuse(monkeypatch, errno.EROFS)
        found = FeatureStore(filled.root).features(backbone, NAME, image_root, items, "value")
        assert agrees(found, expected(backbone, image_root, items))

    def test_missing_rows_are_one_line(self, filled, backbone, image_root, items, monkeypatch) -> None:
        self.refuse(monkeypatch, errno.EROFS)
        with pytest.raises(
            StorageError, match=r"cannot be written \(Read-only file system\); make room, or set DUALPT_CACHE"
        ):
            FeatureStore(filled.root).features(backbone, NAME, image_root, items, "value", view=View(1))

    def test_so_are_damage_and_collection(self, filled, monkeypatch) -> None:
        flip(next(filled.root.rglob("*.safetensors")), -1)
        self.refuse(monkeypatch, errno.EACCES)
        for upkeep in (verify_store, lambda root: collect_garbage(root, backbone="tiny")):
            with pytest.raises(StorageError, match=r"cannot be written \(Permission denied\)"):
                upkeep(filled.root)
