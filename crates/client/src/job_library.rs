//! `ROOT/lib/cluster-job`: what a job can say where our binary is not on the node.

/// A file of sh functions: `. "$CLUSTER_ROOT/lib/cluster-job"`, then `cluster_job set key=value`.
pub const TEXT: &str = r#"# sh functions for jobs of `cluster`: . "$CLUSTER_ROOT/lib/cluster-job"
# cluster_job info            prints who this job is
# cluster_job set KEY=VALUE…  stores facts about this job; they appear in `cluster show`

_cluster_json() {
  # A JSON string of $1: backslash, quote and control characters escaped.
  printf '%s' "$1" | awk 'BEGIN { RS = "\001"; ORS = "" }
    { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); gsub(/\n/, "\\n"); gsub(/\t/, "\\t"); gsub(/\r/, "\\r"); print "\"" $0 "\"" }
    END { if (NR == 0) print "\"\"" }'
}

cluster_job() {
  if [ -z "${CLUSTER_JOB_ID:-}" ]; then
    echo "cluster_job: this is no job of cluster (CLUSTER_JOB_ID is not set)" >&2
    return 2
  fi
  case ${1:-} in
    info)
      printf 'job %s\nbatch %s\nindex %s\nrun %s\nroot %s\n' "$CLUSTER_JOB_ID" "$CLUSTER_BATCH_ID" \
        "$CLUSTER_JOB_INDEX" "$CLUSTER_RUN" "$CLUSTER_ROOT"
      ;;
    set)
      shift
      _cluster_fields=
      for _cluster_word in "$@"; do
        case $_cluster_word in
          ?*=*) ;;
          *) echo "cluster_job: $_cluster_word is not KEY=VALUE" >&2; return 2 ;;
        esac
        _cluster_fields=$_cluster_fields${_cluster_fields:+,}$(_cluster_json "${_cluster_word%%=*}"):$(_cluster_json "${_cluster_word#*=}")
      done
      _cluster_seq=$((${_cluster_seq:-0} + 1))
      _cluster_name=$CLUSTER_JOB_ID.$((CLUSTER_RUN - 1)).$(date +%s)$_cluster_seq.$$
      (
        umask 077
        printf '{"v":1,"job":"%s","set":{%s}}\n' "$CLUSTER_JOB_ID" "$_cluster_fields" \
          > "$CLUSTER_ROOT/events/tmp/$_cluster_name" &&
          mv "$CLUSTER_ROOT/events/tmp/$_cluster_name" "$CLUSTER_ROOT/events/new/$_cluster_name"
      )
      ;;
    *)
      echo "cluster_job: info or set, not ${1:-nothing}" >&2
      return 2
      ;;
  esac
}
"#;
