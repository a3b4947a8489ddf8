#!/bin/sh
# Runs crash-files and crash-sqlite with a seed, with and without syncing, and says what was lost: after each start, "found N" is to be
# no less than the last "acked N". Ends with 1 where a program that syncs has lost something, or one that does not has lost nothing.
#
#   crash.sh SEED RETRAP...    such as: crash.sh 1 retrap
here=$(cd "$(dirname "$0")" && pwd)
seed=$1
shift
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" && cp "$here/crash-sqlite.sh" "$work/bin" || exit 2
cc -O2 -static -o "$work/bin/crash-files" "$here/crash-files.c" || exit 2
code=0
for name in files sqlite; do
  sed 's,"/data"],"/data"\, "--no-sync"],; s/FULL/OFF/' "$here/crash-$name.json" >"$work/$name-unsafe.json"
  cp "$here/crash-$name.json" "$work/$name.json"
  for run in $name $name-unsafe; do
    "$@" cluster run "$work/$run.json" --seed "$seed" >"$work/out" || exit 2
    said=$(awk '/: power,/ { power++ } / acked / { acked = $NF }
      / found / { starts++; if ($NF + 0 < acked) lost++; acked = $NF } / corrupt |cannot be mounted/ { bad++ }
      END { printf "%d power losses, %d starts, %d with losses, %d damages", power, starts, lost, bad; exit lost + bad > 0 }' "$work/out")
    isBad=$?
    echo "$run, seed $seed: $said"
    case $run in *-unsafe) [ $isBad = 1 ] || code=1 ;; *) [ $isBad = 0 ] || code=1 ;; esac
  done
done
exit $code
