#!/bin/bash
# run.sh [EVERY] - every command once for each place where an allocation or a call of the system can
# fail: it either ends with what it ends with otherwise, byte for byte, or with status 1 and a line
# that says why.  No crash, no other answer, and nothing that is half done under a final name.
#
#   EVERY   one place in so many (1: all of them, which takes minutes)
#   GWEN    the program (build/gwen-cpu)
#
# The last line counts; the status is 0 when nothing was found.
set -u
cd "$(dirname "$0")/../.." || exit 1
every=${1:-1}
gwen=$(realpath "${GWEN:-build/gwen-cpu}")
work=$(mktemp -d "${TMPDIR:-/tmp}/gwen-faults-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache LC_ALL=C.UTF-8 GWEN_ISA=avx2
"${CC:-gcc}" -O1 -shared -fPIC -o "$work/inject.so" tests/faults/inject.c -ldl || exit 1

model=$PWD/examples/arithmetic/model
printf '{"prompt":"%s","answer":"%s"}\n' 57+21= 78 12+30= 42 11+11= 22 >"$work/prompts"
printf '{"prompt":"%s","completion":"%s"}\n' 1+1= 2 2+2= 4 >"$work/pairs"
printf '{"text":"%s"}\n' 1+1=2 12 >"$work/texts"
printf '{"prompt":"1+1=","response":"%s"}\n' 2 3 >"$work/answers"
cat >"$work/rubric" <<'END'
{"system":"1+1","template":"{prompt}{response}={criterion}",
 "criteria":[{"name":"kind","description":"1+2=","weight":1}]}
END
train=(train -q -t 1 -m "$model" -p "$work/prompts" -r exact --max_steps 1 --num_generations 2
    --per_device_train_batch_size 2 --max_completion_length 3 --use_peft)
"$gwen" "${train[@]}" -o "$work/run" >/dev/null || exit 1

# COMMAND NAME INPUT ARGUMENTS...: OUT stands for what the command is to write.
found=0 tried=0 inject=()
# Data that hold times are left out; so are logs, which are appended to.
state() { # FOLDER
    (cd "$1" && find . -type f -not -name '*.jsonl' -not -name '*tfevents*' -not -name state.json \
        -not -name '*.db*' -print0 | sort -z | xargs -0r sha256sum)
    (cd "$1" && find . -name 'out.jsonl' -o -path '*rollouts/*' -name '*.jsonl' | sort | xargs -r sha256sum)
}
once() { # FOLDER INPUT ARGUMENTS...: runs it in an empty folder
    local folder=$1 input=$2
    shift 2
    rm -rf "$folder"
    mkdir -p "$folder"
    timeout -k 5 60 env "${inject[@]}" "$gwen" "${@//OUT/$folder}" <"$input" 2>"$work/err" |
        sed 's/,"time[^}]*//; s/"seconds":[0-9.e-]*//g; s/ | [0-9.]*s | .*//' >"$folder/stdout"
    return "${PIPESTATUS[0]}"
}
command() {
    local name=$1 input=$2 kind number rc
    shift 2
    inject=(-u LD_PRELOAD)
    once "$work/ref" "$input" "$@" || { echo "$name fails as it is: $(cat "$work/err")"; exit 1; }
    state "$work/ref" >"$work/wanted"
    for kind in mem open,read,write,fsync,rename,stat,mkdir,unlink,truncate; do
        inject=("LD_PRELOAD=$work/inject.so" "FAULT_KIND=$kind" "FAULT_SITES=$work/sites")
        once "$work/x" "$input" "$@"
        for number in $(awk -v every="$every" 'NR % every == 0' "$work/sites"); do
            inject=("LD_PRELOAD=$work/inject.so" "FAULT_KIND=$kind" "FAULT_AT=$number")
            once "$work/x" "$input" "$@"
            rc=$?
            tried=$((tried + 1))
            case $rc in
            0) state "$work/x" | cmp -s - "$work/wanted" ||
                report "$name" "$kind" "$number" "another result, status 0" ;;
            1) [ "$(grep -c . "$work/err")" -ge 1 ] ||
                report "$name" "$kind" "$number" "status 1 without a word" ;;
            *) report "$name" "$kind" "$number" "status $rc: $(head -n 1 "$work/err")" ;;
            esac
            [ $rc -eq 0 ] || whole || report "$name" "$kind" "$number" "something half done"
        done
    done
}
report() {
    found=$((found + 1))
    echo "$1: $2 call $3 fails: $4"
}
# What has a final name is what it is to be: every file that is there is one of the wanted.
whole() {
    local file
    [ -d "$work/x" ] || return 0
    while read -r file; do
        case $file in
        ./stdout | */metrics.jsonl | *tfevents* | *.part | *.tmp/* | */.gw-* | *.db* | */state.json) continue ;;
        esac
        cmp -s "$work/x/$file" "$work/ref/$file" && continue
        echo "  $file differs"
        return 1
    done < <(cd "$work/x" && find . -type f)
}

command tokenize "$work/texts" tokenize -m "$model"
command score "$work/pairs" score -q -t 1 -m "$model"
command rollout /dev/null rollout -q -t 1 -m "$model" -p "$work/prompts" -n 2 --max-tokens 3 -o OUT/out.jsonl
command eval /dev/null eval -q -t 1 -m "$model" --task qa -d "$work/prompts" -k 1 --max-tokens 3 --out OUT/out.jsonl
command judge "$work/answers" judge -q -t 1 -m "$model" --rubric "$work/rubric" --cache OUT/cache.db
command train /dev/null "${train[@]}" -o OUT/run
command sft /dev/null sft -q -t 1 -m "$model" -d "$work/pairs" -o OUT/run --max_steps 1 --per_device_train_batch_size 1 --use_peft
command report /dev/null report "$work/run" --out OUT/report.html
command export /dev/null export -q -t 1 --merge -m "$model" --adapter "$work/run" -o OUT/merged
echo "faults: $tried tried, $found found"
[ $found -eq 0 ]
