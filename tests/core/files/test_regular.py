"""Readers refuse what is not a regular file in one line, and never wait for one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpt.core.clip.backbone import load_backbone
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.images import decode
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.text_files import read_text
from dualpt.core.descriptions.classes import classes_of
from dualpt.core.descriptions.importing.foreign import read_foreign
from dualpt.core.descriptions.importing.matching import read_renames
from dualpt.core.descriptions.reading import read_content
from dualpt.core.descriptions.writing.questions import read_templates
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256
from dualpt.core.files.json_reader import read_json
from dualpt.core.files.regular import check_fetched, check_regular
from dualpt.core.files.tensor_file import read_tensors
from dualpt.core.files.yaml_reader import read_yaml
from dualpt.core.prompts.contexts_file import load_contexts

DTD = dataset_info("DescribableTextures", None)

READERS: dict[str, Callable[[Path], object]] = {
    "hash": file_sha256,
    "YAML": read_yaml,
    "JSON": read_json,
    "tensors": read_tensors,
    "contexts": load_contexts,
    "weights": lambda path: load_backbone("ViT-B-16", str(path)),
    "weights of the mini CLIP": lambda path: load_backbone("mini-clip", str(path)),
    "image": decode,
    "text": lambda path: read_text(path, "the list"),
    "split": lambda path: read_split_file(path, image_folder=""),
    "bank": lambda path: read_content(path, DTD),
    "class names": lambda path: classes_of(DTD, None, path),
    "foreign bank": lambda path: read_foreign(path, ["dtd"]),
    "map": lambda path: read_renames(path, (), {}),
    "question templates": read_templates,
}


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("private_cache")
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_for_a_named_pipe(pipe: Path, reader: str) -> None:
    with pytest.raises(UserError, match=r"pipe: is a named pipe and cannot be read as a file; "):
        READERS[reader](pipe)


def test_what_lies_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder and cannot be read as a file"):
        check_regular(tmp_path)
    with pytest.raises(UserError, match="is a device and cannot be read as a file"):
        check_regular(Path("/dev/null"))


def test_regular_and_missing_files_pass(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link", "missing", "x" * 300):
        check_regular(tmp_path / name)


def test_a_file_without_its_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")
    (tmp_path / "real").write_text("version https://example.org")
    with pytest.raises(UserError, match="empty: the file is empty; fetch it again"):
        check_fetched(tmp_path / "empty")
    with pytest.raises(UserError, match="pointer: a Git LFS pointer, not the file itself; run `git lfs pull`"):
        check_fetched(tmp_path / "pointer")
    check_fetched(tmp_path / "real")
