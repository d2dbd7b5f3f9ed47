#!/usr/bin/env bash
# A sweep on Slurm: a Ray node on every machine of the allocation, and the sweep on the first of them.
#
#   RECORDS=login1 sbatch docs/cluster/slurm.sh mini-grid run.gpus_per_trial=0.25
#
# The project, its .venv and DUALPT_CACHE are on a file system that all nodes mount. The MLflow server and PostgreSQL run
# on a node that outlives the job (docs/cluster/README.md). The sweep stops dispatching before the time limit and exits
# with 4; submit the same line again to continue. The job's exit code is the sweep's. GPUs may be requested in any of
# Slurm's ways (--gpus-per-task, --gpus-per-node, --gres=gpu:4, --gpus=a100:8).
#
# Ray is ended with its job steps and never by `ray stop`, which would also end the Ray of another job on the same node;
# ports come from the job's number, and a token of the job's own keeps others out.
#SBATCH --job-name=dualpt
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=1
#SBATCH --time=12:00:00
set -euo pipefail

: "${RECORDS:?name the node with the MLflow server and PostgreSQL: RECORDS=login1 sbatch …}"
source .venv/bin/activate

umask 077
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH"
trap 'kill $(jobs -p) 2> /dev/null || true; wait || true; rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT

export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"   # since Slurm 22.05 steps don't inherit it
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
on_head=(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head")
ip=$("${on_head[@]}" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 4000 * 3))
export RAY_ADDRESS="$ip:$port"

start_ray() { # in a step: GPUs as Slurm counts them on the node, a number, one with a type (a100:8), or a type
  gpus=${SLURM_GPUS_ON_NODE:-${SLURM_GPUS_PER_NODE:-${SLURM_GPUS_PER_TASK:-0}}}
  gpus=${gpus##*:}
  [[ $gpus =~ ^[0-9]+$ ]] || gpus=1   # a type alone is one of it
  exec ray start --block --disable-usage-stats --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" \
    --dashboard-agent-listen-port="$((${RAY_ADDRESS##*:} + 2))" "$@"
}
export -f start_ray

"${on_head[@]}" bash -c 'start_ray "$@"' _ --head --node-ip-address="$ip" --port="$port" \
  --include-dashboard=false --ray-client-server-port="$((port + 1))" &
ray=$!
until ray status > /dev/null 2>&1; do
  kill -0 "$ray" 2> /dev/null || { echo "Ray did not start on $head; the reason is above" >&2; exit 1; }
  sleep 2
done
if [ "$SLURM_NNODES" -gt 1 ]; then
  others=$((SLURM_NNODES - 1))
  srun --overlap --nodes="$others" --ntasks="$others" --exclude="$head" bash -c 'start_ray "$@"' _ --address="$RAY_ADDRESS" &
fi
timeout 300 python - "$SLURM_NNODES" <<'PYTHON' || { echo "not every node joined Ray within five minutes" >&2; exit 1; }
import sys, time, ray

ray.init(log_to_driver=False, logging_level="ERROR")
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]):
    time.sleep(1)
PYTHON

# The driver is a step too, so scancel and the time limit reach it.
"${on_head[@]}" dualpt sweep "$@" \
  run.max_hours="${HOURS:-11.5}" \
  run.tracking_uri="http://$RECORDS:5000" \
  run.study_storage="${STUDY:-postgresql+psycopg://dualpt@$RECORDS/optuna}"
