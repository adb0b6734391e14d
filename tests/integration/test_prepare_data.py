"""prepare_data.py on every corpus, from miniature archives that a local server hands out, without a network."""

import json
import subprocess
import sys

import miniature_archives
import prepare_data
import pytest
import sentencepiece
from commands import MODEL, REPOSITORY, TRAIN, generated, run
from fairseq.data import Dictionary, data_utils
from prepared_text import SPLITS, prepare, read, rows

from fairseq_ghat.cli import translate
from fairseq_ghat.evaluation.generation_log import read_generation_log


def decoded(out, suffixes):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(out / "pieces" / "spm.model"))
    return {
        split: [tuple(pieces.decode(side.split()) for side in row) for row in found]
        for split, found in rows(out / "pieces", suffixes).items()
    }


def lowered(found):
    return {split: [tuple(side.lower() for side in row) for row in texts] for split, texts in found.items()}


def sizes(found):
    return {split: len(texts) for split, texts in found.items()}


# ------------------------------------------------------------------------------ the sets


@pytest.mark.parametrize(
    "name,direction,tedx",
    [
        ("iwslt14.de-en", "de-en", "dev2012"),
        ("iwslt14.en-de", "de-en", "dev2012"),
        ("iwslt14.it-en", "it-en", "dev2014"),
        ("iwslt14.en-it", "it-en", "dev2014"),
        ("iwslt14.en-fr", "fr-en", "dev2012"),
    ],
    ids=lambda value: value,
)
def test_iwslt14(tmp_path, server, miniature, name, direction, tedx):
    expected = miniature_archives.iwslt14(server.folder, direction, tedx)
    source, target = name.partition(".")[2].split("-")
    if [source, target] != direction.split("-"):
        expected = {split: [pair[::-1] for pair in pairs] for split, pairs in expected.items()}
    prepared = prepare(tmp_path, server, name, "--vocab", 60, "--until", "subwords")
    out = tmp_path / "out"
    assert rows(out / "raw", (source, target)) == expected
    assert decoded(out, (source, target)) == lowered(expected), "lower-cased for the model, not in raw"
    assert prepared == {
        "set": name,
        "task": "translation",
        "source_lang": source,
        "target_lang": target,
        "until": "subwords",
        "subwords": "sentencepiece",
        "tokenizer": None,
        "lowercase": True,
        "vocab": 60,
        "joined_dictionary": False,
        "sentences": sizes(expected),
        "references": {"valid": f"raw/valid.{target}", "test": f"raw/test.{target}"},
        "sha256": {f"{direction}.tgz": prepared["sha256"][f"{direction}.tgz"]},
    }
    assert not (out / "bin").exists() and not list(out.rglob("*.part*"))


def test_iwslt14_en_fr_without_a_set_of_tedx_talks_goes_without_and_says_so(tmp_path, server, miniature, capsys):
    expected = miniature_archives.iwslt14(server.folder, "en-fr", without="TEDX.dev2012")
    prepare(tmp_path, server, "iwslt14.en-fr", "--until", "raw")
    assert rows(tmp_path / "out" / "raw", ("en", "fr")) == expected
    assert "en-fr.tgz: has no IWSLT14.TEDX.dev2012; the test set goes without" in capsys.readouterr().out


@pytest.mark.parametrize("other", ["de", "fr"])
def test_wmt14(tmp_path, server, miniature, other):
    expected = miniature_archives.wmt14(server.folder, other)
    prepared = prepare(tmp_path, server, f"wmt14.en-{other}", "--vocab", 70, "--until", "subwords", "--workers", 2)
    out = tmp_path / "out"
    raw = rows(out / "raw", ("en", other))
    assert raw["valid"] == expected["valid"] and raw["test"] == expected["test"]
    assert decoded(out, ("en", other)) == raw, "the same sentences in both, cased"
    lengths = {
        row: [len(side.split()) for side in pieces]
        for row, pieces in zip(raw["train"], rows(out / "pieces", ("en", other))["train"])
    }
    assert all(2 * max(pair) <= 3 * min(pair) for pair in lengths.values())
    kept = [pair for pair in expected["train"] if pair in lengths]
    assert raw["train"] == kept and len(kept) > 0.7 * len(expected["train"])
    assert ("mal", "") not in kept and ("bal bas", "bal bas") in kept
    assert prepared["sentences"] == sizes(raw) and prepared["lowercase"] is False
    assert prepared["joined_dictionary"] is True


def test_wikitext_103_becomes_a_language_model_of_words(tmp_path, server, miniature):
    expected = miniature_archives.wikitext(server.folder, "103")
    prepared = prepare(tmp_path, server, "wikitext-103")
    out = tmp_path / "out"
    assert {split: read(out / "raw" / f"{split}.en") for split in SPLITS} == expected
    assert not (out / "pieces").exists()
    assert prepared["task"] == "language_modeling" and prepared["language"] == "en"
    assert "source_lang" not in prepared and prepared["subwords"] is None and prepared["vocab"] is None
    words = Dictionary.load(str(out / "bin" / "dict.txt"))
    known = {word for line in expected["train"] for word in line.split()}
    assert {word for word in words.symbols[words.nspecial :] if not word.startswith("madeupword")} == known - {"<unk>"}
    for split in SPLITS:
        data = data_utils.load_indexed_dataset(str(out / "bin" / split), words)
        assert [words.string(sentence) for sentence in data] == [
            " ".join(word if word in known else "<unk>" for word in line.split()) for line in expected[split]
        ]
    assert not list(out.rglob("*.part"))


def test_wikitext_2_from_its_archive_where_the_site_has_no_texts(tmp_path, server, miniature):
    expected = miniature_archives.wikitext(server.folder, "2")
    prepared = prepare(tmp_path, server, "wikitext-2", "--until", "raw")
    assert {split: read(tmp_path / "out" / "raw" / f"{split}.en") for split in SPLITS} == expected
    assert list(prepared["sha256"]) == ["wikitext-2-v1.zip"]


def test_wikitext_2_from_its_texts_plain_or_packed(tmp_path, server, miniature):
    expected = miniature_archives.wikitext2_texts(server.folder)
    prepared = prepare(tmp_path, server, "wikitext-2", "--until", "raw")
    assert {split: read(tmp_path / "out" / "raw" / f"{split}.en") for split in SPLITS} == expected
    assert sorted(prepared["sha256"]) == ["test.txt", "train.txt.gz", "valid.txt"]


def test_multi30k(tmp_path, server, miniature):
    expected = miniature_archives.multi30k(server.folder)
    prepared = prepare(tmp_path, server, "multi30k.de-en", "--vocab", 60, "--until", "subwords")
    assert rows(tmp_path / "out" / "raw", ("de", "en")) == expected
    assert decoded(tmp_path / "out", ("de", "en")) == expected
    assert prepared["joined_dictionary"] is True and len(prepared["sha256"]) == 6


def test_cnn_dailymail_becomes_a_data_set_of_summaries(tmp_path, server, miniature, capsys):
    expected = miniature_archives.cnn_dailymail(server.folder)
    prepared = prepare(tmp_path, server, "cnn-dailymail", "--vocab", 70)
    out = tmp_path / "out"
    assert rows(out / "raw", ("source", "target")) == expected
    assert "1 stories without text or summary left out" in capsys.readouterr().out
    assert prepared["task"] == "summarization" and prepared["sentences"] == sizes(expected)
    for split in ("valid", "test"):
        references = [json.loads(line) for line in read(out / prepared["references"][split])]
        assert [one.replace("\n", " ") for (one,) in references] == [summary for _, summary in expected[split]]
        assert all(one.count("\n") == 1 for (one,) in references)  # two highlights
    check_data(out, prepared)


def test_scitldr_keeps_all_references(tmp_path, server, miniature):
    expected = miniature_archives.scitldr(server.folder)
    prepared = prepare(tmp_path, server, "scitldr", "--vocab", 60, "--until", "subwords")
    out = tmp_path / "out"
    raw = rows(out / "raw", ("source", "target"))
    assert raw["train"] == [(source, target) for source, targets in expected["train"] for target in targets]
    for split in ("valid", "test"):
        assert raw[split] == [(source, targets[0]) for source, targets in expected[split]]
        references = out / prepared["references"][split]
        assert [json.loads(line) for line in read(references)] == [targets for _, targets in expected[split]]
        assert any(len(targets) > 1 for _, targets in expected[split])


def test_sigmorphon_2020_is_what_fairseqs_transformer_and_our_commands_read(tmp_path, server, miniature, capsys):
    expected = miniature_archives.sigmorphon2020(server.folder, "vie")
    prepared = prepare(tmp_path, server, "sigmorphon2020.vie")
    out, sides = tmp_path / "out", ("graphemes", "phonemes")
    assert rows(out / "raw", sides) == expected and not (out / "pieces").exists()
    assert (prepared["task"], prepared["subwords"], prepared["vocab"]) == ("translation", None, None)
    assert prepared["references"]["test"] == "raw/test.phonemes" and prepared["sentences"] == sizes(expected)
    check_data(out, prepared)
    stock = MODEL.replace("--share-all-embeddings", "--share-decoder-input-output-embed")
    languages = "--task translation --source-lang graphemes --target-lang phonemes --arch transformer"
    options = f"{languages} --save-dir {tmp_path} --max-epoch 3 --no-epoch-checkpoints {stock} {TRAIN}"
    run(f"fairseq-train {out}/bin {options} --criterion label_smoothed_cross_entropy")
    (tmp_path / "generate.log").write_text(generated(out / "bin", tmp_path / "checkpoint_best.pt"))
    words = [line.partition("\t")[0] for line in read(server.folder / "vie_test.tsv")]
    (tmp_path / "words").write_text("\n".join(words) + "\n", encoding="utf-8")
    for source in (out / "raw" / "test.graphemes", tmp_path / "words"):
        files = (tmp_path / "checkpoint_best.pt", out, source, tmp_path / "translated")
        assert translate.main([*map(str, files), "--beam", "4", "--cpu"]) == 0
        texts = read(tmp_path / "translated")
        assert texts == read_generation_log(tmp_path / "generate.log").hypotheses and any(texts)
    phonemes = {phoneme for _, of_word in expected["train"] for phoneme in of_word.split()}
    assert {phoneme for text in texts for phoneme in text.split()} <= phonemes


def test_own_text_of_two_languages(tmp_path):
    pairs = miniature_archives.sentence_pairs("de", "en", 60, 1)
    for split in SPLITS:
        for side, language in enumerate(("de", "en")):
            (tmp_path / f"{split}.{language}").write_bytes(miniature_archives.text(pair[side] for pair in pairs))
    out = tmp_path / "out"
    options = ["--source", str(tmp_path), "--languages", "de", "en", "--vocab", "60", "--until", "subwords"]
    assert prepare_data.main(["own", str(out), *options]) == 0
    assert rows(out / "raw", ("de", "en")) == decoded(out, ("de", "en")) == {split: pairs for split in SPLITS}
    assert not (out / "download").exists()
    assert len(sentencepiece.SentencePieceProcessor(model_file=str(out / "pieces" / "spm.model"))) == 60


def test_own_text_for_a_language_model_of_words(tmp_path):
    texts = {split: [" a <unk> b-b ", "", f"{split} a"] for split in SPLITS}
    for split, lines in texts.items():
        (tmp_path / f"{split}.en").write_bytes(miniature_archives.text(lines))
    out = tmp_path / "out"
    assert (
        prepare_data.main(["own", str(out), "--source", str(tmp_path), "--languages", "en", "--subwords", "none"]) == 0
    )
    prepared = json.loads((out / "prepared.json").read_text())
    assert (prepared["task"], prepared["subwords"], prepared["vocab"]) == ("language_modeling", None, None)
    assert {split: read(out / "raw" / f"{split}.en") for split in SPLITS} == texts and not (out / "pieces").exists()
    words = Dictionary.load(str(out / "bin" / "dict.txt"))
    test = data_utils.load_indexed_dataset(str(out / "bin" / "test"), words)
    assert [words.string(sentence) for sentence in test] == ["a <unk> b-b", "", "<unk> a"]


def test_sentences_of_the_grammar_are_made_and_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.corpora.demo.sentences.SIZES", {"valid": 9, "test": 8, "train": 300})
    out = tmp_path / "out"
    assert prepare_data.main(["demo.de-en", str(out), "--vocab", "300"]) == 0
    prepared = json.loads((out / "prepared.json").read_text())
    assert (prepared["vocab"], prepared["sentences"], prepared["sha256"]) == (
        300,
        {"train": 300, "valid": 9, "test": 8},
        {},
    )
    assert decoded(out, ("de", "en")) == rows(out / "raw", ("de", "en")) and not (out / "download").exists()
    check_data(out, prepared)


def check_data(out, prepared):
    """fairseq's dictionaries and data hold what the text does that they are made from."""
    source, target = prepared["source_lang"], prepared["target_lang"]
    words = {side: Dictionary.load(str(out / "bin" / f"dict.{side}.txt")) for side in (source, target)}
    assert (words[source] == words[target]) is prepared["joined_dictionary"]
    for split in SPLITS:
        for side in (source, target):
            data = data_utils.load_indexed_dataset(str(out / "bin" / f"{split}.{source}-{target}.{side}"), words[side])
            assert len(data) == prepared["sentences"][split]
            if split == "train":
                text = out / ("pieces" if prepared["subwords"] else "raw")
                assert [words[side].string(sentence) for sentence in data] == read(text / f"train.{side}")


def test_the_command_from_a_shell_with_nothing_known_of_the_archive(tmp_path, server):
    expected = miniature_archives.iwslt14(server.folder, "en-fr")
    out = tmp_path / "out"
    command = [sys.executable, "scripts/prepare_data.py", "iwslt14.en-fr", str(out), "--source", server.url]
    done = subprocess.run([*command, "--vocab", "60"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fairseq-preprocess --source-lang en --target-lang fr --trainpref" in done.stdout
    assert f"train {len(expected['train'])}, valid {len(expected['valid'])}" in done.stdout.splitlines()[-1]
    assert done.stderr == "", "no bars where nobody watches"
    check_data(out, json.loads((out / "prepared.json").read_text()))


# ------------------------------------------------------------------------------ Moses and BPE


@pytest.mark.parametrize("name", ["iwslt14.de-en", "wmt14.en-de"])
def test_moses_tokens_and_bpe(tmp_path, server, miniature, name):
    sacremoses = pytest.importorskip("sacremoses", reason="needs sacremoses and subword-nmt")
    pytest.importorskip("subword_nmt", reason="needs sacremoses and subword-nmt")
    if name == "iwslt14.de-en":
        expected = miniature_archives.iwslt14(server.folder, "de-en")
    else:
        expected = miniature_archives.wmt14(server.folder, "de")
    prepared = prepare(tmp_path, server, name, "--subwords", "moses-bpe", "--vocab", 100, "--until", "subwords")
    out = tmp_path / "out"
    source, target = prepared["source_lang"], prepared["target_lang"]
    assert (prepared["subwords"], prepared["tokenizer"]) == ("subword_nmt", "moses")
    assert (out / "pieces" / "bpe.codes").read_text().startswith("#version")
    assert rows(out / "raw", (source, target))["test"] == expected["test"]
    pieces = rows(out / "pieces", (source, target))
    assert sizes(pieces) == sizes(rows(out / "raw", (source, target))) == prepared["sentences"]
    for side, language in enumerate((source, target)):
        tokenizer = sacremoses.MosesTokenizer(lang=language)
        for row, encoded in zip(expected["test"], pieces["test"]):
            tokens = tokenizer.tokenize(row[side], return_str=True, aggressive_dash_splits="wmt" in name)
            assert encoded[side].replace("@@ ", "") == (tokens.lower() if prepared["lowercase"] else tokens)
    assert any("@@ " in row[0] for row in pieces["test"])
