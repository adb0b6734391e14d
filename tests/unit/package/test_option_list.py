"""The list of our options holds what fairseq-train parses with our classes and not with its own, and is the page."""

import pytest
from commands import REPOSITORY
from fairseq import options
from fairseq.models.transformer_lm import TransformerLanguageModelConfig

from fairseq_ghat.cli.option_list import as_markdown, as_text, sections
from fairseq_ghat.cli.options import main

OURS = (
    "--task translation_v2s --arch ghat_transformer --criterion group_constrained_label_smoothed_cross_entropy",
    "--task language_modeling_v2s --arch ghat_transformer_lm --criterion group_constrained_adaptive_loss",
)
THEIRS = (
    "--task translation --arch transformer --criterion label_smoothed_cross_entropy",
    "--task language_modeling --arch transformer_lm --criterion adaptive_loss",
)
LISTED = {option.flag: option for section in sections() for option in section.options}


def parsed(words):
    return vars(options.parse_args_and_arch(options.get_training_parser(), ["data", *words.split()]))


@pytest.mark.parametrize("ours,theirs", zip(OURS, THEIRS))
def test_options_and_defaults_are_those_of_the_parser(ours, theirs):
    # fairseq's parser leaves out options of its language model that were not given.
    known = parsed(theirs).keys() | vars(TransformerLanguageModelConfig()).keys()
    added = {"--" + name.replace("_", "-"): value for name, value in parsed(ours).items() if name not in known}
    assert added.keys() == LISTED.keys()
    for flag, value in added.items():
        if value is not None:
            assert LISTED[flag].values.endswith(f"Default: {value or 'off'}."), flag


def test_every_name_is_listed_with_what_it_is():
    names = {name: text for section in sections() for name, text in section.names.items()}
    for word in " ".join(OURS).split()[1::2]:
        assert names[word]
    assert names["ghat_transformer_lite"] == "GHT-PS-LITE of the paper: base size with feed-forward 1024."
    assert "Takes one of value, attention, output. Default: value." in as_text()


def test_the_page_is_what_the_code_says():
    page = (REPOSITORY / "docs/options.md").read_text(encoding="utf-8")
    assert page == as_markdown(), "run: ghat-options --list --markdown > docs/options.md"


def test_command_prints_list_or_page_and_refuses_other_words(capsys):
    for words, printed in (["--list"], as_text()), (["--list", "--markdown"], as_markdown()):
        assert main(words) == 0
        assert capsys.readouterr().out == printed
    for words in [], ["--list", "checkpoint.pt"], ["checkpoint.pt", "--markdown"]:
        with pytest.raises(SystemExit):
            main(words)
        assert "--list" in capsys.readouterr().err
