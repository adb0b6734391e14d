"""The table of a comparison, as it goes into a README."""

from typing import List

from experiments.comparison.plan import Comparison
from experiments.comparison.results import Results, spread
from fairseq_ghat.cli.console import markdown_table


def table(what: Comparison, results: Results) -> str:
    """Rows by budget, the best after fine-tuning first, under those of all heads; what they hold for below."""
    titles = ["method", "paper", "heads kept", "refit", "after the vote", "after fine-tuning"]
    rows = [[title, "", str(what.heads), "", f"{score:.2f}", ""] for title, score in results.all_heads]
    for row in results.rows:
        cells = [row.title, row.paper, str(row.keep), row.refit, described(row.voted), described(row.tuned)]
        rows.append(cells)
    if what.translates:
        titles.append("p")
        p_values = [None] * len(results.all_heads) + [row.p_value for row in results.rows]
        rows = [[*cells, "" if p is None else f"{p:.3f}"] for cells, p in zip(rows, p_values)]
    return "\n".join([markdown_table(titles, rows), *conditions(what, results)])


def described(values: List[float]) -> str:
    """Mean, with the standard deviation if there are several values; empty for none."""
    if not values:
        return ""
    found = spread(values)
    deviation = found["standard_deviation"]
    return f"{found['mean']:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


def conditions(what: Comparison, results: Results) -> List[str]:
    """Lines that say what the figures are and hold for."""
    seeds = f"seeds {', '.join(map(str, what.seeds))}"
    figure = f"mean ± standard deviation over {seeds}" if len(what.seeds) > 1 else f"seed {what.seeds[0]}"
    scored = f"{results.metric} of {what.subset}, {figure}; {results.signature}"
    if not what.translates:
        scored += " (the lower the better)"
    budget = "in each attention" if what.budget == "layer" else "for each attention on average, over the whole model"
    tuned = f"fine-tuning: {_epochs(what.epochs)} after the vote, which all heads have not"
    trained = f"heads kept {budget}; {tuned if what.epochs else 'no fine-tuning'}"
    if what.continue_epochs:
        trained += f"; every start is the checkpoint trained on by {_epochs(what.continue_epochs)}"
    lines = [scored, trained]
    if what.translates:
        after = "after fine-tuning" if what.epochs else "after the vote"
        together = ", all seeds together" if len(what.seeds) > 1 else ""
        lines.append(
            f"p: paired bootstrap of the translations {after}{together}, against {what.baseline} with as many heads "
            "and the same refit"
        )
    return lines


def _epochs(count: int) -> str:
    return f"{count} epoch" + ("" if count == 1 else "s")
