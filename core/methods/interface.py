"""What a method on frozen features declares and implements, and what it is given.

Shapes: R cells of one pack, V views, N training images, M validation images, n images to classify, C classes, K
descriptions per class, D joint width, W width of the image tower before its projection. Tensors are float32 on one
device; labels are int64.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.config.sections import Protocol, Section
from dualpt.core.method_catalog import Group as Group
from dualpt.core.training.progress import Report


class MethodOptions(Section):
    """A method's own settings; each is the key `<method>.<name>` in files, on the command line and in tables."""


Options = TypeVar("Options", bound=MethodOptions)


@dataclass(frozen=True)
class Needs:
    """What a method reads beyond the normalised features of training images and class names."""

    views: int = 0
    """Random resized crops per training image; 0 for the plain centre crop, as at test."""
    min_crop_area: float = 0.08
    """Smallest share of an image that a random crop takes; the largest is 1."""
    validation: bool = False
    """Whether some option is left to be chosen on validation images."""
    norms: bool = False
    """Whether the lengths of raw features are read (`Images.norms`, `Images.raw`)."""
    hidden: bool = False
    """Whether features before the projection into the joint space are read."""
    rows: int = 1
    """Rows that it needs of each class, at least; every view of an image is a row."""
    rows_of_one: bool = False
    """Whether one class with that many `rows` is enough, where a draw has fewer of others."""
    text: bool = True
    """Whether the class names' text features are read; if not, `Support.raw_text` may be (C, 0)."""
    descriptions: bool = False
    """Whether the features of the classes' descriptions are read; if so, their bank is part of a cell's key."""

    def __post_init__(self) -> None:
        if self.views < 0 or not 0 < self.min_crop_area <= 1 or self.rows < 1:
            raise ValueError(f"views are 0 or more, min_crop_area in (0, 1], rows 1 or more; found {self}")


@dataclass(frozen=True)
class Images:
    """Frozen features of images; any leading dimensions."""

    directions: Tensor
    """(..., D), L2-normalised."""
    norms: Tensor | None = None
    """(...), of the raw features, where `Needs.norms`."""
    hidden: Tensor | None = None
    """(..., W), before the projection, where `Needs.hidden`."""

    @property
    def raw(self) -> Tensor:
        """(..., D), as the image tower gives them; only where `Needs.norms`."""
        if self.norms is None:
            raise ValueError("raw features are read, and the method's needs do not declare norms=True")
        return self.directions * self.norms[..., None]

    @classmethod
    def of(cls, features: ImageFeatures, device: torch.device) -> "Images":
        """Stored features of n images, in memory on `device`; leading dimension (n,)."""
        hidden = features.local_features
        return cls(
            features.global_features[:].to(device),
            None if features.norms is None else features.norms.to(device),
            None if hidden is None else hidden[:].float().to(device),
        )

    def at(self, rows: Tensor | int) -> "Images":
        """The images at `rows` of the first dimension, whose place the dimensions of `rows` take."""
        norms, hidden = (None if one is None else one[rows] for one in (self.norms, self.hidden))
        return Images(self.directions[rows], norms, hidden)


@dataclass(frozen=True)
class Labelled:
    images: Images
    """Leading dimensions (R, M)."""
    labels: Tensor
    """(R, M) int64"""


@dataclass(frozen=True)
class Support:
    """The training images of R cells on one dataset, and its classes. Every cell has equally many images."""

    images: Images
    """Leading dimensions (R, V, N); V is 1 where the plain crop is read."""
    labels: Tensor
    """(R, N) int64"""
    raw_text: Tensor
    """(C, D): mean over templates of the text tower's outputs, not normalised; (C, 0) where there are none."""
    scale: float
    """CLIP's logit scale, exp of its temperature; 100 for OpenAI's weights."""
    seeds: Sequence[int]
    """R; all randomness comes from these, by `core.random_streams`, so that a cell gives the same alone and packed."""
    val: Labelled | None = None
    """Images that options may be chosen on; None where there are none."""
    projection: Tensor | None = None
    """(W, D), where `Needs.hidden`: hidden @ projection is raw. A ResNet's last row is its bias, its last feature 1."""
    descriptions: Tensor | None = None
    """(C, K, D), where `Needs.descriptions`: each L2-normalised, in the bank's order; zeros beyond a class's last."""
    description_mask: Tensor | None = None
    """(C, K) bool, where `Needs.descriptions`: which of them exist, at least one of each class."""
    report: Report | None = None
    """Called with how far training is (`descent.reported` does so); None where nobody watches."""

    def of_cell(self, r: int) -> "Support":
        """Cell r alone, R = 1, with images and labels of its own."""
        one, val = torch.tensor([r], device=self.labels.device), self.val
        return replace(
            self,
            images=self.images.at(one),
            labels=self.labels[one],
            seeds=[self.seeds[r]],
            val=None if val is None else Labelled(val.images.at(one), val.labels[one]),
        )

    @property
    def rows(self) -> Tensor:
        """(R, V N, D), L2-normalised: every view of every image as a row, view by view."""
        return self.images.directions.flatten(1, 2)

    @property
    def row_labels(self) -> Tensor:
        """(R, V N) int64: the labels of `rows`."""
        return self.labels.repeat(1, self.images.directions.shape[1])

    @property
    def text(self) -> Tensor:
        """(C, D), L2-normalised."""
        return torch.nn.functional.normalize(self.raw_text, dim=-1)

    @property
    def one_hot(self) -> Tensor:
        """(R, N, C) float32."""
        return torch.nn.functional.one_hot(self.labels, len(self.raw_text)).float()


@dataclass(frozen=True)
class Classifier(ABC):
    """What R cells learned. Every field is a tensor with a leading dimension R, so it can be saved and split."""

    @abstractmethod
    def logits(self, images: Images) -> Tensor:
        """(R, n, C), to be read by softmax; `images` has leading dimension (n,) and is the same for every cell."""

    def tensors(self) -> dict[str, Tensor]:
        """Every field by its name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def of_cell(self, r: int) -> "Classifier":
        """The classifier of one cell, with R = 1."""
        return type(self)(**{name: tensor[r : r + 1] for name, tensor in self.tensors().items()})

    def on(self, device: torch.device | str) -> "Classifier":
        """The same with its tensors on a device."""
        return type(self)(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


@dataclass(frozen=True)
class LinearClassifier(Classifier):
    """Normalised features times weights, plus a bias."""

    weights: Tensor
    """(R, C, D)"""
    bias: Tensor
    """(R, C)"""

    def logits(self, images: Images) -> Tensor:
        return torch.einsum("nd,rcd->rnc", images.directions, self.weights) + self.bias[:, None]


@dataclass(frozen=True)
class Fitted:
    """What `Method.fit` returns for R cells."""

    classifier: Classifier
    chosen: Sequence[Mapping[str, float]] = ()
    """Per cell, the values of options that were chosen on validation images; empty where there are none."""
    losses: Sequence[Sequence[float]] = ()
    """Per cell, the mean training loss of each epoch; empty for closed forms."""
    failures: Sequence[str | None] = field(default=())
    """Per cell, why it failed (a loss that is not finite), or None; empty where nothing can."""


class Method(ABC, Generic[Options]):
    """A method on frozen features. One instance serves every cell; it holds no state."""

    name: ClassVar[str]
    """In files, on the command line and in records: lower case, digits and hyphens."""
    title: ClassVar[str]
    """In tables and figures, as its authors write it."""
    short_title: ClassVar[str]
    """For the heads of narrow columns."""
    group: ClassVar[Group]
    source: ClassVar[str]
    """Where its definition was read: paper, or repository@commit: file."""
    protocols: ClassVar[frozenset[Protocol]] = frozenset({"few-shot"})
    """Those under which it can classify every test set; it is refused under others before anything is computed."""
    min_shots: ClassVar[int] = 1
    """Training images per class that it needs, at least; fewer are refused before anything is computed."""
    every_class: ClassVar[bool] = False
    """Whether it needs a training image of every class; draws that lack one are refused before anything is computed."""
    revision: ClassVar[int] = 1
    """Part of every cell's key: raise it when the same data and options give other numbers."""
    options: ClassVar[type[Any]] = MethodOptions
    """The subclass of `MethodOptions` with its settings and its authors' recipe as the defaults."""
    by_protocol: ClassVar[Mapping[Protocol, Mapping[str, Any]]] = {}
    """Options that its authors set differently under a protocol; baselines start from them there."""
    packable: ClassVar[frozenset[str]] = frozenset()
    """Options in which the cells of one pack may differ, apart from their seed."""

    def needs(self, options: Options) -> Needs:
        """What it reads under these options."""
        return Needs()

    def check(self, options: Options, protocol: Protocol) -> None:
        """Refuse options that can't serve a protocol, before anything is computed.

        Raises:
            UserError: in one line, with the remedy.
        """

    @abstractmethod
    def fit(self, support: Support, options: Sequence[Options]) -> Fitted:
        """Fit R cells at once; `options` has R, equal but for `packable`. A cell gives the same packed and alone.

        Raises:
            UserError: data that the method cannot use (one image per class, one class), in one line.
        """

    def for_classes(self, classifier: Classifier, raw_text: Tensor, scale: float) -> Classifier:
        """The classifier for other classes (C', D), known by their names alone; called only if `protocols` need it.

        Descriptions cover the classes that it was fitted to; those of others aren't given.

        Raises:
            NotImplementedError: the method serves only the classes that it was fitted to.
        """
        raise NotImplementedError(f"{self.name} serves only the classes that it was fitted to")
