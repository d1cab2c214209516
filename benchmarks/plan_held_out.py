"""What `lowres plan` foretells of training configurations that its figures were not chosen over.

    python benchmarks/plan_held_out.py             # ten configurations, a table
    python benchmarks/plan_held_out.py --quick     # the smallest, five steps
    python benchmarks/plan_held_out.py --only large
    python benchmarks/plan_held_out.py --json

Measured as in plan_accuracy.py: other lengths, batches, tasks and quantisations, written down
before any of them was run, when the bf16 figures of `HOLES` in lowres/footprint.py had been chosen
over the twelve runs of that script alone. Since then these ten have a part in them too, see
plan_fit.py. Half an hour on one core, 4 GB of disk in $TMPDIR, 8 GB of memory.
"""

from __future__ import annotations

from dataclasses import replace

import tables
from plan_accuracy import Case, all_measured

CASES = (
    Case("e5-small", "8bit", "classification", 30, 16, steps=20),
    Case("e5-small", "none", "tagging", 110, 16, steps=20),
    Case("e5-small", "4bit", "tagging", 50, 32, 16, steps=20),
    Case("base", "8bit", "tagging", 40, 16),
    Case("base", "none", "classification", 90, 8),
    Case("base", "4bit", "classification", 120, 8),
    Case("base", "none", "tagging", 60, 16, 8, checkpointing=True),
    Case("large", "8bit", "classification", 110, 4, steps=5),
    Case("large", "none", "tagging", 40, 4, steps=5),
    Case("large", "4bit", "tagging", 60, 8, steps=5),
)
NOTE = "none had a part in choosing the figures that stood then; now plan_fit.py has them too"


def main() -> None:
    parser = tables.arguments(__doc__)
    parser.add_argument("--only", default="", help="configurations whose name holds this")
    asked = parser.parse_args()
    cases = [replace(case, steps=5) for case in CASES[:1] if asked.quick] or CASES
    rows = all_measured([case for case in cases if asked.only in case.name])
    tables.show(rows, asked.json, ("planned", "measured"), [NOTE])


if __name__ == "__main__":
    main()
