#!/usr/bin/env bash
# From nothing to a pruned language model and its perplexity, through fairseq's own commands.
#
#   bash examples/quickstart_lm.sh                                     English that Python ships, offline, minutes
#   CORPUS=wikitext2 bash examples/quickstart_lm.sh                    WikiText-2, downloaded
#   CORPUS=wikitext2 DATA_DIR=/path/to/texts bash examples/quickstart_lm.sh    the same from files you have
#
# Stages and variables are those of quickstart.sh; WORK is work/quickstart-lm-$CORPUS by default.
set -euo pipefail
CORPUS=${CORPUS:-pydoc}
WORK=${WORK:-work/quickstart-lm-$CORPUS}
case $CORPUS in
    pydoc)     # A small text: in pieces of words, scored by one softmax that shares its weights with the embedding.
        data=demo-lm layers=2 width=128 ffn=256 block=64 max_tokens=512 warmup=200 dropout=0.2 max_epoch=12 vote_epoch=7
        vocabulary=(--share-decoder-input-output-embed) loss=cross_entropy subwords=(--remove-bpe sentencepiece) ;;
    wikitext2) # Words as they are, as the field reports WikiText: adaptive input and softmax, in the paper's manner.
        data=wikitext-2 layers=4 width=256 ffn=512 block=128 max_tokens=2048 warmup=400 dropout=0.1 max_epoch=4 vote_epoch=3
        vocabulary=(--adaptive-input --adaptive-input-cutoff 2000,10000 --adaptive-softmax-cutoff 2000,10000
            --tie-adaptive-weights --tie-adaptive-proj --ddp-backend legacy_ddp)
        loss=adaptive_loss subwords=() ;;
    *) echo "error: CORPUS=$CORPUS: allowed is pydoc or wikitext2" >&2; exit 2 ;;
esac
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

prepare $data

shape=(--decoder-layers $layers --decoder-embed-dim $width --decoder-input-dim $width --decoder-output-dim $width
    --decoder-ffn-embed-dim $ffn --decoder-attention-heads 8 --decoder-normalize-before "${vocabulary[@]}"
    --tokens-per-sample $block --max-tokens $max_tokens --clip-norm 0.25)
grouped=(--user-dir fairseq_ghat --task language_modeling_v2s --arch ghat_transformer_lm
    --criterion group_constrained_$loss "${groups[@]}")
train_stages --task language_modeling --arch transformer_lm --criterion $loss

step "perplexity of all, under the same window"
plain=$WORK/plain/checkpoint_last.pt ght=$WORK/ght/checkpoint_last.pt
voted=$WORK/ght-ps/checkpoint_last.pt slim=$WORK/slim.pt
into "$WORK/perplexity.json" ghat-perplexity "$WORK/bin" "$plain" "$ght" "$voted" "$slim" --gen-subset valid,test \
    --tokens-per-sample $block --context-window $((block / 2)) ${subwords[@]+"${subwords[@]}"} --json $device

page
table --perplexity "$WORK/perplexity.json" --stage plain "$plain" --stage grouped "$ght" --stage voted "$voted" \
    --stage slim "$slim"
