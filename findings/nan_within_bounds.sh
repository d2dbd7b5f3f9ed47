#!/usr/bin/env bash
# One would guess that an option declared as a number between two bounds is a number between them when the command runs.
# What happens: up to typer 0.28, `nan` passes min and max, because it is neither below the one nor above the other. It
#   reaches the program as a float that compares false with everything. Since 0.29 it is refused.
# Why it matters: a threshold of NaN doesn't stop a program, it makes every comparison false: nothing is older than it,
#   nothing exceeds it, and a command that should delete or select ends with success and an empty result. Whoever
#   declares a lower bound for typer decides whether the check has to be written again.
# Versions: typer 0.28.0 and 0.29.0 (Python 3.11).
# Seen: `--days nan` with min=0, max=365 prints "older than nan: False" and exits with 0 under 0.28.0; 0.29.0 exits with 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
cat > "$work/tool.py" <<'PY'
from typing import Annotated

import typer


def main(days: Annotated[float, typer.Option(min=0, max=365)]) -> None:
    print(f"older than {days}: {400 > days}")


typer.run(main)
PY
"$work/venv/bin/pip" install --quiet typer==0.28.0
said=$("$work/venv/bin/python" "$work/tool.py" --days nan)
echo "typer 0.28.0: $said, exit code 0"
[ "$said" = "older than nan: False" ]
"$work/venv/bin/pip" install --quiet typer==0.29.0
code=0
"$work/venv/bin/python" "$work/tool.py" --days nan > "$work/out" 2>&1 || code=$?
echo "typer 0.29.0: exit code $code"
[ "$code" = 2 ]
