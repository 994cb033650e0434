"""An answer as HTML that needs nothing else: no script, no network, readable in the light and in the dark."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from trailer_lib.strip import Shot, Strip, small

UP, DOWN = "#2a8bd6", "#d9622b"  # told apart by every kind of eye; on white and on black
STYLE = """
.answer{font:14px/1.45 system-ui,sans-serif;max-width:60em}
.answer svg{width:100%;height:auto;max-width:30em;display:block;overflow:visible}
.answer .alert{border-left:4px solid #d9622b;padding:.2em .7em;margin:.4em 0;background:#d9622b22}
.answer h3,.answer h4{margin:.6em 0 .2em}.answer p{margin:.3em 0}
.answer .shots{display:flex;flex-wrap:wrap;gap:8px}
.answer figure{margin:0;width:min(160px,45%)}
.answer figure img{width:100%;display:block;border-radius:3px;margin:0}
.answer figcaption{font-size:12px;overflow-wrap:anywhere}
.answer .pull{height:5px;border-radius:2px;margin:2px 0}
"""


def page(strip: Strip) -> str:
    """The strip as one element with its style; every text in it is escaped."""
    return element("".join(parts(strip)))


def parts(strip: Strip) -> tuple[str, str, str]:
    """What belongs in an `element`: the score and all that is said of it, the frames, the similar films."""
    notes = "".join(f"<p>{escape(text)}</p>" for text in strip.notes)
    return (
        f"{''.join(map(alert, strip.alerts))}<h3>{escape(strip.title)}</h3>{_scale(strip)}{notes}",
        _shots("Frames, and by how many points each moved the answer", strip.frames)
        + _shots("Where in the frames that moved it most", strip.heat),
        _shots("Training films most like it, to the model", strip.similar),
    )


def alert(text: str) -> str:
    return f'<p class="alert" role="alert">{escape(text)}</p>'


def element(content: str) -> str:
    """Parts and alerts with their style."""
    return f'<div class="answer"><style>{STYLE}</style>{content}</div>'


def _scale(strip: Strip) -> str:
    """1 to 10 as SVG: the intervals as bars, the score as a dot, the other answers as ticks with their names below."""
    bars = "".join(_bar(share, *strip.intervals[share]) for share in sorted(strip.intervals, reverse=True))
    numbers = "".join(_text(_x(points), 48, str(points)) for points in range(1, 11))
    marks = "".join(_mark(row, *mark) for row, mark in enumerate(strip.marks.items()))
    said = f"{strip.score:.1f}"
    return (
        f'<svg viewBox="0 0 320 {58 + 14 * len(strip.marks)}" role="img" aria-label="{said} on a scale from 1 to 10">'
        f'<path d="M{_x(1)} 24H{_x(10)}" stroke="currentColor" stroke-opacity=".4" stroke-width="2"/>{bars}{numbers}'
        f'{marks}<circle cx="{_x(strip.score):.1f}" cy="24" r="7" fill="{UP}"/>'
        f"{_text(_x(strip.score), 11, said, 'font-size:14px;font-weight:bold')}</svg>"
    )


def _bar(share: int, low: float, high: float) -> str:
    top, height, opacity = (17, 14, 0.45) if share < 90 else (20, 8, 0.25)
    shape = f'x="{_x(low):.1f}" y="{top}" width="{_x(high) - _x(low):.1f}" height="{height}" rx="3"'
    said = f"<title>{share} %: {low:.1f} to {high:.1f}</title>"
    return f'<rect {shape} fill="{UP}" fill-opacity="{opacity}">{said}</rect>'


def _mark(row: int, name: str, points: float) -> str:
    place = _x(points)
    tick = f'<path d="M{place:.1f} 12V36" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2"/>'
    return tick + _text(min(max(place, 70), 250), 62 + 14 * row, f"{name} {points:.1f}")


def _text(x: float, y: float, text: str, style: str = "font-size:11px") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="middle" fill="currentColor" style="{style}">{escape(text)}</text>'


def _x(points: float) -> float:
    return 15 + 290 * (points - 1) / 9


def _shots(title: str, shots: list[Shot]) -> str:
    if not shots:
        return ""
    longest = max([abs(shot.pull) for shot in shots if shot.pull is not None], default=0.0)
    return f'<h4>{title}</h4><div class="shots">{"".join(_figure(shot, longest) for shot in shots)}</div>'


def _figure(shot: Shot, longest: float) -> str:
    bar = ""
    if shot.pull is not None:
        share, colour = abs(shot.pull) / (longest or 1.0), UP if shot.pull > 0 else DOWN
        bar = f'<div class="pull" style="width:{share:.0%};background:{colour}"></div>'
    picture, caption = data_uri(shot.picture), escape(shot.caption)
    return f'<figure><img alt="" src="{picture}">{bar}<figcaption>{caption}</figcaption></figure>'


def data_uri(picture: np.ndarray) -> str:
    """A picture, uint8 [height, width, 3], as a JPEG within a link."""
    data = io.BytesIO()
    Image.fromarray(small(picture)).save(data, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
