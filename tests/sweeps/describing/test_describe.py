"""`dualpt describe` as a newcomer types it: banks that training reads, kills that lose nothing, faults of one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dualpt.sweeps.cli
from dualpt.core.data.catalog import dataset_info
from dualpt.core.descriptions.classes import classes_of
from dualpt.core.descriptions.reading import read_bank
from dualpt.core.descriptions.writing.answers import AnswerFile
from dualpt.core.descriptions.writing.writers import Answered
from dualpt.core.inputs.reading import mini_root
from dualpt.core.mini.grid import ensure_mini_grid
from tests.chat_server import ChatServer, completion

PETS = dataset_info("mini-pets")
NAMES = [item.name for item in classes_of(PETS, None, None)]
ITEMS = [["a/1.jpg", 0, "Forest"], ["b/1.jpg", 1, "Sea_or_Lake"]]
SPLIT = {"train": ITEMS, "val": [], "test": ITEMS}


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "split.json").write_text(json.dumps(SPLIT))
    (tmp_path / "bank.json").write_text('{"Forest": ["Green."]}')


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.out)
        return document


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run `dualpt describe …` in this process."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["dualpt", "describe", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            dualpt.sweeps.cli.main()
        captured = capsys.readouterr()
        return Outcome(int(caught.value.code or 0), captured.out, captured.err)

    return run


def with_model(llm: Path, *words: object) -> list[object]:
    options = {"--llm": llm, "--device": "cpu", "--max-new-tokens": 60, "--per-class": 1, "--tries": 20}
    return ["generate", "mini-pets", *(word for option in options.items() for word in option), *words]


class TestGenerating:
    def test_with_a_model(self, describe, tiny_llm: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        outcome = describe(*with_model(tiny_llm, "--json"))
        assert outcome.code == 0, outcome.err
        assert outcome.document["sentences"] == 12
        assert outcome.document["short"] == {}
        sentences = read_bank(tmp_path / "descriptions", PETS, NAMES, 1)
        assert [len(texts) for texts in sentences] == [1] * 12
        provenance = json.loads((tmp_path / "descriptions" / "mini-pets.json").read_text())["provenance"]
        assert provenance["llm"] == "tiny-llm"
        assert str(tmp_path) not in json.dumps(provenance)

        before = (tmp_path / "descriptions" / "mini-pets.json").stat().st_mtime_ns
        assert describe(*with_model(tiny_llm, "--json")).document["asked"] == 0
        assert (tmp_path / "descriptions" / "mini-pets.json").stat().st_mtime_ns == before

        edited = (tmp_path / "descriptions" / "mini-pets.json").read_text().replace(sentences[0][0], "By hand.")
        (tmp_path / "descriptions" / "mini-pets.json").write_text(edited)
        assert "exists, and was imported, edited or generated elsewhere" in describe(*with_model(tiny_llm)).err

    def test_through_an_endpoint(self, describe, chat_server: ChatServer, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
        monkeypatch.setenv("MY_KEY", "s3cret")
        chat_server.faults = [(500, {}, b"once")]
        words = ["generate", "EuroSAT", "--classes", "split.json", "--endpoint", chat_server.url, "--model", "tiny"]
        outcome = describe(*words, "--api-key-env", "MY_KEY", "--out", "bank", "--per-class", 3, "--json")
        assert outcome.code == 0, outcome.err
        assert set(chat_server.keys) == {"Bearer s3cret"}
        written = "".join(file.read_text() for file in (tmp_path / "bank").iterdir())
        assert "s3cret" not in written
        bank = json.loads((tmp_path / "bank" / "EuroSAT.json").read_text())
        assert bank["provenance"]["endpoint"] == chat_server.url
        assert [part["name"] for part in bank["classes"]] == ["Forest", "Sea_or_Lake"]
        assert bank["classes"][0]["templates"] == [0, 1, 2]

    def test_classes_that_stay_short(self, describe, chat_server: ChatServer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        reply = chat_server.reply
        refused = completion("I'm sorry, but I cannot help with that.")
        chat_server.reply = lambda body: refused if "Forest" in str(body["messages"]) else reply(body)
        (tmp_path / "one.txt").write_text("How does {photo} look?\n")
        words = ["generate", "EuroSAT", "--classes", "split.json", "--endpoint", chat_server.url, "--model", "tiny"]
        outcome = describe(*words, "--per-class", 2, "--tries", 4, "--templates", "one.txt", "--json")
        assert outcome.code == 3
        assert outcome.document["short"] == {"Forest": 0}
        assert outcome.document["rejected"] == {"refusal": 4}

    def test_an_interrupted_run_says_how_to_continue(  # type: ignore[no-untyped-def]
        self, describe, chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep = AnswerFile.add

        def keep_and_interrupt(file: AnswerFile, answered: Answered) -> None:
            keep(file, answered)
            raise KeyboardInterrupt

        words = ["generate", "EuroSAT", "--classes", "split.json", "--endpoint", chat_server.url, "--model", "tiny"]
        words += ["--parallel", "1", "--per-class", "1", "--out", "bank"]
        with monkeypatch.context() as patched:
            patched.setattr(AnswerFile, "add", keep_and_interrupt)
            outcome = describe(*words)
        assert outcome.code == 130
        assert "1 answers kept in bank/EuroSAT.answers.jsonl; run again to continue" in outcome.out
        assert not (tmp_path / "bank" / "EuroSAT.json").exists()
        assert describe(*words, "--json").document["asked"] == 1

    @pytest.mark.cluster
    def test_a_killed_run_ends_with_the_same_bank(self, describe, tiny_llm: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        """SIGKILL, in a process of its own, after the first answers."""
        words = [str(word) for word in with_model(tiny_llm, "--batch-size", 1, "--out", "killed")]
        process = subprocess.Popen(
            [sys.executable, "-m", "dualpt.sweeps.cli", "describe", *words],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        answers = tmp_path / "killed" / "mini-pets.answers.jsonl"
        while process.poll() is None and (not answers.exists() or answers.read_bytes().count(b'{"answers"') < 3):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert 3 <= answers.read_bytes().count(b'{"answers"') < 12
        assert not (tmp_path / "killed" / "mini-pets.json").exists()
        assert describe(*words).code == 0
        assert describe(*with_model(tiny_llm, "--batch-size", 1, "--out", "whole")).code == 0
        for name in ("mini-pets.json", "mini-pets.answers.jsonl"):
            assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class TestImporting:
    def bank(self, tmp_path: Path, content: object) -> Path:
        path = tmp_path / "EuroSAT.json"
        path.write_text(json.dumps(content))
        return path

    def test_whole(self, describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        source = self.bank(tmp_path, {"forest": ["Green."], "sea-or-lake": "Blue."})
        words = ["import", source, "--dataset", "EuroSAT", "--classes", "split.json", "--out", "bank"]
        outcome = describe(*words, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.document["matched"] == ["Forest", "Sea_or_Lake"]
        assert outcome.document["respelled"] == {"Forest": "forest", "Sea_or_Lake": "sea-or-lake"}
        assert read_bank(tmp_path / "bank", dataset_info("EuroSAT"), ["Forest", "Sea_or_Lake"], 1)[1] == ("Blue.",)
        assert describe(*words).code == 0  # the same content is no conflict
        self.bank(tmp_path, {"forest": ["Brown."], "sea-or-lake": "Blue."})
        assert "exists with other content" in describe(*words).err
        assert describe(*words, "--overwrite").code == 0

    def test_what_is_missing_is_said_and_nothing_written(self, describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        source = self.bank(tmp_path, {"forests": ["Green."], "sea or lake": [], "beach": ["Sand."]})
        words = ["import", source, "--dataset", "EuroSAT", "--classes", "split.json", "--out", "bank"]
        outcome = describe(*words, "--json")
        assert outcome.code == 3
        assert {key: outcome.document[key] for key in ("matched", "unmatched", "empty", "suggestions", "unused")} == {
            "matched": [],
            "unmatched": ["Forest"],
            "empty": ["Sea_or_Lake"],
            "suggestions": {"Forest": "forests"},
            "unused": ["forests", "beach"],
        }
        assert outcome.document["bank"] is None
        assert "did you mean 'forests'?" in describe(*words).out.replace("\n", " ")
        assert not (tmp_path / "bank").exists()
        (tmp_path / "map.json").write_text('{"Forest": "forests"}')
        assert describe(*words, "--map", "map.json", "--partial").code == 3
        assert json.loads((tmp_path / "bank" / "EuroSAT.json").read_text())["classes"][0]["sentences"] == ["Green."]

    def test_suggestions_are_accepted_or_drafted(self, describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        source = self.bank(tmp_path, {"forrest": ["Green.", "1."], "lake or sea": ["Blue.", "N/A", "N/A"]})
        words = ["import", source, "--dataset", "EuroSAT", "--classes", "split.json", "--out", "bank"]
        outcome = describe(*words)
        said = outcome.out.replace("\n", " ")
        assert "'Forest' (near: 'forrest'?), 'Sea_or_Lake' (did you mean 'lake or sea'?)" in said
        assert "dropped 3 texts that describe nothing: 2 x 'N/A', '1.'" in said
        assert "--accept-suggestions takes the 1 suggestions of the same words" in said
        document = describe(*words, "--accept-suggestions", "--json").document
        assert (document["matched"], document["unmatched"]) == (["Sea_or_Lake"], ["Forest"])
        assert document["dropped"] == {"forrest": ["1."], "lake or sea": ["N/A", "N/A"]}

        assert describe(*words, "--draft", "map.yaml").code == 3
        drafted = (tmp_path / "map.yaml").read_text()
        assert '"Forest": "forrest"  # near spelling: is it this class?' in drafted
        assert "--draft: map.yaml exists; give another name" in describe(*words, "--draft", "map.yaml").err
        outcome = describe(*words, "--map", "map.yaml", "--json")
        assert outcome.code == 0, outcome.err
        bank = read_bank(tmp_path / "bank", dataset_info("EuroSAT"), ["Forest", "Sea_or_Lake"], 1)
        assert bank == (("Green.",), ("Blue.",))

    def test_a_draft_of_a_class_without_suggestion_is_completed_by_hand(self, describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        source = self.bank(tmp_path, {"forest": ["Green."], "water": ["Blue."]})
        words = ["import", source, "--dataset", "EuroSAT", "--classes", "split.json", "--out", "bank"]
        assert describe(*words, "--draft", "map.yaml").code == 3
        drafted = (tmp_path / "map.yaml").read_text()
        assert '"Sea_or_Lake":  # no suggestion' in drafted
        assert '#   "water"' in drafted
        (tmp_path / "map.yaml").write_text(drafted.replace('"Sea_or_Lake":', '"Sea_or_Lake": "water"'))
        assert describe(*words, "--map", "map.yaml").code == 0


class TestChecking:
    @pytest.mark.slow
    def test_the_mini_grids_own_bank(self, describe) -> None:  # type: ignore[no-untyped-def]
        ensure_mini_grid(mini_root(), ["mini-tiles"])
        outcome = describe("check", mini_root() / "descriptions", "mini-tiles", "--backbone", "mini-clip", "--json")
        assert outcome.code == 0, outcome.err
        report = outcome.document
        assert (report["usable"], report["not_judged"], report["without"]) == (True, None, [])
        gain = report["zero_shot"]
        assert isinstance(gain, dict)
        assert gain["images"] == 8 * report["classes"]  # type: ignore[operator]
        assert gain["gain"] == pytest.approx(gain["descriptions"] - gain["template"])
        assert gain["descriptions"] > 100 / 8
        shown = describe("check", mini_root() / "descriptions", "mini-tiles").out
        assert "validation images" in shown

    def test_a_bank_with_faults(self, describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        bank = {"Forest": ["I'm sorry, I cannot help.", "Green. " * 90]}
        (tmp_path / "EuroSAT.json").write_text(json.dumps(bank))
        words = ["check", tmp_path, "EuroSAT", "--classes", "split.json"]
        outcome = describe(*words, "--json")
        assert outcome.code == 3
        report = outcome.document
        assert (report["usable"], report["without"], len(report["too_long"])) == (False, ["Sea_or_Lake"], 1)  # type: ignore[arg-type]
        assert len(report["refusals"]) == 1  # type: ignore[arg-type]
        assert report["zero_shot"] is None
        assert "no sentence for 'Sea_or_Lake'" in describe(*words).out

    def test_edits_are_accepted(self, describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
        (tmp_path / "plain.json").write_text(json.dumps({"Forest": ["Green."], "Sea or lake": ["Blue."]}))
        words = ["--dataset", "EuroSAT", "--classes", "split.json", "--out", "EuroSAT.json"]
        assert describe("import", "plain.json", *words).code == 0
        bank = tmp_path / "EuroSAT.json"
        bank.write_text(bank.read_text().replace("Green.", "Dark green."))
        check = ["check", "EuroSAT.json", "EuroSAT", "--classes", "split.json"]
        assert "accept the edit with `dualpt describe check EuroSAT.json EuroSAT --accept`" in describe(*check).err
        assert describe(*check, "--accept").code == 0
        assert describe(*check).code == 0
        assert read_bank(tmp_path, dataset_info("EuroSAT"), ["Forest", "Sea_or_Lake"], 1)[0] == ("Dark green.",)


GENERATE = ["generate", "mini-pets"]
SERVER = [*GENERATE, "--endpoint", "http://127.0.0.1:9/v1"]
FAULTS = [
    ([*GENERATE], "give either --llm FOLDER_OR_HUB_NAME, or --endpoint URL with --model NAME"),
    ([*SERVER, "--llm", "x"], "give either --llm FOLDER_OR_HUB_NAME, or --endpoint"),
    ([*SERVER], "--endpoint needs --model NAME"),
    ([*SERVER, "--model", "x", "--batch-size", "4"], "--batch-size means nothing with --endpoint"),
    ([*SERVER, "--model", "x", "--api-key-env", "NO_SUCH"], "--api-key-env: the variable NO_SUCH is not set"),
    ([*GENERATE, "--llm", "x", "--parallel", "4"], "--parallel means nothing with --llm"),
    ([*GENERATE, "--llm", "./nowhere"], "--llm: no folder './nowhere'"),
    ([*GENERATE, "--llm", "x", "--per-class", "5", "--tries", "4"], "--tries: 4 questions cannot give 5 descriptions"),
    ([*GENERATE, "--llm", "x", "--templates", "none.txt"], "--templates: none.txt cannot be read"),
    ([*GENERATE, "--llm", "x", "--backbone", "ViT-B-31"], "did you mean 'ViT-B-32'?"),
    ([*GENERATE, "--llm", "x", "--out", "split.json/bank"], "--out: nothing can be written in split.json/bank"),
    ([*GENERATE, "--llm", "x", "--out", "split.json"], "split.json: exists, and was imported, edited"),
    ([*GENERATE, "--llm", "x", "optim.epochs=4"], "optim.epochs means nothing to descriptions"),
    ([*GENERATE, "--llm", "x", "data.rot=4"], "did you mean 'data.root'?"),
    ([*GENERATE, "--llm", "x", "data.root=a", "--root", "b"], "--root b and data.root=a differ"),
    (["generate", "mini-pet", "--llm", "x"], "did you mean 'mini-pets'?"),
    (["generate", "EuroSAT", "--llm", "x"], "the class names of EuroSAT are not known"),
    (["import", "split.json"], "--dataset: name the dataset"),
    (["import", "none.json", "--dataset", "mini-pets"], "none.json: no such bank"),
    (["import", ".", "--dataset", "mini-pets"], "holds no mini-pets.json"),
    (["import", ".", "--dataset", "mini", "--out", "a.json"], "--out must be a folder where 11 datasets"),
    (["import", "bank.json", "--dataset", "mini-pets", "--draft", "a.json"], "--draft: a.json: drafts are YAML"),
    (["import", ".", "--dataset", "mini", "--draft", "a.yaml"], "--draft is for a single dataset where 11 datasets"),
    (["import", "bank.json", "--dataset", "mini-pets", "--map", "none"], "--map: none: no such file"),
    (["check", "none", "mini-pets"], "none: no descriptions of mini-pets"),
    (["check", "split.json", "mini-pets", "--accept"], "--accept: split.json is a plain bank"),
]


@pytest.mark.parametrize(("words", "said"), FAULTS, ids=[" ".join(words)[:60] for words, _ in FAULTS])
def test_each_fault_is_one_line_and_writes_nothing(describe, tmp_path: Path, words: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    outcome = describe(*words)
    assert outcome.code == 2, outcome.out
    assert said in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"split.json", "bank.json"}


@pytest.mark.slow
@pytest.mark.parametrize("command", [[], ["generate"], ["import"], ["check"]])
def test_help_loads_no_heavy_library(command: list[str]) -> None:
    check = (
        "import sys, dualpt.sweeps.cli\n"
        f"sys.argv = ['dualpt', 'describe', *{command!r}, '--help']\n"
        "try: dualpt.sweeps.cli.main()\n"
        "except SystemExit: print({'torch', 'transformers', 'ray', 'pandas'} & set(sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert "Usage" in result.stdout
    assert result.stdout.strip().endswith("set()")


def test_a_key_with_a_carriage_return_is_refused_and_not_shown(describe, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("MY_KEY", "s3cret\r")
    outcome = describe(*SERVER, "--model", "x", "--api-key-env", "MY_KEY")
    assert outcome.code == 2
    assert "the value of MY_KEY holds a line break" in outcome.err
    assert "s3cret" not in outcome.out + outcome.err
