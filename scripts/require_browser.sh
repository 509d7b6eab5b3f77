#!/usr/bin/env bash
# Exit with 69 and one sentence where there is no Chromium for the tests of the page and its picture.
set -euo pipefail
for browser in chromium chromium-browser google-chrome; do
  if command -v "$browser" >/dev/null; then exit; fi
done
echo "the tests of the page need Chromium, and none is on PATH; on Debian: apt-get install --no-install-recommends chromium" >&2
exit 69
