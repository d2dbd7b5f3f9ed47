"""A split as a table, `.csv` or `.tsv`: a line per image with the columns `path`, `class` and `part`.

path,class,part
photos/0001.jpg,oak,train
photos/0002.jpg,elm,test

Other columns are ignored. Labels are the places of the sorted class names; `part` is train, val or test.
"""

import csv
from pathlib import Path

from dualpt.core.data.split_file import relative_path
from dualpt.core.data.splits import PARTS, Item, Split, make_split
from dualpt.core.data.text_files import read_text
from dualpt.core.errors import UserError
from dualpt.core.files.inside import CONTROL

DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""By file suffix."""
COLUMNS = ("path", "class", "part")


def read_table_file(source: Path, what: str, image_folder: str = "") -> Split:
    """Read and check a table; the images themselves are not looked at. Arguments as in `read_split_file`.

    Raises:
        UserError: a missing file or column, or a faulty line; the error names the file and the line.
    """
    delimiter = DELIMITERS[source.suffix.lower()]
    reader = csv.DictReader(read_text(source, what).splitlines(), delimiter=delimiter, strict=True)
    rows: list[tuple[str, str, str]] = []
    try:
        header = reader.fieldnames or ()
        if absent := [column for column in COLUMNS if header.count(column) != 1]:
            raise UserError(f"{source}: needs one column '{absent[0]}'; the first line names {', '.join(COLUMNS)}")
        rows += (_row(row, image_folder) for row in reader)
    except (ValueError, csv.Error) as fault:
        raise UserError(f"{source}: line {reader.line_num}: {fault}") from None
    names = sorted({name for _, name, _ in rows})
    labels = {name: label for label, name in enumerate(names)}
    parts: dict[str, list[Item]] = {part: [] for part in PARTS}
    for path, name, part in rows:
        parts[part].append(Item(path, labels[name], name))
    return make_split(parts, source)


def _row(row: dict[str, str | None], image_folder: str) -> tuple[str, str, str]:
    """Path, class name and part of a line; a ValueError says what is wrong with it."""
    path, name, part = ((row[column] or "").strip() for column in COLUMNS)
    if not name or CONTROL.search(name):
        raise ValueError(f"class {name!r:.80} is not a name")
    if part not in PARTS:
        raise ValueError(f"part {part!r:.80} is none of {', '.join(PARTS)}")
    return relative_path(path, image_folder), name, part
