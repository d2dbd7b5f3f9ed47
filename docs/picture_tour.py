"""Runs the commands of docs/tour.md and takes its pictures (`pip install pyte` first; Chromium and about ten minutes).

    unshare --user --map-root-user --uts bash -c 'hostname workstation; python docs/picture_tour.py'

Every block of commands on the page runs in a terminal of 100 columns in an empty folder. The picture below it is that
terminal's screen as an SVG whose text can be searched; below a command that serves or writes a page, it is what
Chromium shows of that page, as a PNG. Nothing in a picture is typed or drawn by hand. `unshare` gives the machine a
name that may be shown.
"""

import contextlib
import io
import itertools
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGE = Path(__file__).with_name("tour.md")
STEP = re.compile(r"^```\n((?:(?!```).*\n)+)```\n\n!\[[^]]*\]\(images/tour/(.*?)\)$", re.MULTILINE)
COLUMNS, LINES = 100, 400  # as many lines as any command prints: nothing scrolls away
SHARE = 0.65
"""Of the cells that are finished in the pictures of a running sweep."""
NARROW = 400  # pixels: a telephone
MAX_BYTES = 250_000


def steps_of(page: str) -> dict[str, str]:
    """{name of the picture: the commands above it}, in the page's order."""
    return {picture: commands.replace("\\\n", "").strip() for commands, picture in STEP.findall(page)}


class Terminal:
    """Commands in a pseudo-terminal; what they print is on its screen, also while they run."""

    def __init__(self, commands: str, folder: Path) -> None:
        import pyte

        self.commands = [" ".join(command.split()) for command in commands.splitlines()]
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        near, far = pty.openpty()
        subprocess.run(["stty", "rows", "50", "columns", str(COLUMNS)], stdin=far, check=True)
        self.process = subprocess.Popen(
            ["bash", "-c", _shown(self.commands)], stdin=far, stdout=far, stderr=far, cwd=folder, env=_environment()
        )
        os.close(far)
        self._reader = threading.Thread(target=self._read, args=(near,), daemon=True)
        self._reader.start()

    def _read(self, near: int) -> None:
        with contextlib.suppress(OSError):  # how Linux says that the last writer has gone
            while received := os.read(near, 65536):
                with self._lock:
                    self._stream.feed(received)

    def text(self) -> str:
        """The screen's lines without colours."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def wait(self) -> None:
        """Until the commands have ended; raises RuntimeError with the screen if one failed."""
        self.process.wait()
        self._reader.join(timeout=5)
        if self.process.returncode:
            raise RuntimeError(f"{self.commands}: exit code {self.process.returncode}\n{self.text()}")

    def save(self, path: Path) -> None:
        """The screen as it is now, as an SVG without the font that Rich would load from a server."""
        from rich.console import Console
        from rich.text import Text

        console = Console(record=True, width=COLUMNS, file=io.StringIO())
        height = self.text().count("\n") + 1
        with self._lock:
            lines = [self._line(row) for row in range(height)]
        console.print(Text("\n").join(lines), soft_wrap=True)
        svg = console.export_svg(title="dualpt", unique_id=path.stem)
        svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
        path.write_text(svg.replace("Fira Code", "Menlo, Consolas, DejaVu Sans Mono"), encoding="utf-8")

    def _line(self, row: int) -> Any:
        from rich.text import Text

        line = Text()
        cells = [self.screen.buffer[row][column] for column in range(COLUMNS)]
        for style, alike in itertools.groupby(cells, _style):  # one piece of the SVG each, so that words stay whole
            line.append("".join(cell.data for cell in alike), style)
        line.rstrip()
        return line


def _shown(commands: list[str]) -> str:
    """A script that prints each command as a prompt would, and runs it."""
    return "set -e\n" + "\n".join(f"printf '\\e[1m$ %s\\e[0m\\n' {shlex.quote(line)}; {line}" for line in commands)


def _environment() -> dict[str, str]:
    """This one, with the commands of this interpreter first and nobody's name."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**kept, "PATH": path, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LOGNAME": "you", "USER": "you"}


def _style(cell: Any) -> Any:
    from rich.style import Style

    def colour(name: str) -> str | None:
        if name == "default":
            return None
        if re.fullmatch(r"[0-9a-f]{6}", name):
            return f"#{name}"
        return name.replace("brown", "yellow").replace("bright", "bright_")

    return Style(
        color=colour(cell.fg), bgcolor=colour(cell.bg), bold=cell.bold, italic=cell.italics, underline=cell.underscore
    )


def wait_for(what: Callable[[], object], seconds: float = 300) -> Any:
    """What `what` gives as soon as it is true; raises TimeoutError."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.5)
    raise TimeoutError(what)


@contextlib.contextmanager
def served(command: str, folder: Path, said: str) -> Iterator[str]:
    """A command that serves until it is ended, and its address: the first one that it prints and `said` matches."""
    terminal = Terminal(command, folder)

    def address() -> re.Match[str] | None:
        if terminal.process.poll() is not None:
            raise RuntimeError(f"{command}: serves no longer\n{terminal.text()}")
        return re.search(said, terminal.text())

    try:
        yield wait_for(address).group(0)
    finally:
        terminal.process.terminate()
        terminal.process.wait()


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def photograph(
    browser: Any,
    url: str,
    path: Path,
    ready: str,
    width: int = 1400,
    height: int = 1000,
    at: str | None = None,
    press: str | None = None,
) -> None:
    """The page at `url` when `ready` can be seen and `press` was pressed, from its top or from where `at` begins."""
    from PIL import Image

    page = browser.new_page(viewport={"width": width, "height": height})
    wait_for(lambda: answers(page, url))
    page.locator(ready).first.wait_for(timeout=60_000)
    if press:
        page.locator(press).click()
    if at:
        page.locator(at).first.evaluate("element => element.scrollIntoView()")
    page.wait_for_timeout(1500)  # charts are drawn after their tables
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)
    page.close()


def answers(page: Any, url: str) -> bool:
    """Whether the page could be opened: a server says its address before it answers."""
    from playwright.sync_api import Error

    with contextlib.suppress(Error):
        page.goto(url)
        return True
    return False


def main() -> None:
    steps = steps_of(PAGE.read_text(encoding="utf-8"))
    out = PAGE.parent / "images" / "tour"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dualpt-") as temporary, chromium() as browser:
        folder = Path(temporary)
        launch = Terminal(steps["launch.svg"], folder)
        watch_running(steps, launch, folder, out)
        launch.wait()
        for picture in ("won.svg", "train.svg"):
            terminal = Terminal(steps[picture], folder)
            terminal.wait()
            terminal.save(out / picture)
        visit_pages(steps, folder, out, browser)
        (address,) = re.findall(r"http://127\S+/#/experiments/\S+", launch.text())
        visit_mlflow(steps, address, folder, out, browser)
    for path in out.iterdir():
        if path.stat().st_size > MAX_BYTES:
            raise RuntimeError(f"{path.name} has {path.stat().st_size} bytes, more than {MAX_BYTES}")


def watch_running(steps: dict[str, str], launch: Terminal, folder: Path, out: Path) -> None:
    """The pictures of a sweep that runs: its bars and `status --watch`, when most cells are finished."""

    def share() -> float:
        if launch.process.poll() is not None:
            raise RuntimeError(f"the sweep is over too early\n{launch.text()}")
        found = re.search(r"(\d+)/(\d+) ", launch.text())
        return int(found[1]) / int(found[2]) if found else 0

    wait_for(lambda: share() > 0)
    watch = Terminal(steps["watch.svg"], folder)
    wait_for(lambda: share() > SHARE, 900)
    launch.save(out / "launch.svg")
    watch.save(out / "watch.svg")
    watch.wait()


def visit_pages(steps: dict[str, str], folder: Path, out: Path, browser: Any) -> None:
    """The board, and the pages of the report and of the inspection."""
    with served(f"{steps['board.png']} --port 0", folder, r"http://127\.0\.0\.1:\d+/") as url:
        photograph(browser, url, out / "board.png", "#losses path", height=1300)
        photograph(browser, url, out / "board-narrow.png", "#losses path", NARROW, 1000)
    for picture in ("report.png", "inspect.png"):
        Terminal(steps[picture], folder).wait()
    report = (folder / "outputs" / "tour-report.html").as_uri()
    photograph(browser, report, out / "report.png", "table")
    photograph(browser, report, out / "report-search.png", "table", at="#candidates")
    (inspection,) = folder.glob("outputs/inspect-*/index.html")
    photograph(browser, inspection.as_uri(), out / "inspect.png", "table")


def visit_mlflow(steps: dict[str, str], address: str, folder: Path, out: Path, browser: Any) -> None:
    """MLflow's page of the sweep at the address that its launch printed, without the panel that opens beside it."""
    port = urlsplit(address).port
    with served(f"{steps['mlflow.png']} --port {port}", folder, r"http://127\.0\.0\.1:\d+"):
        press = "[data-component-id='mlflow.assistant.chat_panel.close']"
        photograph(browser, address, out / "mlflow.png", "text=trial-001", height=700, press=press)


if __name__ == "__main__":
    main()
