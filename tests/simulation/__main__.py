"""`python -m tests.simulation SEED [SABOTEUR]`: one history again, told as it happens, and what it broke."""

import logging
import sys

from tests.saboteurs import HERALD, SABOTEURS
from tests.simulation.promises import broken_promises
from tests.simulation.story import ToldHistory


def main(seed: str, saboteur: str = "") -> int:
    logging.basicConfig(stream=sys.stdout, format="            %(message)s", level=logging.INFO)
    history = ToldHistory(int(seed), SABOTEURS[saboteur] if saboteur else HERALD)
    broken = broken_promises(history.play())
    for promise, evidence in broken.items():
        sys.stdout.write("\n  ".join((f"BROKEN: {promise}", *evidence[:5])) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
