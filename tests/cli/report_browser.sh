# level: any
# A report in a real browser: no errors, no requests, the script runs, with samples a page at a time.
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { echo "there is no chromium"; exit 77; }
mkdir -p "$T/run/rollouts"
for i in 1 2 3 4; do
    echo "{\"step\":$i,\"loss\":0.$i,\"reward\":0.$i,\"reward_std\":0.1,\"time/train/rollout_s\":1,\"time/train/step_s\":2}" >>"$T/run/metrics.jsonl"
    echo "{\"prompt_id\":0,\"ids\":[1],\"text\":\"</script><img src=http://127.0.0.1:9/x onerror=alert(1)>\",\"prompt\":\"p\",\"rewards\":{\"exact\":1},\"reward\":1,\"advantage\":0}" >"$T/run/rollouts/step-$i.jsonl"
done
cp -r "$T/run" "$T/other"
"$GWEN" report -q "$T/run" "$T/other" --out "$T/page.html" || exit 1
look() { # FILE OPTION...: what the browser says, and does, with the file
    file=$1
    shift
    HOME=$T timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --user-data-dir="$T/profile" --no-first-run --disable-background-networking \
        --enable-logging=stderr --virtual-time-budget=2000 "$@" "file://$file" 2>"$T/log"
}
# It is heard when a page does wrong.
echo '<script>throw new Error("heard")</script>' >"$T/wrong.html"
look "$T/wrong.html" --dump-dom >/dev/null
grep -q 'CONSOLE.*heard' "$T/log" || { echo "this browser does not tell of errors"; exit 77; }

look "$T/page.html" --log-net-log="$T/net.json" --dump-dom >"$T/dom" || { cat "$T/log"; exit 1; }
grep CONSOLE "$T/log" && exit 1
grep -q '127.0.0.1:9' "$T/net.json" && { echo "the page asked for something"; exit 1; }
# The script has shown one page of samples, that of the last step, and offers both runs.
[ "$(grep -o '<details class="page"' "$T/dom" | wc -l)" -eq 8 ] &&
    [ "$(grep -oE '<details class="page" data-run="[01]" data-step="[0-9]*"( open="")?>' "$T/dom" | wc -l)" -eq 1 ] &&
    grep -qE '<details class="page" data-run="0" data-step="4" open="">' "$T/dom" &&
    grep -q '<option value="1">other</option>' "$T/dom" && grep -q 'class="tip" hidden=""' "$T/dom" ||
    { echo "the script did not do its part"; grep -o '<details class="page"[^>]*>' "$T/dom"; exit 1; }
