"""A checked sweep written out: a document that says every key with its value, and loads as the same sweep."""

from typing import Any

from dualpt.search_spaces.sweep import LoadedSweep, SweepFile


def resolved_document(sweep: LoadedSweep) -> dict[str, Any]:
    """Every key of a sweep or an ablation in the order of its file, defaults included.

    Searched keys stand in `search.space` alone. What an ablation declares beside its grid stays as declared, since its
    variants differ from the reference in that alone.
    """
    document = sweep.file.model_dump(mode="json")
    searched = {parameter.key for parameter in sweep.space}
    setting: dict[str, Any] = {}
    # what the file fixes beyond its reference are options of its baselines
    for key, value in {**sweep.file.base_values(), **sweep.reference.flat()}.items():
        if key not in searched:
            section, _, name = key.rpartition(".")
            (setting.setdefault(section, {}) if section else setting)[name] = value
    document["setting"] = setting
    if sweep.file.search is None:
        del document["search"]
    declared = {key: value for key, value in sweep.origin.document.items() if key not in SweepFile.model_fields}
    return {**document, **declared}
