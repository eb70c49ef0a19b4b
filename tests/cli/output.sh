# level: any
# What a command writes arrives, or it says that it did not.
"$GWEN" init -q --preset tiny --out "$T/model" || exit 1
row='{"ids":[1,2]}'
if [ -e /dev/full ]; then
    "$GWEN" info 2>&1 >/dev/full
    echo "-> $?"
    "$GWEN" info -h 2>&1 >/dev/full
    echo "-> $?"
    echo "$row" | "$GWEN" score --model "$T/model" 2>&1 >/dev/full
    echo "-> $?"
fi
# Standard descriptors that are closed are not taken for files.
"$GWEN" info 2>&1 >&- | sed 's/:[^:]*$//'
echo "-> ${PIPESTATUS[0]}"
"$GWEN" score --model "$T/model" 2>&1 <&- | sed 's/:[^:]*$//'
echo "-> ${PIPESTATUS[0]}"

# A reader that has gone is no news, but no success either.
{ sleep 0.2; echo "$row"; } | { "$GWEN" score --model "$T/model" 2>"$T/err"; echo $? >"$T/status"; } | true
cat "$T/status" "$T/err"

# A row is answered as soon as it is there.
mkfifo "$T/in" "$T/out" || exit 1
# A shell makes what it puts into the background ignore SIGINT; env undoes that.
env --default-signal=INT,TERM "$GWEN" score --model "$T/model" --score-batch 1 <"$T/in" >"$T/out" &
exec 3>"$T/in" 4<"$T/out"
for i in 1 2 3; do
    echo "$row" >&3
    IFS= read -r -t 60 answer <&4 && [ "${answer#\{\"logprobs\":\[-}" != "$answer" ] || exit 1
done

# Waiting for rows ends with the first signal.
kill -INT $!
wait $!
echo "-> $?"
exec 3>&- 4<&-
for signal in TERM INT; do
    env --default-signal=INT,TERM "$GWEN" score --model "$T/model" <"$T/in" 2>"$T/err" &
    exec 3>"$T/in"
    for i in $(seq 100); do # until the handlers stand and it waits
        grep -qi 'SigCgt:.*[1-9a-f]' "/proc/$!/status" 2>/dev/null && break
        sleep 0.05
    done
    sleep 0.2
    kill -$signal $!
    wait $!
    echo "-> $?"
    exec 3>&-
    cat "$T/err"
done

# One that was ignored from the start stays so.
(
    trap '' INT
    exec "$GWEN" score --model "$T/model" <"$T/in"
) >"$T/answer" &
exec 3>"$T/in"
sleep 0.5
kill -INT $!
echo "$row" >&3
exec 3>&-
wait $!
echo "-> $? $(wc -l <"$T/answer")"
