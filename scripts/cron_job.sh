#!/usr/bin/env bash
# Run a job from cron: `cron_job.sh JOB [arguments of the job]`. Prints nothing on success, else the end of the log,
# which cron mails. Exits with the job's exit code. One job runs at a time; another waits for it.
# Each run has its own log below $SPARK_APP_HOME/logs/cron; the newest of each job are kept.
# With CRON_JOB_PING_URL, the address of a check at healthchecks.io or another monitor like it, URL/start is requested
# before the job and URL/EXITCODE after it. A failed ping is noted in the log, and changes nothing else.
set -euo pipefail
unset CDPATH
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)"
launcher="$root/spark_jobs_launcher.sh" home="$root/var"
# pip installs the launcher beside its Python, and the project into lib/python3.*/site-packages/spark_app/installed.
if [ ! -e "$launcher" ]; then
  launcher="$(readlink -m "$root/../../../../../bin/spark_jobs_launcher.sh")"
  shared=~/.local/share
  home="${XDG_DATA_HOME:-$shared}/spark_app"
fi
# Less than an hour, after which the next job of conf/crontab is due.
wait_seconds="${CRON_JOB_WAIT_SECONDS:-3000}"
kept_logs="${CRON_JOB_KEPT_LOGS:-30}"
mailed_lines=40
# The URL is a secret: the job does not get it.
ping_url="${CRON_JOB_PING_URL:-}"
unset CRON_JOB_PING_URL
ping_seconds=10

fail() {
  local code="$1"
  shift
  echo "cron_job.sh: $*"
  exit "$code"
}

# Request the URL with `/$1` after its path; `log` gets the reason if that fails, without the URL.
ping() {
  local query="" code=0
  [ -n "$ping_url" ] || return 0
  case "$ping_url" in *\?*) query="?${ping_url#*\?}" ;; esac
  # curl reads the URL from its stdin: arguments can be seen by everybody on the machine.
  printf 'url = "%s"\n' "${ping_url%%\?*}/$1$query" |
    curl --config - --globoff --fail --silent --output /dev/null --max-time "$ping_seconds" 9>&- || code=$?
  [ "$code" -eq 0 ] || echo "cron_job.sh: the ping /$1 failed: exit code $code of curl" >>"${log:-/dev/null}"
} 2>/dev/null

# Names sort by time.
remove_old_logs() {
  local logs=("$folder/$job".*.log)
  local old=$((${#logs[@]} - kept_logs))
  [ "$old" -le 0 ] || rm -f "${logs[@]:0:old}"
}

[[ ${1:-} =~ ^[a-z][a-z0-9_]*$ ]] || fail 2 "name a job, as in: cron_job.sh daily_pipeline [arguments]"
job="$1"
# Cron sets neither a fixed folder nor always HOME, which some programs need.
cd "$root"
export SPARK_APP_HOME="${SPARK_APP_HOME:-$home}" HOME="${HOME:-$root}"
folder="$SPARK_APP_HOME/logs/cron"
[ -x "$launcher" ] || fail 69 "there is no $launcher: run \`make setup\`, or install the package with pip"
mkdir -p "$folder" || fail 69 "cannot make the folder $folder"

{ exec 9>"$folder/lock"; } || fail 69 "cannot write to $folder"
flock --wait "$wait_seconds" 9 || { ping 73 && fail 73 "$job was not run: another job still runs after $wait_seconds seconds"; }

log="$folder/$job.$(date -u +%Y%m%dT%H%M%SZ).log"
exit_code=0
ping start
# The job's processes do not inherit the lock: one that is left behind would keep it.
"$launcher" "$@" >>"$log" 2>&1 </dev/null 9>&- || exit_code=$?
ping "$exit_code"
remove_old_logs
[ "$exit_code" -ne 0 ] || exit 0
echo "$job ended with exit code $exit_code; the end of $log:"
tail -n "$mailed_lines" "$log"
exit "$exit_code"
