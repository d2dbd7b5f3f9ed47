"""Methods by name: the catalogue against the classes, and what is refused."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dualpt.core import method_catalog
from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.errors import UserError
from dualpt.core.method_catalog import BUILT_IN, CATALOGUE, ROOM, canonical, load_method, owner_of
from tests.core.own_method import SOURCE


@pytest.mark.parametrize("name", CATALOGUE)
def test_tables_call_a_method_what_its_class_does(name: str) -> None:
    entry, definition = CATALOGUE[name], load_method(name).definition
    declared = (definition.name, definition.title, definition.short_title, definition.group)
    assert declared == (entry.name, entry.title, entry.short_title, entry.group)
    assert definition.__module__ == f"{ROOM}.{entry.module}"


@pytest.mark.parametrize("name", CATALOGUE)
def test_options_are_values_that_files_and_tables_hold(name: str) -> None:
    method = load_method(name)
    defaults = method.options({}).model_dump()
    assert all(isinstance(value, str | int | float | bool | None) for value in defaults.values())
    assert set(method.definition.packable) <= set(defaults)
    assert method.definition.source


def test_every_file_of_the_room_is_in_the_catalogue() -> None:
    room = Path(method_catalog.__file__).parent / "methods"
    files = {
        f"{folder}.{path.stem}" for folder in ("training_free", "adapters") for path in (room / folder).glob("*.py")
    }
    helpers = {"training_free.__init__", "adapters.__init__", "adapters.cosine_head"}
    assert {entry.module for entry in CATALOGUE.values()} == files - helpers


def test_no_name_is_a_section_of_the_setting() -> None:
    assert not set(CATALOGUE) & ({key.split(".")[0] for key in SETTING_KEYS} | set(BUILT_IN))


def test_naming_methods_loads_no_torch() -> None:
    code = "import sys, dualpt.core.presets as p; assert p.METHODS['gda'].title; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_one_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown method 'tip-adaptor'; did you mean 'tip-adapter'"):
        load_method("tip-adaptor")


def test_a_package_offers_methods_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_methods.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    offered = {
        name: EntryPoint(name, f"their_methods:{member}", method_catalog.ENTRY_POINTS)
        for name, member in (("pulled", "Pulled"), ("other-name", "Pulled"), ("gone", "Nothing"))
    }
    monkeypatch.setattr(method_catalog, "installed", lambda: offered)
    found = load_method("pulled")
    assert found.name == "pulled"
    assert found.sha256 is not None
    assert owner_of("pulled.pull") == "pulled"
    with pytest.raises(UserError, match="its method is named 'pulled'; the two should be the same"):
        load_method("other-name")
    with pytest.raises(UserError, match=r"entry point their_methods:Nothing: AttributeError"):
        load_method("gone")
    load_method.cache_clear()


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ('title = "Pulled means"', "", "Pulled lacks title (str); see docs/own-method.md"),
        ('name = "pulled"', 'name = "Pulled Means"', "use lower-case letters, digits and single hyphens"),
        ('name = "pulled"', 'name = "gda"', "name 'gda' is taken by a method that ships"),
        ("pull: float = Field(1.0, ge=0, le=100)", "pull: float", "option pull needs a default"),
        (
            'group = "training-free"',
            'group = "adaptor"',
            "unknown group 'adaptor'; it is one of zero-shot, training-free, ",
        ),
        ("pull: float = Field(1.0, ge=0, le=100)", "pull: tuple[int, ...] = (1, 2)", "option pull: a word, a number"),
        ('frozenset({"pull"})', 'frozenset({"pul"})', "packable names no option 'pul'; did you mean 'pull'?"),
        ("def fit(", "def fitted(", "Pulled lacks fit"),
        ('frozenset({"pull"})', '"pull"', "packable is a set of names: frozenset({'pull'})"),
        ("    options = PulledOptions\n", "", "packable names 'pull', and the class sets no options of its own"),
        (
            'group = "training-free"',
            'group = "adapter"; protocols = frozenset({"fewshot"})',
            "unknown protocol 'fewshot'; did you mean 'few-shot'?",
        ),
        (
            "import torch\n",
            "from . import helper\n",
            "; workers are sent this file alone: copy that code",
        ),
        ("options = PulledOptions", "options = dict", "options should be a subclass of MethodOptions"),
        (
            "Field(1.0, ge=0, le=100)",
            "Field(101.0, ge=0, le=100)",
            "option pull: its default 101.0: Input should be less",
        ),
        ("Field(1.0, ge=0, le=100)", '"much"', "option pull: its default 'much': Input should be a valid number"),
        ("pull: float", 'pull: "Unheard"', "`PulledOptions` is not fully defined"),
        ('packable = frozenset({"pull"})', 'min_shots = "two"', "Pulled.min_shots should be int, found 'two'"),
        (
            "    def fit(",
            "    def needs(self, options):\n        pass\n\n    def fit(",
            "needs gave None; return Needs(",
        ),
        (
            "    def fit(",
            "    def needs(self, options):\n        return options.pul\n\n    def fit(",
            ":20: AttributeError: 'PulledOptions' object has no attribute 'pul'",
        ),
        ("import torch\n", "import torch\nraise SystemExit(3)\n", ":3: SystemExit: 3"),
        ("import torch\n", "import torch\n\0", "own.py: source code string cannot contain null bytes"),
    ],
)
def test_a_class_that_is_no_method_is_one_line(tmp_path: Path, there: str, instead: str, said: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(SOURCE.replace(there, instead))
    with pytest.raises(UserError) as caught:
        load_method(canonical(str(path)))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
