"""Draw the README's picture: three steads, one gate each, one sum, one answer. Run it again after a change.

The colours follow the reader's light or dark page; the words inside are text, and the picture carries a description.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 960, 430

STYLE = """
  .ink { fill: #1f2933; } .soft { fill: #5b6875; } .paper { fill: #f7f5f0; } .card { fill: #ffffff; }
  .line { stroke: #9aa5b1; } .strong { stroke: #1f2933; } .row { fill: #b9c4cf; } .person { fill: #c8553d; }
  .gate { fill: #2f6f5e; } .flow { stroke: #2f6f5e; } .tip { fill: #2f6f5e; } .spent { fill: #d9a441; } .left { fill: #e9e2d0; }
  @media (prefers-color-scheme: dark) {
    .ink { fill: #e6ebf0; } .soft { fill: #9fb0bf; } .paper { fill: #161c22; } .card { fill: #202933; }
    .line { stroke: #56636f; } .strong { stroke: #e6ebf0; } .row { fill: #4a5865; } .person { fill: #e5806a; }
    .gate { fill: #63b59f; } .flow { stroke: #63b59f; } .tip { fill: #63b59f; } .spent { fill: #e0b65c; }
    .left { fill: #39434d; }
  }
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 14px; }
  .small { font-size: 12px; } .big { font-size: 17px; font-weight: 600; } .mono { font-family: ui-monospace, "DejaVu Sans Mono",
  monospace; font-size: 12px; } .middle { text-anchor: middle; } .end { text-anchor: end; }
"""

DESCRIPTION = (
    "Three hospitals on the left, each a house that holds its own rows, a budget and a log. A scientist on the right sends "
    "the same plan to all three. Each hospital's gate lets out one masked vector; the three are summed, the masks cancel, "
    "and the scientist receives one answer with an error bar and a receipt. The rows stay inside."
)


class Place(NamedTuple):
    """Where something stands, in pixels from the top left corner."""

    x: float
    y: float


def text(place: Place, words: str, *classes: str) -> str:
    """A line of words."""
    return f'<text x="{place.x:g}" y="{place.y:g}" class="{" ".join(classes or ("ink",))}" xml:space="preserve">{escape(words)}</text>'


def box(place: Place, size: tuple[float, float], classes: str, *, radius: float = 0) -> str:
    """A rectangle."""
    return f'<rect x="{place.x:g}" y="{place.y:g}" width="{size[0]:g}" height="{size[1]:g}" rx="{radius:g}" class="{classes}"/>'


def rows(place: Place, marked: int) -> list[str]:
    """A small table: five people, four columns, one person marked."""
    cells = []
    for line in range(5):
        for column in range(4):
            at = Place(place.x + column * 19, place.y + line * 11)
            cells.append(box(at, (16, 8), "person" if line == marked else "row", radius=1.5))
    return cells


def house(corner: Place, name: str, spent: float, marked: int) -> list[str]:
    """One stead: a roof, the rows, the budget, the log, and a gate in the right wall."""
    x, y = corner
    roof = f"M{x - 8:g},{y + 26:g} L{x + 125:g},{y:g} L{x + 258:g},{y + 26:g}"
    links = [f'<circle cx="{x + 140 + 15 * link:g}" cy="{y + 97:g}" r="4" class="gate"/>' for link in range(6)]
    return [
        box(Place(x, y + 26), (250, 92), "card line", radius=2),
        f'<path d="{roof}" fill="none" class="strong" stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>',
        text(Place(x + 14, y + 46), name, "ink"),
        *rows(Place(x + 14, y + 55), marked),
        text(Place(x + 108, y + 70), "budget", "soft", "small"),
        box(Place(x + 156, y + 61), (70, 9), "left", radius=4.5),
        box(Place(x + 156, y + 61), (70 * spent, 9), "spent", radius=4.5),
        text(Place(x + 108, y + 101), "log", "soft", "small"),
        f'<line x1="{x + 140:g}" y1="{y + 97:g}" x2="{x + 215:g}" y2="{y + 97:g}" class="flow" stroke-width="1.5"/>',
        *links,
        box(Place(x + 244, y + 56), (12, 36), "gate", radius=2),
    ]


def arrow(start: Place, end: Place, *, bend: float = 0, dashed: bool = False) -> str:
    """A curve that leaves and arrives level, with a tip at its end."""
    middle = (start.x + end.x) / 2
    path = f"M{start.x:g},{start.y:g} C{middle:g},{start.y + bend:g} {middle:g},{end.y + bend:g} {end.x:g},{end.y:g}"
    dashes = ' stroke-dasharray="2 5" stroke-linecap="round"' if dashed else ""
    return f'<path d="{path}" fill="none" class="flow" stroke-width="2"{dashes} marker-end="url(#tip)"/>'


def scientist(corner: Place) -> list[str]:
    """The scientist's notebook: what was sent, what came back."""
    x, y = corner
    lines = ["heart.filter(heart.age > 40)", "  .group_by('sex')", "  .agg(pressure=", "       heart.pressure.mean())"]
    answer = ["F   128.4 ± 0.6", "M   131.9 ± 0.7"]
    return [
        box(Place(x, y), (232, 292), "card line", radius=8),
        text(Place(x + 16, y + 28), "a scientist", "big", "ink"),
        text(Place(x + 16, y + 56), "the plan: steps anybody can read", "soft", "small"),
        *[text(Place(x + 16, y + 80 + 18 * line), words, "mono", "ink") for line, words in enumerate(lines)],
        f'<line x1="{x + 16:g}" y1="{y + 152:g}" x2="{x + 216:g}" y2="{y + 152:g}" class="line"/>',
        text(Place(x + 16, y + 178), "the answer, with its error", "soft", "small"),
        *[text(Place(x + 16, y + 202 + 20 * line), words, "mono", "ink") for line, words in enumerate(answer)],
        text(Place(x + 16, y + 258), "a receipt that an outsider", "soft", "small"),
        text(Place(x + 16, y + 274), "can check", "soft", "small"),
    ]


def picture() -> str:
    """The whole picture as SVG."""
    names = ("North Hospital", "City Clinic", "Lake Hospital")
    tops = (20, 152, 284)
    houses = [
        house(Place(24, top), *facts) for top, *facts in zip(tops, names, (0.35, 0.6, 0.2), (1, 3, 0), strict=True)
    ]
    gates = [Place(24 + 258, top + 80) for top in tops]
    centre = Place(500, 226)
    sums = [arrow(gate, Place(centre.x - 42, centre.y + 14 * (index - 1))) for index, gate in enumerate(gates)]
    body = [
        box(Place(0, 0), (WIDTH, HEIGHT), "paper", radius=14),
        *[part for parts in houses for part in parts],
        *sums,
        f'<circle cx="{centre.x:g}" cy="{centre.y:g}" r="36" class="card strong" stroke-width="2"/>',
        text(Place(centre.x, centre.y + 10), "Σ", "ink", "middle", "sigma"),
        text(Place(centre.x, centre.y + 62), "only the sum can be read:", "soft", "small", "middle"),
        text(Place(centre.x, centre.y + 78), "the masks cancel, the noise stays", "soft", "small", "middle"),
        arrow(Place(centre.x + 38, centre.y), Place(690, centre.y)),
        arrow(Place(696, 92), Place(288, 84), dashed=True),
        text(Place(500, 72), "the same plan to each gate", "soft", "small", "middle"),
        *[text(Place(286, top + 108), "gate", "soft", "small") for top in tops],
        text(Place(372, 356), "masked, noisy", "soft", "small"),
        *scientist(Place(704, 62)),
        text(Place(WIDTH - 24, HEIGHT - 22), "rows stay where they are", "soft", "small", "end"),
    ]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="name what">',
        '<title id="name">How an answer leaves three steads</title>',
        f'<desc id="what">{escape(DESCRIPTION)}</desc>',
        f"<style>{STYLE}  .sigma {{ font-size: 30px; }} .card {{ stroke-width: 1.5; }}\n</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0,0 L10,5 L0,10 z" class="tip"/></marker></defs>',
        *body,
        "</svg>",
        "",
    ])  # fmt: skip


def main() -> None:
    """Write the picture beside this script."""
    Path(__file__).with_name("overview.svg").write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
