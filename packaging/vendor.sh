#!/bin/bash
# Copies the freestanding core of this tree, and nothing else, into another: the
# folders that a kernel puts on its -iquote path. README.vvar says there what the
# copy is of, vvar.sha256 what it consists of. Over an older copy it leaves alone
# what is not of that, such as a counter of one's own in clocks/, and refuses if
# a file of it was changed.
#
#   packaging/vendor.sh DEST
set -euo pipefail
readonly FOLDERS=(vvar clocks fallback paravirt)
readonly SUMS=vvar.sha256

refuse() {
  echo "vendor.sh: $*" >&2
  exit 1
}

# Prints which commit the headers of $1 are of.
commit_of() {
  local commit changes
  if [[ ! -e $1/.git ]] || ! commit=$(git -C "$1" rev-parse HEAD); then
    echo "unknown (not a git clone)"
    return
  fi
  changes=$(git -C "$1" status --porcelain -- "${FOLDERS[@]}")
  echo "$commit${changes:+, and changes that are not committed}"
}

# Deletes the copy that is in this folder. It must be as it was made.
remove_copy() {
  [[ -e $SUMS ]] || return 0
  sha256sum --check --quiet "$SUMS" ||
    refuse "$PWD: the files above are not as they were copied; expected" \
      "them unchanged, or gone together with $SUMS"
  sed 's/^[^ ]*  //' "$SUMS" | xargs -d '\n' rm -f --
  rm -f -- "$SUMS"
}

if [[ $# != 1 || $1 == -* ]]; then
  echo "usage: packaging/vendor.sh DEST" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p -- "$1"
cd -- "$1"
[[ ! . -ef $root ]] || refuse "$PWD: the tree itself; expected another folder"

cd "$root"
files=(LICENSE)
for folder in "${FOLDERS[@]}"; do files+=("$folder"/*.h); done
version=$(sed -n '/^module(/,/^)/s/^ *version = "\(.*\)",$/\1/p' MODULE.bazel)
commit=$(commit_of "$root")
cd - >/dev/null

remove_copy
for file in "${files[@]}"; do
  to=$file
  [[ $file != LICENSE ]] || to=LICENSE.vvar
  [[ ! -e $to ]] || refuse "$PWD/$to: exists, and is not of an earlier copy"
  mkdir -p "$(dirname "$to")"
  cp -L -- "$root/$file" "$to"
  sha256sum "$to" >>"$SUMS"
done
cat >README.vvar <<END
vvar $version, the freestanding core: ${FOLDERS[*]}
commit: $commit

Headers for time from a shared page: C++20, without any library (LICENSE.vvar:
MIT). They include each other by path from this folder, so a compiler finds them
by -iquote THIS_FOLDER. The sources, their documents (docs/porting.md,
docs/embedding.md) and tests are where this copy was made by
packaging/vendor.sh. What it consists of: sha256sum --check $SUMS
END
