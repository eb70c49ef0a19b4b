# level: any
# Signals in the middle of training: the last finished step is saved, the run that goes on ends with
# the bytes of one that was left alone, and nothing of a reward command lives longer.
model=examples/arithmetic/model
examples/arithmetic/generate.sh practice 300 1 >"$T/practice.jsonl"
examples/arithmetic/generate.sh exam 60 2 >"$T/exam.jsonl"
examples/arithmetic/generate.sh lessons 400 3 >"$T/lessons.jsonl"
grpo=(train -q --model $model --prompts "$T/practice.jsonl" --reward exact
    --set num_generations=4
    --per_device_train_batch_size 64 --max_steps 8 --max_completion_length 6 --learning_rate 4e-4
    --seed 5 --threads 1)
sft=(sft -q --model $model --data "$T/lessons.jsonl" --learning_rate 1e-3 --seed 5 --threads 1
    --per_device_train_batch_size 32 --max_steps 8)
rows() { cat "$1/metrics.jsonl" 2>/dev/null | wc -l; }
timeless() { sed 's/,"time[^,}]*//g' "$1/metrics.jsonl"; }
newest() { ls "$1" | sed -n 's/^checkpoint-\([0-9]*\)$/\1/p' | sort -n | tail -n 1; }

# All that a run leaves of its results: DIR DIR
same() {
    local f
    for f in $(cd "$1" && ls ./*.safetensors rollouts/* checkpoint-8/*.safetensors 2>/dev/null); do
        cmp "$1/$f" "$2/$f" || exit 1
    done
    diff <(timeless "$1") <(timeless "$2") || { echo "$2: other metrics"; exit 1; }
}

# Sends a signal once there are so many rows, and a moment later: SIGNAL ROWS SECONDS DIR options.
# $status is how the run ended.
signalled() {
    local signal=$1 wanted=$2 moment=$3 dir=$4
    shift 4
    env --default-signal=INT,TERM,HUP "$GWEN" "$@" --out "$dir" --resume 2>"$T/err" &
    pid=$!
    until [ "$(rows "$dir")" -ge "$wanted" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.005; done
    sleep "$moment"
    kill -"$signal" $pid 2>/dev/null
    [ "$signal" != TERM ] || kill -TERM $pid 2>/dev/null # as timeout and Slurm do: it is the same
    wait $pid 2>/dev/null
    status=$?
}

# After a signal that was heard there is a checkpoint of the last step that has a row, or of the next
# one that holds it; NUMBER DIR
saved() {
    [ $status -eq 0 ] && return # it had come to its end
    [ $status -eq $((128 + $1)) ] || { echo "exit status $status after signal $1"; cat "$T/err"; exit 1; }
    [ "$(grep -c '^gwen-cpu: interrupted' "$T/err")" -eq 1 ] || { cat "$T/err"; exit 1; }
    local step held=0
    step=$(newest "$2")
    [ "$(rows "$2")" -gt 0 ] || [ -n "$step" ] || return 0 # none was finished
    grep -q '^"held":' "$2/checkpoint-$step/state.json" && held=1 && found_held=1
    [ "$step" -eq $(($(rows "$2") + held)) ] ||
        { echo "$2: $(rows "$2") rows, checkpoint $step, held $held"; exit 1; }
}

disturbed() { # NAME options
    local name=$1
    shift
    "$GWEN" "$@" --out "$T/$name" || exit 1
    signalled TERM 1 0.01 "$T/$name-x" "$@"
    saved 15 "$T/$name-x"
    signalled INT 3 0.03 "$T/$name-x" "$@"
    saved 2 "$T/$name-x"
    signalled KILL 4 0.02 "$T/$name-x" "$@"
    signalled HUP 5 0.07 "$T/$name-x" "$@"
    saved 1 "$T/$name-x"
    "$GWEN" "$@" --out "$T/$name-x" --resume || exit 1
    same "$T/$name" "$T/$name-x"
}
disturbed full "${grpo[@]}" --beta 0.02
disturbed adapter "${grpo[@]}" --use_peft
disturbed dynamic "${grpo[@]}" --dynamic_sampling --max_resample_rounds 2 --num_iterations 3
disturbed sft "${sft[@]}"

# Within an evaluation, which takes longer than the steps between: the step that it belongs to is
# saved, and evaluated when the run goes on.
evaluated() { # NAME options
    local name=$1 signal
    shift
    "$GWEN" "$@" --out "$T/$name" || exit 1
    found_held=0
    for signal in TERM:15 HUP:1 TERM:15 INT:2 TERM:15 HUP:1; do
        signalled ${signal%:*} $(($(rows "$T/$name-x") + 1)) 0.05 "$T/$name-x" "$@"
        saved ${signal#*:} "$T/$name-x"
    done
    [ $found_held -eq 1 ] || echo "$name: no evaluation was hit, on so fast a machine" >&2
    "$GWEN" "$@" --out "$T/$name-x" --resume || exit 1
    same "$T/$name" "$T/$name-x"
}
evaluated eval "${grpo[@]}" --eval-prompts "$T/exam.jsonl" --eval_steps 1 --num_generations 16
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do cat "$T/lessons.jsonl"; done >"$T/long.jsonl"
evaluated sft_eval "${sft[@]}" --eval-data "$T/long.jsonl" --eval_steps 1

# Whoever has a signal ignored when we start wants it so.
(
    trap '' HUP
    exec "$GWEN" "${grpo[@]}" --out "$T/nohup"
) &
until [ "$(rows "$T/nohup")" -ge 1 ]; do sleep 0.005; done
kill -HUP $!
wait $! || { echo "SIGHUP was not ignored"; exit 1; }

# The processes of a reward command, however we end.  It answers nothing.
cat >"$T/reward.sh" <<'END'
sleep 1000 & echo "$$ $!" >"$1.new"
mv "$1.new" "$1"
trap '' TERM
wait
END
for signal in TERM INT HUP KILL QUIT; do
    rm -f "$T/pids"
    (
        ulimit -c 0
        exec env --default-signal=INT,TERM,HUP,QUIT "$GWEN" "${grpo[@]}" --out "$T/r-$signal" \
            --reward-cmd "sh $T/reward.sh $T/pids" 2>/dev/null
    ) &
    pid=$!
    until [ -e "$T/pids" ]; do sleep 0.01; done
    kill -$signal $pid
    wait $pid 2>/dev/null
    for child in $(cat "$T/pids"); do
        for _ in $(seq 500); do
            state=$(sed 's/.*) \(.\).*/\1/' "/proc/$child/stat" 2>/dev/null)
            [ -n "$state" ] && [ "$state" != Z ] || continue 2
            sleep 0.02
        done
        echo "SIG$signal: process $child of the reward command lives on"
        kill -KILL $child
        exit 1
    done
done

# It is stuck, as nobody reads what it writes: further signals are the same one for two seconds, then
# one ends it at once, and that is said.
mkfifo "$T/out" || exit 1
for _ in $(seq 3000); do echo '{"ids": [1, 2, 3, 4, 5, 6, 7, 8]}'; done >"$T/rows.jsonl"
env --default-signal=TERM "$GWEN" score -q --model $model <"$T/rows.jsonl" >"$T/out" 2>"$T/err" &
pid=$!
exec 4<"$T/out"
IFS= read -r _ <&4
busy() { awk '{ print $3, $14, $15 }' /proc/$pid/stat; } # state and time used
until was=$(busy) && sleep 0.5 && [ "$was" = "$(busy)" ] && [ "${was%% *}" = S ]; do :; done
kill -TERM $pid
until grep -q interrupted "$T/err"; do sleep 0.01; done
kill -TERM $pid
sleep 2.2
kill -0 $pid 2>/dev/null || { echo "not stuck"; exit 1; }
kill -TERM $pid
wait $pid
echo "-> $?"
cat "$T/err"
