"""Baselines that an override or an extending file takes away go with their options."""

from collections.abc import Iterable, Mapping
from typing import Any


def with_options_of_kept(changed: dict[str, Any], before: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
    """A changed document without options of baselines that it no longer has: they are no fault of what was typed.

    Args:
        before: the document as it was.
        given: dotted keys that the change names; options among them stay, and are refused where their method is gone.
    """
    had, has, setting = before.get("baselines"), changed.get("baselines") or [], changed.get("setting")
    if not isinstance(had, list) or not isinstance(has, list) or not isinstance(setting, Mapping):
        return changed
    gone = set(map(str, had)) - set(map(str, has)) - {str(setting.get("method"))}
    gone -= {key.removeprefix("setting.").partition(".")[0] for key in given}
    return {**changed, "setting": {key: value for key, value in setting.items() if key.partition(".")[0] not in gone}}
