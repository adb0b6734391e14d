"""The commands of every recipe: parsed by fairseq's own parsers, of the paper's shape, with the tokens of an update."""

from pathlib import Path

import benchmark
import pytest
import torch
from commands import shown_commands
from experiments.checks import BadInput, check_commands, parsed
from experiments.commands import Command
from experiments.recipes import stages
from experiments.recipes.settings import SETTINGS_FILE, Recipe, read_settings
from fairseq import tasks
from fairseq.models import ARCH_MODEL_REGISTRY

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.data.prepared import Prepared
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.parameters import non_embedding_parameters, unit_parameters

SETTINGS = read_settings()
VOCABULARY = 267_744  # of WikiText-103; adaptive softmax wants more than its first bands
SYSTEMS = ("transformer", "ght", "ght-ps", "ght-ps-lite")


def dry_run(name, *arguments, capsys):
    """The command lines of a dry run, by what they start with."""
    assert benchmark.main([name, "--dry-run", *arguments]) == 0
    commands = {}
    for words in shown_commands(capsys.readouterr().out):
        commands.setdefault(words[0] if words[0] != "python" else words[1], []).append(words)
    return commands


TRANSLATION = [name for name in SETTINGS["sets"] if Recipe(SETTINGS, name, "ght").kind == "translation"]
DIFFERENT = [name for name in SETTINGS["sets"] if not name.startswith("sigmorphon") or name.endswith(".ady")]


def systems_of(name):
    """Those that a set can have: the narrow ones have encoders, and 4 of 4 heads are the plain model."""
    without = {"wikitext-2": "lite", "wikitext-103": "lite", "sigmorphon2020.ady": "from-start-4"}.get(name, "none")
    return [system for system in SETTINGS["systems"] if without not in system]


@pytest.mark.parametrize("name", DIFFERENT)
def test_every_command_is_understood_by_its_program(name, capsys):
    systems = systems_of(name)
    voting = [Recipe(SETTINGS, name, system).votes for system in systems]
    shown = dry_run(name, "--systems", *systems, "--gpus", "1", capsys=capsys)
    trained = [parsed(words) for words in shown.pop("fairseq-train")]
    assert [args.arch.startswith("ghat_") for args in trained] == [
        Recipe(SETTINGS, name, system).grouped for system in systems
    ]
    assert [getattr(args, "vote_epoch", None) is not None for args in trained] == voting
    for args in trained:
        assert args.criterion.startswith("group_constrained_") == args.arch.startswith("ghat_")
        recipe = Recipe(SETTINGS, name, "ght")
        assert getattr(args, recipe.unit.replace("-", "_")) * args.update_freq[0] == recipe.per_update
    for words in shown.pop("fairseq-generate", []):
        args = parsed(words)
        assert args.required_batch_size_multiple == 1
        assert args.post_process == (None if name.startswith("sigmorphon") else "sentencepiece")
        for option in ("truncate_source", "max_source_positions", "source_lang", "target_lang"):
            # Otherwise fairseq would read the test set in another way; 1024 is its own default.
            assert getattr(args, option, 1024) == getattr(trained[0], option, 1024)
    after_training = sum(getattr(args, "vote_epoch", None) not in (None, 1) for args in trained)
    assert len(shown["ghat-analyze"]) == len(systems) + after_training
    for words in shown["ghat-analyze"]:  # which refuses more groups than there are heads
        kept = Recipe(SETTINGS, name, Path(words[1]).parent.name).heads_kept
        assert "before_vote" in words[1] or max(parsed(words).groups or [1]) <= (kept or 16)
    checked = {"ghat-stats", "ghat-bench", "ghat-score", "ghat-perplexity", "ghat-analyze", "ghat-report"}
    for program in set(shown) & checked:
        assert all(parsed(words) for words in shown.pop(program))
    assert set(shown) <= {"ghat-average", "ghat-slim", "scripts/prepare_data.py", "scripts/results_table.py"}
    assert len(shown["ghat-slim"]) == sum(voting)
    assert ("ghat-average" in shown) == (Recipe(SETTINGS, name, "ght").average > 1)


@pytest.mark.parametrize("name", DIFFERENT)
def test_every_system_can_be_trained_and_keeps_as_many_heads(name, capsys):
    trained = dry_run(name, "--systems", *systems_of(name), "--stages", "train", capsys=capsys)["fairseq-train"]
    check_commands([Command("train", words) for words in trained])
    cut = ("ght-ps", "ght-ps-no-refit", "vote", "vote-no-refit", "vote-early", "vote-late", "random", "from-start")
    assert len({Recipe(SETTINGS, name, system).heads_kept for system in cut}) == 1
    of_pair = [Recipe(SETTINGS, name, system).options for system in ("ght-ps", "ght-ps-no-refit")]
    assert of_pair[0]["grouping"] == of_pair[1]["grouping"] and of_pair[1]["vote"]["refit"] == "none"


@pytest.mark.parametrize("name", ["iwslt14.de-en", "wmt14.en-fr", "multi30k.de-en", "scitldr", "sigmorphon2020.ady"])
def test_the_lite_models_are_smaller(name, capsys):
    systems = ("transformer", "lite1", "lite2", "ght-ps", "ght-ps-lite")
    trained = dry_run(name, "--systems", *systems, "--stages", "train", capsys=capsys)["fairseq-train"]
    sizes = dict(zip(systems, map(size_of, trained)))
    assert max(sizes["lite1"], sizes["lite2"]) < sizes["transformer"] and sizes["ght-ps-lite"] < sizes["ght-ps"]


def changed_settings(tmp_path, before, after):
    text = SETTINGS_FILE.read_text()
    assert before in text
    (tmp_path / "mine.yaml").write_text(text.replace(before, after))
    return ["--settings", str(tmp_path / "mine.yaml")]


def test_a_vote_by_tolerance_comes_after_training(tmp_path, capsys):
    mine = changed_settings(tmp_path, "vote: {vote-epoch: 4}", "vote: {vote-tolerance: 0.01}")
    shown = dry_run("multi30k.de-en", "--systems", "ght-ps", *mine, capsys=capsys)
    assert len(shown["ghat-analyze"]) == 2


@pytest.mark.parametrize(
    "before,after,message",
    [
        ("keep-heads: random, refit: output}", "keep-heads: randm}", "invalid choice: 'randm'"),
        ("vote-late:  {vote-epoch: 6}", "vote-late: {vote-epoch: 8}", "--vote-epoch 8: allowed is 1 to --max-epoch 7"),
    ],
)
def test_a_wrong_setting_of_one_system_is_found_beside_others(tmp_path, before, after, message, capsys):
    mine = changed_settings(tmp_path, before, after)
    systems = ["vote-early", "random", "vote-late", "from-start"]
    trained = dry_run("multi30k.de-en", "--systems", *systems, *mine, capsys=capsys)["fairseq-train"]
    with pytest.raises(BadInput, match=f"options of fairseq-train: .*{message}"):
        check_commands([Command("train", words) for words in trained])


def test_settings_of_another_file_are_taken(tmp_path, capsys):
    mine = changed_settings(tmp_path, "lr: 0.0005", "lr: 0.25")
    (words,) = dry_run("iwslt14.de-en", "--systems", "ght", *mine, capsys=capsys)["fairseq-train"]
    assert parsed(words).lr == [0.25]


def test_case_counts_in_no_score_but_bleu(tmp_path, capsys):
    of_summaries = "generation: {beam: 5, batch-size: 64"
    mine = changed_settings(tmp_path, of_summaries, f"lowercase: true\n    {of_summaries}")
    (words,) = dry_run("scitldr", "--systems", "ght", *mine, capsys=capsys)["ghat-score"]
    assert words[words.index("--metric") + 1] == "rouge" and "--lowercase" not in words


def built(args, vocabulary):
    """A model of parsed options, without its data and without values."""
    with torch.device("meta"):
        return ARCH_MODEL_REGISTRY[args.arch].build_model(args, DictionaryTask(vocabulary, vocabulary))


def size_of(words):
    """Parameters of the model that a training ends with, without embeddings; only heads go."""
    args = parsed(words)
    model = built(args, VOCABULARY)
    if getattr(args, "vote_epoch", None):
        keep = args.vote_heads or args.head_groups
        remove_heads(model, {layer: list(range(keep)) for layer in grouped_attentions(model)})
    return non_embedding_parameters(model.state_dict())


@pytest.mark.parametrize(
    "name,least",
    [
        ("iwslt14.de-en", 0.999),
        ("multi30k.de-en", 0.998),
        ("wikitext-2", 0.995),
        ("wikitext-103", 0.999),
        ("sigmorphon2020.ady", 0.998),
        ("scitldr", 0.998),
    ],
)
def test_neurons_are_cut_to_as_many_parameters_as_heads(name, least, capsys):
    """A whole neuron of each layer is the step; the share is of what the units have."""
    plain, heads = dry_run(name, "--systems", "ght", "ght-ps", capsys=capsys)["fairseq-train"]
    whole, left = size_of(plain), size_of(heads)
    share = float(Recipe(SETTINGS, name, "neurons").options["vote"]["budget"].partition("=")[2])
    assert Recipe(SETTINGS, name, "both").options["vote"]["budget"] == f"parameters={share}"
    with torch.device("meta"):
        units = unit_parameters(built(parsed(plain), VOCABULARY).state_dict())
    assert least <= left / (whole - units * (1 - share)) <= 1


@pytest.mark.parametrize("name", [name for name in TRANSLATION if not name.startswith("multi30k")])
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
    with pytest.raises(BadInput, match=rf"--gpus {gpus} --max-tokens .* do not divide the 4096 of an update"):
        run_of(gpus=gpus, max_tokens=max_tokens).batches()


def test_batches_of_words_are_not_of_tokens():
    assert run_of("sigmorphon2020.ady", gpus=0).batches()["batch-size"] == 256
    with pytest.raises(
        BadInput, match="--max-tokens 512: not with sigmorphon2020.ady, whose batches have a batch-size"
    ):
        run_of("sigmorphon2020.ady", max_tokens=512).batches()
    with pytest.raises(BadInput, match="--gpus 3 --batch-size 256: 768 at once do not divide the 256 of an update"):
        run_of("sigmorphon2020.ady", gpus=3).batches()
    shared = run_of("sigmorphon2020.ady", gpus=2).batches()
    assert (shared["batch-size"], shared["update-freq"]) == (128, 1)


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_as_many_processes_train_as_there_are_gpus(gpus, capsys):
    """fairseq's default is all GPUs of the machine, also on its CPU."""
    arguments = ["--systems", "ght", "--stages", "train", "--gpus", str(gpus), "--max-tokens", "1024"]
    (words,) = dry_run("multi30k.de-en", *arguments, capsys=capsys)["fairseq-train"]
    assert words[words.index("--distributed-world-size") + 1] == str(max(gpus, 1)) and ("--cpu" in words) == (gpus == 0)


def test_a_batch_holds_a_block_of_a_language_model():
    with pytest.raises(BadInput, match="--max-tokens 1024: allowed is 3072 or more, a block of wikitext-103"):
        run_of("wikitext-103", gpus=8, max_tokens=1024).batches()


def test_every_system_and_seed_of_every_set_is_a_chain_of_its_own(capsys):
    """Tables and pages come after all of them; a family is all its sets."""
    options = ["--systems", "ght", "vote", "--seeds", "2", "1", "2", "--stages", "train", "slim", "table", "report"]
    args, settings, _ = benchmark.parse(["multi30k.de-en", "iwslt14", *options])
    args.gpus = 0
    runs = stages.runs_of(settings, args, [])
    wanted = stages.commands(runs, args)
    sets = ["multi30k.de-en", *(name for name in SETTINGS["sets"] if name.startswith("iwslt14."))]
    expected = [f"{name} {run}" for name in sets for run in ("ght-seed2", "vote-seed2", "ght", "vote")]
    chains = [command.chain for command in wanted]
    assert list(dict.fromkeys(chain for chain in chains if chain)) == expected
    assert chains.count("multi30k.de-en vote") == 2 and chains.count("multi30k.de-en ght") == 1  # only one is slimmed
    assert None not in chains[: chains.index(None)] and set(chains[chains.index(None) :]) == {None}
    assert [command.stage for command in wanted].count("table") == 1
    assert [command.stage for command in wanted].count("page") == len(sets)
    seeds = [command.argv[command.argv.index("--seed") + 1] for command in wanted if command.stage == "train"]
    assert seeds == ["2", "2", "1", "1"] * len(sets)


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


@pytest.mark.parametrize(
    "further,analysed", [([], 2), (["--vote-epoch", "1"], 1), (["--vote-epoch=1"], 1), (["--vote-epoch", "2"], 2)]
)
def test_heads_before_the_vote_are_analysed_where_there_was_training_before_it(further, analysed, capsys):
    shown = dry_run("iwslt14.de-en", "--systems", "ght-ps", "--", *further, capsys=capsys)
    assert len(shown["ghat-analyze"]) == analysed


@pytest.mark.parametrize("further", [["--head-groups", "1"], ["--keep-heads=random", "--vote-heads", "1"]])
def test_groups_are_left_to_the_model_where_the_recipe_does_not_say_how_many_heads_stay(further, capsys):
    shown = dry_run("iwslt14.de-en", "--systems", "ght-ps", "--", *further, capsys=capsys)
    assert not any("--groups" in words for words in shown["ghat-analyze"])


def test_an_option_that_is_cut_short_is_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["iwslt14.de-en", "--setting", "other.yaml", "--dry-run"])
    assert "unrecognized arguments: --setting" in capsys.readouterr().err


def test_prepared_data_and_task_agree_with_the_script():
    """The sets that can be trained are those that can be prepared, in the same languages."""
    from experiments.corpora.catalogue import CORPORA

    assert set(SETTINGS["sets"]) == {name for name, corpus in CORPORA.items() if corpus.alternatives}  # all but demos
    for name in SETTINGS["sets"]:
        recipe = Recipe(SETTINGS, name, "ght")
        assert CORPORA[name].task == {"transcription": "translation"}.get(recipe.kind, recipe.kind)
        assert recipe.lowercase == CORPORA[name].lowercase
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
    for name in SETTINGS["sets"]:
        assert f"{Recipe(SETTINGS, name, 'ght').task}_v2s" in tasks.TASK_REGISTRY
