# embed.sh - installs into an empty folder and builds embed.c from there through pkg-config: as
# C11 and C++17, against the shared and the static library; uninstalling leaves no file behind.
set -eu
build=${BUILD:-build}
cc=${CC:-gcc}
case $cc in
*clang*) cxx=$(echo "$cc" | sed 's/clang/clang++/') ;;
*) cxx=$(echo "$cc" | sed 's/gcc/g++/; s/^cc$/c++/') ;;
esac
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
prefix=/usr/local
${MAKE:-make} BUILD="$build" PREFIX=$prefix DESTDIR="$tmp" install >"$tmp.log" 2>&1 ||
    { cat "$tmp.log"; rm -f "$tmp.log"; exit 1; }
rm -f "$tmp.log"

export PKG_CONFIG_PATH=$tmp$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$tmp
cflags=$(pkg-config --cflags gwen)
shared=$(pkg-config --libs gwen)
# The static archive alone, and the system's libraries that it needs.
static=$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --static --libs gwen |
    sed "s|-L$prefix/lib||; s|-lgwen|$tmp$prefix/lib/libgwen.a|")
sanitize=${SANITIZE:+-fsanitize=$SANITIZE}
warn="-pedantic -Wall -Wextra -Werror"

# Two models for one process.
for seed in 1 2; do
    "$build/gwen-cpu" init -q --preset tiny --seed $seed --out "$tmp/model$seed" \
        --tokenizer tests/fixtures/tiny-tokenizer
done

# run NAME COMMAND...: what the program prints must be the version
version=$(pkg-config --modversion gwen)
run() {
    name=$1
    shift
    out=$("$@" "$tmp/model1" "$tmp/model2")
    [ "$out" = "$version" ] || { echo "$name printed \"$out\", not $version"; exit 1; }
}
# shellcheck disable=SC2086  # lists of flags
{
    $cc -std=c11 $warn $sanitize $cflags tests/api/embed.c -o "$tmp/c_shared" $shared
    $cc -std=c11 $warn $sanitize $cflags tests/api/embed.c -o "$tmp/c_static" $static
    run "C11, shared" env LD_LIBRARY_PATH="$tmp$prefix/lib" "$tmp/c_shared"
    run "C11, static" "$tmp/c_static"
    if echo '#include <cstddef>' | $cxx -x c++ -fsyntax-only - 2>/dev/null; then
        $cxx -std=c++17 $warn $sanitize $cflags -x c++ tests/api/embed.c -o "$tmp/cxx" -x none $shared
        run "C++17, shared" env LD_LIBRARY_PATH="$tmp$prefix/lib" "$tmp/cxx"
    else
        echo "no C++ compiler ($cxx): built as C11 only"
    fi
}

for page in share/man/man1/gwen-cpu.1 share/man/man1/gwen-cpu-train.1 \
    share/bash-completion/completions/gwen-cpu; do
    [ -s "$tmp$prefix/$page" ] || { echo "not installed: $page"; exit 1; }
done

${MAKE:-make} BUILD="$build" PREFIX=$prefix DESTDIR="$tmp" uninstall >/dev/null 2>&1
left=$(find "$tmp$prefix" -type f -o -type l)
[ -z "$left" ] || { echo "left after uninstall: $left"; exit 1; }
