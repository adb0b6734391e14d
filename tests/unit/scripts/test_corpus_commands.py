"""The corpus commands of the quickstart: English of the running Python, split without overlap."""

import make_english_text


def test_english_text_of_this_python_is_split_without_overlap(tmp_path):
    assert make_english_text.main([str(tmp_path)]) == 0
    lines = {
        split: (tmp_path / f"{split}.en").read_text(encoding="utf-8").splitlines() for split in make_english_text.SPLITS
    }
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
    assert make_english_text.paragraphs(topic) == [
        "The statement is used for conditional execution, as in other languages:",
        "It selects exactly one of the suites by evaluating the expressions one by one.",
    ]


def test_paragraph_of_several_topics_stays_in_the_first():
    said = "This paragraph of at least eight words is said by every topic."
    own = "And this one of at least eight words by topic {} alone."
    words = ["zero", "one", "two", "three", "four", "five", "six"]
    corpus = make_english_text.split_topics({f"t{n}": f"{said}\n\n{own.format(w)}" for n, w in enumerate(words)})
    assert corpus["valid"] == [own.format("three")] and corpus["test"] == [own.format("six")]
    assert corpus["train"] == [said, *(own.format(w) for w in ("zero", "one", "two", "four", "five"))]
