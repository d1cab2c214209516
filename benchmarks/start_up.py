"""How long `lowres --help`, `validate` and `plan` take, start and all.

    python benchmarks/start_up.py            # five times each; twenty seconds
    python benchmarks/start_up.py --quick    # twice
    python benchmarks/start_up.py --json

Seconds by the clock of a command in a process of its own, after one that is not counted (files are
then in memory, as at any second call); medians, lowest to highest. There is no peer: what a user
would run instead has none of these commands.
"""

from __future__ import annotations

import alone
import tables

COMMANDS = {
    "lowres --help": ["--help"],
    "lowres validate quickstart": ["validate", "quickstart"],
    "lowres plan quickstart": ["plan", "quickstart"],
    "lowres plan quickstart --gpu T4": ["plan", "quickstart", "--gpu", "T4"],
}
FINE = (0, 2)
"""2: a plan that says that something does not fit is one too."""


def main() -> None:
    asked = tables.arguments(__doc__).parse_args()
    lowres = alone.lowres_command()
    rows = []
    for name, words in COMMANDS.items():
        times = [
            alone.command([*lowres, *words], FINE).wall_s for _ in range(3 if asked.quick else 6)
        ]
        rows.append(tables.measured(name, "s", times[1:], []))
    tables.show(rows, asked.json, ("lowres", "peer"))


if __name__ == "__main__":
    main()
