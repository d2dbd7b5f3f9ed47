#!/usr/bin/env bash
# A sweep on Slurm: `ray symmetric-run` starts Ray on every node of the allocation and the sweep on one of them.
#
#   RECORDS=login1 sbatch docs/cluster/slurm.sh mini-grid run.gpus_per_trial=0.25
#
# The project, its .venv and DUALPT_CACHE lie on a file system that all nodes mount. The MLflow server and PostgreSQL run
# on a node that outlives the job (docs/cluster/README.md). The sweep stops assigning before the time limit and exits with
# 4; submit the same line again to go on.
#SBATCH --job-name=dualpt
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=1
#SBATCH --time=12:00:00
set -euo pipefail

: "${RECORDS:?name the node with the MLflow server and PostgreSQL: RECORDS=login1 sbatch …}"
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):6379
source .venv/bin/activate

srun --nodes="$SLURM_NNODES" --ntasks="$SLURM_NNODES" \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_NNODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_PER_TASK:-0}" -- \
  env RAY_ADDRESS="$address" dualpt sweep "$@" \
  run.max_hours="${HOURS:-11.5}" \
  run.tracking_uri="http://$RECORDS:5000" \
  run.study_storage="postgresql+psycopg://dualpt:dualpt@$RECORDS/optuna"
