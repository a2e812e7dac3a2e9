# SPDX-License-Identifier: BSD-2-Clause
"""The tables, build/bench.json's contents, and docs/performance.md with its chart.

docs/performance.md describes bench.json. Smaller is better in every row.
"""

import subprocess
from pathlib import Path

import turns
from rows import BY_NAME, FOLDERS, GROUPS, ROWS, group_of
from systems import MANY, configurations

FORMAT = 1
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
CHART_ROWS = ["cpuid", "out", "in", "hlt", "out-event", "mmio-write", "mmio-event", "touch-4k"]
AMD, VTX = ("bare", "kvm", "xen", "luvalley"), ("kvm-vmx", "luvalley-vmx")
TITLES = {"kvm-vmx": "KVM", "luvalley-vmx": "Luvalley", "kvm": "KVM", "xen": "Xen", "luvalley": "Luvalley",
          "bare": "bare"}
FLAT = 0.02


def goal_of(row, values):
    if row.kvm:
        return values.get("kvm")
    if row.bare is not None:
        return values["bare"] * (1 + row.bare) if "bare" in values else None
    return row.goal


def expected(row, system):
    """Systems that can have the row at all."""
    if system in VTX:
        ours = ("luv", "exits-idle", "exits-cpu") if system == "luvalley-vmx" else ()
        return row.by in ("face", "dom0", *ours) and not row.once
    if row.name == "image":
        return system in ("kvm", "xen", "luvalley")
    if row.by in ("luv", "guest-boot-tcg", "status", "") or row.unit == "exits":
        return system == "luvalley"
    if row.name == "memory-taken":
        return system in ("xen", "luvalley")
    return system != "kvm" if row.by == "dom0" else system in ("kvm", "luvalley")


def row_entry(row, name, columns):
    values, missing = {}, {}
    for column in columns:
        system = column["system"]
        if name in column["rows"]:
            values[system] = round(column["rows"][name], 1)
        elif expected(row, system) and "absent" not in column and not ("/" in name and system in VTX):
            missing[system] = column["missing"].get(name, "not measured")
    return {"name": name, "title": row.title, "unit": row.unit, "counts": row.counts, "blind": row.blind,
            "goal": goal_of(row, values), "values": values, "missing": missing}


def measured(name, columns):
    return any(name in column["rows"] or name in column.get("missing", {}) for column in columns)


def variants(row, columns):
    """The row's name, and those with more VMs or vCPUs ("out/8vm/1vcpu")."""
    if row.by not in ("face", "luv"):
        return [row.name]
    return [row.name, *(name for name in configurations(row.name)[1:] if measured(name, columns))]


def flat_rows(rows):
    """{row: whether Luvalley's figures with more VMs and vCPUs are the row's own, within 2 %}"""
    found = {}
    for row in rows:
        base = row["name"].partition("/")[0]
        if base != row["name"] and "luvalley" in row["values"]:
            figures = [other["values"].get("luvalley") for other in rows if other["name"] == base]
            if figures and figures[0]:
                near = abs(row["values"]["luvalley"] - figures[0]) <= FLAT * figures[0]
                found[base] = found.get(base, True) and near
    return found


def result(columns, files):
    rows = [row_entry(row, name, columns) for row in ROWS for name in variants(row, columns)]
    for row in rows:
        base = next((other for other in rows if other["name"] == row["name"].split("/")[0]), row)
        if row is not base:
            row["goal"], row["title"] = base["values"].get("luvalley"), row["title"] + ", " + " ".join(
                row["name"].split("/")[1:])
    systems = [{key: column[key] for key in ("system", "absent") if key in column} for column in columns]
    trips = [{"row": name, "system": column["system"], **turns.summary(turn)}
             for column in columns for name, turn in column["turns"].items()]
    return {"format": FORMAT, "elf": files.elf.stat().st_size, "systems": systems,
            "rows": [row for row in rows if row["values"] or row["missing"]], "flat": flat_rows(rows),
            "round_trips": trips}


def number(value):
    if value is None:
        return "-"
    if value >= 1e8:
        return f"{value / 1e9:.3f} G"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}".removesuffix(".0")


def ratio(row, systems):
    """Luvalley against the peer that the goal is about, or the only one there is."""
    values = row["values"]
    ours = next((values[system] for system in systems if system.startswith("luvalley") and system in values), None)
    peer = next((values[system] for system in ("kvm", "kvm-vmx", "bare") if system in systems and system in values), None)
    return "" if ours is None or not peer else f"{ours / peer:.2f}"


def verdict(row):
    ours = row["values"].get("luvalley")
    if ours is None or row["goal"] is None:
        return ""
    return "yes" if ours <= row["goal"] else "no"


def results_table(rows, systems, described):
    """Lines of cells; systems without a figure, and the goals where there is none, are left away."""
    systems = [system for system in systems if any(system in row["values"] for row in rows)]
    rows = [row for row in rows if any(system in row["values"] for system in systems)]
    goals = described and any(row["goal"] is not None for row in rows)
    ratios = any(ratio(row, systems) for row in rows)
    yield ["row", *(TITLES[system] for system in systems), *["ratio"] * ratios, *["goal", "reached"] * goals, *["what"] * described]
    for row in rows:
        what = row["title"] + (f"; {row['counts']}" if row["counts"] else "")
        yield [row["name"], *(number(row["values"].get(system)) for system in systems),
               *[ratio(row, systems)] * ratios, *[number(row["goal"]), verdict(row)] * goals,
               *[what] * described]


def base_rows(result, group=None):
    return [row for row in result["rows"] if "/" not in row["name"] and (
        group is None or group_of(BY_NAME[row["name"]]) == group)]


def parts_table(result):
    """A line for each part of the image, and folder of hv/."""
    values = {row["name"]: row["values"].get("luvalley") for row in base_rows(result, "part")}
    parts = list(dict.fromkeys(name.partition("-")[2] for name in values))
    yield ["part", "image, KiB", "lines"]
    for part in parts:
        name = f"hv/{part}" if part in FOLDERS else part
        yield [name, number(values.get(f"image-{part}")), number(values.get(f"lines-{part}"))]


def flat_table(result):
    """A line for each row: Luvalley's figures with more VMs and vCPUs."""
    figures = {row["name"]: row["values"].get("luvalley") for row in result["rows"]}
    yield ["row", "1 VM, 1 vCPU", *(f"{vms} VMs" if vms > 1 else f"{cpus} vCPUs" for vms, cpus in MANY), "flat"]
    for name, flat in result["flat"].items():
        yield [name, *(number(figures.get(one)) for one in configurations(name)), "yes" if flat else "no"]


def charged_table(result, systems):
    """A line for each round trip; kinds of instructions that none has are left away."""
    trips = [trip for trip in result["round_trips"] if trip["system"] in systems]
    always = ("WRMSR", "IBPB") if systems == AMD else ("WRMSR",)  # no register is in Bochs' trace, so no IBPB
    kinds = [kind for kind in (*turns.CHARGED, "IBPB", turns.CODE_LINES, turns.DATA_LINES)
             if kind in always or any(kind in trip["charged"] for trip in trips)]
    if trips:
        yield ["round trip", "on", "instructions", *kinds]
    for trip in sorted(trips, key=lambda trip: (trip["system"].startswith("kvm"), trip["system"])):
        yield [trip["row"], TITLES[trip["system"]], number(trip["instructions"]),
               *(str(trip["charged"].get(kind, 0)) for kind in kinds)]


def files_table(result, system):
    """A line for each place where a round trip's instructions are; little ones together."""
    trips = [trip for trip in result["round_trips"] if trip["system"] == system]
    if not trips:
        return
    yield ["where", *(trip["row"] for trip in trips)]
    below = ("hypervisor", "guest")
    yield ["guest", *(number(trip["who"].get("guest", 0)) for trip in trips)]
    yield ["client, C library, face", *(number(sum(count for who, count in trip["who"].items() if who not in below))
                                       for trip in trips)]
    counts = {file: [trip["files"].get(file, 0) for trip in trips] for trip in trips for file in trip["files"]}
    little = [figures for figures in counts.values() if max(figures) < 20]
    for file, figures in sorted(counts.items()):
        if max(figures) >= 20:
            yield [file, *map(number, figures)]
    yield ["other files of hv/", *(number(sum(figures)) for figures in zip(*little))] if little else ["other files of hv/"]
    yield ["*all of the hypervisor*", *(number(trip["who"].get("hypervisor", 0)) for trip in trips)]
    yield ["*of it decoding*", *(number(trip["decoding"]) for trip in trips)]


def plain(lines):
    lines = [line for line in lines]
    if len(lines) < 2:
        return ""
    widths = [max(len(line[at]) if at < len(line) else 0 for line in lines) for at in range(len(lines[0]))]
    return "\n".join("  ".join(cell.rjust(width) if at and cell[:1] in "0123456789-" else cell.ljust(width)
                               for at, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


def absences(result):
    return [f"{system['system']}: no column: {system['absent']}" for system in result["systems"] if "absent" in system]


def missing_figures(result):
    return [f"`{row['name']}`, {system}: {why}" for row in result["rows"] for system, why in row["missing"].items()]


def table(result):
    """For the terminal."""
    rows = result["rows"] if not result["flat"] else base_rows(result)
    rows = [row for row in rows if group_of(BY_NAME[row["name"].partition("/")[0]]) != "part"]
    parts = [plain(results_table(rows, AMD, True)), plain(parts_table(result)), plain(results_table(rows, VTX, False)), plain(flat_table(result)),
             plain(charged_table(result, AMD)), plain(charged_table(result, VTX)),
             "\n".join(absences(result) + missing_figures(result))]
    return "\n\n".join(part for part in parts if part)


def markdown_table(lines):
    lines = list(lines)
    if len(lines) < 2:
        return []
    right = ["---" if cell in ("row", "part", "where", "round trip", "on", "what", "reached", "flat") else "---:"
             for cell in lines[0]]
    return ["| " + " | ".join(line) + " |" for line in [lines[0], right, *lines[1:]]] + [""]


def markdown(result):
    text = ["- " + line for line in absences(result)]
    for group, heading, blind in GROUPS:
        lines = markdown_table(parts_table(result) if group == "part" else
                               results_table(base_rows(result, group), AMD, True))
        text += [f"### {heading}", "", blind, "", *lines] if lines else []
    if lines := markdown_table(flat_table(result)):
        text += ["### More VMs, more vCPUs", "", FLAT_TEXT, "", *lines]
    if lines := markdown_table(results_table(base_rows(result), VTX, False)):
        text += ["### VT-x, under Bochs", "", VTX_TEXT, "", *lines]
    if missing := missing_figures(result):
        text += ["No figure:", "", *("- " + line for line in missing), ""]
    for systems, heading in (AMD, "AMD-V"), (VTX, "VT-x, under Bochs"):
        if lines := markdown_table(charged_table(result, systems)):
            text += [f"### What hardware charges for: {heading}", "", *lines,
                     "Where Luvalley's instructions are:", "", *markdown_table(files_table(result, systems[-1]))]
    return "\n".join(text).rstrip() + "\n"


FLAT_TEXT = ("Luvalley's figures where 8 and 64 VMs exist, or 2, 4, 8 vCPUs in the VM. Every second VM has local APICs and, "
             "through KVM's API, a timer that is armed. All VMs are one process's. Flat: all within 2 % of the first.")
VTX_TEXT = ("These rows run under Bochs 2.7 (`broadwell_ult`, 512 MiB, one CPU), with Debian's cloud kernel: an instruction "
            "is a tick there, too. The CPU reports each instruction's length (VM-exit instruction length), so nothing "
            "is decoded for that: this is the hypervisor without what TCG's lack of next-RIP saving costs. KVM runs "
            "with `vmentry_l1d_flush=never`: this CPU has no L1D_FLUSH command, and its loop in software, which Luvalley has "
            "not, is 4,000 instructions an exit. A guest's executable large pages are split for both (iTLB multihit).")


def chart_data(result, systems):
    data = ["row " + " ".join(TITLES[system] for system in systems)]
    for name in CHART_ROWS:
        values = next((row["values"] for row in result["rows"] if row["name"] == name), {})
        data.append(name + " " + " ".join(str(values.get(system, "NaN")) for system in systems))
    return "\n".join(data)


def chart(result, svg):
    """A bar for each system in a few rows. A row's name would be read as markup by gnuplot, hence noenhanced."""
    script = f"""
set terminal svg size 1080,760 noenhanced font "sans,12"
set output "{svg}"
set multiplot layout 2,1
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.8 border -1
set yrange [0:*]
set grid y
set key top left
$amd << END
{chart_data(result, ("kvm", "luvalley"))}
END
$vtx << END
{chart_data(result, VTX)}
END
set title "AMD-V (QEMU): instructions a round trip, less is better"
plot for [i=2:3] $amd using i:xtic(1) title columnheader(i)
set title "VT-x (Bochs): the same"
plot for [i=2:3] $vtx using i:xtic(1) title columnheader(i)
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
