# deb.sh - the Debian package has what make install installs, depends on the libraries that the program
# is linked with, and its program runs.
set -eu
build=${BUILD:-build}
for tool in dpkg-deb dpkg-shlibdeps; do
    command -v $tool >/dev/null || { echo "no $tool"; exit 77; }
done
[ -z "${SANITIZE:-}" ] || { echo "not of a build with sanitizers"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
${MAKE:-make} BUILD="$build" deb >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
deb=$(tail -n 1 "$tmp/log")
dpkg-deb -x "$deb" "$tmp/root"
for file in bin/gwen-cpu include/gwen/gwen.h share/man/man1/gwen-cpu-train.1.gz \
    share/bash-completion/completions/gwen-cpu share/doc/gwen-cpu/copyright \
    "lib/$(${CC:-gcc} -print-multiarch)/libgwen.a"; do
    [ -s "$tmp/root/usr/$file" ] || { echo "$deb has no $file"; exit 1; }
done
depends=$(dpkg-deb -f "$deb" Depends)
for library in libc6 libhwloc15 libnuma1 libjansson4 libsqlite3-0 zlib1g; do
    echo "$depends" | grep -q "$library" || { echo "Depends has no $library: $depends"; exit 1; }
done
(cd "$tmp/root" && dpkg-deb --info "$OLDPWD/$deb" md5sums >"$tmp/sums" && md5sum --quiet -c "$tmp/sums")
[ "$("$tmp/root/usr/bin/gwen-cpu" --version)" = "gwen-cpu $(dpkg-deb -f "$deb" Version)" ]
