# SPDX-License-Identifier: BSD-2-Clause
"""The table, build/bench.json's contents, and docs/performance.md with its chart.

bench.json: {"format": 1, "systems": [{"name", "absent"?}], "rows": [{"name", "title", "unit", "counts", "blind",
"goal", "values": {system: number}, "missing": {system: why}}]}. Smaller is better in every row. docs/performance.md
says the rest.
"""

import subprocess
from pathlib import Path

from rows import BY_NAME, ROWS

FORMAT = 1
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
CHART_ROWS = ["cpuid", "out", "in", "hlt", "out-event", "mmio-write", "mmio-event", "touch-4k"]


def goal_of(row, values):
    if row.kvm:
        return values.get("kvm")
    if row.bare is not None:
        return values["bare"] * (1 + row.bare) if "bare" in values else None
    return row.goal


def expected(row, system):
    """Systems that can have the row at all."""
    if row.name == "image":
        return system in ("kvm", "xen", "luvalley")
    if row.name.startswith("luv-") or row.unit == "exits" or row.name in ("memory-held", "lines", "guest-boot-tcg"):
        return system == "luvalley"
    if row.name.startswith("dom0-") or row.name == "power-on-to-init":
        return system != "kvm"
    return system in ("kvm", "luvalley") if row.name != "memory-taken" else system in ("xen", "luvalley")


def row_entry(row, name, columns):
    values, missing = {}, {}
    for column in columns:
        system = column["system"]
        if name in column["rows"]:
            values[system] = round(column["rows"][name], 1)
        elif expected(row, system) and "absent" not in column:
            missing[system] = column.get("missing", {}).get(row.name, "not measured")
    return {"name": name, "title": row.title, "unit": row.unit, "counts": row.counts, "blind": row.blind,
            "goal": goal_of(row, values), "values": values, "missing": missing}


def variants(row, columns):
    """The row's name, and those with more VMs or vCPUs ("out/8vm/1vcpu")."""
    names = {name for column in columns for name in column["rows"] if name.startswith(f"{row.name}/")}
    return [row.name, *sorted(names, key=lambda name: [int(part.rstrip("vmcpu")) for part in name.split("/")[1:]])]


def result(columns, files):
    rows = [row_entry(row, name, columns) for row in ROWS for name in variants(row, columns)]
    for row in rows:
        base = next((other for other in rows if other["name"] == row["name"].split("/")[0]), row)
        if row is not base:
            row["goal"], row["title"] = base["values"].get("luvalley"), row["title"] + ", " + " ".join(
                row["name"].split("/")[1:])
    systems = [{key: column[key] for key in ("system", "absent") if key in column} for column in columns]
    return {"format": FORMAT, "elf": files.elf.stat().st_size, "systems": systems,
            "rows": [row for row in rows if row["values"] or row["missing"]]}


def number(value):
    if value is None:
        return "-"
    if value >= 1e8:
        return f"{value / 1e9:.3f} G"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}".removesuffix(".0")


def ratio(row):
    """Luvalley against the peer that the goal is about, or the only one there is."""
    values = row["values"]
    ours = values.get("luvalley")
    peer = values.get("kvm", values.get("bare"))
    if ours is None or not peer:
        return ""
    return f"{ours / peer:.2f}"


def verdict(row):
    ours = row["values"].get("luvalley")
    if ours is None or row["goal"] is None:
        return ""
    return "yes" if ours <= row["goal"] else "no"


def lines(result):
    systems = [system["system"] for system in result["systems"]]
    yield ["row", "what", *systems, "ratio", "goal", "reached"]
    for row in result["rows"]:
        cells = [number(row["values"].get(system)) for system in systems]
        yield [row["name"], row["title"], *cells, ratio(row), number(row["goal"]), verdict(row)]


def table(result):
    rows = [[line[0], *line[2:]] for line in lines(result)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    text = ["  ".join(cell.ljust(width) if not at else cell.rjust(width)
                      for at, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    return "\n".join(text + [f"{system['system']}: no column: {system['absent']}"
                             for system in result["systems"] if "absent" in system])


def markdown(result):
    rows = list(lines(result))
    text = ["| " + " | ".join(row) + " |" for row in rows]
    text.insert(1, "| --- | --- |" + " ---: |" * (len(rows[0]) - 3) + " --- |")
    text += [""] + [f"- {system['system']}: no column: {system['absent']}"
                    for system in result["systems"] if "absent" in system]
    missing = [f"- `{row['name']}`, {system}: {why}" for row in result["rows"] for system, why in row["missing"].items()]
    seen = {}
    for row in result["rows"]:
        if "/" not in row["name"]:
            seen.setdefault(row["blind"], []).append(f"`{row['name']}` ({row['counts']})")
    blind = [f"- {', '.join(names)}: {what or 'exact'}." for what, names in seen.items()]
    return "\n".join([*text, *(["", "No figure:", ""] + missing if missing else []),
                      "", "What the rows count, and what they cannot see:", "", *blind]).rstrip() + "\n"


def chart(result, svg):
    """A bar for each system in a few rows. A row's name would be read as markup by gnuplot, hence noenhanced."""
    systems = [name for name in ("kvm", "xen", "luvalley")
               if any(name in row["values"] for row in result["rows"] if row["name"] in CHART_ROWS)]
    data = ["row " + " ".join(systems)]
    for name in CHART_ROWS:
        row = next((row for row in result["rows"] if row["name"] == name), None)
        ours = next((row for row in result["rows"] if row["name"] == f"luv-{name}"), None)
        if not row and not ours:
            continue
        values = dict((ours or {"values": {}})["values"], **(row or {"values": {}})["values"])
        data.append(name + " " + " ".join(str(values.get(system, "NaN")) for system in systems))
    script = f"""
set terminal svg size 900,420 noenhanced font "sans,12"
set output "{svg}"
set title "instructions a round trip (less is better)"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.8 border -1
set yrange [0:*]
set grid y
set key top left
$rows << END
{chr(10).join(data)}
END
plot for [i=2:{len(systems) + 1}] $rows using i:xtic(1) title columnheader(i)
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def refresh_document(result, docs):
    """Replaces what stands between the marks in docs/performance.md."""
    path = Path(docs, "performance.md")
    text = path.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    chart(result, Path(docs, "performance.svg"))
    path.write_text(f"{before}{BEGIN}\n\n{markdown(result)}\n{END}{after}")
