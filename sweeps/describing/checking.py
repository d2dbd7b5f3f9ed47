"""`dualpt describe check`: what a bank is like, and what it gains over the hand-written template."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.sampling import draw_few_shot
from dualpt.core.data.splits import Item, check_files, listing
from dualpt.core.descriptions.bank import (
    Sentences,
    accept_edits,
    check_hash,
    is_bank,
    parse_bank,
    sentences_of_bank,
    text_sha256,
    write_bank,
)
from dualpt.core.descriptions.classes import titles
from dualpt.core.descriptions.quality import Flagged, TextQuality, text_quality
from dualpt.core.descriptions.reading import plain_sentences, read_content
from dualpt.core.errors import UserError
from dualpt.core.files.locations import cache_root
from dualpt.core.inputs.reading import data_root, info_of, split_of
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.sweeps.console import Show, showing_progress
from dualpt.sweeps.describing.places import classes_in
from dualpt.sweeps.word_table import WordTable

if TYPE_CHECKING:
    from dualpt.core.arrays import ImageFeatures
    from dualpt.core.clip.backbone import Backbone
    from dualpt.core.descriptions.judging import FeatureQuality, Gain

UNUSABLE = 3
"""Exit code of a bank that training would refuse."""
VAL_SEED, VAL_SHOTS = 1, 16
"""The draw that validation images come from where a dataset has no validation split (ImageNet)."""


def check_bank(
    console: Console,
    bank: Path,
    dataset: str,
    setting: Setting,
    *,
    classes: Path | None,
    accept: bool,
    device: str,
    as_json: bool,
) -> int:
    """Report on a bank, and return the exit code: 0 where training can use it.

    Args:
        console: where to print.
        bank: a folder of banks, or the file.
        dataset: registry name.
        setting: backbone and data root.
        classes: file of class names, instead of the data root's.
        accept: write the hash of the current text.
        device: a torch device, or `auto`.
        as_json: print one document instead of tables.

    Raises:
        UserError: a bank or dataset that cannot be read, an edited bank without `accept`, or missing images.
    """
    info = info_of(setting, dataset)
    source = bank / info.bank_name if bank.is_dir() else bank
    items = classes_in(setting, info, classes)
    names = [item.name for item in items]
    sentences = _read(source, info, names, accept)
    with showing_progress(console, as_json or not console.is_terminal, "loading the backbone") as show:
        from dualpt.core.clip.backbone import load_backbone
        from dualpt.core.descriptions.writing.fitting import rules_for

        section = setting.backbone
        rules = rules_for(section.name, section.pretrained)
        text = text_quality(sentences, names, rules.count_tokens, rules.context_length)
        reason = _why_not_judged(text, setting, info)
        images = None if reason else _validation_items(setting, info, names, show)
        backbone = load_backbone(section.name, section.pretrained, section.precision, _device(device))
        features, gain = _judge(backbone, setting, info, sentences, names, text, images, show)
    report = {
        "dataset": info.name,
        "bank": str(source),
        "backbone": section.name,
        "usable": text.usable,
        **_named(text, titles(items)),
        **_judged(features, gain, reason),
    }
    if as_json:
        print(json.dumps(report, allow_nan=False))
    else:
        _print(console, report)
    return 0 if text.usable else UNUSABLE


def _read(source: Path, info: DatasetInfo, names: Sequence[str], accept: bool) -> Sentences:
    """Sentences by label; some classes may have none."""
    content = read_content(source, info)
    if not is_bank(content):
        if accept:
            raise UserError(f"--accept: {source} is a plain bank, which has no hash; leave it out")
        return plain_sentences(content, source, names)
    bank = parse_bank(content, source)
    sentences = sentences_of_bank(bank, names, source)
    if accept and text_sha256(bank.classes) != bank.text_sha256:
        write_bank(source, accept_edits(bank))
    elif not accept:
        check_hash(bank, source)
    return sentences


def _why_not_judged(text: TextQuality, setting: Setting, info: DatasetInfo) -> str | None:
    """Why the bank cannot be judged on images, or None."""
    if text.without:
        return "classes without sentences"
    if text.too_long:
        return "sentences that do not fit the text tower"
    if setting.data.root is None and info.kind != "mini":
        return "no data.root, so no images"
    images = info.image_root(data_root(setting, info))
    if info.kind != "mini" and not images.is_dir():
        return f"no images in {images}"
    return None


def _validation_items(setting: Setting, info: DatasetInfo, names: Sequence[str], show: Show) -> tuple[Item, ...]:
    """The validation images, found on disk; of ImageNet, drawn from its training images."""
    root = data_root(setting, info)
    if info.kind == "mini":
        ensure_mini_grid(root, [info.name], show)
    split = split_of(setting, info.name)
    if list(split.class_names) != list(names):
        raise UserError(f"--classes: not the classes of {info.name} under {root}; leave it out")
    items = split.val or draw_few_shot(split, VAL_SHOTS, VAL_SEED).val
    check_files(items, info.image_root(root))
    return items


def _judge(
    backbone: "Backbone",
    setting: Setting,
    info: DatasetInfo,
    sentences: Sentences,
    names: Sequence[str],
    text: TextQuality,
    items: tuple[Item, ...] | None,
    show: Show,
) -> "tuple[FeatureQuality | None, Gain | None]":
    """What the backbone makes of the bank: features, of sentences that fit, and accuracy where there are images."""
    from dualpt.core.descriptions.judging import feature_quality, zero_shot_gain

    tower = backbone.text
    too_long = {(item.label, item.text) for item in text.too_long}
    fitting = tuple(
        tuple(sentence for sentence in texts if (label, sentence) not in too_long)
        for label, texts in enumerate(sentences)
    )
    features = feature_quality(tower, fitting, names) if any(fitting) else None
    if items is None:
        return features, None
    images = _features(backbone, setting, info, items, show)
    return features, zero_shot_gain(tower, sentences, names, info.template, images)


def _features(
    backbone: "Backbone", setting: Setting, info: DatasetInfo, items: tuple[Item, ...], show: Show
) -> "ImageFeatures":
    """Features of the images, from the store that trials use as well."""
    from dualpt.core.features.store import FeatureStore

    store = FeatureStore(cache_root() / "features")
    image_root = info.image_root(data_root(setting, info))
    return store.features(
        backbone,
        info.name,
        image_root,
        items,
        local=None,
        progress=lambda done, total: show(done, total, f"features of {info.name}"),
    )


def _device(device: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def _named(text: TextQuality, shown: Sequence[str]) -> dict[str, Any]:
    """The text's figures with class names for labels."""

    def rows(flagged: Sequence[Flagged]) -> list[list[str]]:
        return [[shown[item.label], item.text] for item in flagged]

    return {
        **asdict(text),
        "without": [shown[label] for label in text.without],
        "too_long": rows(text.too_long),
        "refusals": rows(text.refusals),
        "repeated": rows(text.repeated),
        "shared": rows(text.shared),
    }


def _judged(features: "FeatureQuality | None", gain: "Gain | None", reason: str | None) -> dict[str, Any]:
    """What the backbone made of the bank; `reason` says why accuracy was not measured."""
    return {
        "cosine_within": features and features.within,
        "cosine_between": features and features.between,
        "zero_shot": None if gain is None else _finite(asdict(gain)),
        "not_judged": reason,
    }


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _print(console: Console, report: dict[str, Any]) -> None:
    covered = report["classes"] - len(report["without"])
    table = WordTable("what", "value", title=f"{report['dataset']}: {report['bank']}", headed=False)
    rows: list[tuple[str, str]] = [
        ("text tower", report["backbone"]),
        ("classes with sentences", f"{covered} of {report['classes']}"),
        ("sentences", f"{report['sentences']}, {report['fewest']} to {report['most']} a class"),
        ("tokens", f"{report['shortest']} to {report['longest']}, mean {report['mean_tokens']:.1f}"),
        ("name their class", f"{report['naming']:.0%}"),
        ("distinct words, pairs", f"{report['distinct_1']:.2f}, {report['distinct_2']:.2f} within a class"),
        ("cosine within a class", _decimal(report["cosine_within"])),
        ("cosine between classes", _decimal(report["cosine_between"])),
    ]
    if (gain := report["zero_shot"]) is not None:
        rows += [
            ("zero-shot, template", f"{gain['template']:.1f} % of {gain['images']} validation images"),
            ("zero-shot, descriptions", f"{gain['descriptions']:.1f} %"),
            ("gain", f"{gain['gain']:+.1f} ± {_decimal(gain['standard_error'], 1)} points (standard error)"),
        ]
    for row in rows:
        table.add_row(*row)
    table.show(console, markup=False)
    if report["not_judged"]:
        console.print(
            f"  zero-shot accuracy not measured: {escape(report['not_judged'])}", highlight=False, soft_wrap=True
        )
    if report["without"]:
        names = [f"'{name}'" for name in report["without"]]
        console.print(f"  no sentence for {escape(listing(names, shown=10))}", style="red", highlight=False)
    flags = {
        "too_long": "too long",
        "refusals": "describes nothing",
        "repeated": "repeated",
        "shared": "of two classes",
    }
    for key, word in flags.items():
        for name, text in report[key][:3]:
            console.print(f"  {word}: {escape(name)}: {escape(text[:80])}", highlight=False, style="yellow")
        if len(report[key]) > 3:
            console.print(f"  {word}: {len(report[key]) - 3} more", style="yellow")


def _decimal(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
