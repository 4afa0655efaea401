"""What is counted and started in the lines of models and samplers."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future

from mint_runtime.engine.commands import DropModel, ReverseKLStep
from mint_runtime.engine.lines import Job, Lines


def job(command=None):
    return Job(command or DropModel(model_id="m"), Future())


class Arriving(deque):
    """Commands that are counted just when others arrive."""

    def __init__(self, lines, *jobs):
        super().__init__(jobs)
        self._lines = lines

    def __len__(self):
        self._lines.put("late", job())
        return super().__len__()


def test_commands_can_arrive_while_they_are_counted():
    lines = Lines()
    lines.put("m", job())
    lines.put("n", job())
    lines._lines["m"].waiting = Arriving(lines, job())

    assert lines.num_waiting == 2
    assert "late" in lines


def test_a_model_runs_one_reverse_kl_step_in_a_turn_and_everything_else_at_once():
    kl = ReverseKLStep(model_id="m", reference_sampler_id="r", data=(), temperature=1.0)
    commands = [DropModel(model_id="m"), kl, kl, DropModel(model_id="m")]
    lines, turns = Lines(), []
    for command in commands:
        lines.put("m", job(command))

    while lines.can_progress:
        started = []
        lines.start_all(lambda _, each, started=started: started.append(each.command))
        turns.append(started)

    assert turns == [commands[:2], commands[2:3], commands[3:]]
    assert "m" not in lines
