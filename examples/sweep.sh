#!/bin/sh
# A parameter sweep: one job for each row of examples/sweep.csv, whose column names are placeholders, then a
# job that puts the results into one table and names the best.
#
#   sh examples/sweep.sh [TABLE.csv]
#
# It needs `cluster` on PATH; CLUSTER=./target/release/cluster names another one.
set -eu
cluster=${CLUSTER:-cluster}
here=$(dirname "$0")

map=$("$cluster" map --detach --name sweep --time 10m --csv "${1:-$here/sweep.csv}" -- \
  awk -v "name={name}" -v "seed={seed}" -v "points={points}" -f "$here/pi.awk")

"$cluster" run --name best --after "$map" --sh '
  echo name,points,estimate,off
  "$1" get "$2"
  echo "best: $("$1" get "$2" | sort -t, -k4 -g | head -n 1 | cut -d, -f1)"
' "$cluster" "$map"
