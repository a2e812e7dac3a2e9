# SPDX-License-Identifier: BSD-2-Clause
"""build/conformance.json as a table.

{"format": 1, "suite": commit, "order": [entry], "columns": {column: {"facts": {name: text}, "results": {entry:
{"outcome", "status"?, "pass"?, "fail"?, "skip"?, "failed"?, "seconds"?, "why"?}}}}}. outcome is pass, fail, skip,
timeout, abort (QEMU ended otherwise, with status) or stopped (the machine did).
"""

COLUMNS = ["svm", "vmx", "kvm_amd", "tcg"]
BEGIN, END = "<!-- make conformance: begin -->", "<!-- make conformance: end -->"


def cell(result):
    if result is None:
        return "-"
    checks = [f"{result[key]} {word}" for key, word in (("pass", "ok"), ("fail", "failed"), ("skip", "skipped"))
              if result.get(key)]
    outcome = f"QEMU ended with {result['status']}" if result["outcome"] == "abort" else result["outcome"]
    notes = [result["why"]] if "why" in result else checks
    return outcome + (f" ({', '.join(notes)})" if notes else "")


def sorted_columns(known):
    return {name: known["columns"][name] for name in sorted(known["columns"], key=COLUMNS.index)}


def rows(known):
    columns = sorted_columns(known)
    yield ["entry", *columns]
    for name in known["order"]:
        results = [columns[column]["results"].get(name) for column in columns]
        if any(results):
            yield [name, *map(cell, results)]


def totals(known):
    for name, column in sorted_columns(known).items():
        outcomes = [result["outcome"] for result in column["results"].values()]
        counts = [f"{outcomes.count(one)} {one}" for one in ("pass", "fail", "timeout", "abort", "stopped", "skip")
                  if one in outcomes]
        facts = ", ".join(column["facts"][key] for key in ("emulator", "linux", "when") if key in column["facts"])
        yield f"{name}: {', '.join(counts)} ({facts})"


def text(known):
    if not known["columns"]:
        return "no results"
    lines = list(rows(known))
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    said = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([*said, "", f"suite: {known['suite']}", *totals(known)])


def markdown(known):
    lines = ["| " + " | ".join(line) + " |" for line in rows(known)]
    lines.insert(1, "| --- " * (1 + len(known["columns"])) + "|")
    return "\n".join([f"kvm-unit-tests {known['suite']}.", "", *(f"- {line}" for line in totals(known)), "", *lines])


def refresh_document(known, path):
    """Replaces what stands between the marks."""
    before, rest = path.read_text().split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{markdown(known)}\n\n{END}{rest.split(END)[1]}")
