"""Bars as SVG: for each figure one for each gateway, with a line from quartile to quartile."""

import xml.sax.saxutils

from results import number

WIDTH, LEFT, RIGHT = 760, 130, 90
BAR, GAP, TITLE, BELOW = 16, 6, 40, 18
COLOURS = {"weir": "#1f6f8b", "relay": "#9aa5ab", "peer": "#d98e4a"}

STYLE = "text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold } .value { fill: #555 }"


def colour(gateway):
    return COLOURS["weir" if gateway == "weir" else "relay" if gateway.startswith("relay") else "peer"]


def text(x, y, said, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{xml.sax.saxutils.escape(said)}</text>'


def bar(y, gateway, spread, scale):
    low, median, high = spread
    middle = y + BAR / 2
    return [
        text(LEFT - 8, y + BAR - 4, gateway, anchor="end"),
        f'<rect x="{LEFT}" y="{y:.1f}" width="{median * scale:.1f}" height="{BAR}" fill="{colour(gateway)}"/>',
        f'<path d="M{LEFT + low * scale:.1f} {middle:.1f}H{LEFT + high * scale:.1f}" stroke="#222"/>',
        text(LEFT + high * scale + 6, y + BAR - 4, number(median), "value"),
    ]


def panel(y, title, spreads):
    """Its lines, and where the next one begins. `spreads`: gateways and their quartiles."""
    scale = (WIDTH - LEFT - RIGHT) / (max(high for _, (_, _, high) in spreads) or 1)
    lines = [text(8, y + TITLE - 16, title, "title")]
    y += TITLE - 8
    for gateway, spread in spreads:
        lines += bar(y, gateway, spread, scale)
        y += BAR + GAP
    return lines, y + BELOW


def svg(panels):
    """A picture of (title, spreads) one below the other."""
    lines, y = [], 0
    for title, spreads in panels:
        more, y = panel(y, title, spreads)
        lines += more
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">\n<style>{STYLE}</style>\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>\n')
    return head + "\n".join(lines) + "\n</svg>\n"
