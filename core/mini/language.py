"""What is said about things: captions that pretraining reads, and descriptions of the classes.

Descriptions use only words that captions use. They are what someone who knows the classes by hearsay would write: each
sentence leaves parts out, colours are often coarse (`a warm coat`), a few attributes are mistaken. As a classifier they
beat the bare names by some points and lose to sixteen images per class, which makes aligning to them worthwhile.
"""

import numpy as np

from dualpt.core.mini.attributes import COLOUR_ATTRIBUTES, Attributes, resample
from dualpt.core.mini.world import MiniClass

COARSE_COLOURS: dict[str, str] = {
    "red": "warm",
    "orange": "warm",
    "yellow": "warm",
    "brown": "warm",
    "pink": "warm",
    "green": "cool",
    "teal": "cool",
    "blue": "cool",
    "purple": "cool",
    "white": "pale",
    "gray": "pale",
    "black": "dark",
}

CAPTION_COARSE_SHARE = 0.15
"""How often a caption names a colour coarsely."""
CAPTION_NAME_SHARE = 0.5
"""How often the caption of a thing with a name uses the name."""
OPENING_SHARE = 0.3
"""How often a caption comes after an opening, which moves the name to a late position."""

NAME_TEMPLATES: tuple[str, ...] = (
    "a photo of a {}.",
    "a photo of a {}.",
    "a picture of the {}.",
    "{}",
    "{}.",
    "a bad photo of a {}.",
    "a close-up photo of one {}.",
    "this is a nice picture that shows the {}.",
    "an image taken yesterday in which we can see a {}.",
    "a {}, seen from the side.",
    "here is a rather good photo, taken by a friend of mine, of the {}.",
    "my {}",
    "look at this {}!",
)
KIND_TEMPLATES: tuple[str, ...] = (
    "a photo of a {name}, a type of {kind}.",
    "{a_kind} called {name}.",
    "a {name}, a kind of {kind}.",
)
OWN_TEMPLATES: dict[str, str] = {
    "dish": "a photo of {name}, a type of food.",
    "texture": "{name} texture.",
    "tile": "a centered satellite photo of {name}.",
    "person": "a photo of a person doing {name}.",
}
"""How one speaks of kinds that are not countable objects."""
NAME_AND_PARTS_TEMPLATES: tuple[str, ...] = ("a photo of a {name} with {parts}.", "a {name}, {a_kind} with {parts}.")
UNNAMED_SUBJECTS: tuple[str, ...] = (
    "{a_kind}",
    "a photo of {a_kind}",
    "a picture of some {kind}",
    "this {kind}",
    "a nice photo that shows one {kind}",
)
LINKS: tuple[str, ...] = (" with ", " that has ", ", ")
OPENINGS: tuple[str, ...] = (
    "hello,",
    "good morning everyone,",
    "once more,",
    "as I wrote to my sister last week,",
    "from our trip along the coast:",
    "for those who asked about it,",
    "after a long day of walking through the old town,",
    "number four in the list,",
    "it was late and the light was poor but",
    "I am not sure what to say about it, though",
    "the best one of them all:",
    "we found it by chance and",
)
"""Fillers; one to three of them put the name at positions up to about 35."""

N_DESCRIPTIONS = 5
DESCRIPTION_MISTAKE_SHARE = 0.02
"""How often a description bank is wrong about an attribute of a class, the same in all its sentences."""
DESCRIPTION_COARSE_SHARE = 0.25
"""How often the bank knows a colour only coarsely, the same in all sentences of a class."""
DESCRIPTION_PART_SHARE = 0.7
"""How often a sentence mentions each part that it could mention."""
DESCRIPTION_SEED = 23


def coarsen(attributes: Attributes, share: float, rng: np.random.Generator) -> Attributes:
    """Replace each colour by its coarse word with the given probability."""
    return {
        name: COARSE_COLOURS[value] if name in COLOUR_ATTRIBUTES and rng.random() < share else value
        for name, value in attributes.items()
    }


def parts_of(kind: str, words: Attributes) -> list[str]:
    """Noun phrases that together say everything about a thing; `words` are attributes, coarse or not."""
    if kind == "gadget":
        part = {"no": [], "legs": ["legs"]}.get(words["part"], [_a(words["part"])])
        return [f"{_a(_coat(words))} body", f"{_a(words['shape'])} shape", *part]
    if kind == "pet":
        return [f"{_a(_coat(words))} coat", f"{words['ears']} ears", f"{_a(words['tail'])} tail"]
    if kind == "car":
        return [f"{_a(_coat(words))} body", f"{_a(words['body'])} cabin", f"{words['wheels']} wheels"]
    if kind == "flower":
        petals = f"{words['colour']} {words['petal_shape']} petals"
        return [f"{words['petals']} petals", petals, f"{_a(words['accent'])} centre"]
    if kind == "dish":
        topping = f"{words['amount']} {words['accent']} {words['topping']} on top"
        return [f"{words['colour']} food", topping, f"{_a(words['container'])}"]
    if kind == "aircraft":
        tail = f"{_a(words['tail'])} {words['accent']} tail"
        return [f"{words['wings']} wings", f"{words['engines']} engines", f"{_a(words['colour'])} hull", tail]
    if kind == "scene":
        elements = f"{words['amount']} {words['colour']} {words['element']}"
        return [f"{_a(words['sky'])} sky", f"{words['ground']} ground", elements]
    if kind == "texture":
        pattern = f"{_a(words['scale'])} {words['pattern']} pattern"
        return [pattern, f"{words['colour']} and {words['accent']} colours"]
    if kind == "tile":
        return [f"{words['accent']} {words['layout']}", f"{words['colour']} land"]
    prop = [f"{_a(words['prop_colour'])} {words['prop']}"] if words["prop"] != "no" else []
    return [f"{words['arms']} arms", f"{words['legs']} legs", f"{_a(words['colour'])} shirt", *prop]


def caption(
    kind: str,
    attributes: Attributes,
    name: str | None,
    rng: np.random.Generator,
    name_share: float = CAPTION_NAME_SHARE,
) -> str:
    """One caption of a thing: by its name, by some of its parts, or by both."""
    words = coarsen(attributes, CAPTION_COARSE_SHARE, rng)
    parts = _some_parts(kind, words, rng)
    if name is None or rng.random() >= name_share:
        subject = _pick(UNNAMED_SUBJECTS, rng).format(kind=kind, a_kind=_a(kind))
        return subject + _pick(LINKS, rng) + _enumerate(parts) + "."
    style = rng.random()
    if style < 0.6:
        return _pick(NAME_TEMPLATES, rng).format(name)
    if style < 0.8:
        own = (OWN_TEMPLATES[kind],) if kind in OWN_TEMPLATES else ()
        return _pick(KIND_TEMPLATES + own * 2, rng).format(name=name, kind=kind, a_kind=_a(kind))
    template = _pick(NAME_AND_PARTS_TEMPLATES, rng)
    return template.format(name=name, a_kind=_a(kind), parts=_enumerate(parts))


def with_opening(text: str, rng: np.random.Generator) -> str:
    """Sometimes put one to three fillers before a caption.

    Learnable contexts push class names to positions that a bare caption seldom reaches; a text tower that never saw
    names there would not read them there.
    """
    if rng.random() >= OPENING_SHARE:
        return text
    openings = [_pick(OPENINGS, rng) for _ in range(int(rng.integers(1, 4)))]
    return " ".join([*openings, text])


def describe(item: MiniClass, dataset_index: int, label: int) -> list[str]:
    """The sentences of the description bank for one class; every other sentence names it."""
    rng = np.random.default_rng([DESCRIPTION_SEED, dataset_index, label])
    believed = resample(item.kind, item.attributes, DESCRIPTION_MISTAKE_SHARE, rng)
    parts = parts_of(item.kind, coarsen(believed, DESCRIPTION_COARSE_SHARE, rng))
    sentences = []
    for number in range(N_DESCRIPTIONS):
        mentioned = [part for part in parts if rng.random() < DESCRIPTION_PART_SHARE]
        mentioned = mentioned or [_pick(tuple(parts), rng)]
        style = number // 2 % 2
        if number % 2 == 0:
            template = NAME_AND_PARTS_TEMPLATES[style]
        else:
            template = UNNAMED_SUBJECTS[style] + LINKS[style] + "{parts}."
        sentences.append(template.format(name=item.name, a_kind=_a(item.kind), parts=_enumerate(mentioned)))
    return sentences


def vocabulary_texts() -> list[str]:
    """Texts that together hold every word of every caption, apart from names and attribute values."""
    parts_words = "body shape coat ears tail cabin wheels petals centre food on top engines wings hull sky ground"
    more_words = "pattern and colours land arms legs shirt"
    templates = [
        *NAME_TEMPLATES,
        *KIND_TEMPLATES,
        *OWN_TEMPLATES.values(),
        *NAME_AND_PARTS_TEMPLATES,
        *UNNAMED_SUBJECTS,
        *LINKS,
        *OPENINGS,
    ]
    blanks = {"name": "", "kind": "", "a_kind": "a an", "parts": ""}
    return [parts_words, more_words, *COARSE_COLOURS.values(), *(text.format("", **blanks) for text in templates)]


def _coat(words: Attributes) -> str:
    if words["pattern"] == "plain":
        return f"plain {words['colour']}"
    return f"{words['colour']} and {words['accent']} {words['pattern']}"


def _a(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _some_parts(kind: str, words: Attributes, rng: np.random.Generator) -> list[str]:
    """A random non-empty subset in random order."""
    parts = parts_of(kind, words)
    n_mentioned = int(rng.integers(1, len(parts) + 1))
    return [parts[int(i)] for i in rng.permutation(len(parts))[:n_mentioned]]


def _enumerate(parts: list[str]) -> str:
    """`one, two and three`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _pick(texts: tuple[str, ...], rng: np.random.Generator) -> str:
    return texts[int(rng.integers(len(texts)))]
