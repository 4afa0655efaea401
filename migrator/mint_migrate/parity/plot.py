"""Draw both loss curves and their difference as one self-contained SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from mint_migrate.parity.compare import LOSS_TOLERANCE
from mint_migrate.parity.verify import VerifyResult

WIDTH, HEIGHT = 720, 480
LEFT, RIGHT = 76, 16
CURVES_TOP, CURVES_BOTTOM = 64, 290
GAPS_TOP, GAPS_BOTTOM = 330, 440
SMALLEST_GAP = 1e-9
"""Where the logarithmic axis of differences ends; equal values lie on its lower edge."""

STYLE = (
    "text{font:12px sans-serif;fill:#222}.axis{stroke:#888;fill:none}.grid{stroke:#ddd}"
    ".original{stroke:#1f5fa8;fill:none;stroke-width:5;opacity:.45}"
    ".converted{stroke:#b3372f;fill:none;stroke-width:1.6}.limit{stroke:#222;stroke-dasharray:5 4}"
)


def loss_plot(result: VerifyResult) -> str:
    """Return the SVG text: losses above, their relative difference and its tolerance below."""
    pairs = result.comparison.pairs
    left = [pair.original.loss for pair in pairs]
    right = [pair.converted.loss for pair in pairs]
    gaps = [pair.loss_difference for pair in pairs]
    outcome = "equal" if result.comparison.is_equal else "differs"
    title = f"{result.original.name} beside {result.converted.name}: {outcome}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-weight="bold">{escape(title)}</text>',
        *_legend(),
        *_curves(left, right),
        *_gaps(gaps),
        f'<text x="{LEFT}" y="{HEIGHT - 14}">optimizer step 0 to {max(len(pairs) - 1, 0)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    y = 44
    return [
        f'<path class="original" d="M{LEFT} {y}h28"/>',
        f'<text x="{LEFT + 36}" y="{y + 4}">original</text>',
        f'<path class="converted" d="M{LEFT + 110} {y}h28"/>',
        f'<text x="{LEFT + 146}" y="{y + 4}">converted</text>',
    ]


def _curves(left: Sequence[float], right: Sequence[float]) -> list[str]:
    """Return both curves with a grid; values that are not finite leave a gap."""
    values = [value for value in (*left, *right) if math.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.05 or 0.5
    low, high = low - margin, high + margin

    def height(value: float) -> float:
        return CURVES_BOTTOM - (value - low) / (high - low) * (CURVES_BOTTOM - CURVES_TOP)

    ticks = [low + (high - low) * part / 4 for part in range(5)]
    return [
        *(_tick(height(tick), f"{tick:.4g}") for tick in ticks),
        f'<text x="8" y="{CURVES_TOP - 6}">loss</text>',
        f'<path class="original" d="{_path(left, height)}"/>',
        f'<path class="converted" d="{_path(right, height)}"/>',
    ]


def _gaps(gaps: Sequence[float]) -> list[str]:
    """Return the relative difference on a logarithmic axis from `SMALLEST_GAP` to 1."""
    decades = -math.log10(SMALLEST_GAP)

    def height(value: float) -> float:
        bounded = min(max(value, SMALLEST_GAP), 1.0)
        return GAPS_TOP - math.log10(bounded) / decades * (GAPS_BOTTOM - GAPS_TOP)

    limit = height(LOSS_TOLERANCE)
    return [
        *(_tick(height(tick), f"{tick:.0e}") for tick in (1.0, 1e-3, 1e-6, 1e-9)),
        f'<text x="8" y="{GAPS_TOP - 10}">relative difference, tolerance dashed</text>',
        f'<path class="limit" d="M{LEFT} {limit:.1f}H{WIDTH - RIGHT}"/>',
        f'<path class="converted" d="{_path(gaps, height)}"/>',
    ]


def _tick(y: float, label: str) -> str:
    line = f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def _path(values: Sequence[float], height: Callable[[float], float]) -> str:
    """Return the path through the values, spread over the width."""
    step = (WIDTH - LEFT - RIGHT) / max(len(values) - 1, 1)
    commands, pen_is_down = [], False
    for index, value in enumerate(values):
        if math.isfinite(value):
            commands.append(
                f"{'L' if pen_is_down else 'M'}{LEFT + index * step:.1f} {height(value):.1f}"
            )
        pen_is_down = math.isfinite(value)
    return "".join(commands) or f"M{LEFT} {CURVES_BOTTOM}"
