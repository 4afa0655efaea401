"""Score responses with verl's own functions by data source; runs in `verl`.

    python verl_scores.py CASES.json RESULT.json

A case is a data source, a response and the right answer; its result is what verl returns.
"""

from __future__ import annotations

import json
import sys

from verl.utils.reward_score import default_compute_score


def main() -> None:
    """Read the arguments, score every case, write the results."""
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        cases = json.load(file)
    results = [default_compute_score(*case) for case in cases]
    with open(target, "w", encoding="utf-8") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
