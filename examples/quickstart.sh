#!/usr/bin/env bash
# From nothing to a pruned translation model and its BLEU, German to English, through fairseq's own commands.
#
#   bash examples/quickstart.sh                                    bundled corpus, offline, minutes
#   CORPUS=multi30k bash examples/quickstart.sh                    real captions, downloaded
#   CORPUS=multi30k DATA_DIR=/path/to/gz bash examples/quickstart.sh    the same from files you have
#
# Three trainings of equal length: a plain transformer, one with grouped heads (GHT), and one whose heads vote
# halfway which of them stay (GHT-PS). The last is then made slim. Variables:
#   WORK                folder of data, checkpoints and logs (default: work/quickstart-$CORPUS)
#   GROUP_LOSS_SCALE    weight of the group constraint (default: that of the criterion)
#   EPOCHS, VOTE_EPOCH  length of each training, and the epoch that begins with the vote (default: by corpus)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"
cd "$repository"

CORPUS=${CORPUS:-grammar}
WORK=${WORK:-work/quickstart-$CORPUS}
case $CORPUS in
    grammar)  layers=2 width=128 ffn=256 max_epoch=8 vote_epoch=5 warmup=100 ;;
    multi30k) layers=3 width=128 ffn=512 max_epoch=8  vote_epoch=5 warmup=300 ;;
    *) echo "error: CORPUS=$CORPUS: allowed is grammar or multi30k" >&2; exit 2 ;;
esac
max_epoch=${EPOCHS:-$max_epoch} vote_epoch=${VOTE_EPOCH:-$vote_epoch}
source examples/steps.sh

step "data"
if [ "$CORPUS" = grammar ]; then
    show python scripts/experiments/corpora/demo/make_corpus.py "$WORK/grammar" --train 7000
    show python scripts/prepare_data.py own "$WORK" --source "$WORK/grammar" --languages de en --vocab 1000
else
    show python scripts/prepare_data.py multi30k.de-en "$WORK" ${DATA_DIR:+--source "$DATA_DIR"}
fi

shape=(--source-lang de --target-lang en --encoder-layers $layers --decoder-layers $layers
    --encoder-embed-dim $width --decoder-embed-dim $width
    --encoder-ffn-embed-dim $ffn --decoder-ffn-embed-dim $ffn
    --encoder-attention-heads 8 --decoder-attention-heads 8 --share-all-embeddings)
optimisation=(--optimizer adam --adam-betas '(0.9, 0.98)' --lr 2e-3 --lr-scheduler inverse_sqrt
    --warmup-updates $warmup --weight-decay 1e-4 --dropout 0.1 --label-smoothing 0.1
    --max-tokens 4096 --max-epoch $max_epoch --seed 1 --num-workers 0 $device
    --no-epoch-checkpoints --log-format simple --log-interval 50)
grouped=(--user-dir fairseq_ghat --task translation_v2s --arch ghat_transformer
    --criterion group_constrained_label_smoothed_cross_entropy --head-groups 2 --group-feature value
    ${GROUP_LOSS_SCALE:+--group-loss-scale "$GROUP_LOSS_SCALE"})

train_stages --task translation --arch transformer --criterion label_smoothed_cross_entropy

step "translation of the test set"
generate() {  # generate NAME CHECKPOINT
    # --required-batch-size-multiple 1: with its default of 8, fairseq-fixed leaves out the last sentences.
    logged "$WORK/$1.generate.log" "Translated" python scripts/with_log.py fairseq-generate "$WORK/bin" \
        --user-dir fairseq_ghat --path "$2" --source-lang de --target-lang en --gen-subset test --beam 5 \
        --batch-size 128 --required-batch-size-multiple 1 --remove-bpe sentencepiece --no-progress-bar $device
}
generate plain "$WORK/plain/checkpoint_last.pt"
generate grouped "$WORK/ght/checkpoint_last.pt"
generate voted "$WORK/ght-ps/checkpoint_last.pt"
generate slim "$WORK/slim.pt"

step "result"
python scripts/stage_table.py --reference "$WORK/raw/test.en" \
    --stage plain "$WORK/plain.generate.log" "$WORK/plain/checkpoint_last.pt" \
    --stage grouped "$WORK/grouped.generate.log" "$WORK/ght/checkpoint_last.pt" \
    --stage voted "$WORK/voted.generate.log" "$WORK/ght-ps/checkpoint_last.pt" \
    --stage slim "$WORK/slim.generate.log" "$WORK/slim.pt" | tee "$WORK/table.txt"
printf 'finished in %d s after the install; everything is in %s\n' $((SECONDS - started)) "$WORK"
