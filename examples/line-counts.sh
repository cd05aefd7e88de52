#!/bin/sh
# Counts the lines of every file that matches a pattern, one job a file, and adds them up in a job that
# waits for all of them.
#
#   sh examples/line-counts.sh                    the sources of this project
#   sh examples/line-counts.sh 'src/**/*.py'      other files
#
# It needs `cluster` on PATH; CLUSTER=./target/release/cluster names another one.
set -eu
cluster=${CLUSTER:-cluster}

# --detach prints the id of the batch and returns.
map=$("$cluster" map --detach --name count --glob "${1:-crates/**/*.rs}" -- wc -l)

# This job starts when all jobs of the map have succeeded. `get` prints their outputs in the order of the
# inputs. The text is run by `sh -c`; the words after it are its $1 and $2.
"$cluster" run --name total --after "$map" --sh '
  "$1" get "$2" | awk "{ lines += \$1 } END { print lines \" lines in \" NR \" files\" }"
' "$cluster" "$map"
