#!/usr/bin/env bash
# From nothing to a pruned translation model and its BLEU, German to English, through fairseq's own commands.
#
#   bash examples/quickstart.sh                                    sentences of a grammar, offline, minutes
#   CORPUS=multi30k bash examples/quickstart.sh                    real captions, downloaded
#   CORPUS=multi30k DATA_DIR=/path/to/gz bash examples/quickstart.sh    the same from files you have
#
# Three trainings of equal length: a plain transformer, one with grouped heads (GHT), and one whose heads vote
# halfway which of them stay (GHT-PS). The last is then made slim. It ends with a table, and a page of pictures,
# report.html. Variables:
#   WORK                folder of data, checkpoints and logs (default: work/quickstart-$CORPUS)
#   GROUP_LOSS_SCALE    weight of the group constraint (default: that of the criterion)
#   EPOCHS, VOTE_EPOCH  length of each training, and the epoch that begins with the vote (default: by corpus)
set -euo pipefail
CORPUS=${CORPUS:-grammar}
WORK=${WORK:-work/quickstart-$CORPUS}
case $CORPUS in
    grammar)  data=demo.de-en     layers=2 width=128 ffn=256 max_epoch=8 vote_epoch=5 warmup=100 dropout=0.1 ;;
    multi30k) data=multi30k.de-en layers=3 width=128 ffn=512 max_epoch=8 vote_epoch=5 warmup=300 dropout=0.1 ;;
    *) echo "error: CORPUS=$CORPUS: allowed is grammar or multi30k" >&2; exit 2 ;;
esac
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

prepare $data

shape=(--source-lang de --target-lang en --encoder-layers $layers --decoder-layers $layers
    --encoder-embed-dim $width --decoder-embed-dim $width --encoder-ffn-embed-dim $ffn --decoder-ffn-embed-dim $ffn
    --encoder-attention-heads 8 --decoder-attention-heads 8 --share-all-embeddings
    --label-smoothing 0.1 --max-tokens 4096)
grouped=(--user-dir fairseq_ghat --task translation_v2s --arch ghat_transformer
    --criterion group_constrained_label_smoothed_cross_entropy "${groups[@]}")
train_stages --task translation --arch transformer --criterion label_smoothed_cross_entropy

step "translation of the test set"
stages=()
generate() {  # generate NAME CHECKPOINT
    # --required-batch-size-multiple 1: with its default of 8, fairseq-fixed leaves out the last sentences.
    logged "$WORK/$1.generate.log" "Translated" python scripts/with_log.py fairseq-generate "$WORK/bin" \
        --user-dir fairseq_ghat --path "$2" --source-lang de --target-lang en --gen-subset test --beam 5 \
        --batch-size 128 --required-batch-size-multiple 1 --remove-bpe sentencepiece --no-progress-bar $device
    stages+=(--stage "$1" "$WORK/$1.generate.log" "$2")
}
generate plain "$WORK/plain/checkpoint_last.pt"
generate grouped "$WORK/ght/checkpoint_last.pt"
generate voted "$WORK/ght-ps/checkpoint_last.pt"
generate slim "$WORK/slim.pt"
into "$WORK/score.json" ghat-score "$WORK/raw/test.en" "$WORK"/{plain,grouped,voted,slim}.generate.log --json

page
table --reference "$WORK/raw/test.en" "${stages[@]}"
