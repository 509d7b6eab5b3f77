#!/usr/bin/env bash
# Exit with 69 and one sentence where something is missing that the tests of containers need.
set -euo pipefail
# podman's network programs are not on PATH.
PATH="$PATH:/usr/lib/podman:/usr/libexec/podman"
missing=()
for program in buildah podman runc netavark aardvark-dns mmdebstrap; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "the tests of containers need ${missing[*]}; on Debian: apt-get install --no-install-recommends" \
    "buildah podman runc mmdebstrap netavark aardvark-dns" >&2
  exit 69
fi
if [ "$(id -u)" != 0 ]; then
  echo "the tests of containers run as root only: they make a Debian and a network of their own" >&2
  exit 69
fi
