#!/bin/bash
# Workers on Slurm: sbatch slurm.sh. $HOME/retrap is a checkout of the repository after "npm run build", with Node 26 on PATH.
# $HOME/.config/retrap-fleet.env, with mode 0600, has RETRAP_FLEET_QUEUE and RETRAP_FLEET_STORE, and the keys of the store.
#SBATCH --job-name=retrap-fleet
#SBATCH --array=0-9
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=1G
#SBATCH --time=08:00:00
# The worker ends its machines a minute before its time is over, and their jobs go to others.
#SBATCH --signal=TERM@60
#SBATCH --requeue
set -eu
set -a
. "$HOME/.config/retrap-fleet.env"
set +a
# A cache of this node, not of the file system that all nodes share.
export XDG_CACHE_HOME="${TMPDIR:-/tmp}/retrap-$USER"
exec srun node "$HOME/retrap/apps/fleet/src/main.ts" worker --jobs "$SLURM_CPUS_PER_TASK" --logs "$HOME/fleet-logs"
