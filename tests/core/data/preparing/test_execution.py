"""A killed run continues, a second one does nothing, and the user's own tree is never written to."""

import json
import os
import shutil
from pathlib import Path

import pytest

from dualpt.core.data.preparing import assembly
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.manifest import load_manifest
from dualpt.core.errors import StorageError, UserError
from tests.core.data.preparing.miniatures import images_of, in_folder, tar_of, write, write_direct
from tests.core.data.preparing.preparing import TEXTURES, fingerprints, plan_of, prepare, snapshot


def staged(root: Path) -> list[Path]:
    return sorted(path for path in (root / "dtd").glob(f"{assembly.STAGING}*/**/*.jpg") if path.is_file())


def test_a_killed_copy_continues(places: tuple[Path, Path, Path]) -> None:
    source, root, direct = places

    def killed(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(plan_of(TEXTURES, source, root), root, copy=True, progress=killed)
    assert not (root / "dtd" / "images").exists()
    kept = {path.name: path.stat().st_ino for path in staged(root)}
    assert len(kept) == 3
    prepare(TEXTURES, source, root, copy=True)
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
    assert {p.name: p.stat().st_ino for p in (root / "dtd" / "images").rglob("*.jpg") if p.name in kept} == kept
    assert list((root / "dtd").glob(".*")) == []


def test_a_run_killed_while_files_are_moved_in_continues(
    places: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, root, direct = places
    real = assembly.os.replace

    def killed(old: object, new: object) -> None:
        if str(new).endswith("dtd/prepared.json"):
            raise KeyboardInterrupt
        real(old, new)  # type: ignore[arg-type]

    monkeypatch.setattr(assembly.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(TEXTURES, source, root, copy=True)
    monkeypatch.undo()
    assert load_manifest(root / "dtd") is None
    assembly.finish_interrupted(root / "dtd")
    assert load_manifest(root / "dtd") is not None
    assert list((root / "dtd").glob(".*")) == []
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)


def test_what_another_plan_left_is_not_used(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    write(root / "dtd" / f"{assembly.STAGING}0123456789abcdef", {"images/banded/banded_0002.jpg": b"half"})
    prepare(TEXTURES, source, root, copy=True)
    assert (root / "dtd/images/banded/banded_0002.jpg").read_bytes() == images_of(TEXTURES)["banded/banded_0002.jpg"]
    assert list((root / "dtd").glob(".*")) == []


def test_the_manifest_says_what_was_done(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    prepare(TEXTURES, source, root)
    manifest = load_manifest(root / "dtd")
    assert manifest is not None
    assert manifest.links == {"images": f"{source}/dtddataset/dtd/images"}
    assert manifest.digests == {}
    assert list(manifest.lists) == ["split_zhou_DescribableTextures.json"]
    assert manifest.split_fingerprint == fingerprints(TEXTURES, root)[0]
    shutil.rmtree(root)
    prepare(TEXTURES, source, root, copy=True)
    copied = load_manifest(root / "dtd")
    assert copied is not None
    assert sorted(copied.digests) == sorted(f"images/{path}" for path in images_of(TEXTURES))
    assert {len(digest) for digest in copied.digests.values()} == {32}


def test_a_split_file_that_was_lost_is_put_back(places: tuple[Path, Path, Path]) -> None:
    source, root, direct = places
    prepare(TEXTURES, source, root)
    before = load_manifest(root / "dtd")
    (root / "dtd/split_zhou_DescribableTextures.json").unlink()
    prepare(TEXTURES, source, root)
    after = load_manifest(root / "dtd")
    assert before is not None
    assert after is not None
    assert after.links == before.links
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)


class TestMissingImages:
    def test_what_lies_elsewhere_completes_it_later(self, places: tuple[Path, Path, Path], tmp_path: Path) -> None:
        source, root, direct = places
        moved = tmp_path / "later" / "banded"
        moved.mkdir(parents=True)
        lying = source / "dtddataset/dtd/images/banded/banded_0004.jpg"
        lying.rename(moved / "banded_0004.jpg")
        plan = prepare(TEXTURES, source, root)
        assert plan.state == "incomplete"
        assert "1 of 6 images are missing (images/banded/banded_0004.jpg)" in plan.remedy
        assert plan_of(TEXTURES, source, root).state == "there"
        before = snapshot(source)
        assert prepare(TEXTURES, tmp_path / "later", root).state == "ready"
        assert snapshot(source) == before
        assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
        manifest = load_manifest(root / "dtd")
        assert manifest is not None
        assert all((root / "dtd" / path).is_symlink() for path in manifest.links)

    def test_an_unreadable_archive_that_may_hold_them_is_named(self, places: tuple[Path, Path, Path]) -> None:
        source, root, _ = places
        next(source.rglob("banded_0002.jpg")).unlink()
        (source / "dtd-r1.0.1.tar.gz").write_bytes(b"<html>")
        plan = plan_of(TEXTURES, source, root)
        assert plan.state == "incomplete"
        (line,) = plan.traps
        assert line.startswith(f"{source}/dtd-r1.0.1.tar.gz: is a web page, not an archive")

    def test_less_than_half_is_refused(self, places: tuple[Path, Path, Path]) -> None:
        source, root, _ = places
        for path in sorted(source.rglob("*.jpg"))[:4]:
            path.unlink()
        plan = plan_of(TEXTURES, source, root)
        assert (plan.state, plan.missing) == ("refused", 4)

    def test_less_than_half_in_an_archive_leaves_nothing(self, tmp_path: Path) -> None:
        source, root = tmp_path / "source", tmp_path / "root"
        some = dict(list(images_of(TEXTURES).items())[:2])
        write(source, {"dtd-r1.0.1.tar.gz": tar_of(in_folder("dtd/images", some), "w:gz")})
        write(source, {"split_zhou_DescribableTextures.json": _split(tmp_path)})
        with pytest.raises(UserError, match=r"4 of 6 images are missing \(images/banded/banded_0005.jpg"):
            prepare(TEXTURES, source, root)
        assert not (root / "dtd").exists()


def _split(tmp_path: Path) -> bytes:
    write_direct(tmp_path / "direct", TEXTURES)
    return (tmp_path / "direct/dtd/split_zhou_DescribableTextures.json").read_bytes()


def test_a_truncated_archive_leaves_nothing_half_made(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    whole = tar_of(in_folder("dtd/images", {k: v * 400 for k, v in images_of(TEXTURES).items()}))
    write(source, {"dtd.tar": whole[: len(whole) * 2 // 3], "split_zhou_DescribableTextures.json": _split(tmp_path)})
    plan = plan_of(TEXTURES, source, root)
    assert plan.state == "refused"
    assert "dtd.tar: truncated or damaged" in plan.remedy
    assert not root.exists()


def test_a_tar_without_an_end_marker_is_taken_if_it_holds_everything(tmp_path: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, TEXTURES)
    members = in_folder("dtd/images", images_of(TEXTURES))
    unclosed = tar_of(members)[: 1024 * len(members)]
    write(source, {"dtd.tar": unclosed, "split_zhou_DescribableTextures.json": _split(tmp_path)})
    prepare(TEXTURES, source, root)
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)
    manifest = load_manifest(root / "dtd")
    assert manifest is not None
    assert any("ends without an end marker" in remark for remark in manifest.remarks)
    (source / "dtd.tar").write_bytes(unclosed[:-1024])
    with pytest.raises(UserError, match=r"dtd.tar: ends without an end marker, and may be truncated"):
        prepare(TEXTURES, source, tmp_path / "other")
    assert not (tmp_path / "other" / "dtd").exists()


def test_a_link_of_the_users_own_is_not_written_through(places: tuple[Path, Path, Path], tmp_path: Path) -> None:
    source, root, _ = places
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"banded/banded_0002.jpg": b"mine"})
    (root / "dtd").mkdir(parents=True)
    (root / "dtd/images").symlink_to(elsewhere)
    plan = plan_of(TEXTURES, source, root)
    assert plan.state == "refused"
    assert plan.remedy == f"{root / 'dtd/images'} is a link; remove it and run again"


def test_a_link_to_nowhere_is_said_and_an_earlier_runs_is_replaced(places: tuple[Path, Path, Path]) -> None:
    source, root, direct = places
    (root / "dtd/images").mkdir(parents=True)
    (root / "dtd/images/banded").symlink_to("/nowhere")
    assert plan_of(TEXTURES, source, root).remedy == f"{root / 'dtd/images/banded'} is a link; remove it and run again"
    shutil.rmtree(root)
    prepare(TEXTURES, source, root)
    moved = source.rename(source.with_name("moved"))
    assert not (root / "dtd/images").exists()
    assert prepare(TEXTURES, moved, root).state == "ready"
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)


def test_images_that_lie_in_the_data_root_stay(places: tuple[Path, Path, Path]) -> None:
    source, root, direct = places
    write(root / "dtd", {"images/banded/banded_0002.jpg": b"mine", "images/banded/note.txt": b"mine too"})
    plan = prepare(TEXTURES, source, root)
    assert len(plan.wanted) == 5
    expected = fingerprints(TEXTURES, direct)
    assert fingerprints(TEXTURES, root) == (expected[0], expected[1] | {"banded/banded_0002.jpg": b"mine"})
    assert (root / "dtd/images/banded/note.txt").read_bytes() == b"mine too"
    assert not (root / "dtd/images/banded").is_symlink()


def test_a_full_disk_keeps_what_is_done(places: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, root, direct = places
    real, calls = assembly.os.replace, []

    def full(old: object, new: object) -> None:
        calls.append(new)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        real(old, new)  # type: ignore[arg-type]

    monkeypatch.setattr(assembly.os, "replace", full)
    with pytest.raises(StorageError, match=r"dtd: the disk is full; make room .* run again"):
        prepare(TEXTURES, source, root, copy=True)
    monkeypatch.undo()
    assert len(staged(root)) == 3
    prepare(TEXTURES, source, root, copy=True)
    assert fingerprints(TEXTURES, root) == fingerprints(TEXTURES, direct)


def test_a_pipe_called_like_an_image_is_not_opened(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    image = next(source.rglob("banded_0002.jpg"))
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(UserError, match=r"banded_0002\.jpg: is a named pipe"):
        prepare(TEXTURES, source, root, copy=True)
    assert not (root / "dtd").exists()


def test_a_manifest_of_another_version_is_as_none(places: tuple[Path, Path, Path]) -> None:
    source, root, _ = places
    prepare(TEXTURES, source, root)
    file = root / "dtd" / "prepared.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    assert load_manifest(root / "dtd") is None
    assert plan_of(TEXTURES, source, root).state == "there"
