"""``report.html``: the demonstration on one page, without a script and without anything fetched from elsewhere."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stead.cli.demo.pictures import BLUE, GREEN, GREY, ORANGE, Dot, Interval, Line, dots, intervals, lines

if TYPE_CHECKING:
    from stead.cli.demo.story import Story
    from stead.client.answer import Answer
    from stead.client.run import TrainingRun

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6b7b; --line: #d5dce4; --paper: #fbfcfd; --tint: #eef4f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4eaf0; --soft: #9fb0c0; --line: #35424f; --paper: #14191f; --tint: #1d252d; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; }
p { max-width: 46rem; }
.soft { color: var(--soft); }
.numbers { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.75rem 0; padding: 0; list-style: none; }
.numbers li { flex: 1 1 9rem; background: var(--tint); border-radius: .5rem; padding: .85rem 1rem; }
.numbers b { display: block; font-size: 1.6rem; line-height: 1.2; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
pre { background: var(--tint); padding: 1rem; border-radius: .5rem; overflow-x: auto; }
code { font-size: .9em; }
"""


def write_report(path: Path, story: Story) -> None:
    """Write the page.

    Args:
        path: of the file.
        story: at its end.
    """
    body = "".join(
        [
            _head(story),
            _models(story),
            _training(story),
            _answers(story),
            _refusal(story),
            _proofs(story),
            _limits(),
        ]
    )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>stead: three hospitals, one model</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _head(story: Story) -> str:
    patients, found = sum(story.rows.values()), story.findings()
    numbers = (
        (f"{len(story.rows)}", "hospitals, each its own process, key, ledger and log"),
        (f"{patients:,}", "patients whose rows never left their hospital"),
        (
            f"{found.auc['private']:.3f}",
            f"AUC with differential privacy; {found.auc['central']:.3f} with all rows in one place",
        ),
        (f"{max(found.epsilon):.2f}", f"epsilon charged at most, at delta {found.delta:g}"),
    )
    items = "".join(f"<li><b>{html.escape(big)}</b>{html.escape(small)}</li>" for big, small in numbers)
    return (
        "<h1>Three hospitals, one question, one model</h1>"
        "<p>Each hospital kept its patients' rows in a node of its own. A scientist asked them a question and trained "
        "a model with them. What left each hospital was noisy answers and masked sums, paid for in a ledger and "
        "recorded in a log that anybody can check.</p>"
        f'<ul class="numbers">{items}</ul>'
    )


def _models(story: Story) -> str:
    if story.federated is None or story.private is None:
        return ""
    rows = [Dot(f"{name} alone", run.score, GREY, "disclosed") for name, run in story.alone.items()]
    price = max(story.private.epsilon.values())
    rows += [
        Dot("federated", story.federated.score, ORANGE, "disclosed"),
        Dot("federated, private", story.private.score, BLUE, f"ε {price:.2f}"),
        Dot("all rows in one place", story.central, GREEN, "reference"),
    ]
    values = [row.value for row in rows]
    low = math.floor((min(values) - 0.01) * 50) / 50
    picture = dots(
        "AUC of the models",
        rows,
        low=low,
        high=math.ceil((max(values) + 0.01) * 50) / 50,
        axis="AUC on held-out patients",
    )
    table = _table(
        ("model", "AUC", "epsilon at each site", "bytes", "seconds"),
        [
            *[_run_row(f"{name} alone", run) for name, run in story.alone.items()],
            _run_row("federated", story.federated),
            _run_row("federated, private", story.private),
            ("all rows in one place", f"{story.central:.3f}", "not possible in the world", "", ""),
        ],
    )
    return (
        "<h2>The same model, trained four ways</h2>"
        "<p>It predicts death before the end of the study from age, sex and blood values. The grey and orange models "
        "left through <code>disclose</code>: an approver of each hospital had to say yes, and the log counts them for "
        "ever, because nothing bounds what they say about one patient. The blue one needed nobody's leap of faith: "
        "every patient's influence on it is bounded.</p>"
        f"<figure>{picture}</figure>{table}"
    )


def _run_row(label: str, run: TrainingRun) -> tuple[str, ...]:
    price = max(run.epsilon.values())
    shown = f"{price:.2f}" if math.isfinite(price) else "none: disclosed"
    return (label, f"{run.score:.3f}", shown, f"{run.size_bytes:,}", f"{run.seconds:.1f}")


def _training(story: Story) -> str:
    run = story.private
    if run is None:
        return ""
    numbers = tuple(float(record.number) for record in run.rounds)
    scores = tuple(record.score for record in run.rounds)
    spent = tuple(record.epsilon for record in run.rounds)
    low = math.floor(min(scores) * 20) / 20
    learning = lines(
        "AUC of the private model by round",
        [
            Line("private", numbers, scores, BLUE),
            Line("all rows in one place", (0.0, numbers[-1]), (story.central, story.central), GREEN),
        ],
        axes=("round", "AUC"),
        low=low,
        high=max(math.ceil(max(*scores, story.central) * 50) / 50, low + 0.05),
    )
    paying = lines(
        "Epsilon after each round",
        [Line("epsilon so far", numbers, spent, ORANGE)],
        axes=("round", "epsilon"),
        low=0.0,
        high=math.ceil(max(spent)),
    )
    return (
        "<h2>How the private model was trained</h2>"
        f"<p>{len(numbers)} rounds. In each, every hospital clipped each patient's gradient, added its share of the "
        "noise, masked the sum, and sent that; only the sum of all three was ever readable. The whole price was "
        "charged at every hospital before the first round.</p>"
        f"<figure>{learning}</figure><figure>{paying}</figure>"
    )


def _answers(story: Story) -> str:
    parts = []
    for name in ("patients", "kappa"):
        rows = [row for answer in story.answers for row in _intervals(answer, name)]
        unit = "patients above 65" if name == "patients" else "mean free light chains, kappa (mg/dL)"
        parts.append(f"<figure>{intervals(f'{name}, with error bars', rows, unit=unit)}</figure>")
    return (
        "<h2>One question, at one hospital and over all three</h2>"
        "<p>Patients above 65, by sex: how many, and their mean kappa. The bars hold all true values together with "
        "95 % probability; they come from the noise alone.</p>" + "".join(parts)
    )


def _intervals(answer: Answer, name: str) -> list[Interval]:
    column = next(column for column in answer.columns if column.label == name)
    errors = [0.0] * len(column.values) if column.errors is None else column.errors
    where = answer.title.partition(" · ")[2]
    where, colour = ("all three", BLUE) if "," in where else (where, GREY)
    errors = [0.0] * len(column.values) if column.errors is None else column.errors.tolist()
    return [
        Interval(f"{where}, {group[0]}", float(value), float(error), colour)
        for group, value, error in zip(answer.groups, column.values, errors, strict=True)
    ]


def _refusal(story: Story) -> str:
    if story.refusal is None:
        return ""
    text = html.escape(f"{type(story.refusal).__name__}: {story.refusal}")
    return (
        "<h2>What was refused</h2><p>The same question, to the last patient, would have cost more than the project had "
        f"left. The refusal depends on the plan and the budget, never on a row.</p><pre><code>{text}</code></pre>"
    )


def _proofs(story: Story) -> str:
    rows = [
        (
            name,
            f"{report.size:,}",
            report.root.hex()[:24],
            f"{report.receipts}",
            f"{story.spent[name]:.2f}",
            f"{story.disclosures[name]}",
        )
        for name, report in story.reports.items()
    ]
    header = ("hospital", "entries", "root of the log", "receipts found in it", "epsilon charged", "disclosures")
    return (
        "<h2>Checked from outside, with the nodes stopped</h2>"
        "<p>Each log was fetched as any outsider can, recomputed from its hashes, compared with the head that the node "
        "had signed, and searched for every receipt the scientist holds.</p>" + _table(header, rows)
    )


def _limits() -> str:
    return (
        "<h2>What this does not show</h2><ul>"
        "<li>The three hospitals ran on one machine; the rows are public research data, which is why the reference "
        "could be computed at all.</li>"
        "<li>The disclosed models have no differential privacy. They are here to be compared with.</li>"
        "<li>No witness has signed these logs: they prove what their nodes signed, not that a node shows everybody the "
        "same log.</li></ul>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(kind: str, row: Sequence[str]) -> str:
        places = ("", *[' class="n"'] * (len(row) - 1))
        return "".join(f"<{kind}{place}>{html.escape(cell)}</{kind}>" for place, cell in zip(places, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<figure><table><thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table></figure>"
