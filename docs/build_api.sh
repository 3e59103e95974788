#!/bin/bash
# Why: the API reference as web pages, from the comments of the headers and
# these documents. It begins at DEST/index.html.
#
#   docs/build_api.sh DEST
set -euo pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: docs/build_api.sh DEST" >&2
  exit 2
fi
mkdir -p "$1"
dest=$(realpath "$1")
cd "$(dirname "$0")/.."
doxygen - < <(cat docs/Doxyfile && echo "OUTPUT_DIRECTORY = \"$dest\"")
