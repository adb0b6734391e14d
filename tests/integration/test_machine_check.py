"""A part of the checks of a machine, for real, on a CPU."""

import re

from commands import run


def test_restart_and_slim_model_on_toy_data(corpus, tmp_path):
    command = f"python scripts/check_gpu.py {corpus} --cpu --only slim restart --work {tmp_path} --parallel 2"
    printed = run(command)
    rows = re.findall(r"^\| (masked|killed)[^|]*\| ([^|]*?) +\|[^|]*\| (\w+) +\|$", printed, re.MULTILINE)
    assert [(name, verdict) for name, _, verdict in rows] == [("masked", "ok"), ("killed", "ok")]
    assert rows[0][1] == "24 of 24 translations the same" and rows[1][1].startswith("the same heads; loss ")
    assert (tmp_path / "check_gpu/translation_float32/slim.pt").is_file()
