"""Sentences of evaluation sets in SGML."""

from experiments.corpora.segments import segments


def test_text_of_the_segments_and_of_nothing_else():
    lines = [
        '<refset setid="newstest2014" srclang="any" trglang="de">',
        '<doc docid="1"><title>Not a sentence</title>',
        '<seg id="1"> R&amp;D isn’t &quot;cheap&quot; &lt;here&gt;  </seg>',
        '  <seg id="22">Zwei  Wörter</seg>\r',
        '<seg id="3"></seg>',
        '<seg id="4"> no end',
        "</doc>",
    ]
    assert list(segments(lines)) == ['R&D isn\'t "cheap" <here>', "Zwei Wörter", "", "no end"]
