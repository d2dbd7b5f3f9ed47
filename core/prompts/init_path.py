"""`prompt.init` is words, what stands for a dataset's, or the path of a file of contexts; this module decides which.

Loads no torch.
"""

import re
from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256

FILE_SUFFIX = re.compile(r"\.(pth|pt|bin|ckpt|safetensors|tar|npy|npz|pkl|zip)(-\d+)?$", re.IGNORECASE)
"""Dassl puts the epoch after the suffix: `model.pth.tar-50`."""


TEMPLATE = "dataset-template"
"""Stands for the words before the class name in a dataset's template."""


def init_words(init: str | None, template: str) -> str | None:
    """`init`, or the template's words where it asks for them.

    Raises:
        UserError: it does, and the template begins with the class name.
    """
    if init != TEMPLATE:
        return init
    words = template.partition("{}")[0].strip()
    if not words:
        raise UserError(f"prompt.init: the template '{template}' has no words before the class name; give words")
    return words


def init_path(init: str | None) -> Path | None:
    """The file that `prompt.init` names; None for words.

    A path ends like a weights file, has a separator and no blank, begins like a path, or exists.
    """
    if not init:
        return None
    separated = "/" in init or "\\" in init
    path = Path(init).expanduser()
    looks_like_one = (separated and not re.search(r"\s", init)) or init.startswith(("/", "~/", "./", "../"))
    return path if looks_like_one or FILE_SUFFIX.search(init) or _is_file(path) else None


def init_identity(init: str | None) -> str | None:
    """What the start of contexts depends on: the words, or the content of the file.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    path = init_path(init)
    if path is None:
        return init
    if not path.exists():
        raise UserError(
            f"prompt.init: '{init}' looks like a path, and nothing is there; give a file of learned contexts, or words"
        )
    return f"sha256:{file_sha256(path)}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # words can be too long for a file name
        return False
