"""The commands of each model, in their order, and what of them can run now.

Opening and dropping a sampler have an order too, so samplers have lines as models do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from mint_runtime.engine.commands import Command, Result, ReverseKLStep
from mint_runtime.engine.training import StepRun


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A command and where its result goes."""

    command: Command
    future: Future[Result]


@dataclass(slots=True, eq=False)
class ActiveStep:
    """The training step that a model is in."""

    run: StepRun
    future: Future[Result]
    is_alone: bool = False
    """Whether it must not share a pass: one that it shared has failed."""
    failure: Exception | None = None
    """What made a pass fail that it had for itself."""


@dataclass(slots=True, eq=False)
class Line:
    """The commands of one model. One runs at a time; the others wait behind it."""

    waiting: deque[Job] = field(default_factory=deque)
    active: ActiveStep | None = None
    is_busy: bool = False
    """Whether a file is being read or written for this model."""

    @property
    def is_ready(self) -> bool:
        """Tell whether the next command can start."""
        return bool(self.waiting) and self.active is None and not self.is_busy

    @property
    def is_idle(self) -> bool:
        """Tell whether there is nothing in this line."""
        return not self.waiting and self.active is None and not self.is_busy


class Lines:
    """All lines, by the id of their model or sampler."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._turn = 0

    def __contains__(self, owner_id: object) -> bool:
        """Tell whether there is something in the line of a model or sampler."""
        return owner_id in self._lines

    def put(self, owner_id: str, job: Job) -> None:
        """Append a command to the line of its model or sampler."""
        self._lines.setdefault(owner_id, Line()).waiting.append(job)

    def start_all(self, start: Callable[[Line, Job], None]) -> None:
        """Start every command that can: `start` runs it, or puts it into its line's `active`.

        A reverse KL step is run as a whole, so it is the last that its model does in this turn.
        """
        for owner_id, line in tuple(self._lines.items()):
            is_spent = False
            while line.is_ready and not is_spent:
                job = line.waiting.popleft()
                is_spent = isinstance(job.command, ReverseKLStep)
                start(line, job)
            if line.is_idle:
                del self._lines[owner_id]

    def active(self) -> list[Line]:
        """Return the lines with a step under way; who comes first changes from call to call."""
        lines = [line for line in self._lines.values() if line.active is not None]
        self._turn += 1
        first = self._turn % len(lines) if lines else 0
        return lines[first:] + lines[:first]

    def futures(self) -> Iterator[Future[Result]]:
        """Yield the futures of everything that is not done, and forget it."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            if line.active is not None:
                yield line.active.future
            yield from (job.future for job in line.waiting)

    @property
    def num_waiting(self) -> int:
        """Return how many commands have not started."""
        # Asked from other threads while lines come and go; a copy is taken in one piece.
        return sum(len(line.waiting) for line in tuple(self._lines.values()))

    @property
    def can_progress(self) -> bool:
        """Tell whether something can be done without news from outside."""
        return any(line.active is not None or line.is_ready for line in self._lines.values())
