# SPDX-License-Identifier: BSD-2-Clause
"""The VT-x machine: Bochs, as tools/machine starts it, with dom0's own disk and cloud kernel.

Its time is instructions (20 million a second), and so is its TSC: bench_loop() of tests/bench fails where that is not
so. Round trips are traced by its debugger in the same boot: bench_break() begins and ends a trace.
"""

import shlex
import shutil
import subprocess
import time
from pathlib import Path

import machine
import turns
from image import TESTS, TOOLS, Absent, Failure

MEMORY = "512M"
# dom0's timer comes every 80,000 instructions: short batches, so that in one of them there is none.
COUNTS = "BENCH_BATCHES=10 BENCH_TURNS=8"
TRACES_MAX = 30
TRACE = "c\ntrace on\ntrace-mem on\nc\ntrace-mem off\ntrace off\n"


def share_folder(files, programs):
    """The programs and init; a copy is /share in dom0."""
    folder = files.folder / "share"
    folder.mkdir(exist_ok=True)
    for path in (TESTS / "init", *(files.folder / name for name in programs)):
        shutil.copy(path, folder / path.name)
    return folder


def command(files, logs, what, rows, hypervisor, seconds, programs):
    wanted = f"BENCH_ROWS={','.join(rows)}" if rows else ""
    debugger = logs / "debugger"
    debugger.write_text(TRACE * TRACES_MAX + "c\n" if "-trace" in what else "c\n")
    words = [TOOLS / "machine", "--cpu", "vmx", "--mem", MEMORY, "--smp", "1", "--kernel", "dom0", "--initrd", "dom0",
             "--elf", files.elf, "--share", share_folder(files, programs), "--logs", logs, "--timeout", seconds,
             "--debugger", debugger, "--hypervisor", hypervisor,
             "--run", f"export PATH=/share:$PATH {COUNTS} {wanted}; sh /share/init {what}"]
    if hypervisor == "luvalley":
        words += ["--luvalley-options", "apic=direct"]
    return [str(word) for word in words]


def run(name, files, what, rows, hypervisor, seconds, programs):
    logs = files.logs / name
    logs.mkdir(exist_ok=True)
    words = command(files, logs, what, rows, hypervisor, seconds, programs)
    start = time.monotonic()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = done.stdout.decode(errors="replace")
    if done.returncode == 2:  # no such emulator, for one
        raise Absent(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    Path(logs, "said.log").write_text(f"{shlex.join(words)}\n{text}\n{done.stderr.decode(errors='replace')}")
    try:
        said = machine.parse(text, set(what.split(",")))
    except Absent:
        raise  # for the document, so without a path
    except Failure as failure:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:] if done.returncode else []
        raise Failure(f"{name}: {failure}; {' '.join(why)} (all of it: {logs})") from None
    if done.returncode:
        raise Failure(f"{name}: status {done.returncode} (all of it: {logs})")
    said.seconds = time.monotonic() - start
    said.turns = turns_of(files, logs / "bochs.out", text, said.traces, hypervisor) if said.traces else {}
    (logs / "bochs.out").unlink(missing_ok=True)  # large
    return said


def turns_of(files, log, text, names, hypervisor):
    traces = turns.bochs_traces(log)
    if len(traces) != len(names):
        raise Failure(f"{log}: {len(traces)} traces of {len(names)} rows")
    code = turns.Code(files.build / "luvalley.debug") if hypervisor == "luvalley" else None
    found = {}
    for name, steps in zip(names, traces):
        turns.name_steps(steps, code, turns.Programs(files, name, text))
        found[name] = turns.shortest_turn(steps)
        if not found[name]:
            raise Failure(f"{name}: no round trip in the trace {log}")
    return found
