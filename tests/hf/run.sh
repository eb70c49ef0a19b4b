#!/bin/bash
# run.sh CHECK.py - runs one check of what is written against Hugging Face's and TensorBoard's own
# readers, with GWEN_PYTHON (python3).  The check's line "# needs: MODULES" says what that Python
# must have; where it has not, the check is skipped (77).  It finds in its environment
#
#   GWEN   the program      T   an empty folder of its own
set -u
python=${GWEN_PYTHON:-python3}
for module in $(sed -n 's/^# needs: //p' "$1"); do
    "$python" -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('$module'))" 2>/dev/null && continue
    echo "skip: $python has no $module (make check-hf)"
    exit 77
done
export T
T=$(mktemp -d "${TMPDIR:-/tmp}/gwen-hf-XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
HF_HUB_OFFLINE=1 XDG_CACHE_HOME=$T/.cache "$python" "$1"
