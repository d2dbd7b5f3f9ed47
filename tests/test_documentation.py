"""What the pages say of the code is true."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from dualpt.sweeps.cli import UsageError, app

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md"))
BLOCK = re.compile(r"^```(?:bash|sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands_in(page: Path) -> list[list[str]]:
    """The words behind `dualpt` of every command in a page's blocks of commands, up to a pipe or the like."""
    found = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            before, called, rest = line.partition("dualpt ")
            if called and re.fullmatch(r"(\w+=\S+ )*", before):  # settings of the environment at most
                lexer = shlex.shlex(rest, posix=True, punctuation_chars="|&;<>()")
                lexer.whitespace_split = True
                words = list(lexer)
                ends = [n for n, word in enumerate(words) if set(word) <= set("|&;<>()")]
                found.append(words[: ends[0]] if ends else words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if commands_in(page)], ids=lambda page: page.name)
def test_commands_are_those_of_the_command_line(page: Path) -> None:
    """Names, options and the number of arguments; whether files are there is another matter."""
    faults = []
    for words in commands_in(page):
        try:
            parse(words)
        except UsageError as error:
            faults.append((words, error.format_message()))
    assert faults == []


@pytest.mark.parametrize("line", ["spaecs", "status --wach", "train", "status one two", "data nothing"])
def test_other_words_are_found_out(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line.split())


def parse(words: list[str]) -> None:
    """Let Click take the words apart down to the last command; raises UsageError."""
    command, rest, context = typer.main.get_command(app), words, None
    while command is not None:
        context = command.make_context("dualpt", list(rest), parent=context)
        rest = [*context._protected_args, *context.args] if isinstance(command, typer.core.TyperGroup) else []
        command = None
        if rest:
            _, command, rest = context.command.resolve_command(context, rest)
