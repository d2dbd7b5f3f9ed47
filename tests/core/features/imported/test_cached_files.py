"""Arrays in untrusted files: numbers come out, nothing runs, and each fault is one line."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dualpt.core.errors import UserError
from dualpt.core.features.imported.cached_files import read_arrays


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_the_same_array_from_every_kind_of_file(tmp_path: Path) -> None:
    wanted = torch.randn(3, 4)
    torch.save(wanted.half(), tmp_path / "a.pt")
    torch.save({"x": wanted}, tmp_path / "b.pth")
    np.savez(tmp_path / "c.npz", x=wanted.numpy().astype(">f8"))
    np.save(tmp_path / "d.npy", wanted.numpy())
    save_file({"x": wanted}, tmp_path / "e.safetensors")
    for name, key in (("a.pt", ""), ("b.pth", "x"), ("c.npz", "x"), ("d.npy", ""), ("e.safetensors", "x")):
        assert torch.allclose(read_arrays(tmp_path / name).tensors[key].float(), wanted, atol=1e-2), name


def test_words_beside_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((2, 2)), classnames=np.array(["a cat", "a dog"]))
    torch.save({"x": torch.ones(2, 2), "classnames": ["a cat", "a dog"]}, tmp_path / "a.pt")
    for name in ("a.npz", "a.pt"):
        assert read_arrays(tmp_path / name).words == {"classnames": ("a cat", "a dog")}


@pytest.mark.parametrize("name", ["a.pt", "a.npz", "a.npy"])
def test_objects_are_refused_and_never_made(tmp_path: Path, name: str) -> None:
    path, trace = tmp_path / name, tmp_path / "trace"
    if name == "a.pt":
        torch.save({"x": Bomb(trace)}, path)
    elif name == "a.npz":
        np.savez(path, x=np.array([Bomb(trace)], dtype=object))
    else:
        np.save(path, np.array([Bomb(trace)], dtype=object))
    with pytest.raises(UserError, match=r"holds objects other than tensors.*save plain tensors"):
        read_arrays(path)
    assert not trace.exists()


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps([Bomb(tmp_path / "trace")]))
    with pytest.raises(UserError, match=r"a\.pt"):
        read_arrays(tmp_path / "a.pt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.pt", b"", "is empty"),
        ("a.pt", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.pt", b"not a torch file", r"a\.pt"),
        ("a.npz", b"not a zip file", "cannot be read"),
        ("a.safetensors", b"\xff" * 20, "cannot be read"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, name: str, content: bytes, line: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=line) as caught:
        read_arrays(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_other_things_than_numbers(tmp_path: Path) -> None:
    torch.save(torch.eye(3).to_sparse(), tmp_path / "a.pt")
    with pytest.raises(UserError, match="not a plain array"):
        read_arrays(tmp_path / "a.pt")
    torch.save([torch.eye(3)], tmp_path / "b.pt")
    with pytest.raises(UserError, match="holds a list, not a tensor"):
        read_arrays(tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", x=np.array(["2020-01-01"], dtype="datetime64[D]"))
    with pytest.raises(UserError, match="not numbers"):
        read_arrays(tmp_path / "c.npz")
