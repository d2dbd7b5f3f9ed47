"""Tables of results: what their lines say, and a line for each fault."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, NEW_ACCURACY, TEST_ACCURACY
from dualpt.sweeps.comparison.imported.csv_results import read_csv


def table(folder: Path, text: str, suffix: str = ".csv") -> Path:
    path = folder / f"results{suffix}"
    path.write_text(text)
    return path


def test_a_line_per_result(tmp_path: Path) -> None:
    path = table(tmp_path, "method,dataset,shots,seed,accuracy,backbone\nMaPLe,dtd,16,1,71.4,ViT-B/16\n")
    (result,) = read_csv(path, ()).results
    assert (result.method, result.dataset, result.shots, result.seed) == ("MaPLe", "DescribableTextures", 16, 1)
    assert (result.metric, result.value, result.backbone) == (TEST_ACCURACY, 71.4, "ViT-B-16")
    assert result.source == f"{path}, line 2"


def test_base_and_new(tmp_path: Path) -> None:
    path = table(tmp_path, "method\tdataset\tshots\tbase\tnew\nMaPLe\tEuroSAT\t16\t94.1\t\n", ".tsv")
    assert [(one.metric, one.value, one.seed) for one in read_csv(path, ()).results] == [(BASE_ACCURACY, 94.1, None)]
    path = table(tmp_path, "method,dataset,shots,base,new\nMaPLe,EuroSAT,16,94.1,73.2\n")
    assert [(one.metric, one.protocol) for one in read_csv(path, ()).results] == [
        (BASE_ACCURACY, "base-to-new"),
        (NEW_ACCURACY, "base-to-new"),
    ]


def test_a_column_per_dataset(tmp_path: Path) -> None:
    path = table(tmp_path, "\ufeffmethod,shots,EuroSAT,DTD,mine\nMaPLe,16,92.3 ± 0.6,71.4%,\nMaPLe,8,90+-1.5,,40\n")
    found = [(one.dataset, one.shots, one.value, one.spread) for one in read_csv(path, ["mine"]).results]
    assert found == [
        ("EuroSAT", 16, 92.3, 0.6),
        ("DescribableTextures", 16, 71.4, None),
        ("EuroSAT", 8, 90.0, 1.5),
        ("mine", 8, 40.0, None),
    ]


HEAD = "method,dataset,shots,seed,accuracy\n"
FAULTS = {
    "no shots": ("method,dataset,accuracy\nA,EuroSAT,1\n", r"results\.csv: needs one column 'shots'; the first line"),
    "unknown column": ("method,dataset,shots,acc\nA,EuroSAT,1,1\n", "unknown column 'acc'"),
    "column twice": (HEAD.replace("seed", "accuracy") + "A,EuroSAT,1,1,1\n", "column 'accuracy' is there twice"),
    "dataset": (HEAD + "A,EuroSta,1,1,50\n", r"line 2: unknown dataset 'EuroSta'; did you mean 'EuroSAT'\?"),
    "dataset as column": ("method,shots,EuroSta\nA,1,50\n", r"unknown dataset 'EuroSta'; did you mean 'EuroSAT'\?"),
    "shots": (HEAD + "A,EuroSAT,many,1,50\n", "line 2: shots 'many' is not a whole number"),
    "seed": (HEAD + "A,EuroSAT,1,1.5,50\n", r"line 2: seed '1\.5' is not a whole number"),
    "number": (HEAD + "A,EuroSAT,1,1,n/a\n", "line 2: accuracy 'n/a' is not a number of percent"),
    "dots": (HEAD + "A,EuroSAT,1,1,..\n", r"line 2: accuracy '\.\.' is not a number of percent"),
    "percent": (HEAD + "A,EuroSAT,1,1,500\n", "line 2: accuracy '500' is not a number of percent"),
    "spread of a seed": (HEAD + "A,EuroSAT,1,1,50 ± 1\n", "line 2: accuracy has a spread, and one seed has none"),
    "fields": (HEAD + "A,EuroSAT,1\n", "line 2: has more or fewer fields than the first line"),
    "more fields": (HEAD + "A,EuroSAT,1,1,50,60\n", "line 2: has more or fewer fields than the first line"),
    "no method": (HEAD + ",EuroSAT,1,1,50\n", "line 2: names no method"),
    "empty": (HEAD, "holds no result"),
    "quotes": (HEAD + 'A,"EuroSAT,1,1,50\n', r"results\.csv: line \d: "),
}


@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_csv(table(tmp_path, text), ())
