"""The notebook: valid, small, of no machine in particular; (slow) run in a fresh folder, it prunes a model."""

import json
import re

import pytest
from commands import REPOSITORY

from fairseq_ghat import load
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.profiling.parameters import non_embedding_parameters
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

NOTEBOOK = REPOSITORY / "examples/notebook/pruning_a_model.ipynb"
NEEDED = "needs the extra notebook: pip install nbclient ipykernel scikit-learn matplotlib jinja2"


def cells(kind):
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def texts(outputs):
    """What outputs say in words, without pictures."""
    for output in outputs:
        by_type = output.get("data", {})
        yield from ("".join(content) for kind, content in by_type.items() if kind.startswith("text/"))
        yield "".join(output.get("text", ""))


def test_cells_compile_and_were_run_once_in_their_order():
    code = cells("code")
    for cell in code:
        compile("".join(cell["source"]), cell["id"], "exec")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


def test_outputs_are_small_and_without_errors_warnings_and_places_of_a_machine():
    assert NOTEBOOK.stat().st_size < 200_000
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result", "display_data"}
    assert {output["name"] for output in outputs if output["output_type"] == "stream"} == {"stdout"}
    assert not [text for text in texts(outputs) if re.search(r"(?<![\w.])(/|~/|[A-Z]:\\)\w", text)]


def test_its_links_lead_to_files():
    targets = [target for cell in cells("markdown") for target in re.findall(r"\]\(([^)]+)\)", "".join(cell["source"]))]
    assert targets and all((NOTEBOOK.parent / target).is_file() for target in targets)


def test_it_is_valid():
    nbformat = pytest.importorskip("nbformat", reason=NEEDED)
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))


@pytest.mark.slow
def test_it_prunes_a_model(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason=NEEDED)
    for package in ("ipykernel", "sklearn", "matplotlib", "jinja2"):
        pytest.importorskip(package, reason=NEEDED)
    import nbformat  # which nbclient needs

    (tmp_path / "scripts").symlink_to(REPOSITORY / "scripts")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(text for cell in notebook.cells for text in texts(cell.get("outputs", ())))
    assert "the heads that were counted above: True" in printed
    assert "slim and tuned translate alike: True" in printed
    bleu = {name: float(score) for name, score in re.findall(r"(plain|slim): BLEU ([\d.]+)", printed)}
    assert bleu["plain"] > 30 and bleu["slim"] > 30, "the grammar is easy: a few epochs should do"

    work = tmp_path / "work/notebook"
    plain, voted, tuned, slim = ("plain/checkpoint_last.pt", "voted.pt", "tuned/checkpoint_last.pt", "tuned/slim.pt")
    parameters = {name: non_embedding_parameters(read_checkpoint(work / name)["model"]) for name in (plain, slim)}
    # In each of 6 attentions of width 128, 4 heads of 16 features go, with 4 weight matrices and 3 biases.
    assert parameters[plain] - parameters[slim] == 6 * 4 * 16 * (4 * 128 + 3)
    assert kept_heads_in_checkpoint(read_checkpoint(work / slim)) == kept_heads_in_checkpoint(
        read_checkpoint(work / voted)
    )
    sources = (work / "raw/test.de").read_text(encoding="utf-8").splitlines()[:40]
    assert load(work / slim, work).translate(sources) == load(work / tuned, work).translate(sources)
    assert "tuned" in (work / "report.html").read_text(encoding="utf-8")
