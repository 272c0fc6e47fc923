#!/usr/bin/env python3
"""Mutation testing of the guard code, room by room: tests/mutants.py [ROOM...]

Every small change that cargo-mutants can think of is made, one at a time, and the tests about that
code must notice. Each room is tried in stages, what survives one going on to the next and slower one.
The survivors are printed: each is listed in docs/mutants.md with its reason, or a test is missing.
After all rooms the counts go into target/bench/results.json.
"""

import json
import subprocess
import sys
from pathlib import Path

OUT = Path("target/mutants")
RESULTS = Path("target/bench/results.json")

# Which binaries a stage builds, and which of their tests it runs. The simulation takes no names.
LIB = ["--lib"]
SIM = ["--test=sim"]
IT = ["--test=it"]
ROOMS = {
    "policy": (["src/policy.rs", "src/policy/**"], [(LIB, ["policy::"]), (LIB, [])]),
    "alert": (["src/alert/**"], [(LIB, ["alert::"]), (LIB, [])]),
    "reconcile": (
        ["src/reconcile.rs", "src/reconcile/**", "src/cluster/fence.rs"],
        [(LIB, []), (IT, ["--", "passes"]), (SIM, []), (IT, [])],
    ),
    "store": (
        ["src/store.rs", "src/store/**"],
        [(LIB, ["store::"]), (IT, ["--", "contract", "store_file", "redis"])],
    ),
}


def run(room):
    """Tries a room's mutants, those that an earlier stage or run caught left out; counts and survivors."""
    files, stages = ROOMS[room]
    out = OUT / room
    out.mkdir(parents=True, exist_ok=True)
    for binaries, names in stages:
        options = ["--iterate", "--no-shuffle", "--no-default-features", f"--output={out}"]
        options += [f"--file={file}" for file in files]
        options += [f"--cargo-arg={binary}" for binary in binaries]
        # It fails where a mutant survives.
        subprocess.run(["cargo", "mutants", *options, "--", *names], check=False)
    found = {kind: lines(out, kind) for kind in ("caught", "timeout", "unviable", "missed")}
    if not any(found.values()):
        sys.exit(f"{room}: no mutant was tried")
    return found


def lines(out, kind):
    """Mutants of one outcome. Those that earlier stages settled are in `previously_caught.txt`."""
    texts = [path.read_text() for path in (out / "mutants.out").glob(f"*{kind}.txt")]
    return sorted({line for text in texts for line in text.splitlines()})


def keep(measures):
    """Puts measures into the results, in place of what they held under the same names."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    newest = {one["name"]: one for one in known + measures}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([newest[name] for name in sorted(newest)], indent=2))


def main():
    rooms = sys.argv[1:] or list(ROOMS)
    total = survived = 0
    for room in rooms:
        found = run(room)
        total += sum(map(len, found.values()))
        survived += len(found["missed"])
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in found.items())
        print(f"{room}: {counts}", *found["missed"], sep="\n  ")
    if rooms == list(ROOMS):
        counts = {"mutants.total": total, "mutants.survived": survived}
        keep([{"name": name, "value": float(count), "unit": ""} for name, count in counts.items()])


if __name__ == "__main__":
    main()
