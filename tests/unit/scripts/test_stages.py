"""The commands of every recipe: parsed by fairseq's own parsers, of the paper's shape, with the tokens of an update."""

from pathlib import Path

import benchmark
import pytest
import torch
from commands import shown_commands
from experiments.checks import BadInput, parsed
from experiments.recipes import stages
from experiments.recipes.settings import SETTINGS_FILE, Recipe, read_settings, sets_of
from fairseq import tasks
from fairseq.models import ARCH_MODEL_REGISTRY

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.data.prepared import Prepared
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.parameters import non_embedding_parameters

SETTINGS = read_settings()
SYSTEMS = ("transformer", "ght", "ght-ps", "ght-ps-lite")


def dry_run(name, *arguments, capsys):
    """The command lines of a dry run, by what they start with."""
    assert benchmark.main([name, "--dry-run", *arguments]) == 0
    commands = {}
    for words in shown_commands(capsys.readouterr().out):
        commands.setdefault(words[0] if words[0] != "python" else words[1], []).append(words)
    return commands


@pytest.mark.parametrize("name", sets_of(SETTINGS))
def test_every_command_is_understood_by_its_program(name, capsys):
    systems = [s for s in SYSTEMS if s != "ght-ps-lite" or name.startswith("wmt")]
    shown = dry_run(name, "--systems", *systems, "--gpus", "1", capsys=capsys)
    kind = Recipe(SETTINGS, name, "ght").kind
    trained = [parsed(words) for words in shown.pop("fairseq-train")]
    assert [args.arch.startswith("ghat_") for args in trained] == [system != "transformer" for system in systems]
    assert [getattr(args, "vote_epoch", None) is not None for args in trained] == ["ps" in s for s in systems]
    for args in trained:
        assert args.criterion.startswith("group_constrained_") == args.arch.startswith("ghat_")
        assert args.max_tokens * args.update_freq[0] == Recipe(SETTINGS, name, "ght").tokens_per_update
    for words in shown.pop("fairseq-generate", []):
        args = parsed(words)
        assert args.required_batch_size_multiple == 1 and args.post_process == "sentencepiece"
        for name in ("truncate_source", "max_source_positions", "source_lang", "target_lang"):
            # Otherwise fairseq would read the test set in another way; 1024 is its own default.
            assert getattr(args, name, 1024) == getattr(trained[0], name, 1024)
    assert len(shown["ghat-analyze"]) == len(systems) + sum("ps" in system for system in systems)
    checked = {"ghat-stats", "ghat-bench", "ghat-score", "ghat-perplexity", "ghat-analyze", "ghat-report"}
    for program in set(shown) & checked:
        assert all(parsed(words) for words in shown.pop(program))
    assert set(shown) <= {"ghat-average", "ghat-slim", "scripts/prepare_data.py", "scripts/results_table.py"}
    assert len(shown["ghat-slim"]) == sum("ps" in system for system in systems)
    assert ("ghat-average" in shown) == (kind != "language_modeling")


def test_settings_of_another_file_are_taken(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(SETTINGS_FILE.read_text().replace("lr: 0.0005", "lr: 0.25"))
    more = ["--systems", "ght", "--settings", str(tmp_path / "mine.yaml")]
    (words,) = dry_run("iwslt14.de-en", *more, capsys=capsys)["fairseq-train"]
    assert parsed(words).lr == [0.25]


def built(args, vocabulary):
    """A model of parsed options, without its data and without values."""
    with torch.device("meta"):
        return ARCH_MODEL_REGISTRY[args.arch].build_model(args, DictionaryTask(vocabulary, vocabulary))


@pytest.mark.parametrize("name", [n for n in sets_of(SETTINGS, "translation") if not n.startswith("multi30k")])
def test_translation_recipes_have_the_papers_shape(name, capsys):
    """44M parameters without embeddings, 30M with the 2 heads of each attention that stay; 16M for LITE (Table 5)."""
    shown = dry_run(name, "--systems", *SYSTEMS, capsys=capsys)["fairseq-train"]
    sizes = {}
    for system, words in zip(SYSTEMS, shown):
        args = parsed(words)
        model = built(args, 1000)
        assert args.encoder_attention_heads == args.decoder_attention_heads == 8
        assert model.decoder.output_projection.weight is model.decoder.embed_tokens.weight
        assert model.encoder.embed_tokens.weight is not model.decoder.embed_tokens.weight
        if "ps" in system:
            remove_heads(model, {layer: list(range(args.head_groups)) for layer in grouped_attentions(model)})
        sizes[system] = round(non_embedding_parameters(model.state_dict()) / 1e6)
    assert sizes == {"transformer": 44, "ght": 44, "ght-ps": 30, "ght-ps-lite": 17}


def test_language_model_has_the_papers_shape(capsys):
    """201M; 168M with 8 of 16 heads, where the paper says 167M."""
    (words,) = dry_run("wikitext-103", "--systems", "ght-ps", capsys=capsys)["fairseq-train"]
    args = parsed(words)
    model = built(args, 267_744)
    full = non_embedding_parameters(model.state_dict())
    remove_heads(model, {layer: list(range(args.head_groups)) for layer in grouped_attentions(model)})
    assert (full // 10**6, non_embedding_parameters(model.state_dict()) // 10**6) == (201, 167)


def run_of(name="wmt14.en-de", **more):
    return stages.Run(Recipe(SETTINGS, name, "ght-ps"), Path("data"), Path("run"), **more)


@pytest.mark.parametrize(
    "gpus,max_tokens,update_freq", [(0, None, 1), (1, None, 1), (1, 1024, 4), (4, 1024, 1), (2, 512, 4)]
)
def test_tokens_of_an_update_stay_the_same(gpus, max_tokens, update_freq):
    batches = run_of(gpus=gpus, max_tokens=max_tokens).batches()
    assert batches["update-freq"] == update_freq
    assert max(gpus, 1) * batches["max-tokens"] * batches["update-freq"] == 4096


def test_tokens_of_an_update_are_those_of_eight_gpus_for_the_language_model():
    for gpus, update_freq in ((8, 3), (1, 24), (4, 6)):
        assert run_of("wikitext-103", gpus=gpus).batches()["update-freq"] == update_freq


@pytest.mark.parametrize("gpus,max_tokens", [(2, None), (3, 1024), (1, 5000)])
def test_batches_that_would_change_the_update_are_refused(gpus, max_tokens):
    with pytest.raises(BadInput, match=rf"--gpus {gpus} --max-tokens .* do not divide the 4096 tokens"):
        run_of(gpus=gpus, max_tokens=max_tokens).batches()


def test_moses_goes_through_all_stages(capsys):
    shown = dry_run("iwslt14.de-en", "--systems", "ght", "--subwords", "moses-bpe", capsys=capsys)
    assert "moses-bpe" in shown["scripts/prepare_data.py"][0]
    (trained,) = shown["fairseq-train"]
    assert trained[trained.index("--eval-bleu-detok") + 1] == "moses"
    assert trained[trained.index("--eval-bleu-detok-args") + 1] == '{"target_lang": "en"}'
    assert trained[trained.index("--eval-bleu-remove-bpe") + 1] == "subword_nmt"
    (generated,) = shown["fairseq-generate"]
    args = parsed(generated)
    assert args.post_process == "subword_nmt" and args.tokenizer == "moses"


def test_what_is_evaluated_is_what_the_stages_before_made(capsys):
    shown = dry_run("iwslt14.de-en", "--systems", "ght-ps", capsys=capsys)
    folder = "work/runs/iwslt14.de-en/ght-ps"
    assert shown["ghat-average"][0][1:] == [folder, "--best", "5", "--output", f"{folder}/average.pt"]
    assert shown["ghat-slim"][0][1:] == [f"{folder}/average.pt", f"{folder}/slim.pt"]
    assert f"{folder}/slim.pt" in shown["fairseq-generate"][0] and f"{folder}/slim.pt" in shown["ghat-stats"][0]
    assert shown["ghat-score"][0][1:3] == ["work/data/iwslt14.de-en/raw/test.en", f"{folder}/generate.log"]
    assert "--lowercase" in shown["ghat-score"][0]
    analysed = [words[1] for words in shown["ghat-analyze"]]
    assert analysed == [f"{folder}/average.pt", f"{folder}/before_vote.checkpoint_best.pt"]
    assert all(words[3:5] == ["--groups", "2"] for words in shown["ghat-analyze"])
    assert shown["ghat-report"][0][1:] == ["work/runs/iwslt14.de-en/report.html", folder]


@pytest.mark.parametrize("further,analysed", [([], 2), (["--vote-epoch", "1"], 1), (["--vote-epoch", "2"], 2)])
def test_heads_before_the_vote_are_analysed_where_there_was_training_before_it(further, analysed, capsys):
    shown = dry_run("iwslt14.de-en", "--systems", "ght-ps", "--", *further, capsys=capsys)
    assert len(shown["ghat-analyze"]) == analysed


def test_prepared_data_and_task_agree_with_the_script():
    """The sets that can be trained are those that can be prepared, in the same languages."""
    from experiments.corpora.catalogue import CORPORA

    assert set(sets_of(SETTINGS)) == {name for name, corpus in CORPORA.items() if corpus.alternatives}  # all but demos
    for name in sets_of(SETTINGS):
        recipe = Recipe(SETTINGS, name, "ght")
        assert recipe.kind == CORPORA[name].task and recipe.lowercase == CORPORA[name].lowercase
        assert recipe.languages is None or recipe.languages == CORPORA[name].suffixes


def test_summaries_prepared_without_their_sentences_are_refused(tmp_path):
    """As the first version prepared them."""
    run = stages.Run(Recipe(SETTINGS, "cnn-dailymail", "ght"), tmp_path, tmp_path)
    pair, of_set = ("source", "target"), {"subwords": "sentencepiece", "tokenizer": None, "lowercase": False}
    of_set.update(vocab=9, joined_dictionary=True, sentences={}, sha256={})
    for end in ("references.jsonl", "target"):
        references = {split: f"raw/{split}.{end}" for split in ("valid", "test")}
        Prepared("cnn-dailymail", "summarization", pair, "bin", references=references, **of_set).write(tmp_path)
        if end == "target":
            with pytest.raises(BadInput, match="references is raw/test.target, wanted is raw/test.references.jsonl"):
                run.check_data()
        else:
            run.check_data()


@pytest.mark.parametrize(
    "folder,name",
    [("translation", "iwslt14.de-en"), ("language_modeling", "wikitext-103"), ("summarization", "cnn-dailymail")],
)
def test_the_commands_of_the_examples_are_those_of_the_dry_run(folder, name, capsys):
    benchmark.main([name, "--systems", "ght-ps", "--gpus", "1", "--dry-run"])
    text = (Path(benchmark.__file__).parents[1] / "examples" / folder / "README.md").read_text()
    assert f"```bash\n{capsys.readouterr().out.strip()}\n```" in text


def test_tasks_exist():
    for name in sets_of(SETTINGS):
        assert f"{Recipe(SETTINGS, name, 'ght').task}_v2s" in tasks.TASK_REGISTRY
