"""What settings can read of features that somebody else computed, without images and image towers. Loads no torch."""

from collections.abc import Sequence

from dualpt.core.clip.weights import weights_fingerprint
from dualpt.core.config.activity import encodes_text, uses_local
from dualpt.core.config.setting import Setting
from dualpt.core.data.imported_split import ImportedSplit
from dualpt.core.errors import UserError

TEXT_FILES = "import them again with --weights FILE, or choose nearest-mean, gda-image, linear-probe or least-squares"


def check_import(setting: Setting, about: ImportedSplit) -> None:
    """Refuse what a setting can't have of an import.

    Raises:
        UserError: features of another backbone or of other weights than the setting names, or a method that reads
            something else than they are; one line with the remedy.
    """
    name, named = setting.method_name, setting.backbone.name
    if named != about.backbone:
        raise UserError(
            f"data.features: {about.source} holds features of {about.backbone}, and backbone.name is {named}; set "
            f"backbone.name={about.backbone}"
        )
    if uses_local(setting):
        raise UserError(
            f"alignment.local_weight: {about.source} holds no local features; set it and inference.local_weight to 0, "
            "or leave methods that read local features out"
        )
    if setting.fits_features and setting.reads.hidden:
        raise UserError(
            f"{name}: reads features before the projection, and {about.source} holds those behind it; leave it out"
        )
    if encodes_text(setting):
        _check_tower(setting, about)
    elif (not setting.fits_features or setting.reads.text) and not about.text:
        raise UserError(f"{name}: needs text features, and {about.source} has none; {TEXT_FILES}")


def _check_tower(setting: Setting, about: ImportedSplit) -> None:
    """Refuse to encode text for features that other weights gave, or that no weights here are known to have given."""
    backbone = setting.backbone
    if not about.weights:
        who = "learned prompts need" if setting.learns_prompts else f"{setting.method_name}: needs"
        raise UserError(
            f"{who} a text tower, and which weights gave {about.source} isn't known; import it again with --weights "
            "FILE, or leave such methods out"
        )
    if weights_fingerprint(backbone.name, backbone.pretrained) != about.weights:
        raise UserError(
            f"backbone.pretrained: {about.source} holds features of other weights (SHA-256 {about.weights[:16]}…); "
            "name those that it was imported with, or import it again with these"
        )
    if setting.learns_prompts and not setting.data.views:
        raise UserError("data.views: 0 crops images at every step, and imports hold features; set data.views=1")


def check_one_space(sources: Sequence[ImportedSplit]) -> None:
    """Refuse imports, of one cell, that different weights are known to have given: a classifier serves one space.

    Raises:
        UserError: one line with two of them.
    """
    known = [one for one in sources if one.weights]
    for other in known[1:]:
        if other.weights != known[0].weights:
            raise UserError(
                f"data.features: {known[0].source} and {other.source} hold features of different weights "
                f"({known[0].weights[:12]}, {other.weights[:12]}); import both with the same, or leave one dataset out"
            )


def crops_read(setting: Setting, about: ImportedSplit) -> int:
    """How many crops of a training image are read, at most as many as are there; 0 where its one feature is.

    The one feature of a cache is the mean of raw crops. Where their norms aren't known, methods that read raw features
    take that mean, and no mean of normalised crops.
    """
    if setting.learns_prompts:
        return min(setting.data.views, about.crops) if setting.data.views > 1 else 0
    reads = setting.reads
    return min(reads.views, about.crops) if about.raw or not reads.norms else 0
