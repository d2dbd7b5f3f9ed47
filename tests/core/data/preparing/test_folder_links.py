"""One link for a folder that corresponds as a whole: what is read stays the same, and nothing is written through it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dualpt.core.data.catalog import REAL_GRID, dataset_info
from dualpt.core.data.checking.diagnosis import diagnose
from dualpt.core.data.checking.examination import examine
from dualpt.core.data.preparing.assembly import STAGING, finish_interrupted
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.manifest import Manifest, load_manifest
from dualpt.core.data.preparing.planner import look_around, plan_datasets
from tests.core.data.preparing.miniatures import (
    ARCHIVES,
    OTHER_REPOSITORIES,
    TORCHVISION,
    images_of,
    in_folder,
    lists_of,
    tar_of,
    write,
    write_direct,
)
from tests.core.data.preparing.preparing import TEXTURES, fingerprints, plan_of, prepare, snapshot

KINDS: Mapping[str, Mapping[str, Callable[[str], dict[str, bytes]]]] = {
    "torchvision": TORCHVISION,
    "other repositories": OTHER_REPOSITORIES,
    "archives": ARCHIVES,
}


def links_of(root: Path, folder: str = "dtd") -> Mapping[str, str]:
    """The links in the manifest, which are those on disk."""
    manifest = load_manifest(root / folder)
    assert manifest is not None
    made = (path for path in (root / folder).rglob("*") if path.is_symlink())
    on_disk = {str(path.relative_to(root / folder)): str(path.readlink()) for path in made}
    assert manifest.links == on_disk
    return manifest.links


@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_is_checked_and_diagnosed_as_the_direct_one(kind: str, tmp_path: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    for name in REAL_GRID:
        write_direct(direct, name)
        write(tmp_path / "clone", in_folder(name, lists_of(name)))
        write(source / name, KINDS[kind][name](name))
        prepare(name, source / name, root, tmp_path / "clone" / name)
        info = dataset_info(name)
        assert examine(info, root) == examine(info, direct)
        n_files = len(images_of(name))
        assert len(links_of(root, info.folder)) < n_files, "a link per file where a folder corresponds"
    assert str(diagnose(root)).replace(str(root), str(direct)) == str(diagnose(direct))


def test_one_link_where_a_folder_corresponds_as_a_whole(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    prepare(TEXTURES, source, root)
    assert links_of(root) == {"images": f"{source}/dtddataset/dtd/images"}


def test_junk_beside_the_images_changes_nothing(places: tuple[Path, Path, Path]) -> None:
    source, root, direct = places
    junk = (
        "Thumbs.db",
        ".DS_Store",
        "banded/.DS_Store",
        "banded/Thumbs.db",
        "banded/._banded_0002.jpg",
        "x/desktop.ini",
    )
    write(source / "dtddataset/dtd/images", dict.fromkeys(junk, b"junk"))
    prepare(TEXTURES, source, root)
    assert links_of(root) == {"images": f"{source}/dtddataset/dtd/images"}
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
    assert examine(dataset_info(TEXTURES), root) == examine(dataset_info(TEXTURES), direct)


def test_a_folder_spelt_otherwise_is_linked_beside_those_that_are_not(places: tuple[Path, Path, Path]) -> None:
    source, root, direct = places
    images = source / "dtddataset/dtd/images"
    (images / "polka-dotted").rename(images / "Polka Dotted")
    write(images, {"banded/unlisted.jpg": b"?"})
    (images / "banded/loop").symlink_to(images)
    prepare(TEXTURES, source, root)
    assert links_of(root) == {
        "images/banded": f"{images}/banded",
        "images/polka-dotted": f"{images}/Polka Dotted",
    }
    assert "banded/unlisted.jpg" in examine(dataset_info(TEXTURES), root).stray
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)


def test_a_file_spelt_otherwise_is_missing_and_not_linked(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    image = source / "dtddataset/dtd/images/banded/banded_0002.jpg"
    image.rename(image.with_name("BANDED_0002.JPG"))
    plan = prepare(TEXTURES, source, root)
    assert plan.remedy.startswith("1 of 6 images are missing (images/banded/banded_0002.jpg)")
    assert examine(dataset_info(TEXTURES), root).missing == ("banded/banded_0002.jpg",)


def test_a_class_from_two_places_gets_a_link_per_file_and_the_others_theirs(
    places: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    source, root, direct = places
    images = source / "dtddataset/dtd/images"
    other = source / "more/images/banded"
    other.mkdir(parents=True)
    (images / "banded/banded_0004.jpg").rename(other / "banded_0004.jpg")
    prepare(TEXTURES, source, root)
    assert links_of(root) == {
        "images/banded/banded_0002.jpg": f"{images}/banded/banded_0002.jpg",
        "images/banded/banded_0004.jpg": f"{other}/banded_0004.jpg",
        "images/banded/banded_0005.jpg": f"{images}/banded/banded_0005.jpg",
        "images/polka-dotted": f"{images}/polka-dotted",
    }
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)


def test_a_second_run_changes_nothing(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    prepare(TEXTURES, source, root)
    before = {path: path.lstat() for path in root.rglob("*")}
    plan = plan_of(TEXTURES, source, root)
    assert (plan.state, plan.will_be_done) == ("there", False)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }


class TestNothingIsWrittenThroughALink:
    @pytest.mark.parametrize("linked_before", [False, True])
    def test_an_archive_that_completes_a_folder(self, places: tuple[Path, Path, Path], linked_before: bool) -> None:
        source, root, direct = places
        (source / "dtddataset/dtd/images/banded/banded_0004.jpg").unlink()
        if linked_before:
            prepare(TEXTURES, source, root)
            assert list(links_of(root)) == ["images"]
        write(source, {"dtd.tar": tar_of(in_folder("dtd/images", images_of(TEXTURES)))})
        before = snapshot(source)
        prepare(TEXTURES, source, root)
        assert snapshot(source) == before
        assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
        assert list(links_of(root)) == [
            "images/banded/banded_0002.jpg",
            "images/banded/banded_0005.jpg",
            "images/polka-dotted",
        ]

    @pytest.mark.parametrize("in_archive", ["train", "val"])
    def test_imagenets_other_half_from_an_archive(self, in_archive: str, tmp_path: Path) -> None:
        source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
        write_direct(direct, "ImageNet")
        folders = TORCHVISION["ImageNet"]("ImageNet") | lists_of("ImageNet")
        write(source, {path: file for path, file in folders.items() if f"/{in_archive}/" not in path})
        packed = ARCHIVES["ImageNet"]("ImageNet").items()
        write(source, {path: file for path, file in packed if in_archive in path or "devkit" in path})
        before = snapshot(source)
        prepare("ImageNet", source, root)
        assert snapshot(source) == before
        assert fingerprints("ImageNet", root) == fingerprints("ImageNet", direct)
        sorted_half = {"train": "val", "val": "train"}[in_archive]
        assert links_of(root, "imagenet") == {f"images/{sorted_half}": f"{source}/imagenet/{sorted_half}"}

    @pytest.mark.parametrize("copy", [False, True])
    def test_a_link_gives_way_to_a_folder_when_half_of_imagenet_lies_elsewhere(
        self, copy: bool, tmp_path: Path
    ) -> None:
        source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
        write_direct(direct, "ImageNet")
        write(source, TORCHVISION["ImageNet"]("ImageNet") | lists_of("ImageNet"))
        prepare("ImageNet", source, root)
        assert links_of(root, "imagenet") == {"images": f"{source}/imagenet"}
        (tmp_path / "later").mkdir()
        (source / "imagenet/val").rename(tmp_path / "later/val")
        before = snapshot(source)
        prepare("ImageNet", tmp_path / "later", root, copy=copy)
        assert snapshot(source) == before
        assert fingerprints("ImageNet", root) == fingerprints("ImageNet", direct)
        linked = {"images/train": f"{source}/imagenet/train", "images/val": f"{tmp_path}/later/val"}
        assert links_of(root, "imagenet") == ({} if copy else linked)

    def test_a_killed_run_whose_source_changed(self, places: tuple[Path, Path, Path]) -> None:
        source, root, direct = places

        def killed(done: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            carry_out(plan_of(TEXTURES, source, root), root, copy=False, progress=killed)
        images = source / "dtddataset/dtd/images"
        (images / "polka-dotted").rename(images / "Polka Dotted")
        before = snapshot(source)
        finish_interrupted(root / "dtd")
        prepare(TEXTURES, source, root)
        assert snapshot(source) == before
        assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
        assert sorted(links_of(root)) == ["images/banded", "images/polka-dotted"]

    def test_a_run_killed_between_links_into_folders_that_exist(self, places: tuple[Path, Path, Path]) -> None:
        source, root, direct = places
        for name in ("banded", "polka-dotted"):
            (root / "dtd/images" / name).mkdir(parents=True)
        own = root / "dtd/images/banded/own.jpg"
        own.write_bytes(b"mine")

        def killed(done: int) -> None:
            if done == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            carry_out(plan_of(TEXTURES, source, root), root, copy=False, progress=killed)
        assert sum(path.is_symlink() for path in (root / "dtd/images").rglob("*")) == 4
        finish_interrupted(root / "dtd")
        assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
        assert plan_of(TEXTURES, source, root).state == "there"
        assert own.read_bytes() == b"mine"
        assert len(links_of(root)) == 6

    def test_a_manifest_that_names_a_path_outside(self, tmp_path: Path) -> None:
        staging = tmp_path / f"root/dtd/{STAGING}0123456789abcdef"
        staging.mkdir(parents=True)
        Manifest(dataset=TEXTURES, links={"../../taken": "/etc", "images/a.jpg": "/a.jpg"}).save(staging)
        finish_interrupted(tmp_path / "root/dtd")
        assert not (tmp_path / "taken").is_symlink()
        assert (tmp_path / "root/dtd/images/a.jpg").is_symlink()

    def test_a_split_drawn_later(self, places: tuple[Path, Path, Path]) -> None:
        source, root, _ = places
        prepare(TEXTURES, source, root)
        (root / "dtd/split_zhou_DescribableTextures.json").unlink()
        next(source.rglob("split_zhou_*.json")).unlink()
        before = snapshot(source)
        (plan,) = plan_datasets(look_around([source], [], root), root, [TEXTURES], make_split=1)
        carry_out(plan, root, copy=False, progress=lambda done: None)
        assert snapshot(source) == before
        assert list(links_of(root)) == ["images"]
        assert examine(dataset_info(TEXTURES), root).split_note.startswith("not the field's split")

    def test_a_users_own_link_in_place_of_the_datasets_folder(self, tmp_path: Path) -> None:
        mine, root = tmp_path / "mine", tmp_path / "root"
        write(mine, in_folder("images", images_of(TEXTURES)))
        write(tmp_path / "clone", lists_of(TEXTURES))
        root.mkdir()
        (root / "dtd").symlink_to(mine)
        plan = plan_of(TEXTURES, tmp_path / "clone", root)
        assert (plan.state, plan.remedy) == ("refused", f"{root / 'dtd'} is a link; remove it and run again")


def test_a_link_to_what_is_gone_gives_way_to_an_archive(places: tuple[Path, Path, Path], tmp_path: Path) -> None:
    source, root, direct = places
    prepare(TEXTURES, source, root)
    source.rename(tmp_path / "gone")
    write(tmp_path / "later", {"dtd.tar": tar_of(in_folder("dtd/images", images_of(TEXTURES)))})
    prepare(TEXTURES, tmp_path / "later", root)
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
    assert links_of(root) == {}


def test_a_digest_goes_with_the_copy_that_it_was_of(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    prepare(TEXTURES, source, root, copy=True)
    (root / "dtd/images/banded/banded_0002.jpg").unlink()
    prepare(TEXTURES, source, root)
    manifest = load_manifest(root / "dtd")
    assert manifest is not None
    assert list(manifest.links) == ["images/banded/banded_0002.jpg"]
    assert sorted(manifest.digests) == sorted(
        f"images/{path}" for path in images_of(TEXTURES) if path != "banded/banded_0002.jpg"
    )
