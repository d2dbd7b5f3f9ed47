#!/usr/bin/env bash
# One would guess: sessions of Ray in one process are independent: after `ray.shutdown()`, a notebook that tried things
#   with a Ray of its own may connect to the group's cluster.
# What happens: `ray.init("local")` switches token authentication on in the process (it sets RAY_AUTH_MODE in the
#   environment and a cache in the compiled library), and `ray.shutdown()` leaves it on. If the cluster was started without
#   tokens, connecting works and plain tasks work; but every actor fails: "The actor never ran - it was cancelled before
#   it started running", an `ActorDiedError` that mentions neither tokens nor authentication.
# Why it matters: it looks like a broken cluster or a broken actor. With RAY_AUTH_MODE=disabled in the environment before
#   Python starts, the same sequence works.
# Versions: ray 2.60.0 (Python 3.11).
# Seen: cluster first: actor answers. Local first: task answers, actor ActorDiedError. The same with
#   RAY_AUTH_MODE=disabled: both answer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet ray==2.60.0
cat > "$work/check.py" <<'PY'
import logging
import sys

import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}


@ray.remote
def task():
    return "answers"


@ray.remote
class Actor:
    def ping(self):
        return "answers"


if "local" in sys.argv:
    ray.init("local", num_cpus=1, include_dashboard=False, **quiet)
    ray.get(task.remote())
    ray.shutdown()
ray.init(cluster.address, **quiet)
print("task", ray.get(task.remote()))
try:
    print("actor", ray.get(Actor.remote().ping.remote()))
except ray.exceptions.RayActorError as error:
    print("actor", type(error).__name__, str(error).strip().splitlines()[-1])
ray.shutdown()
cluster.shutdown()
PY
run() { "$work/venv/bin/python" "$work/check.py" "$@" 2> /dev/null; }
cluster=$(run)
printf 'cluster first:\n%s\n' "$cluster"
after=$(run local)
printf 'local session first:\n%s\n' "$after"
disabled=$(RAY_AUTH_MODE=disabled run local)
printf 'local session first, RAY_AUTH_MODE=disabled:\n%s\n' "$disabled"
test "$cluster" = $'task answers\nactor answers'
grep -q "^task answers" <<< "$after" && grep -q "^actor ActorDiedError" <<< "$after"
test "$disabled" = "$cluster"
