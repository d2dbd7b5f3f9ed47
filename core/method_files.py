"""A user's method in a file of their own: read once per process, run as a module, and refused in one line.

The content's SHA-256 enters the keys of cells, wherever the file lies. Workers are sent the content (`files_here`,
`adopt`), so they need no shared folder, and editing the file changes no running sweep.
"""

import ast
import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dualpt.core.errors import UserError, nearest
from dualpt.core.files.regular import check_regular

SUFFIX = ".py"
INTERFACE = "dualpt.core.methods.interface"

_CONTENTS: dict[str, bytes] = {}
"""Files by absolute path, as first read by this process or sent by the driver."""


@dataclass(frozen=True)
class MethodFile:
    """A file as it was when the driver read it."""

    path: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def is_file_spec(spec: str) -> bool:
    """Whether `spec` names a file: `FILE.py` or `FILE.py:ClassName`."""
    return _parts(spec)[0].endswith(SUFFIX)


def absolute(spec: str) -> str:
    """The same file by its absolute path."""
    path, name = _parts(spec)
    place = str(Path(path).expanduser().resolve())
    return f"{place}:{name}" if name else place


def files_here() -> tuple[MethodFile, ...]:
    """Every file that this process has read, for processes that do not see it."""
    return tuple(MethodFile(path, content) for path, content in _CONTENTS.items())


def content_of(path: str) -> bytes:
    """A method's file as this process read it; of an installed package, as it lies there."""
    return _CONTENTS[path] if path in _CONTENTS else Path(path).read_bytes()


def adopt(files: Iterable[MethodFile]) -> None:
    """Use these contents, and read no such files here."""
    _CONTENTS.update({file.path: file.content for file in files})


def forget() -> None:
    """Read every file again where it is next named."""
    _CONTENTS.clear()


def read_definition(spec: str) -> tuple[type[Any], MethodFile]:
    """The `Method` subclass that an absolute spec names.

    Raises:
        UserError: the file is missing, fails when it is run, or has no such class; one line with file and line number.
    """
    path, wanted = _parts(spec)
    file = _read(path)
    module = _run(file)
    base = importlib.import_module(INTERFACE).Method
    lines = {node.name: node.lineno for node in ast.parse(file.content).body if isinstance(node, ast.ClassDef)}
    found = {
        name: one
        for name, one in vars(module).items()
        if inspect.isclass(one) and issubclass(one, base) and one.__module__ == module.__name__ and name[0] != "_"
    }
    if wanted and wanted not in found:
        raise UserError(f"{path}: has no Method subclass '{wanted}'{nearest(wanted, found)}")
    if not found:
        raise UserError(f"{path}: defines no subclass of {INTERFACE}.Method; see docs/own-method.md")
    if not wanted and len(found) > 1:
        places = ", ".join(f"{name} (line {lines.get(name, 0)})" for name in found)
        raise UserError(
            f"{path}: defines {len(found)} methods: {places}; name one as {Path(path).name}:{next(iter(found))}"
        )
    name = wanted or next(iter(found))
    return found[name], file


@contextmanager
def naming_its_line(path: str | None, otherwise: int = 0) -> Iterator[None]:
    """Turn an error raised in the file at `path` into one line that names the line.

    Lack of memory stays what it is: a smaller pack may have enough.

    Args:
        path: None for what ships, whose errors stay what they are.
        otherwise: the line to name where none of the file's took part; 0 for none.

    Raises:
        UserError: whatever the file's code raised.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if path is None or type(error).__name__ == "OutOfMemoryError":
            raise
        raise UserError(_with_line(error, path, otherwise)) from error


def _parts(spec: str) -> tuple[str, str]:
    """Path and class name; the latter is empty where the spec names none."""
    path, colon, name = spec.rpartition(":")
    return (path, name) if colon and path.endswith(SUFFIX) else (spec, "")


def _read(path: str) -> MethodFile:
    if path not in _CONTENTS:
        file = Path(path)
        if not file.is_file():
            beside = [str(one) for one in file.parent.glob(f"*{SUFFIX}")] if file.parent.is_dir() else []
            raise UserError(f"{path}: no such file of a method{nearest(path, beside)}")
        check_regular(file)
        try:
            _CONTENTS[path] = file.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: can't be read ({error.strerror})") from None
    return MethodFile(path, _CONTENTS[path])


def _run(file: MethodFile) -> ModuleType:
    """The file as a module, run once per content."""
    name = f"dualpt_method_{file.sha256[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = file.path
    sys.modules[name] = module  # dataclasses and pydantic look their own module up while its classes are made
    try:
        exec(compile(file.content, file.path, "exec"), vars(module))
    except SyntaxError as error:
        del sys.modules[name]
        place = file.path if error.filename is None else f"{error.filename}:{error.lineno}"
        raise UserError(f"{place}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(_with_line(error, file.path) + _beside(error, file.path)) from None
    return module


def _with_line(error: BaseException, path: str, otherwise: int = 0) -> str:
    """`FILE:LINE: what went wrong`, by the last line of the file that took part."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    line = frames[-1].lineno if frames else otherwise
    place = f"{path}:{line}" if line else path
    return f"{place}: {type(error).__name__}: {' '.join(str(error).split())}"


def _beside(error: BaseException, path: str) -> str:
    """What to do where the file imports another that lies beside it; empty for other errors."""
    if not isinstance(error, ImportError):
        return ""
    relative = error.name is None and "relative import" in str(error)
    module = (error.name or "").partition(".")[0]
    siblings = [Path(path).with_name(name) for name in (f"{module}{SUFFIX}", module)] if module else []
    if relative or any(one.exists() for one in siblings):
        return "; workers are sent this file alone: copy that code into it, or install it as a package"
    return ""


def check_declared(definition: type[Any], place: str, values: Mapping[str, type]) -> None:
    """Refuse a definition that lacks an attribute of one of these types, or cannot be made.

    Raises:
        UserError: naming the class and what it lacks.
    """
    for name, kind in values.items():
        if not hasattr(definition, name):
            raise UserError(f"{place}: {definition.__name__} lacks {name} ({kind.__name__}); see docs/own-method.md")
        value = getattr(definition, name)
        if not isinstance(value, kind):
            raise UserError(f"{place}: {definition.__name__}.{name} should be {kind.__name__}, found {value!r}")
    if missing := sorted(getattr(definition, "__abstractmethods__", ())):
        raise UserError(f"{place}: {definition.__name__} lacks {', '.join(missing)}; see docs/own-method.md")
