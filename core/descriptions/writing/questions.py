"""What a language model is asked about a class.

`{photo}` is the dataset's hand-written template with the class name in it ("a photo of a beagle, a type of pet"), which
tells the model what kind of thing and of picture is meant; `{class}` is the name alone; `{others}` are some of the
dataset's other classes, drawn afresh for every question.
"""

import hashlib
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dualpt.core.descriptions.classes import DatasetClass
from dualpt.core.descriptions.names import display_name
from dualpt.core.errors import UserError, nearest
from dualpt.core.files.regular import check_regular

ClassNamePolicy = Literal["any", "required", "forbidden"]

TEMPLATES: tuple[str, ...] = (
    'Describe in one sentence what can be seen in "{photo}".',
    'By which visual features can {class} be recognised in "{photo}"? Name them in one sentence.',
    'In "{photo}", what distinguishes {class} from other classes such as {others}? Name visible differences in one '
    "sentence.",
    'Write a caption of one sentence for "{photo}", with the colours, shapes and parts that are visible.',
)
"""What it looks like; what to tell it by; what sets it apart within the dataset; a caption."""

INSTRUCTION = "Answer with that sentence alone, at most 40 words long: no introduction, no list, no heading."
NAME_CLAUSES: dict[ClassNamePolicy, str] = {
    "any": "",
    "required": ' Use the words "{class}".',
    "forbidden": ' Do not use the words "{class}".',
}
N_OTHERS = 8
"""Other classes that `{others}` names at most."""
PLACEHOLDERS = ("class", "photo", "others")


@dataclass(frozen=True)
class Question:
    """One question about one class. `label` and `number` tell it apart from all others of a bank."""

    label: int
    number: int
    """Counts the questions about a class from 0."""
    template: int
    """Index of its template."""
    text: str
    seed: int
    """For whoever samples the answer; of 31 bits, which every server takes."""


class Questionnaire:
    """All questions that may be asked about a dataset's classes; the n-th about a class is always the same.

    Templates take turns, so a class's first questions cover all of them.
    """

    def __init__(
        self,
        classes: Sequence[DatasetClass],
        photo: str,
        templates: Sequence[str],
        class_name: ClassNamePolicy,
        seed: int,
    ) -> None:
        """
        Args:
            classes: by label.
            photo: the dataset's hand-written template; `{}` is the class name.
            templates: question templates.
            class_name: whether answers must, may or must not name the class.
            seed: for samples and the draws of `{others}`.
        """
        self._classes, self._photo, self._templates = classes, photo, templates
        self._policy, self._seed = class_name, seed

    def question(self, label: int, number: int) -> Question:
        """The question with this number about the class."""
        template, sample = number % len(self._templates), number // len(self._templates)
        digest = hashlib.blake2b(f"{self._seed}/{label}/{template}/{sample}".encode(), digest_size=8).digest()
        seed = int.from_bytes(digest, "big") & 0x7FFFFFFF
        name = display_name(self._classes[label].name)
        text = f"{self._templates[template]} {INSTRUCTION}{NAME_CLAUSES[self._policy]}"
        text = text.format(
            **{"class": name, "photo": self._photo.replace("{}", name).rstrip("."), "others": self._others(label, seed)}
        )
        return Question(label, number, template, text, seed)

    def _others(self, label: int, seed: int) -> str:
        own = self._classes[label].name
        names = sorted({display_name(item.name) for item in self._classes if item.name != own})
        return ", ".join(random.Random(seed).sample(names, min(N_OTHERS, len(names)))) or "anything else"


def read_templates(source: Path) -> tuple[str, ...]:
    """Question templates in a text file, one per line; lines that begin with `#` are comments.

    Raises:
        UserError: no template, an unknown placeholder, or a template that does not say which class is meant.
    """
    check_regular(source)
    try:
        lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--templates: {source} cannot be read ({error})") from None
    templates = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not templates:
        raise UserError(f"--templates: {source} holds no template; write one per line, with {{class}} or {{photo}}")
    for template in templates:
        _check_template(template, source)
    return templates


def _check_template(template: str, source: Path) -> None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"--templates: {source}: '{template:.60}': {error}; write {{{{ for a brace") from None
    fields = [field for _, field, _, _ in parts if field is not None]
    for field in fields:
        if field not in PLACEHOLDERS:
            raise UserError(
                f"--templates: {source}: unknown placeholder '{{{field}}}'{nearest(field, PLACEHOLDERS)} (known: "
                f"{', '.join(f'{{{name}}}' for name in PLACEHOLDERS)})"
            )
    if not {"class", "photo"} & set(fields):
        raise UserError(f"--templates: {source}: '{template:.60}' names no class; add {{class}} or {{photo}}")
