"""The comparison as a command: what it would run, what it refuses, and what it makes of stand-ins for the programs."""

import json
import shutil
from pathlib import Path

import compare_pruning
import pytest
import torch
from commands import refusal_of, shown_commands
from experiments.checks import parsed
from experiments.commands import Command
from experiments.comparison.plan import METHODS
from fairseq import options
from fairseq.data import Dictionary, indexed_dataset
from sacrebleu.metrics import BLEU
from tiny_models import build_grouped

from fairseq_ghat.checkpoints.files import read_checkpoint, write_checkpoint

REPOSITORY = Path(__file__).resolve().parents[3]
TRAIN = (
    "--task translation_v2s --arch ghat_transformer_tiny --optimizer adam --lr 0.001 --max-tokens 400 "
    "--criterion group_constrained_label_smoothed_cross_entropy --share-all-embeddings"
)
SENTENCES = ["two cats sleep here now", "a dog walks home alone", "it is fine by me"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Data of 3 sentences, raw references and a checkpoint of 8 heads; commands start in the repository."""
    data = tmp_path / "bin"
    data.mkdir()
    dictionary = Dictionary()
    for sentence in SENTENCES:
        dictionary.encode_line(sentence, add_if_not_exist=True)
    for language in ("de", "en"):
        dictionary.save(str(data / f"dict.{language}.txt"))
        built = indexed_dataset.make_builder(str(data / f"test.de-en.{language}.bin"), "mmap", len(dictionary))
        for sentence in SENTENCES:
            built.add_item(dictionary.encode_line(sentence).int())
        built.finalize(str(data / f"test.de-en.{language}.idx"))
    (tmp_path / "test.en").write_text("\n".join(SENTENCES) + "\n")
    words = [str(data), *TRAIN.split(), "--source-lang", "de", "--target-lang", "en"]
    args = options.parse_args_and_arch(options.get_training_parser("translation_v2s"), words)
    history = [{"optimizer_name": "FairseqAdam", "lr_scheduler_state": {}, "num_updates": 7}]
    state = {"model": build_grouped().state_dict(), "args": args, "cfg": None, "optimizer_history": history}
    write_checkpoint({**state, "extra_state": {"train_iterator": {"epoch": 2}}}, tmp_path / "trained.pt")
    monkeypatch.chdir(REPOSITORY)
    return tmp_path


def arguments(folder, *more, train=TRAIN, checkpoint="trained.pt"):
    where = [str(folder / "bin"), str(folder / checkpoint), str(folder / "out")]
    return [*where, *map(str, more), "--cpu", "--", *train.split()]


def dry_run(folder, capsys, *more, **kwargs):
    """The command lines of a dry run, in order."""
    assert compare_pruning.main(arguments(folder, *more, "--dry-run", **kwargs)) == 0
    return shown_commands(capsys.readouterr().out)


def test_a_dry_run_shows_commands_that_the_programs_own_parsers_take(folder, capsys):
    commands = dry_run(
        folder, capsys, "--methods", "pillars", "disagreement", "--keep", 2, 4, "--continue-epochs", 2, "--epochs", 3
    )
    trained = [parsed(words) for words in commands if words[0] == "fairseq-train"]
    voted = [parsed(words) for words in commands if words[0] == "ghat-vote"]
    generated = [parsed(words) for words in commands if "fairseq-generate" in words]
    starts, tuned = trained[:4], trained[4:]
    assert [(args.head_groups, args.group_alpha, args.group_beta, args.group_loss_scale) for args in starts] == [
        (2, 0.5, 0.5, "0"),
        (2, 0.5, 0.5, "0.03"),
        (4, 0.5, 0.5, "0.03"),
        (8, 0, 1, "0.03"),
    ]
    assert {args.max_epoch for args in starts} == {2} and {args.max_epoch for args in tuned} == {3}
    rows = ["pillars", "disagreement", "pillars", "disagreement"]  # the last two after the constraint of each
    assert [(args.keep_heads, args.vote_heads) for args in voted] == [(row, keep) for keep in (2, 4) for row in rows]
    assert [args.finetune_from_model for args in tuned] == [args.out for args in voted]
    assert len(generated) == 4 + 2 * len(voted)
    assert {args.required_batch_size_multiple for args in generated} == {1}
    assert not (folder / "out").exists()


def test_by_default_all_methods_are_compared_that_know_the_budget(folder, capsys):
    for budget, left_out in (("layer", set()), ("model", {"pillars", "random-in-group"})):
        votes = [words for words in dry_run(folder, capsys, "--vote-budget", budget) if words[0] == "ghat-vote"]
        methods = [words[words.index("--keep-heads") + 1] for words in votes]
        assert set(methods) == set(METHODS) - left_out and len(methods) == len(set(methods))


def test_a_budget_cuts_heads_neurons_or_both(folder, capsys):
    commands = dry_run(folder, capsys, "--budget", "parameters=0.9", "parameters=0.7")
    votes = [parsed(words) for words in commands if words[0] == "ghat-vote"]
    assert [vote.budget for vote in votes] == ["parameters=0.7"] * 7 + ["parameters=0.9"] * 7
    assert [(vote.keep_heads, vote.keep_neurons) for vote in votes[:7]] == [
        (None, "reconstruction"),
        (None, "all"),
        ("all", "reconstruction"),
        ("random", "random"),
        ("l1", "l1"),
        ("flap", "flap"),
        ("fisher", "fisher"),
    ]


def test_from_start_is_trained_as_long_by_the_same_options_but_those_that_differ(folder, capsys):
    """CHECKPOINT was trained for 1 epoch."""
    more = ["--methods", "l1", "from-start", "--epochs", 3, "--continue-epochs", 2, "--seeds", 4, 5]
    more += ["--from-start-args", "--lr 0.5 --fp16", "--vote-args", "--remove-sublayers --max-tokens 99"]
    commands = dry_run(folder, capsys, *more, "--keep", 2, "--refit", "none", "output", "--vote-budget", "model")
    trained = [parsed(words) for words in commands if words[0] == "fairseq-train"]
    small = [args for args in trained if args.vote_epoch is not None]
    assert len(small) == 2 and [args.seed for args in small] == [4, 5]
    for args in small:
        assert (args.vote_epoch, args.max_epoch, args.refit, args.finetune_from_model) == (1, 1 + 2 + 3, "none", None)
        assert (args.keep_heads, args.vote_heads, args.vote_budget) == ("random", 2, "model")
        assert (args.lr, args.fp16, args.max_tokens, args.remove_sublayers) == ([0.5], True, 400, True)
    assert {(*args.lr, args.fp16) for args in trained if args.vote_epoch is None} == {(0.001, False)}
    assert sum("fairseq-generate" in words for words in commands) == 1 + 2 * 2 * 2 + 2
    more = ["--methods", "from-start", "--budget", "flops=0.5", "--vote-args", "--ffn-per-layer"]
    (args,) = (parsed(words) for words in dry_run(folder, capsys, *more) if words[0] == "fairseq-train")
    assert (args.budget, args.keep_heads, args.keep_neurons) == ("flops=0.5", "random", "random")
    assert args.ffn_per_layer and args.vote_heads is None and args.max_epoch == 2


class Programs:
    """Stands in for fairseq and ours: voted and tuned checkpoints, and translations that tell which one made them.

    Attributes:
        ran: stages of the commands, in order. failing: the stage that ends with an error, after half a line.
    """

    def __init__(self, monkeypatch, folder):
        self.ran, self.failing, self.folder = [], None, folder
        monkeypatch.setattr(Command, "execute", lambda command, _: self.execute(command))

    def execute(self, command):
        argv = command.argv
        self.ran.append(command.stage)
        if command.stage == self.failing:
            (command.log or command.output).write_text("half\nthe reason\n")
            return 1
        if "fairseq-generate" in argv:
            command.output.write_text(log_of(argv[argv.index("--path") + 1]))
            return 0
        source, (out,) = argv[1], command.results
        if argv[0] == "fairseq-train":
            tunes = "--finetune-from-model" in argv
            source = argv[argv.index("--finetune-from-model") + 1] if tunes else self.folder / "trained.pt"
        state = read_checkpoint(source)
        if "--vote-heads" in argv:
            keep = int(argv[argv.index("--vote-heads") + 1])
            mask = torch.tensor([2] * keep + [0] * (8 - keep))
            masks = {name: mask for name in state["model"] if name.endswith(".head_mask")}
            state = {**state, "model": {**state["model"], **masks}}
        write_checkpoint(state, out)
        return 0


def log_of(checkpoint):
    """A log of fairseq-generate: fine-tuned, all but random heads are perfect; references are in capitals."""
    said = list(SENTENCES)
    if "/random/" in checkpoint or "/from-start/" in checkpoint:
        said[0] = "two cats sleep now"
    if checkpoint.endswith("voted.pt"):
        said[1] = "a dog walks home"
    lines = [f"T-{i}\t{SENTENCES[i].upper()}\nH-{i}\t-1\t{text}" for i, text in enumerate(said)]
    speed = "2026 | INFO | Translated 3 sentences (9 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)"
    return "\n".join([*lines, speed]) + "\n"


@pytest.fixture
def programs(monkeypatch, folder):
    for needed in ("matplotlib", "jinja2"):
        pytest.importorskip(needed, reason=f"{needed}: not installed; pip install matplotlib jinja2")
    return Programs(monkeypatch, folder)


def compare(folder, *more, **kwargs):
    return compare_pruning.main(arguments(folder, "--reference", folder / "test.en", *more, **kwargs))


def bleu(said):
    return BLEU().corpus_score(said, [SENTENCES]).score


def test_the_files_have_the_scores_of_every_row(folder, programs, capsys):
    assert compare(folder, "--methods", "random", "pillars", "l1", "--keep", 2, "--seeds", 1, 2) == 0
    out = folder / "out"
    saved = json.loads((out / "results.json").read_text())
    rows = {row["title"]: row for row in saved["rows"]}
    assert list(rows) == ["pillars", "l1", "random"]  # of equal scores in the order given, the worst last
    worse = bleu(["two cats sleep now", *SENTENCES[1:]])
    assert rows["random"]["after_fine_tuning"]["scores"] == [pytest.approx(worse)] * 2
    voted = bleu([SENTENCES[0], "a dog walks home", SENTENCES[2]])
    assert rows["l1"]["after_the_vote"] == {"scores": [voted] * 2, "mean": voted, "standard_deviation": 0}
    assert saved["all_heads"] == [{"title": "all heads", "score": pytest.approx(100), "updates": 7}]
    assert rows["l1"]["updates"] == 7 + 7
    assert (rows["l1"]["p_value"], rows["pillars"]["p_value"]) == (1, None)
    assert rows["random"]["attentions_x_heads"] == "6 x 2" and saved["heads"] == 8
    table = (out / "table.md").read_text()
    assert table.strip() in capsys.readouterr().out
    cells = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("|")}
    assert rows["random"]["paper"] in cells["random"] and f"| {worse:.2f} ± 0.00 " in cells["random"]
    assert (out / "pruning.png").is_file() and (out / "pruning.svg").is_file()


def test_from_start_has_no_vote_and_one_model_for_all_refits(folder, programs, capsys):
    assert compare(folder, "--methods", "pillars", "l1", "--refit", "output", "none") == 0
    ran = list(programs.ran)
    more = ["--refit", "output", "none", "--from-start-args", "--lr 0.5"]
    assert compare(folder, "--methods", "pillars", "l1", "from-start", *more) == 0
    added = ["from-start, 2 heads, seed 1: training", "from-start, 2 heads, seed 1: translations"]
    assert programs.ran[len(ran) :] == added
    saved = json.loads((folder / "out/results.json").read_text())
    (row,) = (row for row in saved["rows"] if row["method"] == "from-start")
    assert (row["after_the_vote"], row["refit"], row["updates"]) == (None, "", 7)
    assert row["after_fine_tuning"]["mean"] == pytest.approx(bleu(["two cats sleep now", *SENTENCES[1:]]))
    assert 0 < row["p_value"] < 1 and row["attentions_x_heads"] == "6 x 2"
    told = capsys.readouterr().out
    assert "; from-start: the small model, of random units, trained for 2 epochs" in told
    assert "same size and refit, from-start against that of refit output" in told
    with pytest.raises(SystemExit):
        compare(folder, "--methods", "pillars", "l1", "from-start")
    assert "--from-start-args: --lr 0.5 there, nothing now" in capsys.readouterr().err
    assert compare(folder, "--methods", "pillars", "l1") == 0


def test_references_of_the_data_have_no_case_in_common_unless_told(folder, programs):
    """Without --reference those of the log, which are in capitals here."""
    assert compare_pruning.main(arguments(folder, "--methods", "l1")) == 0
    assert json.loads((folder / "out/results.json").read_text())["all_heads"][0]["score"] == 0
    shutil.rmtree(folder / "out")
    assert compare_pruning.main(arguments(folder, "--methods", "l1", "--lowercase")) == 0
    saved = json.loads((folder / "out/results.json").read_text())
    assert saved["all_heads"][0]["score"] == pytest.approx(100) and "case:lc" in saved["signature"]


def test_what_is_finished_is_not_run_again_and_more_can_be_added(folder, programs, capsys):
    assert compare(folder, "--methods", "pillars") == 0
    first, table = list(programs.ran), (folder / "out/table.md").read_text()
    assert len(first) == 1 + 4
    assert compare(folder, "--methods", "pillars") == 0
    assert programs.ran == first and (folder / "out/table.md").read_text() == table
    capsys.readouterr()
    assert compare(folder, "--methods", "pillars", "random") == 0
    assert [stage.split(",")[0] for stage in programs.ran[5:]] == ["random"] * 4
    assert capsys.readouterr().out.count(": there already") == 5


def test_a_failed_step_shows_its_command_and_output_and_is_gone_on_with(folder, programs, capsys):
    programs.failing = "pillars, 2 heads, refit output, seed 1: fine-tuning"
    assert compare(folder, "--methods", "pillars") == 1
    said = capsys.readouterr().err
    assert f"error: {programs.failing}: fairseq-train ended with status 1" in said
    assert "--finetune-from-model" in said and said.endswith("half\nthe reason\n")
    assert not (folder / "out/table.md").exists()
    programs.failing = None
    assert compare(folder, "--methods", "pillars") == 0
    # Begun again at the step that failed.
    assert programs.ran.count("pillars, 2 heads, refit output, seed 1: vote") == 1
    assert len(programs.ran) == 4 + 2


def test_other_settings_are_refused(folder, programs, capsys):
    assert compare(folder, "--methods", "pillars") == 0
    ran = list(programs.ran)
    with pytest.raises(SystemExit):
        compare(folder, "--methods", "pillars", "--epochs", 3)
    assert "out: was made with other settings (--epochs: 1 there, 3 now)" in capsys.readouterr().err
    assert programs.ran == ran


def refused(capsys, words):
    return refusal_of(compare_pruning.main, words, capsys).splitlines()[-1]


@pytest.mark.parametrize(
    "more,message",
    [
        (["--methods", "pillars", "l3"], "--methods l3: allowed is pillars, random-in-group, random, l1, "),
        (["--methods", "all"], "disagreement, flap, fisher, from-start"),
        (["--keep", 0], "--keep 0: allowed is 1 or more"),
        (["--keep", 2, 8], "--keep 8: allowed is 1 to 7 of 8 heads in an attention"),
        (["--seeds", 0], "--seeds 0: allowed is 1 or more"),
        (["--epochs", -1], "--epochs -1: allowed is 0 or more"),
        (["--continue-epochs", -1], "--continue-epochs -1: allowed is 0 or more"),
        (["--gct-methods", "l1"], "--gct-methods l1: allowed with --continue-epochs 1 or more"),
        (["--gct-methods", "l3", "--continue-epochs", 1], "--gct-methods l3: allowed is "),
        (["--methods", "pillars", "--vote-budget", "model"], "allowed with --vote-budget model is random, l1, "),
        (["--methods", "pillars", "--budget", "flops=0.5"], "--methods pillars: keeps one head of each group"),
        (["--methods", "subset", "--budget", "flops=0.5"], "--methods subset: allowed with --budget is both, heads, "),
        (["--methods", "neurons"], "--methods neurons: allowed is pillars, "),
        (["--budget", "watts=0.5"], "--budget watts=0.5: allowed is parameters=0.6 or flops=0.6"),
        (["--budget", "flops=0.5", "parameters=0.5"], "allowed are several shares of one cost"),
        (["--budget", "flops=0.5", "--keep", 3], "argument --keep: not allowed with argument --budget"),
        (["--budget", "flops=0.5", "--vote-budget", "model"], "--vote-budget model: not with --budget"),
        (["--budget", "flops=0.5", "--gct-methods", "l1"], "--gct-methods: not with --budget"),
        (["--budget", "parameters=0.3"], "--methods heads with --budget parameters=0.3: allowed is parameters=0."),
        (["--budget", "latency=0.3"], "--methods both with --budget latency=0.3: --latency-table is missing"),
        (["--methods", "from-start", "--epochs", 0], "--methods from-start: is compared after fine-tuning"),
        (["--from-start-args", "--lr 1"], "--from-start-args: allowed with --methods from-start"),
        (["--methods", "from-start", "--from-start-args", "--seed 2"], "--from-start-args --seed: is set by this prog"),
        (["--gct-methods", "from-start", "--continue-epochs", 1], "--gct-methods from-start: allowed is pillars"),
        (["--refit", "all"], "argument --refit: invalid choice: 'all'"),
        (["--reference", "none.en"], "--reference none.en: no such file"),
        (["--reference", "README.md"], "--reference README.md: has "),
        (["--vote-args", "--max-tokens 5 --seed 3"], "--vote-args --seed: is set by this program itself"),
        (["--vote-args", "--max-token many"], "options of ghat-vote: argument --max-tok"),
        (["--generate-args", "--path=x.pt"], "--generate-args --path=x.pt: is set by this program itself"),
        (["--generate-args", "--gen-subset tset"], "--generate-args --gen-subset tset: DATA "),
        (["--generate-args", "--gen-subset valid,test"], "--gen-subset valid,test: allowed is one split"),
        (["--generate-args", "--beams 4"], "options of fairseq-generate: "),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_bad_options_are_refused_before_any_work(folder, programs, capsys, more, message):
    assert message in refused(capsys, arguments(folder, *more))
    assert programs.ran == [] and not (folder / "out").exists()


@pytest.mark.parametrize(
    "change,message",
    [
        (("ghat_transformer_tiny", "transformer"), "-- --arch transformer: allowed is ghat_transformer"),
        (("--lr 0.001", "--lr 0.001 --max-epoch 3"), "-- --max-epoch: is set by this program itself"),
        (("--lr", "--no-such-option"), "options of fairseq-train: unrecognized arguments: --no"),
        (("translation_v2s", "language_modeling_v2s"), "-- --task language_modeling_v2s: CHECKPOINT was trained for t"),
        (
            ("translation_v2s", "translation"),
            "-- --task translation: allowed with --methods from-start is translation_v2s",
        ),
        (("group_constrained_", ""), "--criterion label_smoothed_cross_entropy: allowed with --continue-epochs is"),
    ],
    ids=["arch", "ours", "unknown", "task", "from-start", "criterion"],
)
def test_bad_options_of_training_are_refused_before_any_work(folder, programs, capsys, change, message):
    words = arguments(folder, "--methods", "l1", "from-start", "--continue-epochs", 1, train=TRAIN.replace(*change))
    assert message in refused(capsys, words)
    assert programs.ran == [] and not (folder / "out").exists()


def test_bad_checkpoints_and_data_are_refused_before_any_work(folder, programs, capsys):
    assert "CHECKPOINT " in refused(capsys, arguments(folder, checkpoint="none.pt"))
    (folder / "broken.pt").write_bytes(b"PK")
    assert "broken.pt: cannot be read as a checkpoint" in refused(capsys, arguments(folder, checkpoint="broken.pt"))
    state = read_checkpoint(folder / "trained.pt")
    mask = {"encoder.layers.0.self_attn.head_mask": torch.tensor([2, 2, 0, 0, 0, 0, 0, 0])}
    write_checkpoint({**state, "model": {**state["model"], **mask}}, folder / "voted.pt")
    assert "voted.pt: it was voted on already" in refused(capsys, arguments(folder, checkpoint="voted.pt"))
    state["args"].task = "denoising"
    write_checkpoint(state, folder / "other.pt")
    assert "its task is denoising; allowed is translation" in refused(capsys, arguments(folder, checkpoint="other.pt"))
    state["args"].task = "translation_v2s"
    write_checkpoint({**state, "extra_state": {"train_iterator": {"epoch": 0}}}, folder / "short.pt")
    words = arguments(folder, "--methods", "from-start", checkpoint="short.pt")
    assert "short.pt does not say for how many epochs it was trained" in refused(capsys, words)
    no_dictionaries = f"DATA {folder}: has no dictionaries, such as fairseq-preprocess writes, dict.LANG.txt; "
    words = arguments(folder)
    assert no_dictionaries + f"{folder}/bin has them" in refused(capsys, [str(folder), *words[1:]])
    shutil.rmtree(folder / "bin")
    assert "bin: no such folder" in refused(capsys, arguments(folder))
    assert programs.ran == [] and not (folder / "out").exists()


def test_what_is_missing_is_said_before_any_work(folder, programs, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        assert "matplotlib, jinja2: not installed; pip install matplotlib jinja2" in refused(capsys, arguments(folder))
    monkeypatch.chdir(folder)
    assert "is not the root of the repository" in refused(capsys, arguments(folder))
    assert programs.ran == [] and not (folder / "out").exists()
