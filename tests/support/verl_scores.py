"""Draw responses and right answers for the rules by which verl scores mathematics."""

from __future__ import annotations

import random
from collections.abc import Iterator

PIECES = (
    *(r"\frac", r"\frac12", r"\frac{1}", r"\dfrac", r"\tfrac34", r"\sqrt", r"\sqrt2", r"\sqrt{3}"),
    *("{", "}", "{", "}", "(", ")", "[", "]", "$", "$", r"\$", "%", r"\%", r"\\%", r"\\\%"),
    *(r"\text{ ", r"\text{ cm}", r"\text{cm}", r"\text{and}", r"\text{s}", r"\text{m}", r"\text{}"),
    *(r"\textbf{", r"\overline{", r"\mbox{", r"\mathrm{th}", r"\text{.}", "\\text{\ns}", ".$"),
    *(r"\left", r"\right", r"\left(", r"\right)", r"^\circ", r"^{\circ}", r"\!", r"\\", r"\ "),
    *(
        r"\;",
        r",\!",
        "{,}",
        '"',
        r"\dots",
        r"\ldots",
        r"\text{}^2",
        r"\text{}^3",
        r"\pi",
        "^2",
        "_",
    ),
    *("x", "x=", "xy=", "abc = ", "=", "a ", "an ", "units", "dollars", "cm", "square", "points"),
    *("0", "1", "2", "12", "7", "-3", "-", "+", "/", "1/2", "-4/6", "07/2", "0.5", ".5", " .5"),
    *(",", "1,000", ".", " ", "  ", "\n", "\t", "é", "²", "A", "B"),
    *(r"\boxed{", r"\boxed{7}", r"\boxed ", r"\boxed", r"\fbox{", r"\fbox{7}"),
    *("Answer:", "answer : ", "ANSWER:\n", "Answer", "[INVALID]", "#### ", "#### 7"),
)
"""Pieces of answers; every rule of a normalization has some that it changes, or nearly."""

ANSWERS = (
    *("7", "-12", "1000", "1,000", "0.5", ".5", "3.75", r"\frac{1}{2}", r"\frac{-3}{14}", "2/3"),
    *(r"\frac{x+1}{2}", r"2\sqrt{3}", r"\sqrt{2}+\sqrt{5}", r"\frac{\sqrt{3}}{2}", r"(1,\infty)"),
    *(r"\left(3, \frac{\pi}{2}\right)", "x=5", r"90^\circ", r"50\%", r"\$32", r"\text{Evelyn}"),
    *(r"12\text{ cm}", r"(-\infty, 0] \cup [1, 2)", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    *("11\\text{ units}\\text{ more}", "p - q", r"x^2+2x+1", r"10\%\text{ off}", "a/b", "C"),
    *("(1, 0.25)", r"\frac{0.3}{7}", "07/2", r"\frac{1}{72}", r"\frac{1}{2}\frac3", "5\\text{\ns}"),
)
CHANGES = (
    *((r"\frac", r"\dfrac"), (r"\frac", r"\tfrac"), (r"\frac{1}{2}", r"\frac12"), (" ", "")),
    *((r"\frac{1}{2}", "1/2"), (r"\frac{1}{2}", "0.5"), (r"\sqrt{3}", r"\sqrt3"), (r"\left", "")),
    *((r"\right", ""), ("2/3", r"\frac{2}{3}"), ("2/3", r"\frac23"), (r"^\circ", r"^{\circ}")),
    *((r"\%", ""), (r"\$", ""), ("x=", ""), ("x=", "y = "), ("1000", "1,000"), ("1,000", "1000")),
    *((r"\text{Evelyn}", "Evelyn"), (r"\text{ cm}", ""), (r"\text{ cm}", " cm"), ("0.5", ".5")),
    *((",", r",\!"), (",", ", "), ("7", "7 units"), ("7", "7.0"), ("12", "13"), ("+", " + ")),
    *((", 0.", ", ."), ("{0.", "{."), ("07/2", r"\frac{07}{2}"), (r"\frac{1}{72}", r"\frac1{72}")),
    *((",", r",\text{and}"), ("\\text{\ns}", "")),
)
UNITS = (
    *("square", "ways", "integers", "dollars", "mph", "inches", "hours", "km", "units", "sue"),
    *("points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters"),
    *("meals", "edges", "students", "children tickets", "multiples", "apples", "m"),
)
FRAMES = (
    *("{}", r"So \boxed{{{}}}.", r"$\boxed{{{}}}$ as said", r"\boxed {}$ holds", r"\fbox{{{}}}"),
    *("Answer: {}", "Answer: ${}$", "answer : {}\nDone.", r"Answer: \boxed{{{}}}", "#### {}"),
    *(r"\boxed{{1}} and \boxed{{{}}}", r"\boxed{{{}}} or \boxed{{2", "Answer: 1\nAnswer: {}."),
    *("Answer: {}" + " more" * 70, r"\boxed{{{}}}" + " and so on" * 12, r"Answer: x = {} \\$"),
)


NUMBERS = ("7", "-12", "1000", "12345", "3.75", "0")
NUMBER_FRAMES = ("#### {}", "#### 1 #### {}", "#### {}." + " and so on" * 30, "#### ${}", "{}")


def draw_cases(
    sources: list[str], count: int, seed: int, *, numbers: bool
) -> Iterator[tuple[str, str, str]]:
    """Yield data sources, responses and right answers: changed right ones, and any mixture."""
    rng = random.Random(seed)
    answers, frames = (NUMBERS, NUMBER_FRAMES) if numbers else (ANSWERS, FRAMES)
    for _ in range(count):
        source, truth = rng.choice(sources), rng.choice(answers)
        if rng.random() < 0.15:
            truth = _mixture(rng)
        answer = truth
        for _ in range(rng.randrange(4)):
            fitting = [change for change in CHANGES if change[0] in answer]
            answer = answer.replace(*rng.choice(fitting or CHANGES))
        if rng.random() < 0.3:
            answer = f"{answer} {rng.choice(UNITS)}"
        if rng.random() < 0.3:
            cut = rng.randrange(len(answer) + 1)
            answer = answer[:cut] + rng.choice(PIECES) + answer[cut:]
        if rng.random() < 0.2:
            answer = _mixture(rng)
        response = rng.choice(frames).format(answer)
        before = _mixture(rng) if rng.random() < 0.5 else ""
        after = _mixture(rng) if rng.random() < 0.2 else ""
        yield source, before + response + after, truth


def _mixture(rng: random.Random) -> str:
    return "".join(rng.choices(PIECES, k=rng.randrange(1, 12)))
