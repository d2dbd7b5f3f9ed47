"""The features of a cell's images in an import; its checksum is verified when it is read.

Shapes: n images, V crops, C classes, D joint width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.data.imported_split import ImportedSplit
from dualpt.core.data.splits import PARTS, Item
from dualpt.core.files.tensor_file import read_tensors


class ImportRows:
    """The features that one import holds.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, about: ImportedSplit) -> None:
        self._tensors, _ = read_tensors(about.source, "a file of imported features")
        self._places = {item.path: (part, row) for part in PARTS for row, item in enumerate(getattr(about.split, part))}

    def features(self, items: Sequence[Item], crop: int | None = None, norms: bool = False) -> ImageFeatures:
        """Features of `items` in their order.

        Args:
            items: of one part.
            crop: which random crop of training images; None for the one feature of an image.
            norms: whether the norms of raw features are wanted; 1 where they aren't known.
        """
        part = self._places[items[0].path][0] if items else "test"
        rows = torch.tensor([self._places[item.path][1] for item in items], dtype=torch.int64)
        labels = torch.tensor([item.label for item in items], dtype=torch.int64)
        directions = self._tensors[part][rows] if crop is None else self._tensors[f"{part}_crops"][crop, rows]
        return ImageFeatures(directions, None, labels, self._norms(part, rows, crop) if norms else None)

    def text(self, classes: slice) -> Tensor:
        """Text features of classes (C, D), normalised; (C, 0) where there are none."""
        if "text" in self._tensors:
            return self._tensors["text"][classes]
        return torch.empty(classes.stop - classes.start, 0)

    def raw_text(self, classes: slice) -> Tensor:
        """The same at their lengths, where these are known."""
        text = self.text(classes)
        return text * self._tensors["text_norms"][classes, None] if "text_norms" in self._tensors else text

    def _norms(self, part: str, rows: Tensor, crop: int | None) -> Tensor:
        name = f"{part}_norms" if crop is None else f"{part}_crop_norms"
        if name not in self._tensors:
            return torch.ones(len(rows))
        return self._tensors[name][rows] if crop is None else self._tensors[name][crop, rows]
