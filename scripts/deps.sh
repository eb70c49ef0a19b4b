#!/bin/sh
# Finds what the build needs and is not there; installs it by apt-get.
#
#   deps.sh auto      silent and fast when nothing is missing, else as install
#   deps.sh install   the same, but says so when nothing is missing
#
# Tools are looked up in PATH and headers by compiling, so that this works where they came from
# somewhere else than a Debian package.
set -u
mode=${1:-install}
cc=${CC:-gcc}

case $cc in
*clang*) cc_package=clang ;;
*) cc_package=gcc ;;
esac
# what, the Debian package that has it
tools="${cc%% *} $cc_package
ld binutils
pkg-config pkg-config"
headers='stdio.h libc6-dev
hwloc.h libhwloc-dev
numa.h libnuma-dev
cjson/cJSON.h libcjson-dev
jansson.h libjansson-dev
pcre2.h libpcre2-dev
utf8proc.h libutf8proc-dev
sqlite3.h libsqlite3-dev
zlib.h zlib1g-dev
cmocka.h libcmocka-dev'

# cmocka.h wants these before it; pcre2.h wants a width.
prelude='#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#define PCRE2_CODE_UNIT_WIDTH 8'

# compiles: reads header names, true when a source with all of them goes through the preprocessor
compiles() {
    { echo "$prelude"; sed 's/.*/#include <&>/'; } | $cc -E -x c - >/dev/null 2>&1
}

missing=
for_each() { # for_each LIST TEST-COMMAND: adds the packages of what fails the test
    while read -r what package; do
        [ -n "$what" ] || continue
        if ! $2 "$what"; then missing="$missing $package"; fi
    done <<EOF
$1
EOF
}
has_tool() { command -v "$1" >/dev/null 2>&1; }
has_header() { echo "$1" | compiles; }

find_missing() {
    missing=
    for_each "$tools" has_tool
    # One run of the preprocessor is enough while all is well.
    if ! echo "$headers" | sed 's/ .*//' | compiles; then for_each "$headers" has_header; fi
    missing=$(echo "$missing" | tr ' ' '\n' | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//')
}

find_missing
# Without a compiler no header is found: the packages are all asked for, which is right.
if [ -z "$missing" ]; then
    [ "$mode" = auto ] || echo "deps: everything the build needs is there"
    exit 0
fi
echo "deps: missing: $missing" >&2
if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: there is no apt-get here; install what corresponds to these Debian packages" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: run as root: apt-get install -y --no-install-recommends $missing" >&2
        exit 1
    fi
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
# Package lists may be old or absent; a mirror that does not answer is no reason to stop yet.
$sudo apt-get update -qq >&2 || echo "deps: apt-get update failed; trying with the old lists" >&2
# shellcheck disable=SC2086  # a list of packages
if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    $missing >&2; then
    echo "deps: could not install: $missing" >&2
    exit 1
fi
find_missing
if [ -n "$missing" ]; then
    echo "deps: still missing after the installation: $missing" >&2
    exit 1
fi
