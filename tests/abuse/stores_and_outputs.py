"""Addresses that are no store, and places that no output can be written to."""

from pathlib import Path

from tests.abuse.refusals import Bad, bad

EMPTY = "''"
ADDRESSES = {
    EMPTY: "empty",
    "mlruns": "folder",
    "./mlruns": "folder",
    "file:///tmp/mlruns": "folder",
    "sqlite://": "sqlite",
    "sqlite:///": "sqlite",
    "sqlite:": "sqlite",
    "sqlite:mlflow.db": "sqlite",
    "sqlite:///:memory:": "sqlite",
    "sqlite:////proc/none/mlflow.db": "/proc/none",
    "sqlite:///a%20b/mlflow.db": "a%20b",
    "sqlite:///text.txt/mlflow.db": "text.txt",
    "sqlite:///text.txt": "text.txt",
    "sqlite:///{folder}": "sqlite",
    "sqlite:///.": "sqlite",
    "sqlite3:///mlflow.db": "sqlite3",
    "http://127.0.0.1:9": "127.0.0.1:9",
    "http://": "http",
    "http://[::1": "http",
    "http://127.0.0.1:99999": "99999",
    "https://127.0.0.1:9/x": "127.0.0.1:9",
    "ftp://127.0.0.1/x": "ftp",
    "s3://bucket/x": "s3",
    "nonsense": "nonsense",
    "nonsense://x": "nonsense",
    "databricks": "databricks",
    "postgresql://127.0.0.1:9/x": "127.0.0.1:9",
    "postgresql://127.0.0.1:port/x": "port",
    "mysql://127.0.0.1:9/x": "mysql",
    "mssql+nothing://127.0.0.1/x": "mssql",
    "[a]": "[a]",
    "sqlite:///a[/]b.db": "a[/]b.db",
}
READERS = (
    "status --store $at",
    "compare small --store $at",
    "export small --out out.zip --store $at",
)
"""One by each way to a store: tables, MLflow's own reader, and a launch (below)."""


def _text(folder: Path) -> None:
    (folder / "text.txt").write_text("no database\n")


def odd_stores() -> list[Bad]:
    return [
        bad(command, said if address != EMPTY else "--store", _text, at="" if address == EMPTY else address)
        for command in READERS
        for address, said in ADDRESSES.items()
    ]


def odd_stores_of_launches() -> list[Bad]:
    small = "sweep demo datasets=[mini-tiles] trials=1 --dry-run"
    other = (EMPTY, "[a]", "sqlite:///a[/]b.db")  # no value, a list, and a file that may be made
    launched = {at: said for at, said in ADDRESSES.items() if at not in other}
    return [
        *(bad(f"{small} run.tracking_uri={at}", said, _text) for at, said in launched.items()),
        *(
            bad(f"{small} run.study_storage={at}", at if said == "folder" else said, _text)
            for at, said in launched.items()
        ),
    ]


STORE = "--store sqlite:///{shared}/mlflow.db"
PLACES = {"/proc/none/out": "/proc/none", "text.txt/out": "text.txt", "/dev/null/out": "/dev/null", "x" * 300: "x" * 40}
WRITERS_OF_FILES = (
    "compare small --format csv -o",
    "figure curves small -o",
    "report small --out",
    "export small --out",
)
"""Followed by a folder's name."""
WRITERS = {
    "compare small -o $at.csv --format csv": STORE,
    "compare small -o $at.json --format json": STORE,
    "compare small -o $at.tex --format latex": STORE,
    "compare small --figure $at.png": STORE,
    "figure curves small -o $at.svg": STORE,
    "figure slices small -o $at.pdf": STORE,
    "report small --out $at.html": STORE,
    "export small --out $at.zip": STORE,
    "ablate components datasets=[mini-tiles] -o $at.md": "",
    "train --dataset mini-tiles --save $at": "",
    "data show OxfordPets --root {shared}/data -o $at.png": "",
    "describe generate mini-tiles --endpoint http://127.0.0.1:9/v1 --model m --out $at": "",
    "describe import {shared}/bank.json --dataset OxfordPets data.root={shared}/data --partial --out $at": "",
    "describe import {shared}/bank.json --dataset OxfordPets data.root={shared}/data --draft $at.yaml --out bank": "",
    "predict --contexts {shared}/kept.safetensors {shared}/data -o $at.csv --format csv": "",
}


def unwritable() -> list[Bad]:
    return [
        bad(f"{command.replace('$at', at)} {more}", said, _text)
        for command, more in WRITERS.items()
        for at, said in PLACES.items()
    ]


SUFFIXES = (
    ("compare small --figure out.xyz", "out.xyz"),
    ("compare small --figure out", "out"),
    ("figure ranks small -o out.txt", "out.txt"),
    ("figure ranks small -o .", "--output"),
    ("compare small --format xml", "xml"),
    ("compare small --format csv --metric accuracy", "accuracy"),
)


INPUTS = (
    *odd_stores(),
    *odd_stores_of_launches(),
    *unwritable(),
    *(bad(f"{command} {STORE}", said) for command, said in SUFFIXES),
    *(bad(f"{command} {at} {STORE}", "--o") for command in WRITERS_OF_FILES for at in ("/", ".", "..")),
)
