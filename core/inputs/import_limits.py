"""What settings can read of features that somebody else computed, without images and towers. Loads no torch."""

from dualpt.core.config.activity import uses_descriptions
from dualpt.core.config.setting import Setting
from dualpt.core.data.imported_split import ImportedSplit
from dualpt.core.errors import UserError
from dualpt.core.presets import METHODS

TEXT_FILES = "import them again with --weights FILE, or choose nearest-mean, gda-image, linear-probe or least-squares"


def check_import(setting: Setting, about: ImportedSplit) -> None:
    """Refuse what a setting can't have of an import.

    Raises:
        UserError: features of another backbone than the setting names, or a method that reads something else than they
            are; one line with the remedy.
    """
    name, named = setting.method_name, setting.backbone.name
    if named != about.backbone:
        raise UserError(
            f"data.features: {about.source} holds features of {about.backbone}, and backbone.name is {named}; set "
            f"backbone.name={about.backbone}"
        )
    if setting.learns_prompts:
        prompts = ", ".join(key for key, method in METHODS.items() if method.values["method"] == "prompt")
        raise UserError(
            f"data.features: learned prompts ({prompts}) need a text tower, and imported features come without; leave "
            "these methods out, or data.features"
        )
    if uses_descriptions(setting):
        raise UserError(f"{name}: needs a text tower, and imported features come without; leave it out")
    if setting.fits_features and setting.reads.hidden:
        raise UserError(
            f"{name}: reads features before the projection, and {about.source} holds those behind it; leave it out"
        )
    if (not setting.fits_features or setting.reads.text) and not about.text:
        raise UserError(f"{name}: needs text features, and {about.source} has none; {TEXT_FILES}")


def crops_read(setting: Setting, about: ImportedSplit) -> int:
    """How many crops of a training image are read, at most as many as are there; 0 where its one feature is.

    The one feature of a cache is the mean of raw crops. Where their norms aren't known, methods that read raw features
    take that mean, and no mean of normalised crops.
    """
    reads = setting.reads
    return min(reads.views, about.crops) if about.raw or not reads.norms else 0
