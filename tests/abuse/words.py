"""Words that name nothing: commands, options, datasets, methods, protocols, samplers, cells, sweeps and keys."""

import json
from pathlib import Path

from tests.abuse.refusals import Bad, Prepare, bad

ROOT = "data.root={shared}/data"
STORE = "--store sqlite:///{shared}/mlflow.db"
LINES: tuple[tuple[str, str], ...] = (
    # commands and options
    ("trian", "train"),
    ("data chek", "chek"),
    ("cluster", ""),
    ("train", "--dataset"),
    ("train --dataset", "--dataset"),
    ("train --dataset mini-tiles --shot 3", "--shot"),
    ("train --dataset mini-tiles --shots", "--shots"),
    ("sweep", "Missing argument"),
    ("sweep demo --dry", "--dry"),
    ("compare", "NAME"),
    ("figure", "kind"),
    ("figure ranks small", "--output"),
    ("export small", "--out"),
    ("import", "Missing argument"),
    ("predict", "IMAGES"),
    ("spaces more", "more"),
    ("settings --jsn", "--jsn"),
    ("doctor --cleen", "--cleen"),
    ("--nothing", "--nothing"),
    # overrides
    ("sweep demo optim.epochs", "key=value"),
    ("sweep demo =3", "key=value"),
    ("sweep demo optim.epochs=", "optim.epochs"),
    ("sweep demo optim.epochs=1 optim.epochs=2", "twice"),
    ("sweep demo shots=[1] grid.shots=[1]", "twice"),
    ("sweep demo optim.epochs=010", "optim.epochs"),
    ("sweep demo optim.epochs=1_0", "optim.epochs"),
    ("sweep demo optim.epochs=1:30", "optim.epochs"),
    ("sweep demo optim.epochs=0x10", "optim.epochs"),
    ("sweep demo optim=3", "optim"),
    ("sweep demo optim={epochs:3}", "optim"),
    ("sweep demo grid=3", "grid"),
    ("sweep demo grid.=3", "grid."),
    ("sweep demo search.space=3", "search.space"),
    ("sweep demo search.space.prompt.n_prompts=3", "prompt.n_prompts"),
    ("sweep demo search.space.=3", "search.space"),
    ("sweep demo run.x=3", "x"),
    ("sweep demo name=", "name"),
    ("sweep demo name=a/b", "name"),
    ("sweep demo name=[a]", "name"),
    ("sweep demo name=..", "name"),
    ("sweep demo grid.shots=x", "shots"),
    ("sweep demo trials=many", "trials"),
    ("sweep demo optim.epochs=[", "optim.epochs"),
    ("sweep demo optim.epochs=&a", "optim.epochs"),
    ("sweep demo optim.epochs=#3", "optim.epochs"),
    ("sweep demo optim.epochs=!!python/name:os.system", "optim.epochs"),
    ("ablate components design=factorial", "design"),
    ("ablate components search.trials=3", "search.trials"),
    ("ablate components pack=0", "pack"),
    ("ablate components --format latex", "--format"),
    ("ablate components -o t.xyz --format xyz", "xyz"),
    # names
    ("train --dataset mini-pet", "did you mean 'mini-pets'?"),
    ("train --dataset $empty", "dataset"),
    ("train --dataset ../mini-pets", "../mini-pets"),
    ("train --dataset mini", "mini"),
    ("train --dataset [x]", "[x]"),
    ("train --dataset OxfordPets", "data.root"),
    ("train --dataset mini-tiles --method cop", "did you mean 'coop'?"),
    ("train --dataset mini-tiles --method $empty", "method"),
    ("train --dataset mini-tiles --protocol few", "few"),
    ("train --dataset mini-tiles --protocol domain-generalization", "mini-tiles"),
    ("train --dataset mini-tiles --targets mini-cars", "targets"),
    ("train --dataset mini-tiles --protocol cross-dataset --targets mini-car", "mini-car"),
    ("train --dataset mini-tiles --protocol cross-dataset --targets mini-tiles", "mini-tiles"),
    ("train --dataset mini-tiles --protocol cross-dataset --targets ,", "no datasets given"),
    ("train --dataset mini-tiles method=zero-shots", "method"),
    ("train --dataset mini-tiles data.shots=0", "data.shots"),
    ("train --dataset mini-tiles data.shots=all", "data.shots"),
    (f"train --dataset OxfordPets {ROOT} backbone.name=ViT-B-31", "ViT-B-32"),
    (f"train --dataset OxfordPets {ROOT} backbone.name=ViT-B-32", "backbone.pretrained"),
    (f"train --dataset OxfordPets {ROOT} backbone.name=ViT-B-32 backbone.pretrained=nosuch", "nosuch"),
    (f"train --dataset OxfordPets {ROOT} backbone.name=../x backbone.pretrained=random", "../x"),
    ("train --dataset mini-tiles optim.recipe=cop", "optim.recipe"),
    (f"train --dataset OxfordPets {ROOT} prompt.init=a/b.pt", "prompt.init"),
    (f"train --dataset OxfordPets {ROOT} alignment.local_form=topk alignment.topk=1000", "topk"),
    (f"train --dataset OxfordPets {ROOT} descriptions.bank=nowhere", "nowhere"),
    (f"train --dataset OxfordPets {ROOT} descriptions.per_class=999", "per_class"),
    ("sweep demo datasets=[mini-pet]", "did you mean 'mini-pets'?"),
    ("sweep demo datasets=[]", "datasets"),
    ("sweep demo protocol=few", "protocol"),
    ("sweep demo targets=[mini-cars]", "targets"),
    ("sweep demo search.sampler=tpee", "sampler"),
    ("sweep demo search.sampler=", "sampler"),
    ("sweep demo search.racing=ash", "racing"),
    ("sweep demo search.race_confidence=0.9", "race_confidence"),
    ("sweep demo search.objective=accuracy", "objective"),
    ("sweep demo baselines=[cop]", "did you mean 'coop'?"),
    ("sweep demo baselines=coop", "baselines"),
    ("sweep demo search.start_from=[nosuch]", "nosuch"),
    ("sweep demo search.shots=[3]", "search.shots"),
    ("sweep demo search.datasets=[mini-pets] datasets=[mini-cars]", "search.datasets"),
    ("sweep demoo", "did you mean 'demo'?"),
    ("sweep $empty", "the word after it is empty"),
    ("sweep .", "sweep file"),
    ("sweep demo --dry-run --simulate", "--simulate"),
    ("sweep demo --gpus 2", "--gpus"),
    # recorded sweeps
    (f"compare smal {STORE}", "did you mean 'small'?"),
    (f"compare $empty {STORE}", "the word after it is empty"),
    (f"compare small nosuch {STORE}", "nosuch"),
    (f"compare small --metric test {STORE}", "test"),
    (f"compare small --protocol cross-dataset {STORE}", "cross-dataset"),
    (f"compare small --baseline cop {STORE}", "cop"),
    (f"compare small --format jsn {STORE}", "json"),
    (f"compare small --published {STORE}", ""),
    (f"figure rank small -o a.png {STORE}", "did you mean 'ranks'?"),
    (f"figure ranks smal -o a.png {STORE}", "did you mean 'small'?"),
    (f"figure training small small2 -o a.png {STORE}", "training"),
    (f"figure importance small -o a.png {STORE} --study sqlite:///nowhere.db", "nowhere.db"),
    (f"status smal {STORE}", "did you mean 'small'?"),
    (f"status --watch {STORE}", "--watch"),
    (f"report smal {STORE}", "did you mean 'small'?"),
    (f"export smal --out a.zip {STORE}", "did you mean 'small'?"),
    (f"evaluate smal {STORE}", "did you mean 'small'?"),
    (f"evaluate small optim.epochs=3 {STORE}", "optim.epochs"),
    (f"inspect nosuch {STORE}", "nosuch"),
    (f"inspect small/best/mini-pets {STORE}", "small/best/mini-pets"),
    (f"inspect small/best/mini-pets/4/9 {STORE}", "small/best/mini-pets/4/9"),
    (f"inspect small/best/mini-pets/x/1 {STORE}", "small/best/mini-pets/x/1"),
    (f"inspect $empty {STORE}", ""),
    (f"inspect % {STORE}", "%"),
    (f"inspect small/best/mini-pets/4/1 optim.epochs=3 {STORE}", "optim.epochs"),
    (f"predict a.png --cell nosuch {STORE}", "a.png"),
    ("predict {shared}/data/oxford_pets", "--cell"),
    ("predict {shared}/data/oxford_pets --cell a --contexts b.safetensors", "--cell"),
    (f"predict {{shared}}/data --cell nosuch {STORE}", "nosuch"),
    ("predict {shared}/data --contexts {shared}/bank.json", "bank.json"),
    ("predict {shared}/data --contexts {shared}/kept.safetensors --format xml", "xml"),
    # data
    ("data check nosuch", "nosuch"),
    ("data check OxfordPets", "--root"),
    ("data check OxfordPets --root nowhere", "nowhere"),
    ("data check --root a data.root=b", "differ"),
    ("data check data.rot=b", "did you mean 'data.root'?"),
    ("data check data.root=[a]", "data.root"),
    ("data draw", "dataset"),
    ("data draw a b", "one dataset"),
    ("data draw nosuch --root {shared}/data", "nosuch"),
    ("data draw ImageNetV2 --root {shared}/data", "test images only"),
    ("data show", "dataset"),
    ("data show OxfordPets", "--root"),
    ("data add own --folder own", "--root"),
    ("data add --folder own --root {shared}/data", "name"),
    ("data add own --folder nowhere --root {shared}/data", "nowhere"),
    ("data add own --folder ../x --root {shared}/data", "folder"),
    ("data add own --folder /etc --root {shared}/data", "folder"),
    ("data add a/b --folder dtd --root {shared}/data", "a/b"),
    ("data add mini --folder dtd --root {shared}/data", "mini"),
    ("data add OxfordPets --folder dtd --root {shared}/data", "OxfordPets"),
    ("data add own --folder dtd --split nowhere.json --root {shared}/data", "nowhere.json"),
    ("data add own --folder dtd --images nowhere --root {shared}/data", "nowhere"),
    ("data add own --folder dtd --template photo --root {shared}/data", "template"),
    # features
    ("features build", "sweep file"),
    ("features build demo demo", "sweep file"),
    ("features build demo --dataset mini-tiles", "sweep file"),
    ("features build demo --shots 3", "--shots"),
    ("features build --dataset nosuch", "nosuch"),
    ("features build --dataset mini-tiles --method cop", "cop"),
    ("features build --dataset mini-tiles --protocol few", "few"),
    ("features build --dataset mini-tiles --targets nosuch", "targets"),
    # descriptions
    ("describe generate nosuch --llm x", "nosuch"),
    (f"describe generate OxfordPets {ROOT}", "--llm"),
    (f"describe generate OxfordPets {ROOT} --llm a --endpoint http://127.0.0.1:9", "--endpoint"),
    (f"describe generate OxfordPets {ROOT} --endpoint http://127.0.0.1:9/v1", "--model"),
    (f"describe generate OxfordPets {ROOT} --endpoint nonsense --model m", "nonsense"),
    (
        f"describe generate OxfordPets {ROOT} --endpoint http://127.0.0.1:9/v1 --model m --api-key-env NO_SUCH_KEY",
        "NO_SUCH_KEY",
    ),
    (f"describe generate OxfordPets {ROOT} --llm a --parallel 3", "--parallel"),
    (f"describe generate OxfordPets {ROOT} --llm a --class-name never", "class-name"),
    (f"describe generate OxfordPets {ROOT} --endpoint http://[::1 --model m", "http://[::1"),
    (f"describe generate OxfordPets {ROOT} --endpoint http://h:port/v1 --model m", "http://h:port"),
    (f"describe import nowhere.json --dataset OxfordPets {ROOT}", "nowhere.json"),
    ("describe import {shared}/bank.json", "--dataset"),
    ("describe import {shared}/bank.json --dataset nosuch", "nosuch"),
    ("describe import {shared}/bank.json --dataset OxfordPets", "data.root"),
    (f"describe import {{shared}}/bank.json --dataset OxfordPets optim.epoch=3 {ROOT}", "optim.epoch"),
    (f"describe check nowhere OxfordPets {ROOT}", "nowhere"),
    (f"describe check {{shared}}/bank.json nosuch {ROOT}", "nosuch"),
    # clusters
    ("cluster check nowhere.yaml", "nowhere.yaml"),
    ("cluster check {shared}/cluster.yaml trials=3", "--sweep"),
    ("cluster check {shared}/cluster.yaml --sweep demoo", "demo"),
    ("cluster submit demoo", "demo"),
    ("cluster submit demo --address http://127.0.0.1:9", "127.0.0.1:9"),
    ("cluster submit demo --address nonsense", "nonsense"),
    ("cluster submit demo trials=x", "trials"),
)

BANKS: dict[str, tuple[object, str]] = {
    "list": ([], "bank.json"),
    "text": ("a", "bank.json"),
    "number": (3, "bank.json"),
    "numbers": ({"Abyssinian": 3}, "bank.json"),
    "mapping": ({"Abyssinian": {"a": {"b": 3}}}, "bank.json"),
    "number in list": ({"Abyssinian": [3]}, "bank.json"),
    "nan": ({"Abyssinian": [float("nan")]}, "bank.json"),
}


def _bank(content: object) -> Prepare:
    return lambda folder: (folder / "bank.json").write_text(json.dumps(content))


def odd_banks() -> list[Bad]:
    command = f"describe import bank.json --dataset OxfordPets --out banks --partial {ROOT}"
    checked = f"describe check bank.json OxfordPets {ROOT}"
    return [
        bad(words, said, _bank(content), note=name)
        for words in (command, checked)
        for name, (content, said) in BANKS.items()
    ]


def _split(content: object) -> Prepare:
    def write(folder: Path) -> None:
        (folder / "split.json").write_text(json.dumps(content))

    return write


ROW = ["a/b.jpg", 0, "cat"]
SPLITS: tuple[object, ...] = (
    [],
    3,
    {},
    {"train": []},
    {"train": [], "val": [], "test": []},
    {"train": 3, "val": [], "test": []},
    {"train": [ROW], "val": None, "test": [ROW]},
    {"train": [["a.jpg"]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", -1, "cat"]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", 1e9, "cat"]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", 10**9, "cat"]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", True, "cat"]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", "0.5", "cat"]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", 0, 3]], "val": [], "test": [ROW]},
    {"train": [["a.jpg", 0, ""]], "val": [], "test": [ROW]},
    {"train": [["", 0, "cat"]], "val": [], "test": [ROW]},
    {"train": [["/etc/passwd", 0, "cat"]], "val": [], "test": [ROW]},
    {"train": [["../../x.jpg", 0, "cat"]], "val": [], "test": [ROW]},
    {"train": [["a\0b.jpg", 0, "cat"]], "val": [], "test": [ROW]},
    {"train": [ROW, ["c.jpg", 0, "dog"]], "val": [], "test": [ROW]},
    {"train": [ROW, ["c.jpg", 2, "dog"]], "val": [], "test": [ROW]},
    {"train": [ROW], "val": [], "test": [["a/b.jpg", 1, "dog"]]},
)


def odd_splits() -> list[Bad]:
    return [
        bad("data draw --split split.json --shots 1", "split.json", _split(content), note=str(content))
        for content in SPLITS
    ]


INPUTS = (*(bad(line, said, empty="") for line, said in LINES if line != "cluster"), *odd_banks(), *odd_splits())
