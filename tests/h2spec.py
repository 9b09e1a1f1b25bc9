"""Compares a report of h2spec with the cases that are known to fail.

    python3 h2spec.py REPORT KNOWN [--tls]

A line of KNOWN: `fails`, `plain`, `skipped` or `either`, the section, the case, and after ` # ` the reason.
`plain`: it fails without TLS only. `either`: it fails or passes, depending on time.
"""

import sys
import xml.etree.ElementTree as ElementTree

report, known_file, *flags = sys.argv[1:]
has_tls = "--tls" in flags

known = {}
for line in open(known_file):
    if line.strip() and not line.startswith("#"):
        case, reason = line.strip().split(" # ")
        outcome, case = case.split(maxsplit=1)
        assert outcome in ("fails", "plain", "skipped", "either") and reason, line
        if outcome == "plain":
            outcome = "passes" if has_tls else "fails"
        known[case.strip()] = outcome

found = {}
for case in ElementTree.parse(report).iter("testcase"):
    name = f"{case.get('package')} {case.get('classname')}"
    problem = next((part.text for part in case if part.tag in ("error", "failure")), None)
    skipped = any(part.tag == "skipped" for part in case)
    found[name] = ("fails", problem) if problem else ("skipped" if skipped else "passes", None)

wrong = []
for name, (outcome, problem) in found.items():
    expected = known.get(name, "passes")
    if outcome != expected and (expected, outcome) not in (("either", "fails"), ("either", "passes")):
        *wanted, got = (problem or "-").strip().split("\n")
        detail = f"; expected {', or '.join(wanted)}; got {got}" if problem else ""
        wrong.append(f"{name}: {outcome}, and {expected} in {known_file}{detail}")
wrong += [f"{name}: in {known_file}, and not a case" for name in known.keys() - found.keys()]

outcomes = [outcome for outcome, _ in found.values()]
print(f"{len(found)} cases: " + ", ".join(f"{outcomes.count(one)} {one}" for one in ("passes", "fails", "skipped") if one in outcomes))
for line in wrong:
    print(f"FAIL  {line}", file=sys.stderr)
sys.exit(bool(wrong))
