#!/usr/bin/env python3
"""Puts figures into target/bench/results.json, in place of what it held under the same names.

keep.py NAME=VALUE:UNIT…, for what is no bench in Rust: `keep.py fuzz.runs=10000000:inputs`.
"""

import json
import pathlib
import sys

file = pathlib.Path(__file__).parent.parent / "target/bench/results.json"
kept = json.loads(file.read_text()) if file.exists() else []
newest = {one["name"]: one for one in kept}
for figure in sys.argv[1:]:
    name, rest = figure.split("=", 1)
    value, unit = rest.split(":", 1)
    newest[name] = {"name": name, "value": float(value), "unit": unit}
file.parent.mkdir(parents=True, exist_ok=True)
file.write_text(json.dumps([newest[name] for name in sorted(newest)], indent=2))
