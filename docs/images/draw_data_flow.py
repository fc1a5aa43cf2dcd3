"""Draw ``data_flow.svg``, the figure in docs/architecture.md."""

from html import escape
from pathlib import Path

WIDTH, ROW = 800, 150
STAGE = "#dbeafe", "#1d4ed8"
WAIT = "#fef3c7", "#b45309"
FRAME = "#f59e0b"

STAGES = [
    ("Reader", "decodes frames in a thread", "video/"),
    ("Backbone and FPN", "on batches of frames", "modeling/"),
    ("RPN and ROI heads, encoders", "detections, soft masks, small maps", "modeling/, networks/"),
    ("Tracker", "propagates masks, links clips", "tracking/"),
    ("Output", "pastes masks, encodes them as RLE", "inference/"),
]
# Between two stages: what waits, for how long, labels of the frames, which of them goes on next.
WAITS = [
    ("Prefetch queue", "holds 2 x FRAMES_PER_BATCH decoded frames", ["", "", "", "", ""], None),
    (
        "Support window (STSN only)",
        "delay K = STSN.RADIUS frames",
        ["t-K", "..", "t", "..", "t+K"],
        2,
    ),
    ("Clip window", "delay T = CLIP_RADIUS frames", ["t-T", "..", "t", "..", "t+T"], 2),
    ("Lag (FINAL_MASK fill or average)", "delay T more frames", ["t", "..", "t+T"], 0),
]
OUTPUTS = "FrameResult: drawing, id masks, results.json, evaluation"


def box(
    x: int, y: int, width: int, height: int, colors: tuple[str, str], dashed: bool = False
) -> str:
    """A rounded rectangle."""
    fill, stroke = colors
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="1.5"{dash}/>'
    )


def text(
    x: int, y: int, content: str, size: int = 14, weight: str = "normal", anchor: str = "start"
) -> str:
    """A line of text."""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(content)}</text>'
    )


def arrow(*points: tuple[int, int]) -> str:
    """A line with an arrow head through the points."""
    path = " ".join(f"{x},{y}" for x, y in points)
    style = 'fill="none" stroke="#374151" stroke-width="1.5" marker-end="url(#head)"'
    return f'<polyline points="{path}" {style}/>'


def stage(i: int) -> list[str]:
    """A stage, on the left."""
    name, what, folder = STAGES[i]
    y = 20 + i * ROW
    return [
        box(20, y, 330, 78, STAGE),
        text(36, y + 25, name, 16, "bold"),
        text(36, y + 46, what),
        text(36, y + 66, folder, 12),
    ]


def wait(i: int) -> list[str]:
    """A place where frames wait, on the right, and the arrows from and to the stages."""
    name, delay, frames, next_frame = WAITS[i]
    y = 20 + i * ROW + 68
    parts = [
        box(430, y, 350, 92, WAIT, dashed="only" in name or "fill" in name),
        text(446, y + 23, name, 15, "bold"),
        text(446, y + 43, delay, 13),
        arrow((350, y - 16), (605, y - 16), (605, y - 2)),
        arrow((605, y + 92), (605, y + 104), (352, y + 104)),
    ]
    for j, frame in enumerate(frames):
        x = 446 + 46 * j
        fill = FRAME if j == next_frame else "#ffffff"
        parts.append(
            f'<rect x="{x}" y="{y + 54}" width="40" height="26" fill="{fill}" stroke="{WAIT[1]}"/>'
        )
        parts.append(text(x + 20, y + 72, frame, 13, anchor="middle"))
    return parts


def main() -> None:
    """Write the figure beside this script."""
    bottom = 20 + (len(STAGES) - 1) * ROW
    height = bottom + 160
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="Helvetica, Arial, sans-serif" fill="#111827">',
        '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z" fill="#374151"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
    ]
    for i in range(len(STAGES)):
        parts += stage(i)
    for i in range(len(WAITS)):
        parts += wait(i)
    parts += [
        text(430, bottom + 52, "Kept of a finished frame: RLEs and scores.", 14),
        text(430, bottom + 72, "Above 16 MB, RLEs go to a temporary file.", 13),
        arrow((185, bottom + 78), (185, bottom + 100)),
        text(36, bottom + 124, OUTPUTS, 15, "bold"),
    ]
    svg = "\n".join([*parts, "</svg>"])
    (Path(__file__).parent / "data_flow.svg").write_text(svg + "\n")


if __name__ == "__main__":
    main()
