#!/bin/bash
# Why: vvar builds from Debian packages alone, and this is the one place that
# knows which. Installs those this machine lacks, asking sudo when not root;
# silent and quick when it lacks none.
#
#   third_party/setup.sh tests | bench
set -euo pipefail

# Each string is one apt command: a name that cannot be resolved fails all the
# others of its command.
readonly BUILD_PACKAGES=(
  "bazel-bootstrap bazel-rules-java g++ python3"
  "googletest libabsl-dev libbenchmark-dev nlohmann-json3-dev pkg-config"
)

# Never g++-multilib: it conflicts with every cross compiler, and apt would
# remove them.
readonly TEST_PACKAGES=(
  "clang-19 lld-19 libclang-rt-19-dev llvm-19"
  "g++-riscv64-linux-gnu"
  "g++-aarch64-linux-gnu"
  "g++-arm-linux-gnueabihf"
  "g++-s390x-linux-gnu" # Big-endian, 64 bits,
  "g++-powerpc-linux-gnu" # and 32.
  "g++-12-multilib libc6-dev-i386"
  "qemu-user-static"
  "qemu-system-misc opensbi"
  "qemu-system-arm"
  "qemu-system-x86 qemu-system-data"
  "musl-tools" # Programs under vvar exec.
  "golang-go"
  "gdb"
  "strace" # Shows which system calls they make.
  "binutils gnuplot-nox" # What the benchmarks' tests run.
  "spin"
  "clang-format"
  "doxygen"
  "libgtest-dev" # The mutation test links tests by itself.
  "cmake make" # tests/packaging: who builds with them,
  "groff-base man-db" # who reads the manual,
  "systemd" # and what it takes the unit for.
  "libcap2 libgnutls30 libnettle8 libseccomp2" # chronyd's.
)

# chronyd for tests is unpacked here and not installed: the package would remove
# the machine's own time daemon, and start one that steers its clock.
readonly CHRONY=/opt/vvar-tests/chrony

readonly BENCH_PACKAGES=(
  "gnuplot-nox" # Plots.
  "binutils" # objdump, for the instructions of a read.
)

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# Prints those of the packages given that are not installed, on one line.
missing_of() {
  local installed
  # Fails when it knows nothing of one of them; that one is missing then.
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" \
    2>/dev/null | sed -n 's/^installed //p' || true)
  local package missing=()
  for package in "$@"; do
    grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
  done
  echo "${missing[*]}"
}

# Installs every group it can; names on stderr what it could not.
install_groups() {
  if ! command -v dpkg-query >/dev/null; then
    echo "setup.sh: not a Debian system; what is missing will be skipped or" \
      "fail to build. Debian's names: $*" >&2
    return
  fi
  # shellcheck disable=SC2048,SC2086  # A group is several words.
  [[ -n $(missing_of $*) ]] || return 0

  local apt=(as_root env DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -q -y)
  "${apt[@]}" update || echo "setup.sh: apt-get update failed" >&2
  local group missing
  for group in "$@"; do
    # shellcheck disable=SC2086
    missing=$(missing_of $group)
    [[ -n $missing ]] || continue
    # shellcheck disable=SC2086
    "${apt[@]}" install --no-install-recommends $missing ||
      echo "setup.sh: could not install $missing" >&2
  done
  # A server that runs already would go on believing that they are missing.
  bazel shutdown || true
}

# Puts Debian's chrony into its folder, if it is not there.
unpack_chrony() {
  [[ ! -x $CHRONY/usr/sbin/chronyd ]] || return 0
  local download
  download=$(mktemp -d)
  (cd "$download" && apt-get -q download chrony) &&
    as_root mkdir -p "$CHRONY" &&
    as_root dpkg -x "$download"/chrony_*.deb "$CHRONY" ||
    echo "setup.sh: could not unpack chrony" >&2
  rm -rf "$download"
}

cd "$(dirname "$0")/.."
case ${1-} in
  tests)
    install_groups "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    unpack_chrony
    ;;
  bench) install_groups "${BUILD_PACKAGES[@]}" "${BENCH_PACKAGES[@]}" ;;
  *)
    echo "usage: third_party/setup.sh tests | bench" >&2
    exit 2
    ;;
esac
