# SPDX-License-Identifier: BSD-2-Clause
"""The rows of the table: what each counts, and what Luvalley must reach.

A row's value is in instructions unless its unit says otherwise; smaller is better.
"""

from dataclasses import dataclass
from pathlib import Path

HARDWARE = "VMRUN and #VMEXIT count as one instruction each; the TLB, caches and nested walks as nothing"
DECODE = ("no next-RIP save in this emulator: KVM and Luvalley fetch and decode what most CPUs report; "
          "figures on hardware are lower for both")


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    counts: str
    blind: str = HARDWARE
    goal: float | None = None
    kvm: bool = False  # the goal is KVM's figure
    bare: float | None = None  # the goal is this share above the bare system
    unit: str = "instructions"
    by: str = ""  # the program of tests/bench/init that measures it
    once: bool = False  # on the AMD machine only


def face(name, title, counts, **more):
    """A row of tests/bench/kvm.c: on KVM, and on Luvalley through its KVM face."""
    return Row(name, title, counts, f"{HARDWARE}; {DECODE}", **{"by": "face", **more})


def library(name, title, counts, **more):
    """A row of tests/bench/luv.c."""
    return Row(name, title, counts, f"{HARDWARE}; {DECODE}", by="luv", **more)


def own_work(name, title, counts):
    """A row of tests/bench/dom0.c."""
    return Row(name, title, counts, bare=0.01, by="dom0")


def exits(work, title):
    return Row(f"exits-{work}", f"dom0's exits in a second: {title}", "all but CPUID and our own calls", "",
               goal=0, unit="exits", by=f"exits-{work}")


FOLDERS = sorted(path.name for path in Path(__file__).resolve().parents[2].glob("hv/*") if path.is_dir())

ROWS = [
    face("loop", "a guest's loop of three instructions: what a tick is", "a turn; no exit"),
    face("cpuid", "guest CPUID, answered below the client", "from a guest's instruction to its next", goal=200),
    face("rdmsr", "guest RDMSR of EFER, answered below the client", "from a guest's instruction to its next", kvm=True),
    face("out", "guest OUT to the client and back", "guest, client, guest", goal=600),
    face("in", "guest IN from the client", "guest, client, guest", kvm=True),
    face("mmio-write", "guest MMIO write to the client, decoded and executed", "guest, client, guest", goal=1500),
    face("mmio-read", "guest MMIO read", "guest, client, guest", kvm=True),
    face("hlt", "guest HLT to the client", "guest, client, guest; without in-kernel APIC", goal=600),
    face("out-event", "OUT answered by an ioeventfd", "nobody reads the eventfd", kvm=True),
    face("mmio-event", "MMIO write answered by an ioeventfd", "nobody reads the eventfd", kvm=True),
    face("touch-4k", "first touch of a guest page, 4 KiB", "one nested fault; the client has the page", goal=600),
    face("touch-2m", "first touch, per 2 MiB page", "a huge page is under it", goal=600),
    face("x2apic-eoi", "x2APIC: EOI", "WRMSR, nothing in service", kvm=True),
    face("x2apic-tpr", "x2APIC: TPR", "WRMSR", kvm=True),
    face("x2apic-self-ipi", "x2APIC: self-IPI", "WRMSR, the guest's handler with its EOI", kvm=True),
    face("x2apic-arm-timer", "x2APIC: arming the TSC deadline", "WRMSR; the client's timer is in it", kvm=True),
    face("x2apic-timer", "x2APIC: the timer's delay", "from the deadline to the end of the guest's handler", kvm=True),
    face("x2apic-client-irq", "interrupt from the client to the guest's handler",
         "OUT, an MSI by the client, the handler with its EOI", kvm=True),
    face("x2apic-wake", "IPI to a halted vCPU and its answer to a halted one",
         "two IPIs, two vCPUs woken, on one CPU", kvm=True),
    face("x2apic-ipi", "IPI to a halted vCPU, the sender spins for the answer",
         "two IPIs, one vCPU woken; dom0's scheduler decides when", kvm=True),
    face("xapic-eoi", "xAPIC: EOI", "MMIO write", kvm=True),
    face("xapic-tpr", "xAPIC: TPR", "MMIO write", kvm=True),
    face("xapic-self-ipi", "xAPIC: self-IPI", "MMIO write, the guest's handler with its EOI", kvm=True),
    library("luv-call", "the bare call from user mode and back", "luv_query()", goal=120),
    library("luv-cpuid", "guest CPUID", "from a guest's instruction to its next", goal=200),
    library("luv-rdmsr", "guest RDMSR of EFER", "from a guest's instruction to its next"),
    library("luv-out", "guest OUT to the client and back", "guest, client, guest", goal=600),
    library("luv-in", "guest IN from the client", "guest, client, guest", goal=600),
    library("luv-hlt", "guest HLT to the client", "guest, client, guest", goal=600),
    library("luv-touch-4k", "first touch of a guest page, 4 KiB", "one nested fault", goal=600),
    library("luv-touch-2m", "first touch, per 2 MiB page", "a huge page is under it", goal=600),
    library("luv-x2apic-eoi", "x2APIC: EOI", "WRMSR, nothing in service"),
    library("luv-x2apic-tpr", "x2APIC: TPR", "WRMSR"),
    library("luv-x2apic-self-ipi", "x2APIC: self-IPI", "WRMSR, the guest's handler with its EOI"),
    face("guest-boot", "Linux guest under Debian's QEMU, start to exit", "all of QEMU and the guest", kvm=True, by="guest-boot", once=True),
    Row("guest-boot-tcg", "the same under QEMU's own TCG", "all of QEMU and the guest", by="guest-boot-tcg"),
    Row("power-on-to-init", "power-on to dom0's /init, direct boot", "firmware, hypervisor, kernel", bare=0.01, by="dom0", once=True),
    own_work("dom0-getppid", "dom0: getppid", "one system call"),
    own_work("dom0-touch", "dom0: first touch of a page", "4 KiB each"),
    own_work("dom0-munmap", "dom0: munmap of a touched page", "4 KiB each"),
    own_work("dom0-fork", "dom0: fork and exit", "with wait"),
    own_work("dom0-exec", "dom0: fork, exec and exit", "with wait; a static program asks CPUID some 40 times"),
    own_work("dom0-pipe", "dom0: pipe ping-pong", "two processes, two messages"),
    exits("idle", "idle"),
    exits("cpu", "computing"),
    exits("disk", "disk"),
    exits("net", "network"),
    exits("ipi", "two CPUs wake each other"),
    Row("memory-taken", "memory that dom0 lacks", "MemTotal of bare Debian less that of dom0", "",
        unit="KiB", by="dom0", once=True),
    Row("memory-held", "memory held beside the pool", "luvalley status", "", goal=2048 + 48, unit="KiB", by="status"),
    Row("image", "image", "code and read-only data; KVM: of kvm.ko and kvm-amd.ko; Xen: its whole image", "", goal=128, unit="KiB"),
    Row("lines", "lines of hv/", "no blank or comment lines", "", goal=10000, unit="lines"),
    *(Row(f"image-{part}", f"image: {what}", "", "", unit="KiB") for part, what in (
        ("code", "code"), ("constants", "read-only data"), ("symbols", "names of functions, for crash reports"))),
    *(Row(f"image-{folder}", f"image: of hv/{folder}", "its objects", "", unit="KiB") for folder in FOLDERS),
    *(Row(f"lines-{folder}", f"lines of hv/{folder}", "", "", unit="lines") for folder in FOLDERS),
]
BY_NAME = {row.name: row for row in ROWS}

EXITS = (f"Instructions. {HARDWARE}. KVM and Luvalley both fetch and decode instructions, since this emulator saves no "
         "next RIP: figures on hardware are lower for both.")

GROUPS = (
    ("face", "A guest's exits, through KVM's API", EXITS),
    ("luv", "The same by libluvalley, without the face", EXITS),
    ("guest", "A Linux guest under Debian's QEMU", f"Instructions, all of QEMU's and the guest's. {HARDWARE}."),
    ("dom0", "dom0's own work", f"Instructions. {HARDWARE}."),
    ("exits", "dom0's exits in a second", "All but CPUID and our own calls, exact; two CPUs, real time."),
    ("size", "Memory, image, source", "Exact. Memory and image in KiB; lines without blank ones and comments."),
    ("part", "Of image and source, by part", "An image of a folder is that of its objects, before the linker merges constants."),
)


def group_of(row):
    if row.name.startswith(("image-", "lines-")):
        return "part"
    if row.by in ("face", "luv", "dom0") and row.name != "memory-taken":
        return row.by
    return "guest" if row.by.startswith("guest-") else "exits" if row.unit == "exits" else "size"
