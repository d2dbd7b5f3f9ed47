"""What the demo says at its end."""

import io

from rich.console import Console

from dualpt.sweeps.launching.demo import NEXT


def test_the_next_steps_can_be_typed_as_they_are_shown() -> None:
    printed = io.StringIO()
    Console(file=printed, width=120).print(NEXT.format(figure="curves.png"), highlight=False)
    assert "\nLook at it\n" in printed.getvalue()
    assert "data.root=DATA datasets=[DescribableTextures]" in printed.getvalue()
