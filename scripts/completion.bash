# Completion of spark_jobs_launcher.sh for bash (and zsh with bashcompinit): jobs, their options, and fixed values.
# `. <(spark_jobs_launcher.sh completion bash)`. Jobs and options come from the launcher's --list and --help.

_spark_jobs_launcher() {
  local launcher="${COMP_WORDS[0]}" word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}"
  local job="" words index=1 help
  case "$launcher" in '~'*) launcher="$HOME${launcher#\~}" ;; esac
  COMPREPLY=()
  while [ "$index" -lt "$COMP_CWORD" ]; do
    case "${COMP_WORDS[index]}" in
      --master | --conf) index=$((index + 1)) ;;
      -*) ;;
      *) job="${COMP_WORDS[index]}" && break ;;
    esac
    index=$((index + 1))
  done
  case "$job" in
    "") words="--master --bulk --conf --list --project --version --help setup completion psql db show status explain
      $("$launcher" --list 2>/dev/null | cut -d ' ' -f 1)" ;;
    completion) words="bash zsh" ;;
    db) words="start stop url roles dump restore" ;;
    setup | psql) words="" ;;
    *)
      help="$("$launcher" "$job" --help 2>/dev/null)"
      words="$(sed -n 's/^ *\(-h, \)\{0,1\}\(--[a-z-]*\).*/\2/p' <<<"$help")"
      # An option's value: one of `--source {yahoo,synthetic}`; a FILE is left to the shell.
      case "$help" in
        *"  $before {"*) words="${help#*"  $before "\{}" && words="${words%%\}*}" && words="${words//,/ }" ;;
        *"  $before "[A-Z]*) words="" ;;
      esac
      ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}

complete -o default -F _spark_jobs_launcher spark_jobs_launcher.sh
