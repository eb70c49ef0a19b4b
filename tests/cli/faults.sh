# level: any
# One in so many of the places where an allocation or a call of the system can fail; `make faults`
# tries them all.
if [ -n "${SANITIZE:-}" ]; then
    echo "sanitizers have an allocator of their own"
    exit 77
fi
bash tests/faults/run.sh 60 >"$T/out" || { cat "$T/out"; exit 1; }
tail -n 1 "$T/out" | grep -qE '^faults: [1-9][0-9]* tried, 0 found$' || { cat "$T/out"; exit 1; }

# The test sees what it is there to see: a program that swallows what fails.
cat >"$T/swallows.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    char *p = malloc(10);
    puts(p != NULL ? "an answer" : "another");
    free(p);
    return 0;
}
END
"${CC:-gcc}" -O0 -o "$T/swallows" "$T/swallows.c" || exit 1
GWEN=$T/swallows bash tests/faults/run.sh 1 >"$T/out" && exit 1
grep -q 'mem call 1 fails: another result, status 0' "$T/out" || { cat "$T/out"; exit 1; }
