"""What the commands share: the setting that says where data lie, and whether a bank may be written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualpt.core.config.setting import SETTING_KEYS, Setting
from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.descriptions.bank import Bank, is_bank, parse_bank, text_sha256
from dualpt.core.descriptions.classes import Classes, classes_of
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular
from dualpt.search_spaces.overrides import parse_overrides

KEYS = tuple(key for key in SETTING_KEYS if key == "data.root" or key.startswith("backbone."))
"""Keys of a setting that descriptions have to do with."""


def setting_of(overrides: Sequence[str], root: Path | None, backbone: str | None) -> Setting:
    """The setting of `KEY=VALUE` arguments and of the options that stand for `data.root` and `backbone.name`.

    Raises:
        UserError: another key, a bad value, or an option and an override that differ.
    """
    values: dict[str, Any] = dict(parse_overrides(list(overrides)))
    for key in values:
        if key in SETTING_KEYS and key not in KEYS:
            raise UserError(f"{key} means nothing to descriptions; only {', '.join(KEYS)} do")
    options = {"data.root": (root and str(root), "--root"), "backbone.name": (backbone, "--backbone")}
    for key, (value, option) in options.items():
        if value is not None and values.setdefault(key, value) != value:
            raise UserError(f"{option} {value} and {key}={values[key]} differ; give one of them")
    return Setting().with_values(values)


def classes_in(setting: Setting, info: DatasetInfo, file: Path | None) -> Classes:
    """The classes that `--classes` or the data root list."""
    return classes_of(info, setting.data.folder, file)


def written_bank(path: Path) -> Bank | None:
    """The bank at a path, if it is one in this project's format and as it was written; None for any other file."""
    try:
        check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        bank = parse_bank(content, path) if is_bank(content) else None
    except (OSError, ValueError, UserError):
        return None
    return bank if bank is not None and text_sha256(bank.classes) == bank.text_sha256 else None
