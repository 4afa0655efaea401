"""Which datums share the next pass: as many models at once as there are, each its fair share.

A pass has a budget of rows. Steps that wait take turns: each gets an equal part of the budget, what
one does not need goes to the others, and who is served first moves on from pass to pass. A small
step is therefore done after one pass, whatever large one is under way.
"""

from __future__ import annotations

from collections.abc import Sequence

from mint_runtime.engine.training import StepRun

Member = tuple[StepRun, list[int]]


def compose(runs: Sequence[StepRun], max_rows: int) -> list[Member]:
    """Take datums for one pass from `runs`, all of one base model; nobody's share is empty.

    Args:
        runs: steps with pending datums, the one whose turn it is first.
        max_rows: the budget. A single datum may exceed it, and is alone in its pass then, when it
            is the turn of its step.
    """
    if runs[0].next_tokens > max_rows:
        return [(runs[0], runs[0].take(runs[0].next_tokens))]
    members: list[Member] = []
    left = max_rows
    for place, run in enumerate(runs):
        taken = run.take(left // (len(runs) - place))
        if not taken and run.next_tokens <= left:
            # Its next datum is longer than its share but fits into what is left for all.
            taken = run.take(run.next_tokens)
        if taken:
            members.append((run, taken))
            left -= run.num_rows(taken)
    first, taken = members[0]
    if first.pending and first.same_kind(taken[0]):
        # What nobody else needed.
        taken += first.take(left)
    return members
