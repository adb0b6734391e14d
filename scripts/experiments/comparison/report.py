"""Table, picture and page of a comparison."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from experiments.comparison.plan import FROM_START, PLAIN, Comparison, Size
from experiments.comparison.results import Results, Row, as_json, gather, spread
from experiments.files import write_json
from experiments.pictures import KINDS, pyplot_without_screen, save
from fairseq_ghat.checkpoints.whole_file import whole_file
from fairseq_ghat.cli.console import markdown_table
from fairseq_ghat.pruning.model_budget import read_budget

_MARKERS = "osD^v<>PX*ph"


def report(comparison: Comparison, settings: Dict[str, Any]) -> None:
    """Writes table, figures, picture and page into OUT, each whole or not at all, and prints the table.

    Args:
        comparison: all of whose commands are finished.
        settings: it was made with, for results.json.
    """
    results, out = gather(comparison), comparison.out
    from experiments.comparison.page import comparison_page, comparison_section  # wants matplotlib and jinja2

    (titles, rows), notes = table(comparison, results), conditions(comparison, results)
    text = "\n".join([markdown_table(titles, rows), *notes])
    print(f"\n{text}")
    write_json(out / "results.json", as_json(comparison, results, settings))
    figure = draw(comparison, results)
    page = comparison_page(comparison, comparison_section(titles, rows, notes, figure))
    for name, content in (("table.md", f"{text}\n"), ("report.html", page)):
        with whole_file(out / name) as file:
            file.write(content.encode())
    save(figure, *(out / f"pruning{kind}" for kind in KINDS))
    print(f"{out}: table.md, results.json, report.html, pruning.png, pruning.svg")


def table(comparison: Comparison, results: Results) -> Tuple[List[str], List[List[str]]]:
    """Titles and rows: by budget, the best after fine-tuning first, under those of all heads."""
    size = "budget" if comparison.budget else "heads kept"
    titles = ["method", "paper", size, "parameters", "updates", "refit", "after the vote", "after fine-tuning"]
    whole = ["all" if comparison.budget else str(comparison.heads), f"{results.parameters:,}"]
    rows = [
        [title, "", *whole, _count(updates), "", f"{score:.2f}", "", ""] for title, score, updates in results.all_heads
    ]
    for row in results.rows:
        p_value = "" if row.p_value is None else f"{row.p_value:.3f}"
        scores = [described(row.voted), described(row.tuned)]
        counts = [f"{row.parameters:,}", _count(row.updates)]
        rows.append([row.title, row.paper, str(row.size), *counts, row.refit, *scores, p_value])
    if comparison.translates:
        titles.append("p")
    return titles, [row[: len(titles)] for row in rows]


def described(scores: Sequence[float]) -> str:
    """Mean, with the standard deviation if there are several scores; empty for none."""
    if not scores:
        return ""
    average, deviation = spread(scores).values()
    return f"{average:.2f}" if deviation is None else f"{average:.2f} ± {deviation:.2f}"


def conditions(comparison: Comparison, results: Results) -> List[str]:
    """Lines that say what the figures are and hold for."""
    several = len(comparison.seeds) > 1
    seeds = ", ".join(map(str, comparison.seeds))
    figure = f"mean ± standard deviation over seeds {seeds}" if several else f"seed {seeds}"
    scored = f"{results.metric} of {comparison.subset}, {figure}; {results.signature}"
    per_layer = comparison.vote_budget == "layer"
    kept = f"heads kept {'in each attention' if per_layer else 'for each attention on average, over the whole model'}"
    if comparison.budget:
        kept = "budget: share of the attention and feed-forward layers that stays, or of the measured time"
    tuned = f"fine-tuning: {_epochs(comparison.epochs)} after the vote, which all heads have not"
    trained = (
        f"{kept}; parameters without embeddings; updates in all; {tuned if comparison.epochs else 'no fine-tuning'}"
    )
    if comparison.continue_epochs:
        trained += f"; every start is the checkpoint trained on by {_epochs(comparison.continue_epochs)}"
    if FROM_START in comparison.methods:
        trained += f"; {FROM_START}: the small model, of random units, trained for {_epochs(comparison.epochs_in_all)}"
    if not comparison.translates:
        return [f"{scored} (the lower the better)", trained]
    after = "after fine-tuning" if comparison.epochs else "after the vote"
    tested = (
        f"p: paired bootstrap of the translations {after}{', all seeds together' if several else ''}, against "
        f"{comparison.baseline} of the same size and refit"
    )
    if FROM_START in comparison.methods and len(comparison.refit) > 1:
        tested += f", {FROM_START} against that of refit {comparison.refit[0]}"
    return [scored, trained, tested]


def draw(comparison: Comparison, results: Results):
    """A picture of the scores against the sizes.

    One panel for each refit and moment (after the vote, after fine-tuning): a line for each method. Means over seeds,
    with standard deviations as bars where there are several; the dotted line is the checkpoint with all heads.
    Perplexities are on a logarithmic scale: those right after a vote can be a hundred times the others.

    Returns:
        A figure of matplotlib.
    """
    pyplot = pyplot_without_screen()
    moments = [("voted", "after the vote")] + ([("tuned", "after fine-tuning")] if comparison.epochs else [])
    shape = (len(comparison.refit), len(moments))
    size = (5.5 * shape[1], 4.2 * shape[0] + 0.6)
    figure, panels = pyplot.subplots(*shape, figsize=size, squeeze=False, layout="constrained")
    # In the order the methods were given: the colours do not depend on the scores.
    order = [*comparison.methods, *comparison.gct_methods]
    rows = sorted(results.rows, key=lambda row: (order.index(row.method), row.start != PLAIN, row.start))
    for refit, of_refit in zip(comparison.refit, panels):
        for (moment, title), panel in zip(moments, of_refit):
            panel.set_title(title if len(comparison.refit) == 1 else f"{title}, refit {refit}")
            panel.set_xlabel(_stays(comparison))
            panel.set_ylabel(results.metric)
            panel.set_xticks([place(size) for size in comparison.sizes])
            if not comparison.translates:
                panel.set_yscale("log")
            panel.axhline(results.all_heads[0][1], color="black", linestyle=":", label=results.all_heads[0][0])
            for number, method in enumerate(dict.fromkeys(row.title for row in rows)):
                of_method = [row for row in rows if row.title == method and row.refit in (refit, "")]
                if any(getattr(row, moment) for row in of_method):  # there is no vote from the start
                    _line(panel, method, number, points(of_method, moment))
    figure.legend(*panels[-1][-1].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure


def points(rows: Sequence[Row], moment: str) -> List[Tuple[float, float, float]]:
    """(place of the size, mean, standard deviation; 0 of one seed) of one method, from small to large.

    Args:
        rows: of the method.
        moment: "voted" or "tuned".
    """
    spreads = [(place(row.size), spread(getattr(row, moment))) for row in sorted(rows, key=lambda row: row.size)]
    return [(size, figures["mean"], figures["standard_deviation"] or 0.0) for size, figures in spreads]


def place(size: Size) -> float:
    """Where a size lies on the axis: the number of heads, or the share of a budget."""
    return read_budget(size)[1] if isinstance(size, str) else size


def _stays(comparison: Comparison) -> str:
    """What the sizes are, beside the axis."""
    if comparison.budget:
        return "budget: share that stays"
    return "heads kept in each attention" + (", on average" if comparison.vote_budget == "model" else "")


def _line(panel, title: str, number: int, of_method: Sequence[Tuple[float, float, float]]) -> None:
    sizes, means, deviations = zip(*of_method)
    style = {"color": f"C{number % 10}", "marker": _MARKERS[number % len(_MARKERS)], "markersize": 5, "linewidth": 1.2}
    if any(deviations):
        panel.errorbar(sizes, means, yerr=deviations, capsize=3, label=title, **style)
    else:
        panel.plot(sizes, means, label=title, **style)


def _epochs(count: int) -> str:
    return f"{count} epoch" + ("" if count == 1 else "s")


def _count(updates: Optional[int]) -> str:
    return "" if updates is None else f"{updates:,}"
