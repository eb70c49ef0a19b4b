#!/bin/sh
# simd-check.sh PROGRAM - runs the kernels' test program, which may be for another processor:
# natively where the machine is the same, else under QEMU as a processor with every extension and
# as one with the base instruction set only.
set -eu
program=$1
case ${CROSS:-native} in
native) target=$(uname -m) ;;
*) target=${CROSS%%-*} ;;
esac
if [ "$target" = "$(uname -m)" ]; then
    exec "$program"
fi
if ! command -v "$QEMU" >/dev/null 2>&1; then
    echo "simd-check: $QEMU not found (package qemu-user-static)" >&2
    exit 1
fi
for cpu in max cortex-a72; do
    echo "== $QEMU -cpu $cpu"
    "$QEMU" -cpu $cpu "$program"
done
