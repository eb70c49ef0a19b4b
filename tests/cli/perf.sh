# level: any
# perf/ops prints every part of a step for each batch size; perf/flamegraph draws folded stacks:
# boxes as wide as their share of 1200 pixels, the narrowest left out.
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
"$GWEN" init -q --preset tiny --tokenizer tests/fixtures/tiny-tokenizer --out "$T/model" || exit 1
perf/ops --model "$T/model" --batch 1,3 --prefill --new-tokens 2 --json "$T/ops.json" >"$T/out" ||
    exit 1
head -n 1 "$T/out" | tr -s ' '
awk '$1 ~ /^(attend|head|step|tokens)/ { print $1, NF }' "$T/out"
grep -c '"op": "step"' "$T/ops.json"
perf/ops --model "$T/none" >/dev/null 2>"$T/err"
echo "-> $?"

printf '%s\n' 'main;decode;gwen_gemm 60' 'main;decode;<lambda> 20' 'main;load 19' \
    'main;decode;gwen_gemm 9000' 'idle 1' >"$T/folded"
perf/flamegraph --folded "$T/folded" --out "$T/flame.svg" || exit 1
python3 - "$T/flame.svg" <<'END'
import sys, xml.etree.ElementTree as tree
name = "{http://www.w3.org/2000/svg}"
for group in tree.parse(sys.argv[1]).getroot().iter(name + "g"):
    rect = group.find(name + "rect")
    print(group.find(name + "title").text, "|", rect.get("x"), rect.get("y"), rect.get("width"))
END
echo 'main;decode' | perf/flamegraph --folded - --out "$T/none.svg" 2>&1
echo "-> $?"
[ ! -e "$T/none.svg" ] || exit 1
# Without perf it is skipped, with a line.
mkdir "$T/bin"
python=$(python3 -c 'import sys; print(sys.executable)')
PATH=$T/bin "$python" perf/flamegraph info
echo "-> $?"
