"""Bars as SVG: for each figure one for each gateway, with a line from quartile to quartile."""

import xml.sax.saxutils

from results import number

COLUMNS, COLUMN, MARGIN = 2, 540, 24        # how many, and how wide
LEFT, RIGHT = 100, 60                       # of a panel's bars: names, values
BAR, GAP, TITLE, BELOW = 16, 6, 46, 26
LINE, LEGEND = 18, 34

# Blue, orange and grey of Okabe and Ito, which people see apart who see no red or no green; of different brightness, too.
KINDS = {"Weir": "#0072b2", "gateways of Debian": "#e69f00", "relays, which look at nothing": "#999999"}

STYLE = "text { font: 12px sans-serif; fill: #222 } .title { font-size: 16px; font-weight: bold } .name { font-weight: bold } .more { fill: #555 }"


def kind(gateway):
    weir, peer, relay = KINDS
    return weir if gateway.startswith("weir") else relay if gateway.startswith("relay") else peer


def text(x, y, said, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{xml.sax.saxutils.escape(said)}</text>'


def bar(x, y, gateway, spread, scale):
    low, median, high = spread
    left, middle = x + LEFT, y + BAR / 2
    return [
        text(left - 8, y + BAR - 4, gateway, anchor="end"),
        f'<rect x="{left}" y="{y:.1f}" width="{median * scale:.1f}" height="{BAR}" fill="{KINDS[kind(gateway)]}"/>',
        f'<path d="M{left + low * scale:.1f} {middle:.1f}H{left + high * scale:.1f}" stroke="#222" stroke-width="1.5"/>',
        text(left + high * scale + 6, y + BAR - 4, number(median), "more"),
    ]


def height(spreads):
    return TITLE + len(spreads) * (BAR + GAP) + BELOW


def panel(x, y, name, what, spreads):
    """Its lines. `spreads`: gateways and their quartiles."""
    scale = (COLUMN - LEFT - RIGHT) / (max(high for _, (_, _, high) in spreads) or 1)
    lines = [text(x, y + 12, name, "name"), text(x, y + 28, what, "more")]
    for number_, (gateway, spread) in enumerate(spreads):
        lines += bar(x, y + TITLE - 8 + number_ * (BAR + GAP), gateway, spread, scale)
    return lines


def legend(x, y):
    lines = []
    for said, colour in KINDS.items():
        lines += [f'<circle cx="{x + 6}" cy="{y - 4}" r="6" fill="{colour}"/>', text(x + 18, y, said)]
        x += 40 + 7 * len(said)
    return [*lines, text(x, y, "The line: from quartile to quartile of the rounds.", "more")]


def head(title):
    """The picture's title and legend, and where the panels begin."""
    lines = [text(MARGIN, MARGIN + LINE * row + 4, said, "more" if row else "title") for row, said in enumerate(title)]
    y = MARGIN + LINE * len(title) + 12
    return lines + legend(MARGIN, y), y + LEGEND


def svg(panels, title=()):
    """A picture of (name, what, spreads), each where there is most room, below the lines of its title."""
    lines, top = head(["Weir, other gateways, and relays", *title])
    ends = [top] * COLUMNS
    for name, what, spreads in panels:
        column = ends.index(min(ends))
        lines += panel(MARGIN + column * (COLUMN + MARGIN), ends[column], name, what, spreads)
        ends[column] += height(spreads)
    width, y = MARGIN + COLUMNS * (COLUMN + MARGIN), max(ends)
    begin = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}">\n<style>{STYLE}</style>\n'
        f'<rect width="{width}" height="{y}" fill="#fff"/>\n')
    return begin + "\n".join(lines) + "\n</svg>\n"
