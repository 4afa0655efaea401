"""Run one job of `together` and print what it gave: `job CLIENT TARGET NUMBER`."""

from __future__ import annotations

import json
import sys

from acceptance.programs.together import run_job
from acceptance.programs.world import Target, World


def main() -> None:
    """Run the job; standard output has one JSON object."""
    client, target, number = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr
    outcome = run_job(World(client, Target(**json.loads(target))), int(number))
    answers.write(json.dumps(outcome))


if __name__ == "__main__":
    main()
