"""Command lines of a comparison: what is given, then what the comparison itself sets, so that it holds."""

from pathlib import Path

import pytest
from experiments.comparison.commands import continue_training, fine_tune, measure, vote
from experiments.comparison.plan import Comparison, pruned, starts

from fairseq_ghat.cli.vote import build_parser as vote_parser


def comparison(kind="translation", **more):
    given = {"methods": ["pillars", "disagreement"], "heads": 8, "keeps": [3], "seeds": [4], "epochs": 2, **more}
    given.setdefault("languages", ("de", "en"))
    return Comparison("bin", "trained.pt", Path("out"), kind, **given)


def value(argv, flag):
    """The last value of an option, which is the one that holds."""
    return argv[len(argv) - argv[::-1].index(flag)]


def test_the_vote_is_the_one_that_the_row_is_about():
    what = comparison(refits=["none"], budget="model", vote=["--max-tokens", "100", "--seed", "9"], cpu=True)
    one = pruned(what)[1]
    args = vote_parser().parse_args(vote(what, one).argv[1:])
    assert (args.checkpoint, args.data, args.out) == ("trained.pt", "bin", str(one.voted.checkpoint))
    assert (args.keep_heads, args.vote_heads, args.vote_budget) == ("disagreement", 3, "model")
    assert (args.refit, args.seed, args.max_tokens, args.cpu) == ("none", 4, 100, True)


def test_fine_tuning_begins_at_the_vote_and_has_the_epochs_and_the_seed():
    what = comparison(train=["--arch", "ghat_transformer", "--seed", "9"])
    one = pruned(what)[0]
    command = fine_tune(what, one)
    argv = command.argv
    assert argv[:6] == ["fairseq-train", "bin", "--user-dir", "fairseq_ghat", "--arch", "ghat_transformer"]
    assert value(argv, "--finetune-from-model") == str(one.voted.checkpoint)
    assert (value(argv, "--max-epoch"), value(argv, "--seed")) == ("2", "4")
    assert Path(value(argv, "--save-dir")) == one.tuned.checkpoint.parent == command.log.parent
    assert "--no-epoch-checkpoints" in argv and "--group-loss-scale" not in argv and "--cpu" not in argv


def test_starts_differ_in_the_constraint_alone():
    given = ["--group-loss-scale", "0.5", "--group-alpha", "0.7", "--head-groups", "2"]
    what = comparison(continue_epochs=5, gct_methods=["pillars"], train=given)
    plain, gct, diversity = (continue_training(what, start).argv for start in starts(what))
    for argv in (plain, gct, diversity):
        assert value(argv, "--finetune-from-model") == "trained.pt" and value(argv, "--max-epoch") == "5"
        assert value(argv, "--seed") == "4"
    assert value(plain, "--group-loss-scale") == "0"
    assert [value(gct, flag) for flag in given[::2]] == ["0.5", "0.7", "3"]
    # As many groups as heads, whose centres are the heads themselves: nothing but diversity is left.
    assert [value(diversity, flag) for flag in given[::2]] == ["0.5", "0", "8"]
    assert value(diversity, "--group-beta") == "1"


def test_generation_keeps_the_last_sentences_and_its_log_lines():
    what = comparison(measure=["--beam", "2", "--remove-bpe", "sentencepiece"], cpu=True)
    one = pruned(what)[0]
    command = measure(what, one.tuned, "stage")
    argv = command.argv
    assert argv[:4] == ["python", "scripts/with_log.py", "fairseq-generate", "bin"]
    assert value(argv, "--path") == str(one.tuned.checkpoint) and value(argv, "--beam") == "2"
    assert value(argv, "--required-batch-size-multiple") == "1" and argv[-1] == "--cpu"
    assert (value(argv, "--source-lang"), value(argv, "--target-lang")) == ("de", "en")
    assert command.output == one.tuned.output == one.folder / "tuned.generate.log"
    assert value(measure(comparison(), one.tuned, "stage").argv, "--beam") == "5"


@pytest.mark.parametrize("cpu", [True, False])
def test_a_language_model_is_measured_by_its_perplexity(cpu):
    what = comparison("language_modeling", measure=["--context-window", "8"], languages=None, cpu=cpu)
    one = pruned(what)[0]
    command = measure(what, one.voted, "stage")
    assert command.argv[:3] == ["ghat-perplexity", "bin", str(one.voted.checkpoint)]
    assert value(command.argv, "--context-window") == "8" and "--json" in command.argv
    assert ("--cpu" in command.argv) == cpu and command.output == one.folder / "voted.perplexity.json"
