# SPDX-License-Identifier: BSD-2-Clause
"""The emulated AMD machine that every system is measured on, and what its serial port said."""

import re
import shlex
import subprocess
import time
from dataclasses import dataclass, field

from image import Absent, Failure

# One instruction takes one nanosecond of the machine's time, and its TSC runs at 1 GHz: a tick is an instruction.
MACHINE = """-accel tcg,thread=single -cpu EPYC -M pc -smp 1 -m 2048 -icount shift=0,sleep=off
    -rtc base=2026-01-01T00:00:00,clock=vm -seed 1 -nodefaults -no-user-config -display none
    -monitor none -no-reboot""".split()
APPEND = "console=ttyS0 nokaslr panic=-1 quiet"
STARTING = ("modules", "kvm-intel")  # words of tests/bench/init that start a peer
XEN_OPTIONS = "com1=115200,8n1 console=com1 noreboot smap=0 cpuidle=0"  # Xen needs both under TCG


def doubled(text):
    """QEMU splits -initrd at commas; a doubled one stands for itself."""
    return str(text).replace(",", ",,")


def append(what, rows=()):
    """For dom0's kernel, which puts what it does not know into init's environment."""
    return f"{APPEND} bench={what}" + (f" BENCH_ROWS={','.join(rows)}" if rows else "")


def bare(kernel, initrd, append):
    return ["-kernel", kernel, "-initrd", initrd, "-append", append]


def multiboot(image, options, kernel, append, initrd):
    return ["-kernel", image, "-append", options, "-initrd", f"{doubled(f'{kernel} {append}')},{doubled(initrd)}"]


def xen(image, kernel, initrd, append):
    return multiboot(image, XEN_OPTIONS, kernel, append.replace("ttyS0", "hvc0"), initrd)


def luvalley(elf, kernel, initrd, append):
    return multiboot(elf, "apic=direct", kernel, append, initrd)


@dataclass
class Said:
    """What a run printed: rows, the reasons of missing ones, and what went wrong."""
    rows: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)
    output: dict = field(default_factory=dict)
    traces: list = field(default_factory=list)  # names of rows, in the order in which they were traced
    turns: dict = field(default_factory=dict)  # {row: the turns.Step of a round trip}
    seconds: float = 0


def parse(text, wanted):
    """Absent: it did not come as far as to measure anything."""
    said, part = Said(), None
    for line in text.replace("\r", "").splitlines():
        match = re.search(r"@(row|missing|failed|begin|end|trace)\s+(\S+) ?(.*)", line)
        if not match:
            if part:
                said.output[part].append(line)
            continue
        kind, name, rest = match.groups()
        if kind == "row":
            said.rows[name] = float(rest)
        elif kind == "trace":
            said.traces.append(name)
        elif kind == "missing":
            said.missing[name] = rest
        elif kind == "begin":
            part, said.output[name] = name, []
        elif kind == "failed":
            raise Failure(f"{part}: {name} {rest}")
        elif rest != "0":
            error = Absent if name in STARTING else Failure
            raise error(f"{name} ended with status {rest}: " + " / ".join(said.output[name][-4:]))
        else:
            part = None
            wanted.discard(name)
    if wanted:
        raise (Failure if said.output else Absent)(f"the machine ended before {', '.join(sorted(wanted))}: {' / '.join(text.splitlines()[-4:])}")
    return said


def steady(disk):
    """Two CPUs, real time, a disk and a network card: for counting exits, which needs no instruction counts."""
    words = list(MACHINE)
    words[words.index("-smp") + 1] = "2"
    at = words.index("-icount")
    del words[at:at + 4]
    return words + ["-drive", f"file={doubled(disk)},format=raw,if=virtio", "-netdev", "user,id=net",
                    "-device", "virtio-net-pci,netdev=net,romfile="]


def run(name, arguments, what, logs, seconds, hardware=MACHINE):
    """Boots and waits for the end; Failure says what went wrong, in words of the log."""
    log = logs / f"{name}.log"
    command = ["qemu-system-x86_64", *hardware, "-serial", f"file:{doubled(log)}", *map(str, arguments)]
    (logs / f"{name}.command").write_text(shlex.join(command) + "\n")
    log.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        done = subprocess.run(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failure(f"{name}: no end within {seconds} s, see {log}") from None
    if done.returncode:
        raise Failure(f"{name}: QEMU ended with {done.returncode}: {done.stdout.decode(errors='replace')[-300:]}")
    try:
        said = parse(log.read_bytes().decode(errors="replace"), set(what.split(",")))
    except Absent:
        raise  # for the document, so without a path
    except Failure as failure:
        raise Failure(f"{name}: {failure} (all of it: {log})") from None
    said.seconds = time.monotonic() - start
    return said
