# SPDX-License-Identifier: BSD-2-Clause
"""The Test Anything Protocol, as cmocka and the programs of tests/ speak it."""

import re


def read(output):
    """(the plan's number or None, [(name, whether it passed, what was said about it)])"""
    lines = output.splitlines()
    plan = next((int(line[3:]) for line in lines if re.fullmatch(r"1\.\.\d+", line)), None)
    tests = []
    for at, line in enumerate(lines):
        match = re.match(r"(not )?ok \d+ - (.*)", line)
        if not match:
            continue
        notes = [note[1:].strip() for note in lines[at + 1:at + 6] if note.startswith("#")]
        tests.append((match[2], not match[1], "; ".join(notes)))
    return plan, tests
