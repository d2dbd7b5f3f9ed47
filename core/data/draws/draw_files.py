"""Few-shot draws as the field's own files: `<dataset folder>/split_fewshot/shot_<K>-seed_<S>.pkl`.

CoOp keeps a draw as a pickle of `{"train": [Datum, ...], "val": [Datum, ...]}`, each Datum of
`dassl.data.datasets.base_dataset` with the image's full path, label, domain and class name (CoOp at 1fbb1a6,
`datasets/oxford_pets.py`; Dassl.pytorch at 27eb2f4), and takes a file that is there in place of a draw of its own.

A pickle can run whatever its author likes. Files are read by an unpickler that knows no name but Datum, for which it
puts an empty stand-in, and are written without Dassl, opcode by opcode.
"""

import io
import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualpt.core.data.split_file import relative_path
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError
from dualpt.core.files.half_written import written_whole
from dualpt.core.files.regular import check_fetched, check_regular

FOLDER = "split_fewshot"
FILE_NAME = re.compile(r"shot_(\d{1,6})-seed_(\d{1,9})\.pkl", re.ASCII)
PARTS = ("train", "val")
MODULE, CLASS = "dassl.data.datasets.base_dataset", "Datum"
PROTOCOL = 4
"""Of the pickles written: every Python from 3.4 on reads it."""
LARGEST_FILE = 2**28
"""Bytes; ImageNet's draw at 16 shots takes 3 MB."""

Draw = Mapping[str, tuple[Item, ...]]
"""`train`, and `val` where the file has it (ImageNet's has none): images in the order drawn."""


def draw_file(root: Path, dataset_folder: str, shots: int, seed: int) -> Path:
    """Where CoOp looks for a draw under its data root."""
    return root / dataset_folder / FOLDER / f"shot_{shots}-seed_{seed}.pkl"


def shots_and_seed(path: Path) -> tuple[int, int] | None:
    """What the name of a draw's file says; None for other files."""
    match = FILE_NAME.fullmatch(path.name)
    return None if match is None else (int(match[1]), int(match[2]))


def write_draw(path: Path, draw: Draw, image_root: Path) -> None:
    """Write a draw as Dassl would on a machine whose images lie under `image_root`.

    Raises:
        OSError: the file cannot be written; nothing half-written is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        part.write_bytes(pickled(draw, image_root))


def pickled(draw: Draw, image_root: Path) -> bytes:
    """The bytes of a draw's file; equal draws give equal bytes."""
    lists = b"".join(_text(part) + _datums(items, image_root) for part, items in draw.items())
    return b"".join((pickle.PROTO, bytes([PROTOCOL]), _dict(lists), pickle.STOP))


def _datums(items: Sequence[Item], image_root: Path) -> bytes:
    made = b"".join(_datum(item, image_root) for item in items)
    return b"".join((pickle.EMPTY_LIST, pickle.MARK, made, pickle.APPENDS))


def _datum(item: Item, image_root: Path) -> bytes:
    """`Datum.__new__` and its attributes; `__init__`, which looks for the image on disk, isn't called."""
    state = (
        *(_text("_impath"), _text(str(image_root / item.path))),
        *(_text("_label"), pickle.BININT + struct.pack("<i", item.label)),
        *(_text("_domain"), pickle.BININT1 + b"\0"),
        *(_text("_classname"), _text(item.class_name)),
    )
    made = (_text(MODULE), _text(CLASS), pickle.STACK_GLOBAL, pickle.EMPTY_TUPLE, pickle.NEWOBJ)
    return b"".join((*made, _dict(b"".join(state)), pickle.BUILD))


def _dict(pairs: bytes) -> bytes:
    return b"".join((pickle.EMPTY_DICT, pickle.MARK, pairs, pickle.SETITEMS))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


class _DrawUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._stand_in = type(CLASS, (), {})  # one for each file, since a pickle may set attributes of a class too

    def find_class(self, module: str, name: str) -> Any:
        """Datum, wherever a fork of the field's code keeps it, and nothing else."""
        if name == CLASS:
            return self._stand_in
        raise pickle.UnpicklingError(f"names more than a {CLASS}: it names {module}.{name}")


def read_draw(path: Path, image_folder: str) -> Draw:
    """Read a draw's file without running anything in it.

    Args:
        path: the file.
        image_folder: the dataset's image root under the data root (`dtd/images`): full paths are cut after it.

    Raises:
        UserError: no such file, or one that isn't a draw; the line names the file and the fault.
    """
    content = unpickled(path)
    if not isinstance(content, dict) or not isinstance(content.get("train"), list):
        raise UserError(f"{path}: not a few-shot draw: expected {{'train': [...], 'val': [...]}}")
    return {part: tuple(_items(content[part], part, path, image_folder)) for part in PARTS if part in content}


def unpickled(path: Path) -> Any:
    """What a draw's file holds, whatever its shape: plain containers, and stand-ins with a Datum's attributes.

    Raises:
        UserError: no such file, one that is too large or damaged, or one that names anything but a Datum.
    """
    check_regular(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path}: larger than any few-shot draw; give files that CoOp or `--export` wrote")
        check_fetched(path)
        return _DrawUnpickler(io.BytesIO(path.read_bytes())).load()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        fault = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a few-shot draw of Dassl ({fault:.160}); only its {CLASS} is read, since pickles may run code"
        ) from None
    except Exception as error:  # a damaged pickle fails in as many ways as it has opcodes
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{path}: not a few-shot draw of Dassl, or damaged ({fault:.160}); fetch or draw it again"
        ) from None


def _items(entries: object, part: str, path: Path, image_folder: str) -> list[Item]:
    if not isinstance(entries, list):
        raise UserError(f"{path}: '{part}' must be a list of images")
    items = []
    for index, entry in enumerate(entries):
        known = getattr(entry, "__dict__", {})
        label, name = known.get("_label"), known.get("_classname")
        if type(label) is not int or not isinstance(name, str):
            raise UserError(f"{path}: '{part}' entry {index} is no image with a label and a class name")
        try:
            items.append(Item(relative_path(known.get("_impath"), image_folder), label, name))
        except ValueError as fault:
            raise UserError(f"{path}: '{part}' entry {index}: {fault}") from None
    return items
