"""BLEU's tokenizer by target language, what BLEU is made of, and tokenizers that cannot be used."""

import logging
import math
import ssl
import urllib.request
from urllib.error import URLError

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers import tokenizer_ja_mecab, tokenizer_ko_mecab, tokenizer_spm

from fairseq_ghat.evaluation.bleu import BadTokenizer, bleu_metric
from fairseq_ghat.evaluation.scoring import score_systems

CHINESE = ["今天天气很好", "他住在北京"]
JAPANESE = ["今日は天気がいいですね。", "彼女は東京に住んでいます。"]
ENGLISH = ["The weather is fine today."]


@pytest.mark.parametrize("language", ["zh", "zh_CN", "zh-TW", "ZH"])
def test_chinese_is_cut_into_characters(language):
    """By hand: 5 of 6 and 5 of 5 characters match, 3 + 4 bigrams of 5 + 4, 2 + 3 of 4 + 3, and 1 + 2 of 3 + 2."""
    hypotheses = ["今天天气不好", "他住在北京"]
    metric = bleu_metric([CHINESE], target_lang=language)
    score = metric.corpus_score(hypotheses, [CHINESE])
    assert score.precisions == pytest.approx([1000 / 11, 700 / 9, 500 / 7, 300 / 5])
    assert score.score == BLEU(trg_lang="zh").corpus_score(hypotheses, [CHINESE]).score
    assert "tok:zh" in str(metric.get_signature())


@pytest.mark.parametrize("language", [None, "de", "en", "target", "zhx"])
def test_other_languages_have_sacrebleus_default(language):
    assert bleu_metric([ENGLISH], target_lang=language).tokenizer_signature == BLEU().tokenizer_signature == "13a"


@pytest.mark.parametrize("language,module", [("ja", "MeCab"), ("ja_XX", "MeCab"), ("ko_KR", "mecab_ko")])
def test_mecab_is_for_japanese_and_korean(language, module):
    pytest.importorskip(module, reason=f"{module} is not installed: pip install sacrebleu[{language[:2]}]")
    hypotheses = [text.replace("天気", "空気") for text in JAPANESE]
    score = bleu_metric([JAPANESE], target_lang=language).corpus_score(hypotheses, [JAPANESE])
    assert score.score == BLEU(trg_lang=language[:2]).corpus_score(hypotheses, [JAPANESE]).score
    assert 10 < score.score < 100


@pytest.mark.parametrize("tokenizer,language", [("char", None), ("char", "ja"), ("13a", "zh"), ("intl", "de")])
def test_a_tokenizer_that_is_given_is_taken(tokenizer, language):
    assert bleu_metric([ENGLISH], tokenize=tokenizer, target_lang=language).tokenizer_signature == tokenizer


@pytest.mark.parametrize("module,language", [(tokenizer_ja_mecab, "ja"), (tokenizer_ko_mecab, "ko_KR")])
@pytest.mark.parametrize("given", [True, False])
def test_mecab_that_is_missing_is_named(monkeypatch, module, language, given):
    monkeypatch.setattr(module, "MeCab", None)
    extra = language[:2]
    options = {"tokenize": f"{extra}-mecab"} if given else {"target_lang": language}
    with pytest.raises(BadTokenizer) as refused:
        bleu_metric([JAPANESE], **options)
    of = "" if given else rf" (of target language {language})"
    assert str(refused.value).startswith(f"--tokenize {extra}-mecab{of}: cannot be used (")
    assert f'; pip install "sacrebleu[{extra}]"; allowed is ' in str(refused.value)
    assert "13a" in str(refused.value).partition("allowed is ")[2] and "\n" not in str(refused.value)


def test_an_unknown_tokenizer_is_refused_with_those_allowed():
    with pytest.raises(BadTokenizer, match="--tokenize nonsense: allowed is .*13a, .*ja-mecab.*flores200"):
        bleu_metric([ENGLISH], tokenize="nonsense")


@pytest.mark.parametrize("error", [URLError("no network"), ssl.SSLError("no certificate")])
@pytest.mark.parametrize("tokenizer", ["flores101", "flores200", "spm"])
def test_a_model_that_cannot_be_fetched_is_told(monkeypatch, tmp_path, tokenizer, error):
    """After the second error, sacrebleu ends the program."""

    def unreachable(*_):
        raise error

    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(BadTokenizer, match=f"--tokenize {tokenizer}: cannot be used .*over the network.*allowed is"):
        bleu_metric([ENGLISH], tokenize=tokenizer)


@pytest.mark.parametrize(
    "texts,tokenizer,warned",
    [
        (JAPANESE, None, True),
        (JAPANESE, "intl", True),
        (JAPANESE, "char", False),
        (["สวัสดีครับผมชื่อสมชายและผมอาศัยอยู่ที่กรุงเทพฯ มาสิบปีแล้วครับ"], None, True),
        (["Suomalaisista lääkäreistä vain osa kannattaa uutta kansanterveyslakia."], None, False),
        (ENGLISH, None, False),
    ],
    ids=["Japanese", "intl", "char", "Thai", "Finnish", "English"],
)
def test_text_without_spaces_is_warned_of(caplog, texts, tokenizer, warned):
    with caplog.at_level(logging.WARNING, "fairseq_ghat"):
        score_systems({"same": texts}, [texts, [None] * len(texts)], "bleu", tokenize=tokenizer, resamples=2)
    assert ("the references have almost no spaces" in caplog.text) == warned
    assert ("--target-lang (ja, ko, zh) or --tokenize" in caplog.text) == warned


def test_parts_worked_out_by_hand():
    """All 5 words match, 3 of 4 pairs, 1 of 3 triples, none of 2 fours; the reference has 7 words."""
    references, hypotheses = [["the old cat sat on the mat"]], ["the cat sat on mat"]
    parts = score_systems({"it": hypotheses}, references, "bleu", resamples=2)["BLEU"]["it"].parts
    assert parts.precisions == pytest.approx([100, 50, 100 / 3, 100 / (2 * 2)])
    assert parts.brevity_penalty == pytest.approx(math.exp(1 - 7 / 5))
    assert (parts.hypothesis_length, parts.reference_length) == (5, 7)
