#!/usr/bin/env bash
# From nothing to a pruned language model and its perplexity, through fairseq's own commands.
#
#   bash examples/quickstart_lm.sh                                     English that Python ships, offline, minutes
#   CORPUS=wikitext2 bash examples/quickstart_lm.sh                    WikiText-2, downloaded
#   CORPUS=wikitext2 DATA_DIR=/path/to/texts bash examples/quickstart_lm.sh    the same from files you have
#
# Three trainings of equal length: a plain transformer, one with grouped heads (GHT), and one whose heads vote
# halfway which of them stay (GHT-PS). The last is then made slim. Variables:
#   WORK                folder of data, checkpoints and logs (default: work/quickstart-lm-$CORPUS)
#   GROUP_LOSS_SCALE    weight of the group constraint (default: that of the criterion)
#   EPOCHS, VOTE_EPOCH  length of each training, and the epoch that begins with the vote (default: by corpus)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"
cd "$repository"

CORPUS=${CORPUS:-pydoc}
WORK=${WORK:-work/quickstart-lm-$CORPUS}
case $CORPUS in
    pydoc)     layers=2 width=128 ffn=256 block=64 max_tokens=512 warmup=200 dropout=0.2 max_epoch=12 vote_epoch=7 ;;
    wikitext2) layers=4 width=256 ffn=512 block=128 max_tokens=2048 warmup=400 dropout=0.1 max_epoch=4 vote_epoch=3 ;;
    *) echo "error: CORPUS=$CORPUS: allowed is pydoc or wikitext2" >&2; exit 2 ;;
esac
max_epoch=${EPOCHS:-$max_epoch} vote_epoch=${VOTE_EPOCH:-$vote_epoch}
source examples/steps.sh

step "data"
if [ "$CORPUS" = pydoc ]; then
    # A small text: in pieces of words, scored by one softmax that shares its weights with the embedding.
    show python scripts/experiments/corpora/demo/make_english_text.py "$WORK/topics"
    show python scripts/prepare_data.py own "$WORK" --source "$WORK/topics" --languages en --vocab 2000
    vocabulary=(--share-decoder-input-output-embed) loss=cross_entropy subwords=(--remove-bpe sentencepiece)
else
    # Words as they are, as the field reports WikiText: adaptive input and softmax, in the paper's manner.
    show python scripts/prepare_data.py wikitext-2 "$WORK" ${DATA_DIR:+--source "$DATA_DIR"}
    vocabulary=(--adaptive-input --adaptive-input-cutoff 2000,10000 --adaptive-softmax-cutoff 2000,10000
        --tie-adaptive-weights --tie-adaptive-proj --ddp-backend legacy_ddp)
    loss=adaptive_loss subwords=()
fi

shape=(--decoder-layers $layers --decoder-embed-dim $width --decoder-input-dim $width --decoder-output-dim $width
    --decoder-ffn-embed-dim $ffn --decoder-attention-heads 8 --decoder-normalize-before "${vocabulary[@]}")
optimisation=(--tokens-per-sample $block --max-tokens $max_tokens --optimizer adam --adam-betas '(0.9, 0.98)'
    --lr 2e-3 --lr-scheduler inverse_sqrt --warmup-updates $warmup --weight-decay 1e-4 --dropout $dropout
    --clip-norm 0.25 --max-epoch $max_epoch --seed 1 --num-workers 0 $device --no-epoch-checkpoints
    --log-format simple --log-interval 50)
grouped=(--user-dir fairseq_ghat --task language_modeling_v2s --arch ghat_transformer_lm
    --criterion group_constrained_$loss --head-groups 2 --group-feature value
    ${GROUP_LOSS_SCALE:+--group-loss-scale "$GROUP_LOSS_SCALE"})

train_stages --task language_modeling --arch transformer_lm --criterion $loss

step "perplexity of all, under the same window"
into "$WORK/perplexity.json" ghat-perplexity "$WORK/bin" "$WORK/plain/checkpoint_last.pt" "$WORK/ght/checkpoint_last.pt" \
    "$WORK/ght-ps/checkpoint_last.pt" "$WORK/slim.pt" --gen-subset valid,test --tokens-per-sample $block \
    --context-window $((block / 2)) ${subwords[@]+"${subwords[@]}"} --json $device

step "result"
python scripts/perplexity_table.py "$WORK/perplexity.json" --stage plain "$WORK/plain/checkpoint_last.pt" \
    --stage grouped "$WORK/ght/checkpoint_last.pt" --stage voted "$WORK/ght-ps/checkpoint_last.pt" \
    --stage slim "$WORK/slim.pt" | tee "$WORK/table.txt"
printf 'finished in %d s after the install; everything is in %s\n' $((SECONDS - started)) "$WORK"
