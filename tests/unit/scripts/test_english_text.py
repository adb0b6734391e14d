"""The text of the quickstart of language models: English of the running Python, split without overlap."""

from experiments.corpora.catalogue import CORPORA
from experiments.corpora.demo.english_text import build, paragraphs, split_topics
from experiments.corpora.text_files import SPLITS


def test_english_text_of_this_python_is_split_without_overlap(tmp_path):
    counts = build(CORPORA["demo-lm"], {}, tmp_path, None)
    lines = {split: (tmp_path / f"{split}.en").read_text(encoding="utf-8").splitlines() for split in SPLITS}
    assert counts == {split: len(text) for split, text in lines.items()}
    words = {split: len(" ".join(text).split()) for split, text in lines.items()}
    assert words["train"] > 25_000 and min(words["valid"], words["test"]) > 3_000
    everything = sum(lines.values(), [])
    assert len(set(everything)) == len(everything)
    runs = {split: eight_words(text) for split, text in lines.items()}
    for held_out in ("valid", "test"):
        shared = runs[held_out] & runs["train"]
        assert len(shared) < 0.01 * len(runs[held_out]), (
            "topics quote each other: next to nothing may be seen in training"
        )


def eight_words(lines):
    """All runs of eight words in a row."""
    words = " ".join(lines).split()
    return set(zip(*(words[start:] for start in range(8))))


def test_prose_is_kept_and_code_is_not():
    topic = (
        "The title\n*********\n\nThe statement is used for conditional\nexecution, as in other languages:\n\n"
        '   if_stmt ::= "if" assignment_expression ":" suite ("elif" suite)* .\n\n'
        "* It selects exactly one of the suites by evaluating the\n  expressions one by one.\n\nToo short."
    )
    assert paragraphs(topic) == [
        "The statement is used for conditional execution, as in other languages:",
        "It selects exactly one of the suites by evaluating the expressions one by one.",
    ]


def test_paragraph_of_several_topics_stays_in_the_first():
    said = "This paragraph of at least eight words is said by every topic."
    own = "And this one of at least eight words by topic {} alone."
    words = ["zero", "one", "two", "three", "four", "five", "six"]
    corpus = split_topics({f"t{n}": f"{said}\n\n{own.format(w)}" for n, w in enumerate(words)})
    assert corpus["valid"] == [own.format("three")] and corpus["test"] == [own.format("six")]
    assert corpus["train"] == [said, *(own.format(w) for w in ("zero", "one", "two", "four", "five"))]
