#!/bin/bash
# deb.sh ROOT OUT VERSION - makes a Debian package of ROOT, an installation with PREFIX=/usr, in the
# folder OUT and prints its name.  One package has all: program, libraries, headers, pages.
set -euo pipefail
root=$1 out=$2 version=$3
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find "$root" -type f \( -name gwen-cpu -path '*/bin/*' -o -name '*.so.*' \) -exec strip --strip-unneeded {} +
find "$root" -name '*.a' -exec strip --strip-debug {} +
find "$root/usr/share/man" -type f -exec gzip -9nf {} +
doc=$root/usr/share/doc/gwen-cpu
mkdir -p "$doc" "$root/DEBIAN"
cp LICENSE "$doc/copyright"
cp -r README.md docs "$doc"

# The packages of the libraries that are linked: dpkg-shlibdeps wants a source package around it.
mkdir "$work/debian"
printf 'Source: gwen-cpu\n\nPackage: gwen-cpu\nArchitecture: any\n' >"$work/debian/control"
program=$(realpath "$root/usr/bin/gwen-cpu")
depends=$(cd "$work" && dpkg-shlibdeps -O "$program" | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ]

cat >"$root/DEBIAN/control" <<END
Package: gwen-cpu
Version: $version
Architecture: $arch
Maintainer: gwen-cpu
Section: science
Priority: optional
Depends: $depends
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Description: reinforcement learning on language models on CPUs
 Samples, scores, trains (supervised, and by GRPO on rewards or a judge's
 grades) and evaluates models in Hugging Face's format, on processors alone.
END
(cd "$root" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | sort -z |
    xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group --build "$root" "$out/gwen-cpu_${version}_$arch.deb" >/dev/null
echo "$out/gwen-cpu_${version}_$arch.deb"
