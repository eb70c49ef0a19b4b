# level: any
# report: charts of what was logged, samples, several runs; what is wrong in a folder is told; what
# files say does not get into the page as anything but text.
run=$T/first
mkdir -p "$run/rollouts" "$T/second" "$T/empty" "$T/torn" "$T/bad/rollouts" "$T/none"
for i in 1 2 3 4 5 6; do
    echo "{\"step\":$i,\"loss\":0.$i,\"reward\":0.$i,\"reward_std\":0.1,\"rewards/exact/mean\":0.$i,\"rewards/exact/std\":0.05,\"kl\":0.0$i,\"entropy\":1.$i,\"completions/mean_length\":1$i,\"completions/min_length\":$i,\"completions/max_length\":2$i,\"judge/kindness/mean\":3.$i,\"eval_full/accuracy\":0.$i,\"memory/peak_bytes\":${i}073741824,\"time/train/rollout_s\":0.5,\"time/train/step_s\":2,\"time/train/tokens_per_s\":10$i,\"mine\":$i,\"gone\":null,\"never\":7,\"memory/kept_bytes\":2147483648}"
done >"$run/metrics.jsonl"
sed 's/"reward":0/"reward":1/' "$run/metrics.jsonl" >"$T/second/metrics.jsonl"
for i in 1 3 6; do
    for k in 0 1 2; do
        echo "{\"prompt_id\":0,\"sample_id\":$k,\"prompt_ids\":[1],\"ids\":[1,2,3],\"logprobs\":[-1],\"text\":\"sample $k of $i\",\"finish_reason\":\"length\",\"meta\":{\"answer\":\"a & b\"},\"prompt\":\"Say <b>it</b>\",\"rewards\":{\"exact\":0.25,\"short\":null},\"judge\":{\"kindness\":4},\"reward\":0.125,\"advantage\":-1.5}"
    done >"$run/rollouts/step-$i.jsonl"
done
report() { "$GWEN" report -q "$@" || exit 1; }
has() { # PAGE STRING...
    local page=$1 s
    shift
    for s in "$@"; do
        grep -qF -- "$s" "$page" || { echo "$page does not have: $s"; exit 1; }
    done
}
count() { grep -oF -- "$1" "$2" | wc -l; }

# A page with a chart of every metric that changes, and the rest in words; times; samples.
report "$run"
page=$run/report.html
echo "charts $(count '<svg class="chart"' "$page"), pages of samples $(count '<details' "$page")"
has "$page" '<b>KL from the reference</b>' '<b>judge/kindness/mean</b>' '<b>mine</b>' 'GiB' \
    '<code>never</code> 7' \
    '<code>memory/kept_bytes</code> 2 GiB' '<code>time/train/rollout_s</code> 0.5 s' '<span class="swatch"></span>rollout' '75.0 %' \
    'Say &lt;b&gt;it&lt;/b&gt;' 'sample 2 of 6' '>judge/kindness</th>' '>exact</th>' '>short</th>' \
    '<td class="num bad">-1.5</td>' 'a &amp; b' '3 of 3 completions' 'cut off at the limit'
# Nothing to load.
grep -qE '(src|href)="?(https?:)?//|url\(|@import' "$page" && echo "the page loads something"
# Bounded.
report "$run" --out "$T/small.html" --samples 2 --sample-steps 1
has "$T/small.html" '2 of 3 completions' '1 of 3 steps with samples'
[ "$(count '<details' "$T/small.html")" -eq 1 ] || exit 1
report "$run" --out "$T/bare.html" --sample-steps 0
[ "$(count '<details' "$T/bare.html")" -eq 0 ] || exit 1
# Runs beside each other: two lines in a chart; the same name twice gives whole paths.
report "$run" "$T/second" --out "$T/both.html"
has "$T/both.html" '<h1>2 runs</h1>' 'data-name="first"' 'data-name="second"' 'polyline class="line c1"'
report "$run" "$run/." "$T/../${T##*/}/first" --out "$T/three.html"
has "$T/three.html" "data-name=\"$run\""
# The same bytes each time.
report "$run" --out "$T/again.html"
cmp "$page" "$T/again.html" || exit 1

# A terminal.
"$GWEN" report "$run" --text >"$T/text" || exit 1
"$GWEN" report "$run" --tui | cmp - "$T/text" || exit 1
grep -E '^(first|Judge|  kl )' "$T/text"
"$GWEN" report "$run" "$T/second" --text | grep -A 2 '^  reward$'

# What a model writes is text: no markup, no control characters, no reordering.
evil='</script><script>alert(1)</script><img src=x onerror=alert(1)> \u0007\u001b[31m \u202e \" '"'"
echo "{\"step\":1,\"loss\":1,\"$evil\":2}" >"$T/bad/metrics.jsonl"
echo "{\"prompt_id\":\"$evil\",\"text\":\"\\u0000$evil\",\"prompt\":\"$evil\",\"rewards\":{\"$evil\":1},\"meta\":{\"$evil\":\"$evil\"},\"finish_reason\":\"$evil\"}" >"$T/bad/rollouts/step-1.jsonl"
mv "$T/bad" "$T/<i>bad"
report "$T/<i>bad" --out "$T/bad.html" 2>"$T/err"
[ "$(count '<script' "$T/bad.html")" -eq 1 ] && [ "$(count '<img' "$T/bad.html")" -eq 0 ] &&
    [ "$(count '<i>bad' "$T/bad.html")" -eq 0 ] || { echo "markup of a file in the page"; exit 1; }
LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae' "$T/bad.html" && echo "control characters"
has "$T/bad.html" '&lt;/script&gt;' '␀&lt;/script' '␛[31m' '⟨U+202E⟩'
"$GWEN" report "$T/<i>bad" --text | LC_ALL=C grep -P '[\x00-\x08\x0b-\x1f\x7f]' && exit 1

# Torn, cut and strange lines.
{ cat "$run/metrics.jsonl"; printf '{"step":7,"lo'; } >"$T/torn/metrics.jsonl"
"$GWEN" report "$T/torn" --out "$T/torn.html" 2>&1 | sed "s|$T/||g"
has "$T/torn.html" 'The last line of metrics.jsonl is cut off'
{ echo '[1]'; cat "$run/metrics.jsonl"; echo '{"step":2}'; echo '{"loss":1}'; } >"$T/torn/metrics.jsonl"
"$GWEN" report "$T/torn" --out "$T/torn.html" --overwrite 2>&1 | sed "s|$T/||g"
: >"$T/empty/metrics.jsonl"
"$GWEN" report "$T/empty" --out "$T/empty.html" 2>&1 | sed "s|$T/||g"
mkdir -p "$T/odd/rollouts"
head -n 1 "$run/metrics.jsonl" >"$T/odd/metrics.jsonl"
{ head -n 1 "$run/rollouts/step-1.jsonl"; echo '{"text":'; } >"$T/odd/rollouts/step-9.jsonl"
: >"$T/odd/rollouts/step-x.jsonl"
report "$T/odd" --out "$T/odd.html"
has "$T/odd.html" '1 of 2 or more completions' 'step-9.jsonl:2:'

refused() {
    "$GWEN" report "$@" >"$T/out" 2>"$T/err" && { echo "not refused: $*"; exit 1; }
    status=$?
    [ "$(grep -c . "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    echo "$status $(sed "s|$T/||g" "$T/err")"
}
refused
refused "$T/missing"
refused "$run/metrics.jsonl"
refused "$T/none"
echo '{"step":' >"$T/none/metrics.jsonl"
refused "$T/none"
refused "$run" --out "$T/missing/page.html"
refused "$run" --text --out "$T/page.html"
[ ! -e "$T/none/report.html" ] || exit 1
