# Sourced by set-up and by conf/spark-env.sh: check that there is a Java that Spark can run on.

# Print the command that installs such a Java with this machine's package manager.
java_install_command() {
  local sudo="" package=default-jre-headless known
  [ "$(id -u)" = 0 ] || sudo="sudo "
  if command -v apt-get >/dev/null; then
    for known in openjdk-21-jre-headless openjdk-17-jre-headless; do
      [ -z "$(apt-cache madison "$known" 2>/dev/null)" ] || package=$known
    done
    echo "${sudo}apt-get install $package"
  elif command -v dnf >/dev/null; then
    echo "${sudo}dnf install java-21-openjdk-headless"
  else
    echo "brew install --cask temurin@21"
  fi
}

# Set java_version, for example "17.0.15"; exit with 69 and one sentence where Java is missing or too old.
require_java() {
  local java="${JAVA_HOME:+$JAVA_HOME/bin/}java" banner
  banner="$("$java" -version 2>&1)" || banner=""
  java_version="$(printf '%s\n' "$banner" | sed -n 's/.* version "\([0-9][^"]*\)".*/\1/p')"
  [ "${java_version%%[!0-9]*}" -ge 17 ] 2>/dev/null && return
  if [ -n "$java_version" ]; then
    echo "Spark needs Java 17 or newer, and $java is $java_version; install one with: $(java_install_command)" >&2
  else
    echo "Spark needs Java 17 or newer, and $java does not run; install one with: $(java_install_command)" >&2
  fi
  exit 69
}
