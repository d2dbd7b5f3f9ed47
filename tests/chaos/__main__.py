"""Kill parts of a running sweep at random moments, and see that nothing is lost, doubled, changed or left open.

    python -m tests.chaos --rounds 20 --seed 7

Each round kills one of: the driver, a worker process, a Ray node, the MLflow server, PostgreSQL, and brings it back.
The sweep grows whenever it is done before the rounds are. Ends with one line, and with 1 where something does not hold.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.stage import NAME, Stage, wait_for_end
from tests.chaos.verdict import judge
from tests.sweeps.services import POSTGRES_MISSING, has_postgres, wait_until

VICTIMS = ("driver", "worker", "node", "server", "postgres")
MORE_TRIALS = 8
"""By which the sweep grows when it is done early."""
LAST_LAUNCHES = 5
"""A pack over which worker processes were killed twice is on record as failed: another launch trains it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="kills")
    parser.add_argument("--seed", type=int, default=None, help="of victims and moments; printed")
    parser.add_argument("--seconds", type=float, default=0.7, help="training time of a cell")
    words = parser.parse_args()
    if not has_postgres():
        sys.exit(POSTGRES_MISSING)
    seed = random.randrange(10**6) if words.seed is None else words.seed
    random.seed(seed)
    with tempfile.TemporaryDirectory(prefix="dualpt-chaos-") as folder:
        return run_rounds(Path(folder), words.rounds, seed, words.seconds)


def run_rounds(folder: Path, rounds: int, seed: int, seconds: float) -> int:
    """Run the chaos; 0 if everything holds."""
    say(f"seed {seed}, {rounds} rounds")
    stage = Stage(folder, seconds)
    try:
        stage.launch()
        victims = victims_of(rounds)
        for number, victim in enumerate(victims, start=1):
            disturb(stage, number, victim)
        cells = finish(stage)
        verdict = judge(stage.server.uri, NAME, stage.log, cells, rounds)
    except BaseException:
        say((folder / "driver.log").read_text()[-3000:])
        raise
    finally:
        stage.close()
    print(verdict.line(), flush=True)
    if not verdict.holds:
        print(f"does not hold: {verdict.faults()}", flush=True)
    return 0 if verdict.holds else 1


def victims_of(rounds: int) -> list[str]:
    """Every kind as often as every other, in random order."""
    victims: list[str] = []
    while len(victims) < rounds:
        victims += random.sample(VICTIMS, len(VICTIMS))
    return victims[:rounds]


def disturb(stage: Stage, number: int, victim: str) -> None:
    """Wait for a random moment of a training sweep, kill the victim, and bring it back after another while."""
    wait_until(lambda: grow(stage) and stage.working(), "a worker", 180)
    time.sleep(random.uniform(0.2, 3.0))
    wait_until(lambda: grow(stage) and stage.working(), "a worker", 180)
    bring_back = getattr(stage, f"kill_{victim}")()
    away = random.uniform(0.0, 4.0)
    say(f"round {number}: {victim} killed, back after {away:.1f} s")
    time.sleep(away)
    bring_back()


def grow(stage: Stage) -> bool:
    """Launch a larger sweep where the last one has come to its end; always true."""
    code = stage.over()
    if code is not None:
        say(f"  the launch ended with {code}")
        stage.trials += MORE_TRIALS
        stage.launch()
    return True


def finish(stage: Stage) -> int:
    """Let the sweep come to its end, undisturbed; the number of its cells."""
    for _ in range(LAST_LAUNCHES):
        code = wait_for_end(stage)
        say(f"  the launch ended with {code}")
        if code == 0:
            return int(stage.summary()["cells"])
        stage.launch()
    raise RuntimeError(f"the sweep does not end: exit code {code}")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
