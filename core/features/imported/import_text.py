"""Text features for an import that came without: the class names in a template, by the weights that gave its images.

Shapes: n rows, C classes, D joint width.
"""

from dataclasses import replace

import torch
from torch.nn import functional as F

from dualpt.core.clip.backbone import load_backbone
from dualpt.core.config.sections import BackboneSection
from dualpt.core.data.imported_split import PLACEHOLDER
from dualpt.core.descriptions.reading import encode_template
from dualpt.core.errors import UserError
from dualpt.core.features.imported.cache_checks import check_width
from dualpt.core.features.imported.make_import import MadeImport

TIMES_CHANCE = 2
"""Zero-shot accuracy, in multiples of chance, up to which weights aren't those of the features: clusters of images that
meet text features by accident are right about one class on average, however many there are."""
FEWEST_CLASSES = 10
"""With fewer, real weights can be this close to chance."""


def with_text(made: MadeImport, weights: BackboneSection, template: str) -> MadeImport:
    """The import with text features (C, D) and their lengths, encoded on the CPU.

    Which weights gave the features isn't in them, so the text has to classify training images: its accuracy there is
    noted, and next to chance it is refused.

    Args:
        weights: the architecture of the import and its weights.
        template: with `{}` for the class name.

    Raises:
        UserError: the import has text features or no class names, or weights that are missing, have another width, or
            didn't give the images' features.
    """
    about = made.about
    if about.text:
        raise UserError(f"--weights: text features come with these ({about.text}); leave --weights out")
    if about.class_names[0] == PLACEHOLDER.format(label=0):
        raise UserError("--weights: no class names to encode; give data.root, --split FILE, or class_names in a file")
    backbone = load_backbone(weights.name, weights.pretrained, weights.precision)
    check_width([("the features", about.width)], weights.name, backbone.width)
    raw = encode_template(backbone.text, template, about.class_names, raw=True)
    directions, lengths = F.normalize(raw, dim=-1), raw.norm(dim=-1)
    labels = torch.tensor(about.labels["train"])
    accuracy = float(((made.tensors["train"] @ directions.T).argmax(dim=1) == labels).float().mean())
    n_classes = len(about.class_names)
    measured = f"classify {100 * accuracy:.1f} % of the training images (chance is {100 / n_classes:.1f} %)"
    if n_classes >= FEWEST_CLASSES and accuracy <= TIMES_CHANCE / n_classes:
        raise UserError(
            f"--weights: text features of {weights.pretrained} {measured}, so other weights gave the features; name "
            "those, or leave --weights out"
        )
    source = f"'{template}', weights {backbone.weights_fingerprint[:16]}"
    return replace(
        made,
        about=replace(
            about,
            text=source,
            template=template,
            weights=backbone.weights_fingerprint,
            scale=backbone.text.logit_scale,
            notes=(*about.notes, f"text features of {source}, {measured}"),
        ),
        tensors={**made.tensors, "text": directions, "text_norms": lengths},
    )
