"""What stands in a file's place: pipes, folders, sockets, devices, links in circles, empty and binary files."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from tests.abuse.refusals import Bad, Prepare, bad


def _socket(path: Path) -> None:
    """Bound by its name alone: addresses of sockets are short, paths of tests aren't."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(before)


def _truncated_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + b"\x14" * 40)


ODD: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "circle": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "empty": Path.touch,
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "utf16": lambda path: path.write_bytes('{"name": ["a sentence"]}'.encode("utf-16")),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
    "cut": _truncated_zip,
    "lfs": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
}
FILES = tuple(ODD)
NO_TEXT = ("missing", "pipe", "folder", "socket", "device", "circle", "dangling", "binary", "utf16")
FOLDERS = ("missing", "pipe", "socket", "device", "circle", "dangling", "empty")

PETS = "data.root={shared}/data"
GENERATE = f"describe generate OxfordPets {PETS} --out bank"
PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sweep": ("sweep odd.yaml --dry-run", FILES),
    "ablate": ("ablate odd.yaml --dry-run", FILES),
    "features": ("features build odd.yaml --dry-run", FILES),
    "cluster": ("cluster check odd.yaml", FILES),
    "cluster-sweep": ("cluster check {shared}/cluster.yaml --sweep odd.yaml", FILES),
    "split": ("data draw --split odd.json", FILES),
    "root-draw": ("data draw OxfordPets --root odd", FOLDERS),
    "root-check": ("data check OxfordPets --root odd", FOLDERS),
    "root-show": ("data show OxfordPets --root odd", FOLDERS),
    "root-add": ("data add own --folder own --root odd", FOLDERS),
    "root-train": ("train --dataset OxfordPets data.root=odd", FOLDERS),
    "imported": (
        "train --dataset OxfordPets --method nearest-mean data.features=odd backbone.name=toy",
        (*FOLDERS, "folder"),
    ),
    "cached": ("features import odd --dataset OxfordPets --backbone toy", (*FOLDERS, "folder")),
    "bank": (f"describe import odd.json --dataset OxfordPets {PETS} --out bank", FILES),
    "bank-lines": (f"describe import odd.jsonl --dataset OxfordPets {PETS} --out bank", FILES),
    "bank-table": (f"describe import odd.csv --dataset OxfordPets {PETS} --out bank", FILES),
    "map": (f"describe import {{shared}}/bank.json --map odd.yaml --dataset OxfordPets {PETS} --out bank", FILES),
    "classes": ("describe import {shared}/bank.json --classes odd.txt --dataset OxfordPets --out bank", FILES),
    "bank-check": (f"describe check odd.json OxfordPets {PETS}", FILES),
    "templates": (f"{GENERATE} --llm {{shared}} --templates odd.txt", FILES),
    "llm": (f"{GENERATE} --llm ./odd", FILES),
    "contexts": ("predict --contexts odd.safetensors {shared}/data/oxford_pets", FILES),
    "archive": ("import odd.zip", FILES),
    "init": (f"train --dataset OxfordPets {PETS} prompt.init=./odd.safetensors", FILES),
    "weights": (f"train --dataset OxfordPets {PETS} backbone.name=ViT-B-32 backbone.pretrained=./odd.pt", FILES),
    "weights-auto": (f"train --dataset OxfordPets {PETS} backbone.name=auto backbone.pretrained=./odd", FILES),
    "train-bank": (f"train --dataset OxfordPets {PETS} descriptions.bank=odd", FOLDERS),
    "status": ("status --store sqlite:///odd.db", FILES),
    "compare": ("compare small --store sqlite:///odd.db", ("folder", "pipe", "binary", "socket", "circle")),
    "export": ("export small --out out.zip --store sqlite:///odd.db", ("folder", "pipe", "binary", "circle")),
    "evaluate": ("evaluate small --store sqlite:///odd.db", ("folder", "pipe", "binary")),
    "study": ("figure importance small -o i.png --study sqlite:///odd.db", ("folder", "pipe", "binary", "missing")),
    "run-store": (
        "sweep demo datasets=[mini-tiles] --dry-run run.tracking_uri=sqlite:///odd.db",
        ("folder", "pipe", "binary", "circle"),
    ),
    "run-study": (
        "sweep demo datasets=[mini-tiles] --dry-run run.study_storage=sqlite:///odd.db",
        ("folder", "pipe", "binary", "circle"),
    ),
    "run-journal": (
        "sweep demo datasets=[mini-tiles] --dry-run run.study_storage=journal:///odd.log",
        ("folder", "pipe", "circle"),
    ),
}


def _put(kind: str, name: str) -> Prepare:
    return lambda folder: ODD[kind](folder / name)


def _name(command: str) -> str:
    """The file that a command names, `odd` and its suffix."""
    start = command.index("odd")
    return command[start:].split()[0]


def in_the_place_of_files() -> list[Bad]:
    cases = []
    for command, kinds in PLACES.values():
        name = _name(command)
        cases += [bad(command, "odd", _put(kind, name), note=kind) for kind in kinds]
    return cases


LONG = "x" * 300
TOO_LONG = (
    f"sweep {LONG}.yaml --dry-run",
    f"ablate {LONG}.yaml --dry-run",
    f"cluster check {LONG}.yaml",
    f"import {LONG}.zip",
    f"data draw --split {LONG}.json",
    f"data check OxfordPets --root {LONG}",
    f"describe check {LONG}.json OxfordPets {PETS}",
    f"predict --contexts {LONG}.safetensors {{shared}}/data/oxford_pets",
    f"train --dataset OxfordPets data.root={LONG}",
    f"train --dataset OxfordPets {PETS} prompt.init=./{LONG}.safetensors",
    f"train --dataset OxfordPets {PETS} backbone.name=ViT-B-32 backbone.pretrained=./{LONG}",
    f"train --dataset OxfordPets {PETS} descriptions.bank={LONG}",
    f"status --store sqlite:///{LONG}.db",
)
"""Names of more bytes than file systems take."""

NUL = (
    'run: {tracking_uri: "sqlite:///a\\0b.db"}',
    'setting: {data.root: "a\\0b"}',
    'setting: {descriptions.bank: "a\\0b"}',
    'setting: {backbone: {name: ViT-B-32, pretrained: "./a\\0b"}}',
    'setting: {prompt.init: "./a\\0b.safetensors"}',
    'run: {study_storage: "sqlite:///a\\0b.db"}',
)


def _nul(line: str) -> Prepare:
    text = f"name: s\ngrid: {{datasets: [mini-tiles], shots: [1], seeds: [1]}}\nbaselines: [coop]\n{line}\n"
    return lambda folder: (folder / "s.yaml").write_text(text)


def _model(folder: Path, **files: str) -> None:
    (folder / "model").mkdir()
    for name, content in files.items():
        (folder / "model" / name.replace("__", ".")).write_text(content)


CONFIG = '{"model_type": "clip", "text_config": {}, "vision_config": {}, "projection_dim": 512}'
MODELS: dict[str, dict[str, str]] = {
    "nothing": {},
    "config alone": {"config__json": CONFIG},
    "broken config": {"config__json": "{"},
    "list as config": {"config__json": "[]", "model__safetensors": "x"},
    "another kind": {"config__json": '{"model_type": "bert"}', "model__safetensors": "x"},
    "no kind": {"config__json": "{}", "model__safetensors": "x"},
    "odd sections": {
        "config__json": '{"model_type": "clip", "text_config": 3, "vision_config": []}',
        "model__safetensors": "x",
    },
    "text as weights": {"config__json": CONFIG, "model__safetensors": "x"},
    "empty weights": {"config__json": CONFIG, "model__safetensors": ""},
    "lfs weights": {
        "config__json": CONFIG,
        "model__safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    },
    "hub config alone": {"open_clip_config__json": '{"model_cfg": {}, "preprocess_cfg": {}}'},
    "hub list": {"open_clip_config__json": "[]", "open_clip_model__safetensors": "x"},
    "hub nothing": {"open_clip_config__json": "{}", "open_clip_model__safetensors": "x"},
    "hub numbers": {"open_clip_config__json": '{"model_cfg": 3}', "open_clip_model__safetensors": "x"},
    "hub odd": {
        "open_clip_config__json": '{"model_cfg": {"embed_dim": -1, "vision_cfg": 3, "text_cfg": []}}',
        "open_clip_model__safetensors": "x",
    },
    "index": {"config__json": CONFIG, "model__safetensors__index__json": '{"weight_map": {"a": "../../x"}}'},
    "odd index": {"config__json": CONFIG, "model__safetensors__index__json": '{"weight_map": 3}'},
}


def odd_models() -> list[Bad]:
    command = f"train --dataset OxfordPets {PETS} backbone.name=auto backbone.pretrained=./model"
    return [
        bad(command, "model", lambda folder, files=files: _model(folder, **files), note=name)
        for name, files in MODELS.items()
    ]


def own_dataset(folder: Path, text: str) -> None:
    (folder / "root" / "own").mkdir(parents=True)
    (folder / "root" / "datasets.yaml").write_text(text)


OWN = {
    "own: 3": "own",
    "own: []": "own",
    "own: {folder: own}": "split",
    "own: {folder: 3, split: folders}": "folder",
    "own: {folder: ../x, split: folders}": "folder",
    "own: {folder: /etc, split: folders}": "folder",
    "own: {folder: own, split: folders, images: ../..}": "images",
    "own: {folder: own, split: folders, template: a photo}": "template",
    "own: {folder: own, split: folders, titel: x}": "titel",
    "own: {folder: own, split: nowhere.json}": "nowhere.json",
    "own: {folder: own, split: folders}": "own",
    "own: {folder: nowhere, split: folders}": "nowhere",
    "'a/b': {folder: own, split: folders}": "a/b",
    "mini: {folder: own, split: folders}": "mini",
    "OxfordPets: {folder: own, split: folders}": "OxfordPets",
    "3: {folder: own, split: folders}": "datasets.yaml",
    "[own": "datasets.yaml",
    "own: {folder: own, split: ''}": "split",
}


def odd_registrations() -> list[Bad]:
    return [
        bad("data draw own --root root", said, lambda folder, text=text: own_dataset(folder, text), note=text)
        for text, said in OWN.items()
    ]


INPUTS = (
    *in_the_place_of_files(),
    *(bad(command, "x" * 40) for command in TOO_LONG),
    *(bad("sweep s.yaml --dry-run", "", _nul(line), note=line) for line in NUL),
    *odd_models(),
    *odd_registrations(),
)


def shared_files(folder: Path) -> None:
    """A cluster file and a bank that are sound, to stand beside odd ones."""
    shutil.copy(Path(__file__).parents[2] / "ray_cluster.yaml", folder / "cluster.yaml")
    (folder / "bank.json").write_text('{"Abyssinian": ["a cat with short ticked fur."]}')
