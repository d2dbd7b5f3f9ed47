#!/usr/bin/env bash
# One would guess: when a cluster's machine is lost, the driver gets errors from the actors that ran there
#   (`ActorDiedError`), and can catch them, save its state and go on or end as it likes. `ray.put` is a convenience.
# What happens: that holds as long as the driver has put nothing into the object store. With one living reference from
#   `ray.put` (`tune.with_parameters` makes them, too), the loss of the raylet that the driver is connected to ends the
#   driver itself: the client library finds that the object needs recovery, asks the object store of the dead raylet,
#   and leaves the process with exit code 1. No exception, no traceback; `finally` and `atexit` do not run; the terminal
#   tells of the raylet, not of the driver, whose reason is a warning in its log file.
# Why it matters: batch systems signal all processes of a job, the raylet among them, so a driver that handles the
#   signal well still vanishes, by a race with the control service's own end: here in 2 of 16 launches. Values sent
#   as arguments of an actor's method, when small, never enter the object store, and the driver lives.
# Versions: ray 2.60.0 (Python 3.11).
# Seen: without a put: "caught ActorDiedError", exit code 0. With one: exit code 1, neither "caught" nor "finally".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
cat > "$work/driver.py" <<'PY'
import os
import signal
import sys
import time
from pathlib import Path

import ray

ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
kept = ray.put(b"anything") if "put" in sys.argv else None


@ray.remote
class Actor:
    def ping(self):
        return os.getppid()


try:
    actor = Actor.remote()
    raylet = ray.get(actor.ping.remote())
    assert "raylet" in Path(f"/proc/{raylet}/cmdline").read_text()
    os.kill(raylet, signal.SIGKILL)  # as the kernel does when memory is short
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(1)
        if not any(node["Alive"] for node in ray.nodes()):
            break
    time.sleep(5)
    try:
        ray.get(actor.ping.remote(), timeout=30)
    except ray.exceptions.RayActorError as error:
        print("caught", type(error).__name__, flush=True)
finally:
    print("finally", flush=True)
    os._exit(0)
PY
status=0
"$work/venv/bin/python" "$work/driver.py" > "$work/without" 2> /dev/null || status=$?
echo "without a put: exit code $status; said: $(grep -E '^(caught|finally)' "$work/without" | tr '\n' ' ')"
test "$status" = 0 && grep -q "^caught ActorDiedError" "$work/without"
status=0
"$work/venv/bin/python" "$work/driver.py" put > "$work/with" 2> /dev/null || status=$?
echo "with a put: exit code $status; said: $({ grep -E '^(caught|finally)' "$work/with" || echo nothing; } | tr '\n' ' ')"
test "$status" = 1 && ! grep -qE "^(caught|finally)" "$work/with"
