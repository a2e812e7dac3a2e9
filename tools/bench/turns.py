# SPDX-License-Identifier: BSD-2-Clause
"""Round trips, instruction by instruction: who executes them, in which file, and what hardware charges extra for.

The logs are QEMU's (-d exec,cpu,in_asm,nochain, one instruction a block, with all registers) and that of Bochs'
debugger (trace, trace-mem). A turn is what lies between two executions of the same instruction of the guest, or of
the program where there is no guest; the shortest is looked at, so one without an interrupt of dom0's.
"""

import bisect
import collections
import functools
import re
import subprocess
from pathlib import Path

GUEST_CODE = range(0x8000, 0xc000)
KERNEL = 1 << 47
FLAG_GUEST = 1 << 21  # in a translation block's flags: between VMRUN and #VMEXIT
LINE = 64
IBPB = 0x49

TRACE = re.compile(r"^Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/([0-9a-f]+)/")
REGISTER = re.compile(r"\b(R[0-9A-Z]{1,2}) ?=([0-9a-f]{16})")
ASSEMBLY = re.compile(r"^0x([0-9a-f]+):  ((?:[0-9a-f]{2} )+) *(\S.*)$")
OPERAND = re.compile(r"(-?(?:0x[0-9a-f]+|\d+))?\((%\w+)?(?:,(%\w+),(\d))?\)")
BOCHS = re.compile(r"^\(0\)\.\[\d+\] \[0x[0-9a-f]+\] [0-9a-f]{4}:([0-9a-f]{16}) \(.*?\): (.*?) +; ([0-9a-f]+)$")
BOCHS_MEMORY = re.compile(r"^\[CPU0 (?:RD|WR|RW)\]: LIN 0x([0-9a-f]+) ")
BOCHS_BREAK = "(0) Magic breakpoint"

# What an instruction that is charged for looks like, in AT&T's and in Intel's syntax. Linux on one CPU writes 3E over
# LOCK: on several CPUs it would be locked.
WHERE_LOCKED = r"(cmpxchg|xadd|add|adc|sub|sbb|and|or|xor|inc|dec|not|neg|bt[src])"
CHARGED = {
    "VMRUN, VMRESUME": r"vmrun|vmresume|vmlaunch",
    "VMLOAD, VMSAVE": r"vmload|vmsave",
    "VMREAD": r"vmread",
    "VMWRITE": r"vmwrite",
    "VMPTRLD, VMCLEAR": r"vmptrld|vmclear",
    "TLB": r"inv(ept|vpid|lpg|lpga|pcid)|mov\w* (.*, ?%cr3|cr3,)",
    "RDMSR": r"rdmsr",
    "WRMSR": r"wrmsr",
    "XSAVE, XRSTOR": r"f?xsave|f?xrstor",
    "XGETBV, XSETBV": r"xgetbv|xsetbv",
    "debug registers": r"mov\w* .*%?(db|dr)\d",
    "CPUID": r"cpuid",
    "fences": r"[lms]fence",
    "divisions": r"i?div",
    "locked": r"lock |xchg\w* .*[(\[]",
}
CODE_LINES, DATA_LINES = "lines of code", "lines of data"


class Code:
    """Disassembly and symbols of an ELF file."""

    def __init__(self, path):
        self.path, self.text, self.symbols, self.files = path, {}, [], {}
        listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True)
        for line in listing.stdout.splitlines():
            if match := re.match(r"([0-9a-f]+) <(.+)>:", line):
                self.symbols.append((int(match[1], 16), match[2]))
            elif match := re.match(r" *([0-9a-f]+):\t(.+)", line):
                self.text[int(match[1], 16)] = match[2].strip()
        self.starts = [start for start, _ in self.symbols]
        high = [address for address in self.text if address >= KERNEL]
        self.range = range(min(high, default=0), max(high, default=0) + 1)

    def symbol(self, address):
        at = bisect.bisect_right(self.starts, address) - 1
        return self.symbols[at][1] if at >= 0 else "?"

    def find_files(self, addresses):
        """The source file of each, hv/... where it is one of the hypervisor's, inlined functions in their own."""
        addresses = sorted(set(addresses) - set(self.files))
        done = subprocess.run(["addr2line", "-e", str(self.path)], capture_output=True, text=True,
                              input="".join(f"{address:#x}\n" for address in addresses), check=True)
        for address, line in zip(addresses, done.stdout.splitlines()):
            match = re.search(r"\b((hv|user|include)/\S+?):", line)
            self.files[address] = match[1] if match else "?"


@functools.lru_cache
def code_of(path):
    return Code(path)


class Step:
    """who: guest, client, libluvalley-kvm.so..., hypervisor, kernel. reads: addresses of its operands in memory."""
    __slots__ = ("pc", "guest", "registers", "who", "function", "text", "file", "memory")

    def __init__(self, pc, guest=False, registers=None, text="", memory=None):
        self.pc, self.guest, self.registers, self.text = pc, guest, registers, text
        self.memory = memory
        self.function = self.file = ""


def locked_text(code, text):
    return f"lock {text}" if code.startswith("3e") and re.match(WHERE_LOCKED, text) else text


def qemu_steps(log, texts):
    """texts: {address: instruction} of what was translated before, and of this log."""
    step = None
    with open(log, errors="replace") as lines:
        for line in lines:
            if match := TRACE.match(line):
                if step and step.registers:
                    yield step
                pc = int(match[1], 16)
                step = Step(pc, bool(int(match[2], 16) & FLAG_GUEST), {}, texts.get(pc, ""))
            elif step and line.startswith("R"):
                for name, value in REGISTER.findall(line):
                    step.registers["%" + name.lower()] = int(value, 16)
            elif match := ASSEMBLY.match(line):
                texts[int(match[1], 16)] = locked_text(match[2].replace(" ", ""), match[3])


def bochs_traces(log):
    """[[Step]] between each first and second breakpoint."""
    traces, steps = [], None
    with open(log, errors="replace") as lines:
        for line in lines:
            if line.startswith(BOCHS_BREAK):
                if steps is None:
                    steps = []
                else:
                    traces.append(steps)
                    steps = None
            elif steps is None:
                continue
            elif match := BOCHS.match(line):
                steps.append(Step(int(match[1], 16), text=locked_text(match[3], match[2]), memory=[]))
            elif steps and (match := BOCHS_MEMORY.match(line)):
                steps[-1].memory.append(int(match[1], 16))
    return traces


class Programs:
    """What user-mode addresses mean: a static program, or the files that the process has mapped (@map lines)."""

    def __init__(self, files, row, serial):
        self.static = None if is_face(row) else code_of(files.build / "bench/bench-luv")
        self.parts, codes = [], {}
        ours = {"bench-kvm": files.build / "bench/bench-kvm",
                "libluvalley-kvm.so": files.build / "user/libluvalley-kvm.so"}
        for match in re.finditer(r"@map ([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ +(\S+)", serial):
            start, end, offset = (int(match[n], 16) for n in (1, 2, 3))
            name = Path(match[4]).name
            if name in ours and name not in codes:
                codes[name] = code_of(ours[name])
            self.parts.append((start, end, start - offset, name, codes.get(name)))

    def find(self, pc):
        """(who, code, address in the file); the last process that printed its map is meant."""
        if self.static:
            return "client", self.static, pc
        for start, end, base, name, code in reversed(self.parts):
            if start <= pc < end:
                return name, code, pc - base
        return "client", None, pc


def is_face(row):
    return not row.startswith("luv-")


def name_step(step, hypervisor, programs):
    """Text of the hypervisor's and the programs' code is objdump's, if there is none yet."""
    if hypervisor and not step.guest and step.pc in hypervisor.range:
        step.who, code, address = "hypervisor", hypervisor, step.pc
    elif step.pc in GUEST_CODE:
        step.who = step.function = "guest"
        return
    elif step.pc >= KERNEL:
        step.who = step.function = "kernel"
        return
    else:
        step.who, code, address = programs.find(step.pc)
    if code:
        step.function, step.text = code.symbol(address), step.text or code.text.get(address, "")


def name_steps(steps, hypervisor, programs):
    for step in steps:
        name_step(step, hypervisor, programs)
    if hypervisor:
        ours = [step for step in steps if step.who == "hypervisor"]
        hypervisor.find_files(step.pc for step in ours)
        for step in ours:
            step.file = hypervisor.files[step.pc]


def shortest_turn(steps):
    """Cut at an instruction outside of kernel and hypervisor that returns; None without one."""
    below = ("hypervisor", "kernel")
    outside = [step.pc for step in steps if step.who not in below]
    in_guest = [step.pc for step in steps if step.who == "guest"]
    if not outside:
        return None
    mark = collections.Counter(in_guest or outside).most_common(1)[0][0]
    at = [number for number, step in enumerate(steps) if step.pc == mark]
    turns = [steps[begin:end] for begin, end in zip(at, at[1:])]
    return min((turn for turn in turns if any(step.who in below for step in turn)), key=len, default=None)


def touched(step, following):
    """Addresses of memory operands; what VMLOAD, VMRUN and XSAVE move by themselves is not known."""
    if step.memory is not None:
        yield from step.memory
        return
    text, registers = step.text, step.registers
    if re.match(r"(push|call)", text):
        yield registers["%rsp"] - 8
    elif re.match(r"(pop|ret|leave)", text):
        yield registers["%rsp"]
    if re.match(r"(lea|nop)", text):
        return
    if match := re.search(r"(-?(?:0x[0-9a-f]+|\d+))\(%rip\)", text):
        yield following + int(match[1], 0)
    elif match := OPERAND.search(text):
        offset, base, index, scale = match.groups()
        address = int(offset or "0", 0) + registers.get(base, 0) + registers.get(index, 0) * int(scale or 1)
        yield address & 0xffffffffffffffff


def charges(turn):
    """Counts of CHARGED, without the guest's; cache lines of what is below the client: the hypervisor, or the kernel."""
    found = collections.Counter()
    for step in turn:
        if step.who == "guest":
            continue
        for what, pattern in CHARGED.items():
            if re.match(pattern, step.text):
                found[what] += 1
        if step.registers and step.text.startswith("wrmsr") and step.registers["%rcx"] == IBPB:
            found["IBPB"] += 1
    below = [(step, following.pc) for step, following in zip(turn, [*turn[1:], turn[0]])
             if step.who in ("hypervisor", "kernel")]
    found[CODE_LINES] = len({step.pc // LINE for step, _ in below})
    found[DATA_LINES] = len({address // LINE for step, following in below for address in touched(step, following)})
    return dict(found)


def under(turn, function):
    """The steps of the hypervisor's between a call of the function and its return."""
    depth = 0
    for step in turn:
        if step.who != "hypervisor":
            continue
        if depth:
            depth += 1 if re.match("call", step.text) else -1 if re.match("ret", step.text) else 0
            yield step
        elif step.function == function:
            depth = 1
            yield step


def summary(turn):
    """What bench.json holds of a round trip."""
    who = collections.Counter(step.who for step in turn)
    files = collections.Counter(step.file for step in turn if step.who == "hypervisor")
    functions = collections.Counter((step.who, step.function) for step in turn)
    return {"instructions": len(turn), "who": dict(who), "decoding": len(list(under(turn, "instruction_measure"))),
            "charged": charges(turn), "files": dict(files.most_common()),
            "functions": [[*key, count] for key, count in functions.most_common()]}
