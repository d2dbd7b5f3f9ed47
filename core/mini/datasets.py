"""What the eleven mini datasets are: names, templates and recipes. Pure Python, cheap to import.

Each stands for the kind of one dataset of the field's grid, in the same order. A recipe says what is drawn, how well
pretraining knows the class names, and how far the images are from those of pretraining.
"""

from dataclasses import dataclass

IMAGES_PER_CLASS: dict[str, int] = {"train": 20, "val": 8, "test": 40}
"""Images of one class in each split; 16 shots fit into train, and min(shots, 4) into val."""

TEMPLATES: dict[str, str] = {
    "mini-objects": "a photo of a {}.",
    "mini-gadgets": "a photo of a {}.",
    "mini-pets": "a photo of a {}, a type of pet.",
    "mini-cars": "a photo of a {}.",
    "mini-flowers": "a photo of a {}, a type of flower.",
    "mini-dishes": "a photo of {}, a type of food.",
    "mini-aircraft": "a photo of a {}, a type of aircraft.",
    "mini-scenes": "a photo of a {}.",
    "mini-textures": "{} texture.",
    "mini-tiles": "a centered satellite photo of {}.",
    "mini-actions": "a photo of a person doing {}.",
}
"""The hand-written zero-shot template of each dataset."""

MINI_DATASETS: tuple[str, ...] = tuple(TEMPLATES)
"""The dataset names, in the order of the grid."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """How the images of a dataset are taken; the defaults are those of the pretraining images.

    Lengths are in half-widths of the image: an object of size 1 fills the frame.
    """

    size: tuple[float, float] = (0.42, 0.9)
    """Smallest and largest size of the subject."""
    offset: float = 0.3
    """Largest distance of the subject from the centre, along each axis."""
    distractors: tuple[int, int] = (0, 2)
    """Fewest and most other objects in the image."""
    distractor_size: tuple[float, float] = (0.18, 0.38)
    colour_jitter: float = 0.05
    """Standard deviation of each colour around its palette entry, channels in 0..1."""
    tint: float = 0.05
    """Standard deviation of the gain of each channel."""
    gamma: float = 0.1
    """Standard deviation of the logarithm of the image's gamma."""
    noise: float = 0.02
    """Standard deviation of the pixel noise, channels in 0..1."""
    rotation: float = 0.2
    """Standard deviation of the subject's rotation in radians."""
    channel_mix: float = 0.0
    """0 leaves colours unchanged, 1 mixes the three channels as a foreign camera would."""
    channel_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added to the channels after mixing."""


@dataclass(frozen=True, kw_only=True)
class DatasetRecipe:
    """What the classes of a dataset are, and how well their names are known."""

    kinds: tuple[str, ...]
    """Kinds of the classes, dealt in turn; a single kind makes a fine-grained dataset."""
    n_classes: int
    familiarity: tuple[float, float, float]
    """Shares of class names that pretraining knows well, a little, and hardly."""
    second_meaning: float
    """Share of class names that pretraining also uses for something of another kind."""
    hinted: float
    """Share of class names that carry an attribute word, as `striped marlet` does."""
    domain: Domain
    label_seed: int = 0
    """Orders the labels; chosen so that zero-shot finds the base and the new half about equally hard."""


RECIPES: dict[str, DatasetRecipe] = {
    "mini-objects": DatasetRecipe(
        kinds=("gadget", "pet", "car", "flower", "dish", "aircraft", "scene", "texture", "tile", "person"),
        n_classes=20,
        familiarity=(0.5, 0.35, 0.15),
        second_meaning=0.3,
        hinted=0.1,
        label_seed=12,
        domain=Domain(size=(0.3, 0.6), offset=0.6, distractors=(1, 4), noise=0.04, tint=0.1),
    ),
    "mini-gadgets": DatasetRecipe(
        kinds=("gadget", "car", "dish", "aircraft", "person", "flower"),
        n_classes=12,
        familiarity=(0.8, 0.2, 0.0),
        second_meaning=0.1,
        hinted=0.1,
        label_seed=24,
        domain=Domain(noise=0.03, tint=0.08),
    ),
    "mini-pets": DatasetRecipe(
        kinds=("pet",),
        n_classes=12,
        familiarity=(0.5, 0.4, 0.1),
        second_meaning=0.2,
        hinted=0.1,
        label_seed=33,
        domain=Domain(size=(0.4, 0.8), noise=0.03, tint=0.1),
    ),
    "mini-cars": DatasetRecipe(
        kinds=("car",),
        n_classes=14,
        familiarity=(0.35, 0.4, 0.25),
        second_meaning=0.2,
        hinted=0.1,
        label_seed=33,
        domain=Domain(noise=0.04, tint=0.12, gamma=0.25),
    ),
    "mini-flowers": DatasetRecipe(
        kinds=("flower",),
        n_classes=12,
        familiarity=(0.4, 0.4, 0.2),
        second_meaning=0.3,
        hinted=0.1,
        label_seed=3,
        domain=Domain(noise=0.04, tint=0.12, channel_mix=0.25, channel_offset=(0.04, -0.03, 0.05)),
    ),
    "mini-dishes": DatasetRecipe(
        kinds=("dish",),
        n_classes=12,
        familiarity=(0.5, 0.4, 0.1),
        second_meaning=0.2,
        hinted=0.1,
        label_seed=32,
        domain=Domain(size=(0.3, 0.55), offset=0.6, distractors=(2, 4), noise=0.03),
    ),
    "mini-aircraft": DatasetRecipe(
        kinds=("aircraft",),
        n_classes=12,
        familiarity=(0.15, 0.4, 0.45),
        second_meaning=0.3,
        hinted=0.0,
        label_seed=38,
        domain=Domain(size=(0.4, 0.7), noise=0.04, tint=0.1),
    ),
    "mini-scenes": DatasetRecipe(
        kinds=("scene",),
        n_classes=14,
        familiarity=(0.45, 0.4, 0.15),
        second_meaning=0.2,
        hinted=0.3,
        label_seed=25,
        domain=Domain(noise=0.04, tint=0.12, gamma=0.2),
    ),
    "mini-textures": DatasetRecipe(
        kinds=("texture",),
        n_classes=12,
        familiarity=(0.3, 0.4, 0.3),
        second_meaning=0.2,
        hinted=0.5,
        label_seed=21,
        domain=Domain(noise=0.08, rotation=0.8, tint=0.1, channel_mix=0.25, channel_offset=(-0.05, 0.02, 0.06)),
    ),
    "mini-tiles": DatasetRecipe(
        kinds=("tile",),
        n_classes=8,
        familiarity=(0.25, 0.5, 0.25),
        second_meaning=0.4,
        hinted=0.25,
        label_seed=47,
        domain=Domain(noise=0.06, tint=0.06, channel_mix=0.5, channel_offset=(0.06, -0.02, -0.05)),
    ),
    "mini-actions": DatasetRecipe(
        kinds=("person",),
        n_classes=12,
        familiarity=(0.4, 0.4, 0.2),
        second_meaning=0.2,
        hinted=0.1,
        label_seed=51,
        domain=Domain(size=(0.45, 0.75), offset=0.4, distractors=(1, 3), noise=0.04),
    ),
}


def folder_name(dataset: str) -> str:
    """`mini-pets` is in `mini_pets/`."""
    return dataset.replace("-", "_")


def split_file_name(dataset: str) -> str:
    """`mini-pets` has the split file `split_zhou_MiniPets.json`."""
    return f"split_zhou_{''.join(word.capitalize() for word in dataset.split('-'))}.json"
