"""Run checks of one client against a server: `main CLIENT TARGET [CHECK ...]`.

TARGET is a JSON object with the fields of `Target`. Standard output has one JSON line for each
check; the client's own output goes to standard error.
"""

from __future__ import annotations

import json
import sys

from acceptance.programs import harness, registry
from acceptance.programs.world import Target, World


def main() -> None:
    """Run the checks that are named, or all of them."""
    client, target, *wanted = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr
    world = World(client, Target(**json.loads(target)))
    harness.run(world, wanted or registry.names(client), answers)


if __name__ == "__main__":
    main()
