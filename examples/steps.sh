# Sourced by the quickstarts, which set WORK, max_epoch, vote_epoch, warmup and dropout: finds or makes an environment,
# and shows each command before it runs it. The trainings also want the arrays shape (of the model) and grouped (of ours).
max_epoch=${EPOCHS:-$max_epoch} vote_epoch=${VOTE_EPOCH:-$vote_epoch} started=$SECONDS
if ! [[ $vote_epoch =~ ^[1-9][0-9]*$ && $max_epoch =~ ^[1-9][0-9]*$ ]] || ((vote_epoch > max_epoch)); then
    echo "error: VOTE_EPOCH=$vote_epoch: allowed is 1 to EPOCHS=$max_epoch" >&2; exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"
cd "$repository"
install_missing report
if [ -n "${DATA_DIR:-}" ] && [ ! -d "$DATA_DIR" ]; then
    echo "error: DATA_DIR=$DATA_DIR: no such folder" >&2; exit 2
fi
device=$(python -c 'import torch; print("" if torch.cuda.is_available() else "--cpu")')
# Training on the CPU allocates large tensors over and over: glibc keeps freed memory instead of returning it.
export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-2000000000} MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-8000000000}
mkdir -p "$WORK"
optimisation=(--optimizer adam --adam-betas '(0.9, 0.98)' --lr 2e-3 --lr-scheduler inverse_sqrt --warmup-updates $warmup
    --weight-decay 1e-4 --dropout $dropout --max-epoch $max_epoch --seed 1 --num-workers 0 $device
    --no-epoch-checkpoints --log-format simple --log-interval 50)
groups=(--head-groups 2 --group-feature value ${GROUP_LOSS_SCALE:+--group-loss-scale "$GROUP_LOSS_SCALE"})

step() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }
show() { printf '$'; printf ' %q' "$@"; printf '\n'; "$@"; }
into() {  # into FILE COMMAND...: shows the command, whose output goes into the file, whole or not at all
    local file=$1; shift
    printf '$'; printf ' %q' "$@"; printf ' > %s\n' "$file"
    "$@" > "$file.part"
    mv "$file.part" "$file"
}
logged() {  # logged LOG PATTERN COMMAND...: shows the command and, as they come, the log lines that match
    local log=$1 pattern=$2; shift 2
    printf '$'; printf ' %q' "$@"; printf ' > %s\n' "$log"
    if ! "$@" 2>&1 | tee "$log.part" | while IFS= read -r line; do  # awk would hold lines back
        if [[ $line =~ $pattern ]]; then line=${line#*|}; printf '  %s\n' "${line#*| }"; fi
    done; then
        tail -n 20 "$log.part" >&2
        echo "failed; the whole log is $log.part" >&2
        exit 1
    fi
    mv "$log.part" "$log"
}
prepare() {  # prepare SET: data for fairseq in WORK; what is not made on the spot comes from DATA_DIR, if given
    step "data"
    case $1 in
        demo*) show python scripts/prepare_data.py "$1" "$WORK" ;;
        *) show python scripts/prepare_data.py "$1" "$WORK" ${DATA_DIR:+--source "$DATA_DIR"} ;;
    esac
}
train() {  # train NAME OPTION...: fairseq-train of the model shape and with the optimisation of this quickstart
    local name=$1; shift
    rm -rf "${WORK:?}/$name"
    logged "$WORK/$name.train.log" '[|] valid [|]|vote: .*keeps|vote: begins|vote: done' fairseq-train "$WORK/bin" \
        "$@" "${shape[@]}" "${optimisation[@]}" --save-dir "$WORK/$name"
}
train_stages() {  # train_stages OPTION...: plain (task, arch and criterion given), GHT, GHT-PS, and GHT-PS made slim
    step "plain transformer: fairseq's own model"
    train plain "$@"
    step "GHT: grouped heads, constraint all the way"
    train ght "${grouped[@]}"
    step "GHT-PS: constraint up to epoch $((vote_epoch - 1)), then the vote, then fine-tuning of the heads that stay"
    train ght-ps "${grouped[@]}" --vote-epoch "$vote_epoch"
    step "the slim model"
    show ghat-slim "$WORK/ght-ps/checkpoint_last.pt" "$WORK/slim.pt"
}
analyze() {  # analyze CHECKPOINT FILE: which heads of it are alike
    into "$2" ghat-analyze "$1" "$WORK/bin" --groups 2 --json --no-progress-bar $device
}
page() {  # page: the three trainings and their heads in pictures
    step "heads before and after, and one page of pictures"
    analyze "$WORK/plain/checkpoint_last.pt" "$WORK/plain/analysis.json"
    analyze "$WORK/ght/checkpoint_last.pt" "$WORK/ght/analysis.json"
    local before=$WORK/ght-ps/before_vote.checkpoint_best.pt  # not there if the vote was before the first epoch
    [ ! -f "$before" ] || analyze "$before" "$WORK/ght-ps/analysis.before.json"
    analyze "$WORK/ght-ps/checkpoint_last.pt" "$WORK/ght-ps/analysis.json"
    show ghat-report "$WORK/report.html" "$WORK/plain" "$WORK/ght" "$WORK/ght-ps" --no-progress-bar
}
table() {  # table OPTION...: of the stages
    step "result"
    python scripts/stage_table.py "$@" | tee "$WORK/table.txt"
    printf 'finished in %d s after the install; everything is in %s, pictures in %s\n' $((SECONDS - started)) \
        "$WORK" "$WORK/report.html"
    [ -z "${activate:-}" ] || printf 'for commands of your own: source %s\n' "$activate"
}
