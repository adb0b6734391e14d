"""The commands of every recipe: parsed by fairseq's own parsers, of the paper's shape, with the tokens of an update."""

import shlex
from argparse import Namespace
from pathlib import Path

import benchmark
import pytest
import torch
from experiments.recipes import stages
from experiments.recipes.settings import SettingsError, read_settings, recipe, sets_of
from fairseq import options, tasks, utils
from fairseq.models import ARCH_MODEL_REGISTRY

from fairseq_ghat.cli import bench, perplexity, score, stats
from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.profiling.model_building import DictionaryTask
from fairseq_ghat.profiling.parameters import non_embedding_parameters
from fairseq_ghat.pruning.slimming import remove_heads

USER_DIR = str(Path(__file__).resolve().parents[3] / "fairseq_ghat")
SETTINGS = read_settings()
SYSTEMS = ("transformer", "ght", "ght-ps", "ght-ps-lite")


def dry_run(name, *arguments, capsys):
    """The command lines of a dry run, by what they start with."""
    assert benchmark.main([name, "--dry-run", *arguments]) == 0
    found = {}
    for block in capsys.readouterr().out.strip().split("\n\n"):
        words = shell_words("\n".join(line for line in block.splitlines() if not line.startswith(("#", "mkdir "))))
        found.setdefault(words[0] if words[0] != "python" else words[1], []).append(words)
    return found


def shell_words(text):
    """Words as a shell would split them, without redirections."""
    words = shlex.split(text.replace("\\\n", ""))
    cut = next((i for i, word in enumerate(words) if word in (">", ">>")), len(words))
    return words[:cut]


def parsed(words):
    """What fairseq-train makes of its arguments."""
    utils.import_user_module(Namespace(user_dir=USER_DIR))
    arguments = [USER_DIR if word == "fairseq_ghat" else word for word in words[1:]]
    parser = options.get_training_parser(task(arguments))
    return options.parse_args_and_arch(parser, arguments)


def task(arguments):
    return arguments[arguments.index("--task") + 1]


@pytest.mark.parametrize("name", sets_of(SETTINGS))
def test_every_command_is_understood_by_its_program(name, capsys):
    systems = [s for s in SYSTEMS if s != "ght-ps-lite" or name.startswith("wmt")]
    found = dry_run(name, "--systems", *systems, "--gpus", "1", capsys=capsys)
    kind = recipe(SETTINGS, name, "ght").kind
    trained = [parsed(words) for words in found.pop("fairseq-train")]
    assert [args.arch.startswith("ghat_") for args in trained] == [system != "transformer" for system in systems]
    assert [getattr(args, "vote_epoch", None) is not None for args in trained] == ["ps" in s for s in systems]
    for args in trained:
        assert args.criterion.startswith("group_constrained_") == args.arch.startswith("ghat_")
        assert args.max_tokens * args.update_freq[0] == recipe(SETTINGS, name, "ght").tokens_per_update
    for words in found.pop("fairseq-generate", []):
        parser = options.get_generation_parser()
        args = options.parse_args_and_arch(parser, [USER_DIR if w == "fairseq_ghat" else w for w in words[1:]])
        assert args.required_batch_size_multiple == 1 and args.post_process == "sentencepiece"
        for name in ("truncate_source", "max_source_positions", "source_lang", "target_lang"):
            # Otherwise fairseq would read the test set in another way; 1024 is its own default.
            assert getattr(args, name, 1024) == getattr(trained[0], name, 1024)
    ours = {"ghat-stats": stats.build_parser, "ghat-bench": bench.build_parser, "ghat-score": score.build_parser}
    ours["ghat-perplexity"] = perplexity.build_parser
    for program in set(found) & set(ours):
        for words in found.pop(program):
            ours[program]().parse_args(words[1:])
    assert set(found) <= {"ghat-average", "ghat-slim", "scripts/prepare_data.py", "scripts/results_table.py"}
    assert len(found["ghat-slim"]) == sum("ps" in system for system in systems)
    assert ("ghat-average" in found) == (kind != "language_modeling")


def built(args, vocabulary):
    """A model of parsed options, without its data and without values."""
    with torch.device("meta"):
        return ARCH_MODEL_REGISTRY[args.arch].build_model(args, DictionaryTask(vocabulary, vocabulary))


@pytest.mark.parametrize("name", [n for n in sets_of(SETTINGS, "translation") if not n.startswith("multi30k")])
def test_translation_recipes_have_the_papers_shape(name, capsys):
    """44M parameters without embeddings, 30M with the 2 heads of each attention that stay; 16M for LITE (Table 5)."""
    found = dry_run(name, "--systems", *SYSTEMS, capsys=capsys)["fairseq-train"]
    sizes = {}
    for system, words in zip(SYSTEMS, found):
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
    return stages.Run(recipe(SETTINGS, name, "ght-ps"), Path("data"), Path("run"), **more)


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
    with pytest.raises(SettingsError, match=rf"--gpus {gpus} --max-tokens .* do not divide the 4096 tokens"):
        run_of(gpus=gpus, max_tokens=max_tokens).batches()


def test_moses_goes_through_all_stages(capsys):
    found = dry_run("iwslt14.de-en", "--systems", "ght", "--subwords", "moses-bpe", capsys=capsys)
    assert "moses-bpe" in found["scripts/prepare_data.py"][0]
    (trained,) = found["fairseq-train"]
    assert trained[trained.index("--eval-bleu-detok") + 1] == "moses"
    assert trained[trained.index("--eval-bleu-detok-args") + 1] == '{"target_lang": "en"}'
    assert trained[trained.index("--eval-bleu-remove-bpe") + 1] == "subword_nmt"
    (generated,) = found["fairseq-generate"]
    args = options.parse_args_and_arch(
        options.get_generation_parser(), [USER_DIR if w == "fairseq_ghat" else w for w in generated[1:]]
    )
    assert args.post_process == "subword_nmt" and args.tokenizer == "moses"


def test_what_is_evaluated_is_what_the_stages_before_made(capsys):
    found = dry_run("iwslt14.de-en", "--systems", "ght-ps", capsys=capsys)
    folder = "work/runs/iwslt14.de-en/ght-ps"
    assert found["ghat-average"][0][1:] == [folder, "--best", "5", "--output", f"{folder}/average.pt"]
    assert found["ghat-slim"][0][1:] == [f"{folder}/average.pt", f"{folder}/slim.pt"]
    assert f"{folder}/slim.pt" in found["fairseq-generate"][0] and f"{folder}/slim.pt" in found["ghat-stats"][0]
    assert found["ghat-score"][0][1:3] == ["work/data/iwslt14.de-en/raw/test.en", f"{folder}/generate.log"]
    assert "--lowercase" in found["ghat-score"][0]


def test_prepared_data_and_task_agree_with_the_script():
    """The sets that can be trained are those that can be prepared, in the same languages."""
    from experiments.corpora.catalogue import CORPORA

    assert set(sets_of(SETTINGS)) == set(CORPORA)
    for name in sets_of(SETTINGS):
        of = recipe(SETTINGS, name, "ght")
        assert of.kind == CORPORA[name].task and of.lowercase == CORPORA[name].lowercase
        assert of.languages is None or of.languages == CORPORA[name].suffixes


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
        assert f"{recipe(SETTINGS, name, 'ght').task}_v2s" in tasks.TASK_REGISTRY
