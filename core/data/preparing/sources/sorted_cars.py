"""StanfordCars sorted into class folders, as a Kaggle mirror has it: `car_data/train/Acura RL Sedan 2012/00198.jpg`.

There the numbers are the published ones, but others may have counted anew. So such a copy is taken only if every image
lies in the folder of the class that the split gives to its number.
"""

import re
from collections.abc import Iterable, Mapping

from dualpt.core.data.preparing.sources.name_match import Found, is_image
from dualpt.core.data.splits import PARTS, Split

CLASS_FOLDER = re.compile(r"(?:(.*)/)?(train|test)/([^/]+)")
_Car = tuple[str, list[str]]
YEAR = re.compile(r"(?:19|20)\d\d")


def find_sorted_cars(folders: Mapping[str, Iterable[str]], split: Split) -> list[Found]:
    """Look for such copies among files.

    Args:
        folders: folder -> its files' names.
        split: of StanfordCars.

    Returns:
        The folders that hold `train` and `test`, the one with the most images first.
    """
    cars = cars_of(split)
    found: dict[str, Found] = {}
    counted_anew: set[str] = set()
    for folder, names in folders.items():
        if (match := CLASS_FOLDER.fullmatch(folder)) is None:
            continue
        above, part, car = match[1] or "", match[2], _plain(match[3])
        for name in filter(is_image, names):
            key = f"cars_{part}/{name}"
            if cars.get(key) == car:
                found.setdefault(above, Found(above)).files[key] = f"{folder}/{name}"
            else:
                counted_anew.add(above)
    copies = (place for above, place in found.items() if above not in counted_anew)
    return sorted(copies, key=lambda place: (-len(place.files), place.above))


def sorted_car(cars: Mapping[str, _Car], path: str) -> str | None:
    """The path in the split of an image in a class folder; None where the folder doesn't agree with the number."""
    folder, _, name = path.rpartition("/")
    match = CLASS_FOLDER.fullmatch(folder)
    key = f"cars_{match[2]}/{name}" if match else ""
    return key if match and cars.get(key) == _plain(match[3]) else None


def cars_of(split: Split) -> dict[str, _Car]:
    """Path in the split -> the car, as folders and classes are compared by."""
    return {item.path: _plain(item.class_name) for part in PARTS for item in getattr(split, part)}


def _plain(car: str) -> _Car:
    """A class name as its letters and digits, and the year, which the split puts in front."""
    return re.sub(r"[\W_]", "", YEAR.sub("", car)).casefold(), YEAR.findall(car)
