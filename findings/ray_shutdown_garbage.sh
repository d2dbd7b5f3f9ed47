#!/usr/bin/env bash
# One would guess: `ray.shutdown()` either returns or raises, and a reference to an object that is thrown away late is
#   nobody's business: its destructor asks whether there is still a Ray to tell.
# What happens: it asks for a Python attribute that goes away when shutdown is over, while the client below goes away when
#   it begins. For the second or so between, the GIL is free. A reference that dies then, in any thread, ends the
#   process with exit code 1: no exception, no `finally`, no `atexit`. Code that drops its references in order never
#   sees it; but references are kept in cycles, such as an exception with its traceback, and those die when Python's
#   collector happens to run, in whichever thread allocates: one of a notebook, a logger, a heartbeat.
# Why it matters: the process ends when all the work is done and before anything is said of it, and only sometimes: 2 of
#   some 150 launches that were started and ended one after another did. Collect and then pause the collector.
# Versions: ray 2.60.0 (Python 3.11).
# Seen: collected while shutdown runs: exit code 1, "alive" is not said. Collected before it: exit code 0, "alive".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
cat > "$work/driver.py" <<'PY'
import gc
import sys
import threading

import ray


@ray.remote
def task():
    return 1


class Cycle:
    pass


gc.disable()  # so that the moment is ours to choose
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
kept = Cycle()
kept.itself, kept.reference = kept, task.remote()
ray.get(kept.reference)
del kept
if "before" in sys.argv:
    gc.collect()
collecting = threading.Timer(0.1, gc.collect)
collecting.start()
ray.shutdown()
collecting.join()
print("alive", flush=True)
PY
for when in before during; do
  status=0
  "$work/venv/bin/python" "$work/driver.py" "$when" > "$work/$when" 2> /dev/null || status=$?
  echo "collected $when shutdown: exit code $status; said: $(grep -x alive "$work/$when" || echo nothing)"
  case $when in
    before) test "$status" = 0 && grep -qx alive "$work/$when" ;;
    during) test "$status" = 1 && ! grep -qx alive "$work/$when" ;;
  esac
done
