# level: any
# A hub id is looked up where huggingface_hub keeps its cache.
unset HF_HUB_CACHE HF_HOME XDG_CACHE_HOME
"$GWEN" init -q --preset tiny --out "$T/model" || exit 1
commit=0123456789abcdef0123456789abcdef01234567
snapshot() { # root
    mkdir -p "$1/models--Org--Name/refs" "$1/models--Org--Name/snapshots"
    printf %s $commit >"$1/models--Org--Name/refs/main"
    cp -r "$T/model" "$1/models--Org--Name/snapshots/$commit"
}
snapshot "$T/a" && snapshot "$T/b/hub" && snapshot "$T/c/huggingface/hub" &&
    snapshot "$T/d/.cache/huggingface/hub" || exit 1
find_in() { "$GWEN" info --model Org/Name | sed -n "s|^model  *$T/||p"; }
HOME=$T/d find_in
XDG_CACHE_HOME=$T/c HOME=$T/d find_in
HF_HOME=$T/b XDG_CACHE_HOME=$T/c HOME=$T/d find_in
HF_HUB_CACHE=$T/a HF_HOME=$T/b XDG_CACHE_HOME=$T/c HOME=$T/d find_in
HF_HUB_CACHE=$T/a "$GWEN" info --model Org/Name@$commit | grep -c "^model .*snapshots/$commit\$"
HF_HUB_CACHE=$T/a "$GWEN" info --model Org/Other 2>&1 | sed "s|$T/||"
HF_HUB_CACHE=$T/a "$GWEN" info --model "$T/nothing" 2>&1 | sed "s|$T/||"
