#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tests of what measures (tools/bench), without a machine; speaks TAP."""

import contextlib
import importlib.machinery
import importlib.util
import io
import sys
import tempfile
import types
from pathlib import Path

sys.dont_write_bytecode = True
BENCH = Path(__file__).resolve().parents[2] / "tools/bench"
sys.path.insert(0, str(BENCH))

import image  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import systems  # noqa: E402
import turns  # noqa: E402


def script(name):
    loader = importlib.machinery.SourceFileLoader(name, str(BENCH / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


run, compare = script("run"), script("compare")


TESTS = []


def test(function):
    TESTS.append(function)
    return function


def raised(kind, call, *arguments, **keywords):
    """The exception's text, of exactly that kind."""
    try:
        call(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001
        assert type(error) is kind, f"{type(error).__name__}: {error}"
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def quietly(call, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return call(*arguments)


# --- what the machines say -----------------------------------------------------------------------

@test
def rows_are_read():
    said = machine.parse("noise\r\n@begin kvm\r\n@row out 12.5\n@missing hlt no HLT here\n[ 1.0] @trace out\n@end kvm 0\n",
                         {"kvm"})
    assert said.rows == {"out": 12.5} and said.missing == {"hlt": "no HLT here"} and said.traces == ["out"]


@test
def broken_benchmark_fails():
    assert "vm: EIO" in raised(image.Failure, machine.parse, "@begin kvm\n@failed vm: EIO\n@end kvm 1\n", {"kvm"})
    assert "status 3" in raised(image.Failure, machine.parse, "@begin kvm\nlast words\n@end kvm 3\n", {"kvm"})
    assert "before face" in raised(image.Failure, machine.parse, "@begin kvm\n@end kvm 0\n", {"kvm", "face"})


@test
def unstartable_system_is_absent():
    assert "(XEN) panic" in raised(image.Absent, machine.parse, "(XEN) panic\n", {"dom0"})
    assert "unsupported" in raised(image.Absent, machine.parse, "@begin kvm-intel\nunsupported\n@end kvm-intel 1\n",
                                   {"kvm-intel"})


class Fake:
    """A System that says or raises something."""
    runs, traced, name = ("dom0",), (), "xen"

    def __init__(self, said, peer=True):
        self.said, self.peer = said, peer

    def boot(self, files, what, rows):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def trace(self, files):
        return {}


def measured(said, peer=True):
    return quietly(run.measure, None, Fake(said, peer), ("dom0",))


@test
def missing_peer_is_a_reason():
    column = measured(image.Absent("no such package"))
    assert column["absent"] == "no such package"
    result = report.result([column], FILES)
    assert "xen: no column: no such package" in report.table(result)
    assert "- xen: no column: no such package" in report.markdown(result)


@test
def broken_peer_fails():
    raised(image.Failure, measured, image.Failure("KVM_RUN: EIO"))


@test
def luvalley_is_never_absent():
    raised(image.Absent, measured, image.Absent("does not start"), False)


@test
def unknown_row_is_refused():
    assert run.unknown_rows([{"rows": {"out/8vm/1vcpu": 1, "nonsense": 2}}]) == ["nonsense"]


# --- which rows, which runs ----------------------------------------------------------------------

@test
def rows_are_chosen():
    assert run.chosen_rows(["out"]) == ["out"]
    assert "hlt/8vm/1vcpu" in run.chosen_rows(["hlt/*"]) and "hlt" not in run.chosen_rows(["hlt/*"])
    assert "no row" in raised(image.Failure, run.chosen_rows, ["outt"])


@test
def runs_are_chosen():
    by_name = {system.name: system for system in systems.FULL}
    assert systems.runs_for(by_name["kvm"], ["out"]) == ["modules,kvm"]
    assert systems.runs_for(by_name["kvm"], ["hlt/8vm/1vcpu"]) == ["modules,kvm-8-1"]
    assert systems.runs_for(by_name["kvm"], ["luv-out"]) == []
    assert systems.runs_for(by_name["luvalley"], ["luv-out", "exits-disk"]) == ["luv", "disk-modules,exits-disk"]


# --- what is made of the figures -----------------------------------------------------------------

FILES = types.SimpleNamespace(elf=Path(__file__))


def column(system, turns_=(), **rows):
    return {"system": system, "rows": {name.replace("_", "-"): value for name, value in rows.items()}, "missing": {},
            "turns": dict(turns_)}


@test
def row_without_figure_has_a_reason():
    result = report.result([column("kvm", out=10.0), column("luvalley", hlt=5.0)], FILES)
    row = next(row for row in result["rows"] if row["name"] == "out")
    assert row["missing"] == {"luvalley": "not measured"} and "`out`, luvalley: not measured" in report.markdown(result)


@test
def more_vms_are_not_expected_on_vtx():
    rows = {"out": 1.0, "out/8vm/1vcpu": 1.0}
    result = report.result([{**column("luvalley"), "rows": rows}, column("luvalley-vmx", out=1.0)], FILES)
    assert [row["missing"] for row in result["rows"] if row["name"].startswith("out/")] == [{}]
    assert {"luvalley-vmx": "not measured"} in [row["missing"] for row in report.result(
        [column("luvalley", out=1.0), column("luvalley-vmx", hlt=1.0)], FILES)["rows"]]


@test
def flatness_is_seen():
    rows = {"out": 100.0, "out/8vm/1vcpu": 101.9, "hlt": 100.0, "hlt/1vm/2vcpu": 100.0, "hlt/64vm/1vcpu": 102.1}
    result = report.result([{**column("luvalley"), "rows": rows}], FILES)
    assert result["flat"] == {"out": True, "hlt": False}
    lines = {line[0]: line[-1] for line in report.flat_table(result)}
    assert lines["out"] == "yes" and lines["hlt"] == "no"


@test
def goals_are_judged():
    result = report.result([column("luvalley", cpuid=200.0, out=601.0)], FILES)
    verdicts = {row["name"]: report.verdict(row) for row in result["rows"]}
    assert verdicts["cpuid"] == "yes" and verdicts["out"] == "no"


@test
def document_keeps_its_prose():
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "performance.md")
        page.write_text(f"before\n{report.BEGIN}\nstale figures\n{report.END}\nafter\n")
        drawn = report.chart
        report.chart = lambda result, svg: None
        try:
            report.refresh_document(report.result([column("luvalley", out=1234.0)], FILES), folder)
        finally:
            report.chart = drawn
        text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "1,234" in text and "stale" not in text


# --- comparing -----------------------------------------------------------------------------------

def base_result():
    rows = [{"name": "out", "values": {"luvalley": 1000.0, "kvm": 5.0, "luvalley-vmx": 2000.0}},
            {"name": "hlt", "values": {"luvalley": 500.0}}]
    trips = [{"row": "out", "system": "luvalley", "charged": {"VMRUN": 2, "lines of code": 100}}]
    return {"format": 1, "rows": rows, "round_trips": trips}


def worse(change):
    new = base_result()
    change(new)
    return quietly(compare.compare, base_result(), new)


def values(result, name="out"):
    return next(row for row in result["rows"] if row["name"] == name)["values"]


@test
def regressions_are_found():
    assert worse(lambda new: None) == 0
    assert worse(lambda new: values(new).update({"luvalley": 1011.0})) == 1
    assert worse(lambda new: values(new).update({"luvalley-vmx": 2021.0})) == 1
    assert worse(lambda new: values(new, "hlt").clear()) == 1


@test
def improvements_and_noise_pass():
    assert worse(lambda new: values(new).update({"luvalley": 900.0, "kvm": 50.0})) == 0
    assert worse(lambda new: values(new).update({"luvalley": 1009.0})) == 0
    assert worse(lambda new: new["rows"].append({"name": "in", "values": {"luvalley": 9.0}})) == 0


@test
def new_charges_are_found():
    def charge(**counts):
        return worse(lambda new: new["round_trips"][0]["charged"].update(
            {name.replace("_", " "): count for name, count in counts.items()}))
    assert charge(WRMSR=1) == 1 and charge(VMRUN=3) == 1 and charge(lines_of_code=106) == 1
    assert charge(lines_of_code=104) == 0 and charge(VMRUN=1) == 0
    assert worse(lambda new: new["round_trips"].clear()) == 2


# --- traces --------------------------------------------------------------------------------------

def step(who, pc, text="nop", memory=()):
    one = turns.Step(pc, text=text, memory=list(memory))
    one.who = who
    return one


@test
def shortest_turn_is_found():
    guest, hypervisor = step("guest", 0x8000), step("hypervisor", 1 << 63)
    turn = turns.shortest_turn([guest, hypervisor, hypervisor, guest, hypervisor, guest, guest])
    assert [one.who for one in turn] == ["guest", "hypervisor"]
    assert turns.shortest_turn([hypervisor]) is None and turns.shortest_turn([guest, guest]) is None


@test
def charges_are_counted():
    turn = [step("guest", 0x8000, "cpuid"), step("kernel", 0x1000, "cpuid"), step("hypervisor", 0x1000, "vmread rax, rdx", [0x40, 0x47]),
            step("hypervisor", 0x1003, "wrmsr"), step("hypervisor", 0x1040, "lock xadd word ptr ds:[rdi], ax", [0x80]),
            step("client", 0x5000, "xchg dword ptr ds:[rdi], eax", [0x100]), step("client", 0x5000, "xchg eax, ebx"),
            step("hypervisor", 0x1044, "mov rax, dr6"), step("hypervisor", 0x1048, "movq %rax, %cr3")]
    found = turns.charges(turn)
    assert found == {"CPUID": 1, "VMREAD": 1, "WRMSR": 1, "locked": 2, "debug registers": 1, "TLB": 1,
                     "lines of code": 2, "lines of data": 2}, found


BOCHS_LOG = """\
(0).[9] [0x0000028a310a] 0033:000000000040310a (unk. ctxt): vmcall                    ; 0f01c1
(0) Magic breakpoint
(0).[10] [0x00001ec15b2a] 0010:ffffffff80116b2a (unk. ctxt): cmpxchg dword ptr ds:[rdi], edx ; 3e0fb117
[CPU0 RD]: PHY 0x00001ec81918 (len=4, INVALID): 0x00000012	; VMCS
[CPU0 RW]: LIN 0xffffffffc0007eb8 PHY 0x00001ec76eb8 (len=8, WB): 0x00000000 0x00000000
(0) Magic breakpoint
(0).[11] [0x0000028a310a] 0033:000000000040310a (unk. ctxt): vmcall                    ; 0f01c1
"""


@test
def bochs_log_is_read():
    with tempfile.NamedTemporaryFile("w") as log:
        log.write(BOCHS_LOG)
        log.flush()
        (only,), = turns.bochs_traces(log.name)
    assert only.pc == 0xffffffff80116b2a and only.memory == [0xffffffffc0007eb8] and only.text.startswith("lock cmpxchg")


QEMU_LOG = """\
IN: 
0xffffffff80116b2a:  0f 32                    rdmsr    
Trace 0: 0x7f31c4000100 [00000000/ffffffff80116b2a/0000c0b3/00000000] 
RAX=0000000000000001 RBX=0000000000000000 RCX=0000000000000049 RDX=0000000000000000
R8 =0000000000000000 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000
Trace 0: 0x7f31c4000100 [00000000/0000000000008000/0020c0b3/00000000] 
RAX=0000000000000001 RBX=0000000000000000 RCX=0000000000000049 RDX=0000000000000000
Trace 0: 0x7f31c4000100 [00000000/0000000000008002/0020c0b3/00000000] 
"""


@test
def qemu_log_is_read():
    with tempfile.NamedTemporaryFile("w") as log:
        log.write(QEMU_LOG)
        log.flush()
        first, second = turns.qemu_steps(log.name, {})
    assert first.text.strip() == "rdmsr" and first.registers["%rcx"] == 0x49 and not first.guest and second.guest


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for number, one in enumerate(TESTS, 1):
        try:
            one()
            print(f"ok {number} - {one.__name__.replace('_', ' ')}")
        except Exception as error:  # noqa: BLE001
            failed += 1
            print(f"not ok {number} - {one.__name__.replace('_', ' ')}\n# {type(error).__name__}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
