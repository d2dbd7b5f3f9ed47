"""Whether the validation images of a few-shot draw can select: how many there are, and which classes have none.

min(shots, 4) images per class come from the split's validation part, or from what training leaves where it has none.
Small datasets run out: a class whose images all go into training keeps none for validation.
"""

from dataclasses import dataclass

from dualpt.core.data.protocols import CellData
from dualpt.core.data.splits import listing


@dataclass(frozen=True)
class Validation:
    """The validation images of one draw."""

    n_images: int
    n_classes: int
    """Classes that are trained on."""
    lacking: tuple[int, ...]
    """Labels of those without a validation image."""

    def note(self, class_names: tuple[str, ...]) -> str | None:
        """What a reader must know of a selection by these images, or None where every class has some.

        Args:
            class_names: of the classes trained on, by label.
        """
        if not self.lacking:
            return None
        names = listing([f"'{class_names[label]}'" for label in self.lacking])
        images = "1 image decides" if self.n_images == 1 else f"{self.n_images} images decide"
        return f"no validation image for {len(self.lacking)} of {self.n_classes} classes ({names}); {images}"


def validation_of(data: CellData) -> Validation:
    """Look at the validation images of a cell."""
    trained, judged = ({item.label for item in items} for items in (data.train, data.val))
    return Validation(len(data.val), len(trained), tuple(sorted(trained - judged)))
