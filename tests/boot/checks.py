# SPDX-License-Identifier: BSD-2-Clause
"""What must hold in dom0 on Luvalley. The programs `cpu`, `memory` and `calls` are in dom0/."""

import json
import re

from boot.machine import Check, Failed, check, expect, last_words, squeezed

SPINS = 5000
PAGE = 4096

CPUID_1_ECX_HYPERVISOR = 1 << 31
CPUID_80000001_ECX_SVM = 1 << 2
CPUID_1_ECX_VMX = 1 << 5
EFER_SVME = 1 << 12
VM_CR_LOCKED_OFF = 0x18  # SVMDIS | LOCK

# Budget: 2 MiB and 48 KiB a CPU besides the pool; the range is cut at 2 MiB, and one page lies low.
HELD_KIB = 2048
HELD_KIB_A_CPU = 48
# What no system sees of a PC's memory: the ROMs below 1 MiB and the firmware's tables.
FIRMWARE_KIB = 1024
# UEFI keeps its runtime services, tables and buffers of its own for itself.
FIRMWARE_KIB_UEFI = 24 * 1024


# --- CPUs ----------------------------------------------------------------------------------------

@check("every CPU is held and runs dom0", 'echo "[$(nproc),"; luvalley status --json; echo ]')
def cpus_held(trial):
    online, status = trial.json()
    count = trial.case.cpus
    expect(online == count, f"dom0 runs {online} CPUs of {count}")
    expect(status["cpus_held"] == count, f"Luvalley holds {status['cpus_held']} CPUs of {count}")
    expect(status["cpus_in_dom0"] == count, f"{status['cpus_in_dom0']} of {count} CPUs are in dom0")
    for cpu in status["cpus"]:
        expect(cpu["in_dom0"] and cpu["starts"] >= 1, f"CPU {cpu['cpu']} was never started: {cpu}")
        expect(cpu["exits"]["total"] > 0, f"CPU {cpu['cpu']} never left dom0: {cpu}")


def exits_by_apic_id(status, reason):
    return {cpu["apic_id"]: cpu["exits"][reason] for cpu in status["cpus"]}


# A CPU that runs dom0 outside guest mode looks healthy; only its count stands still.
@check("CPUID exits are counted on each CPU",
       f"""echo '['; luvalley status --json
       for cpu in $(seq 0 $(($(nproc) - 1))); do echo ,; cpu spin $cpu {SPINS}; done
       echo ,; luvalley status --json; echo ']'""")
def exits_grow(trial):
    before, *apic_ids, after = trial.json()
    before, after = (exits_by_apic_id(status, "cpuid") for status in (before, after))
    expect(len(set(apic_ids)) == trial.case.cpus, f"dom0 could use the CPUs {apic_ids} only")
    for apic_id in apic_ids:
        grown = after[apic_id] - before[apic_id]
        expect(grown >= SPINS, f"CPU with APIC ID {apic_id} executed {SPINS} CPUIDs, of which "
               f"Luvalley saw {grown}: it runs outside guest mode")


def counts(*cpuids):
    cpus = [{"apic_id": apic_id, "exits": {"cpuid": count}} for apic_id, count in enumerate(cpuids)]
    return json.dumps({"cpus": cpus})


# The proof that the check above sees it: the second CPU's count stands still.
escaped_cpu = Check("CPUID exits are counted on a CPU that escaped",
                    f"echo '[{counts(10, 10)}, 0, 1, {counts(10 + SPINS, 12)}]'", exits_grow.judge)


@check("a CPU taken off and put back is still held",
       """set -e
       echo '['; luvalley status --json
       echo 0 >/sys/devices/system/cpu/cpu1/online
       echo 1 >/sys/devices/system/cpu/cpu1/online
       echo ,; cpu spin 1 1000; echo ,; luvalley status --json; echo ']'""")
def cpu_replugged(trial):
    before, apic_id, after = trial.json()
    then, now = ([cpu for cpu in status["cpus"] if cpu["apic_id"] == apic_id][0]
                 for status in (before, after))
    expect(now["starts"] == then["starts"] + 1, f"it was started {now['starts'] - then['starts']} times")
    expect(now["exits"]["cpuid"] >= then["exits"]["cpuid"] + 1000, "it runs outside guest mode")


@check("dom0 at rest leaves guest mode for nothing",
       "echo '['; luvalley status --json; echo ,; sleep 2; luvalley status --json; echo ']'")
def rests(trial):
    before, after = trial.json()
    for then, now in zip(before["cpus"], after["cpus"]):
        grown = {name: now["exits"][name] - count for name, count in then["exits"].items()
                 if name not in ("cpuid", "call", "total") and now["exits"][name] != count}
        expect(not grown, f"CPU {now['cpu']}, in 2 s: {grown}")


def apic_mode(mode):
    @check(f"the APIC mode is {mode}", "luvalley status --json")
    def judge(trial):
        found = trial.json()["apic"]
        expect(found == mode, f"it is {found}")
    return judge


@check("CPUID hides the hypervisor bit and shows the signature",
       "cpu cpuid 1; cpu cpuid 0x40000000; grep -c hypervisor /proc/cpuinfo")
def cpuid_signature(trial):
    first, ours, flags = trial.lines
    ecx = int(first.split()[2], 16)
    expect(not ecx & CPUID_1_ECX_HYPERVISOR, f"leaf 1 ECX is {ecx:#x}")
    name = b"".join(int(word, 16).to_bytes(4, "little") for word in ours.split()[1:])
    expect(name == b"LuvalleyLuva", f"leaf 40000000h says {name}")
    expect(flags == "0", "/proc/cpuinfo shows the flag hypervisor")


# --- memory --------------------------------------------------------------------------------------

def ranges(iomem, what):
    """[(first, last)] of /proc/iomem's top level."""
    found = re.findall(rf"^([0-9a-f]+)-([0-9a-f]+) : {what}$", iomem, re.M)
    return [(int(first, 16), int(last, 16)) for first, last in found]


def system_ram_kib(iomem):
    found = ranges(iomem, "System RAM")
    expect(found, "/proc/iomem shows no RAM")
    return sum(last + 1 - first for first, last in found) // 1024


@check("dom0 has all memory but the firmware's", "cat /proc/iomem")
def memory_bare(trial):
    missing = trial.case.memory_kib - system_ram_kib(trial.output)
    expect(0 <= missing <= FIRMWARE_KIB, f"{missing} KiB are missing")


@check("dom0 has all memory but what Luvalley says it holds",
       "luvalley status --json | tr -d '\\n'; echo; cat /proc/iomem")
def memory_left(trial):
    held = re.search(r'"memory_held_kib": (\d+)', trial.output)
    expect(held, f"luvalley status says nothing of it: {trial.lines[:1]}")
    held = int(held[1])
    missing = trial.case.memory_kib - held - system_ram_kib(trial.output)
    limit = FIRMWARE_KIB_UEFI if trial.case.uefi else FIRMWARE_KIB
    expect(0 <= missing <= limit, f"{missing} KiB are missing besides the {held} KiB held")


@check("the memory held is within its budget", "luvalley status --json")
def memory_budget(trial):
    status = trial.json()
    used = status["memory_held_kib"] - status["pool_size_kib"]
    budget = HELD_KIB + HELD_KIB_A_CPU * trial.case.cpus
    expect(0 < used <= budget, f"{used} KiB besides the pool; the budget is {budget} KiB")
    expect(0 < status["pool_free_kib"] <= status["pool_size_kib"], f"the pool: {status}")


@check("the hidden range is reserved in dom0's memory map",
       """memory hidden || exit 1
       luvalley status --json | tr -d '\\n' | grep -o '"memory_held_kib": [0-9]*' | grep -o '[0-9]*$'
       cat /proc/iomem""")
def hidden_reserved(trial):
    trial.succeeded()
    base, held = int(trial.lines[0], 16), int(trial.lines[1]) * 1024 - PAGE
    reserved = ranges(trial.output, "Reserved")
    expect(any(first <= base and base + held - 1 <= last for first, last in reserved),
           f"{base:#x} to {base + held:#x} is not: {reserved}")


# The trampoline is the first page of what is reserved at the end of base memory. Linux itself reads
# there at boot (it looks for an iBFT), so touches are compared with the log, not counted from 0.
@check("dom0 writes and reads hidden memory, and nothing stops",
       """set -e
       held=$(luvalley status --json | tr -d '\\n' | grep -o '"memory_held_kib": [0-9]*' | grep -o '[0-9]*$')
       base=$(memory hidden)
       low=0x$(grep -i ': Reserved' /proc/iomem | grep -o '^000[89][0-9a-f]*' | head -1)
       last=$((base + held * 1024 - 8192))
       for place in $low "$base 3" $last; do
           set -- $place
           memory write $1 ${2:-1}; memory read $1 ${2:-1}
       done
       printf '%x\\n' $low $base $((base + 4096)) $((base + 8192)) $last
       luvalley status --json | grep -o '"hidden_touches": [0-9]*' | grep -o '[0-9]*$'
       luvalley log""")
def hidden_touched(trial):
    trial.succeeded()
    for line in trial.lines[:6]:
        expect(re.fullmatch(r"(\d+) of \1 pages hold the pattern", line), f"of its junk page: {line}")
    touched, count = set(trial.lines[6:11]), int(trial.lines[11])
    logged = re.findall(r"dom0 touched hidden memory at 0x([0-9a-f]+)", trial.output)
    expect(len(logged) == len(set(logged)) and set(logged) == touched, f"{touched}, but the log names {logged}")
    expect(count == len(touched), f"{len(touched)} pages were touched, Luvalley counted {count}")


# --- AMD-V ---------------------------------------------------------------------------------------

@check("the SVM flag shows, VM_CR says disabled and locked",
       """modprobe msr; cpu cpuid 0x80000001
       for cpu in $(seq 0 $(($(nproc) - 1))); do
           cpu read $cpu 0xc0010114; cpu write $cpu 0xc0010114 0; cpu read $cpu 0xc0010114
       done""")
def svm_locked(trial):
    ecx = int(trial.lines[0].split()[2], 16)
    expect(ecx & CPUID_80000001_ECX_SVM, f"leaf 80000001h ECX is {ecx:#x}")
    expect(trial.lines[1:] == ["0x18", "written", "0x18"] * trial.case.cpus,
           f"VM_CR read, written with 0 and read again: {trial.lines[1:]}")


@check("EFER.SVME reads 0 and cannot be set",
       """modprobe msr
       for cpu in $(seq 0 $(($(nproc) - 1))); do
           efer=$(cpu read $cpu 0xc0000080); echo $efer
           cpu write $cpu 0xc0000080 $((efer | 1 << 12)); cpu write $cpu 0xc0000080 $efer
           cpu read $cpu 0xc0000080
       done""")
def svme_off(trial):
    expect(len(trial.lines) == 4 * trial.case.cpus, last_words(trial.output))
    for cpu in range(trial.case.cpus):
        first, with_svme, as_it_was, last = trial.lines[4 * cpu:4 * cpu + 4]
        expect(not int(first, 16) & EFER_SVME, f"CPU {cpu}: EFER is {first}")
        expect(with_svme == "EIO", f"CPU {cpu}: setting SVME: {with_svme}")
        expect(as_it_was == "written" and last == first, f"CPU {cpu}: EFER rewritten: {as_it_was}, {last}")


@check("VM_HSAVE_PA reads 0 and cannot be written",
       "modprobe msr; cpu read 0 0xc0010117; cpu write 0 0xc0010117 0x1000; cpu read 0 0xc0010117")
def host_save_area(trial):
    expect(trial.lines == ["0", "EIO", "0"], f"read, written, read: {trial.lines}")


def illegal_instructions(vendor, count):
    @check(f"{vendor} instructions raise exceptions", "cpu illegal")
    def judge(trial):
        got = dict(line.split() for line in trial.lines)
        expect(len(got) == count and set(got.values()) <= {"ILL", "SEGV"}, f"{got}")
    return judge


svm_instructions = illegal_instructions("SVM", 7)


@check("kvm_amd declines", "modprobe kvm_amd; echo $?; dmesg; test ! -e /dev/kvm")
def kvm_declines(trial):
    trial.succeeded()
    expect(trial.lines[0] != "0" and "modprobe" in trial.output, "modprobe kvm_amd succeeded")
    expect(re.search(r"kvm.*(disabled|not supported)", trial.output), "the kernel says nothing of it")


# --- VT-x ----------------------------------------------------------------------------------------

vmx_instructions = illegal_instructions("VMX", 9)


@check("the VMX flag shows, FEATURE_CONTROL says disabled and locked",
       """modprobe msr; cpu cpuid 1
       for cpu in $(seq 0 $(($(nproc) - 1))); do
           cpu read $cpu 0x3a; cpu write $cpu 0x3a 5; cpu read $cpu 0x3a
       done""")
def vmx_locked(trial):
    ecx = int(trial.lines[0].split()[2], 16)
    expect(ecx & CPUID_1_ECX_VMX, f"leaf 1 ECX is {ecx:#x}")
    expect(trial.lines[1:] == ["0x1", "EIO", "0x1"] * trial.case.cpus,
           f"FEATURE_CONTROL read, written with 5 and read again: {trial.lines[1:]}")


# CSTAR, which Intel's CPUs keep and never use, is changed, and a guest, whose is another, runs in between.
@check("SYSCALL's MSRs take what the CPU takes, and are dom0's again behind a guest",
       """modprobe msr
       for cpu in $(seq 0 $(($(nproc) - 1))); do
           cpu read $cpu 0xc0000082; cpu write $cpu 0xc0000082 0x8000000000000000; cpu read $cpu 0xc0000082
       done
       cstar=$(cpu read 0 0xc0000083); cpu write 0 0xc0000083 0xffffffff87654321
       guest-tests --seconds 1 'state: one guest' | grep -c '^ok'
       cpu read 0 0xc0000083; cpu write 0 0xc0000083 $cstar""")
def syscall_msrs(trial):
    *each, last = [trial.lines[i:i + 3] for i in range(0, 3 * trial.case.cpus, 3)] + [trial.lines[3 * trial.case.cpus:]]
    for cpu, lines in enumerate(each):
        expect(lines == [lines[0], "EIO", lines[0]], f"CPU {cpu}: LSTAR read, written with a bad address, read: {lines}")
    expect(last == ["written", "1", "0xffffffff87654321", "written"], f"CSTAR written, a guest, read, written back: {last}")


@check("kvm_intel declines", "modprobe kvm_intel; echo $?; dmesg; test ! -e /dev/kvm")
def kvm_intel_declines(trial):
    trial.succeeded()
    expect(trial.lines[0] != "0" and "modprobe" in trial.output, "modprobe kvm_intel succeeded")
    expect(re.search(r"kvm.*(disabled|not supported)", trial.output), "the kernel says nothing of it")


NMIS = 20


# CPU 1 is in the hypervisor most of the time: the NMIs that it takes there are dom0's, too.
@check("no NMI is lost in root mode",
       f"""cpu spin 1 100000000 & spinner=$!
       taskset -c 0 sh -c 'grep NMI: /proc/interrupts
       for i in $(seq {NMIS}); do echo l >/proc/sysrq-trigger; done
       grep NMI: /proc/interrupts'
       kill $spinner""")
def nmis_arrive(trial):
    before, after = (int(line.split()[2]) for line in trial.lines)
    expect(after - before == NMIS, f"{after - before} of {NMIS}")


# --- calls and tools -----------------------------------------------------------------------------

@check("bad calls get the errors of the contract", "calls")
def bad_calls(trial):
    wrong = [line for line in trial.lines if not line.startswith("ok ")]
    expect(not wrong and trial.status == 0 and len(trial.lines) > 20, "; ".join(wrong) or trial.output)


@check("who is not root is told so",
       """user="setpriv --reuid=65534 --regid=65534 --clear-groups"
       $user luvalley status; echo "@log"; $user luvalley log""")
def refuses_users(trial):
    sentence = "only root may read the hypervisor's key"
    status, _, log = trial.output.partition("@log")
    expect(sentence in status and "cpuid" not in status, f"luvalley status: {last_words(status)}")
    expect(sentence in log and trial.status == 1, f"luvalley log ({trial.status}): {last_words(log)}")


@check("the ACPI tables are whole, LUVY is root's only",
       """ls /sys/firmware/acpi/tables; stat -c %a /sys/firmware/acpi/tables/LUVY
       dmesg | grep -E 'ACPI.*(Error|Warning|ncorrect|nvalid)'""")
def acpi_tables(trial):
    words = trial.output.split()
    missing = {"LUVY", "APIC", "FACP", "DSDT"} - set(words)
    expect(not missing, f"missing: {missing}")
    expect("400" in words, f"LUVY's mode: {last_words(trial.output)}")
    expect("ACPI" not in trial.output, last_words(trial.output))


def boot_log(how):
    @check("luvalley log tells of the boot", "luvalley log")
    def judge(trial):
        trial.succeeded()
        version = r"^Luvalley (version )?\d+\.\d+|^version \d"
        cpus = trial.case.cpus
        for wanted in version, rf"on {cpus} CPU", "KiB hidden at 0x", f"dom0 starts: {how}":
            expect(re.search(wanted, trial.output, re.M), f"nothing like '{wanted}' in: {trial.output}")
    return judge


@check("an unknown option is complained about", "luvalley log")
def unknown_option(trial):
    for text in trial.output, trial.log("serial.log"), trial.log("hypervisor.log"):
        expect("Option 'nonsense=1' is ignored" in text, f"not in: {last_words(text)}")


@check("the log of the boot before has survived the reset, without a crash report", "luvalley log --previous")
def log_survived(trial):
    trial.succeeded()
    expect(re.search(r"^dom0 starts: ", trial.output, re.M) and "CRASH" not in trial.output, last_words(trial.output))


@check("no crash report where nothing crashed", "luvalley log --previous")
def no_report(trial):
    expect("CRASH" not in trial.output and re.search("^dom0 starts: |nothing has survived", trial.output, re.M),
           last_words(trial.output))


@check("nothing has survived where nothing was before", "luvalley log --previous")
def nothing_survived(trial):
    expect(trial.status == 1 and "nothing has survived" in trial.output, f"status {trial.status}: {last_words(trial.output)}")


@check("dom0's kernel complains about nothing", "dmesg")
def kernel_content(trial):
    bad = r"BUG:|WARNING: CPU|Call Trace|Oops|general protection|soft lockup|failed to respond|do_IRQ"
    found = [line for line in trial.lines if re.search(bad, line)]
    expect(trial.lines and not found, "; ".join(found[:5]) or "dmesg is empty")


@check("it is the disk's second boot", "echo $LUVALLEY_BOOT")
def second_boot(trial):
    expect(trial.output.strip() == "2", f"it is boot {trial.output.strip()}")


@check("the UEFI services work", """set -e
       mountpoint -q /sys/firmware/efi/efivars || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
       cd /sys/firmware/efi/efivars
       name=LuvalleyTest-4c757661-6c6c-6579-2d64-6f6d30000001
       printf '\\7\\0\\0\\0written' >$name; tail -c 7 $name; chattr -i $name 2>/dev/null || true; rm $name
       ls BootOrder-* | wc -l""")
def uefi_services(trial):
    trial.succeeded()
    expect(trial.output.split() == ["written1"] or trial.output.split() == ["written", "1"], trial.output)


@check("nobody answered the firmware on the monitor's port",
       "exec 3</dev/ttyS1; stty raw -echo <&3; timeout 2 cat <&3 | od -c; monitor info status")
def monitor_is_quiet(trial):
    expect(trial.output.split() == ["0000000", "VM", "status:", "running"], trial.output)


@check("the system runs without Luvalley", "cat /proc/cmdline; luvalley status")
def runs_without(trial):
    expect("started_by=luvalley" in trial.output, "Luvalley's loader did not start it")
    expect(trial.status != 0, "luvalley status finds a hypervisor")


def said_by_application(sentence):
    @check("luvalley.efi says why it does not run")
    def judge(trial):
        expect(squeezed(sentence) in squeezed(trial.log("serial.log")), last_words(trial.log("serial.log")))
    return judge


@check("the crash report is on the framebuffer")
def report_on_framebuffer(trial):
    judge_report(trial.log("display.txt"), "on the screen")


# --- ends ----------------------------------------------------------------------------------------

@check("power-off ends the machine")
def powered_off(trial):
    expect(trial.machine_status == 0, f"tools/machine ended with status {trial.machine_status}")


@check("Luvalley met nothing unexpected")
def nothing_unexpected(trial):
    log = trial.log("hypervisor.log")
    expect(log, "its log is empty")
    for word in "CRASH", "unexpected", "cannot be mapped", "cannot be followed":
        expect(word not in log, last_words(log))


@check("the triple fault came to Luvalley")
def triple_faulted(trial):
    expect("dom0's triple fault resets the machine" in trial.log("hypervisor.log"),
           last_words(trial.log("hypervisor.log")))


REPORT = ["CRASH of version", "dom0 asked for it on CPU", "rsp ", "cr0 ", "call trace:",
          r"call_debug_crash\+0x", r"run_dom0\+0x", "last exits", "end of crash report"]


def judge_report(text, where):
    for wanted in REPORT:
        expect(re.search(wanted, text), f"no '{wanted}' {where}: {last_words(text, 2000)}")


@check("the crash report survived the reset", "luvalley --version; luvalley log --previous")
def report_survived(trial):
    trial.succeeded()
    judge_report(trial.output, "in luvalley log --previous")
    version = trial.lines[0].split()[-1]
    expect(re.search(rf"CRASH of (version )*{re.escape(version)}\b", trial.output),
           f"it does not name version {version}")


@check("the crash report was on the serial and the debug console")
def report_on_consoles(trial):
    for name in "serial.log", "hypervisor.log":
        judge_report(trial.log(name), f"in {name}")


def refused(sentence):
    """On the screen that the user looks at, and in the logs."""
    @check("it is refused in words")
    def judge(trial):
        for name in "display.txt", "hypervisor.log", "serial.log":
            if name == "display.txt" and trial.case.in_bochs:
                continue
            text = trial.log(name)
            # The BIOS stub of a chain boot knows no debug console.
            if name == "hypervisor.log" and "dom0 starts" in text:
                continue
            expect(squeezed(sentence) in squeezed(text), f"'{sentence}' is not in {name}: {last_words(text)}")
    return judge


def refuses_exactly_once(trial):
    """Used where a second Luvalley is refused: the first must have started dom0."""
    log = trial.log("hypervisor.log")
    if log.count("cannot start") != 1 or "dom0 starts" not in log:
        raise Failed(last_words(log))


# --- guests --------------------------------------------------------------------------------------

MODES = r"(real mode|protected mode|PAE|long mode)"
SECONDS_WATCHED = 2


def guest_tests(name, select):
    """The tests of tests/guest whose names the grep arguments select."""
    script = (f"guest-tests --list | grep -E {select} | tr '\\n' '\\0' | "
              f"xargs -0 -n 200 guest-tests --seconds {SECONDS_WATCHED}")

    def judge(trial):
        failures = re.findall(r"(?:^# .*\n)?^not ok .*", trial.output, re.M)
        expect(not failures, "; ".join(" ".join(f.split()) for f in failures))
        expect(re.search(r"^# [1-9]\d* passed, 0 failed", trial.output, re.M),
               f"no verdict: {last_words(trial.output)}")

    return Check(name, script, judge)


guest_exits = guest_tests("guests in every mode: exits, events, registers", f"'{MODES}'")
guest_misuse = guest_tests("calls that are misused", f"-v '{MODES}|^(restart|state|pin)'")
# In Bochs a second is 20 million instructions: what watches other processes for seconds takes too long.
guest_restarts = guest_tests("RUN is restartable: signals, stop, kill, moves, tools", "'^restart'")
guest_state = guest_tests("guests and programs keep their registers", "'^state'")
guest_pins = guest_tests("pinned memory stays where it is", "'^pin'")

EXAMPLE_LAST = "done"


@check("examples/luvalley-loop, 64 and 32 bits alike",
       "luvalley-loop >/tmp/64 || exit; luvalley-loop-32 >/tmp/32 || exit; diff /tmp/64 /tmp/32 && cat /tmp/64")
def example(trial):
    trial.succeeded()
    for line in ("real: halted", "long: write to 0x200010: 0x51",
                 "long: interrupt window: injecting vector 0x20", "long: page 3 was written",
                 "long: page 4 was not written", EXAMPLE_LAST):
        expect(line in trial.lines, f"it does not say {line!r}: {last_words(trial.output)}")


# --- the KVM face --------------------------------------------------------------------------------

# With Luvalley there is no /dev/kvm but by "luvalley run"; without it there is Linux's own, the reference.
KVM_FACE = "run='luvalley run'; luvalley status >/dev/null 2>&1 || { run=; modprobe kvm_amd; }\n"


def kvm_tests(name, patterns):
    """Those of tests/kvm whose names match."""
    return Check(name, f"{KVM_FACE}$run /share/kvm-tests {patterns}", guest_exits.judge)


kvm_api = [
    kvm_tests("the KVM API: /dev/kvm, fds, memory", "'system: *' 'fd: *' 'memory: *' 'demand: *'"),
    kvm_tests("the KVM API: registers, MSRs, clocks", "'register: *' 'msr: *' 'clock: *'"),
    kvm_tests("the KVM API: exits, events, debugging, kicks", "'exit: *' 'event: *' 'debug: *' 'kick: *'"),
    kvm_tests("the KVM API: interrupt controllers, several vCPUs", "'irqchip: *' 'lapic: *' 'timer: *' 'route: *' 'smp: *'"),
]


@check("examples/kvm-loop says what it says on Linux's own KVM",
       f"{KVM_FACE}$run kvm-loop")
def kvm_loop(trial):
    trial.succeeded()
    for name, steps in ("real", ("0x1020", "0x1021", "0x1022")), ("long", ("0x1026", "0x1029", "0x102a")):
        found = re.findall(rf"^{name}: exception 1: rip (\S+), ", trial.output, re.M)
        expect(found == list(steps), f"{name} was stepped through {found}")
    for line in ("real: out to port 0x12, 1 byte: 0x69", "real: halted", "long: write to 0x200010: 0x51",
                 "long: read from 0x200010: 0x77", "long: interrupt window: injecting vector 0x20",
                 "long: page 3 was written", "long: page 4 was not written", EXAMPLE_LAST):
        expect(line in trial.lines, f"it does not say {line!r}: {last_words(trial.output)}")


@check("without \"luvalley run\" there is no /dev/kvm", "kvm-loop")
def kvm_only_by_run(trial):
    expect(trial.status == 1 and "kvm-loop: /dev/kvm:" in trial.output, last_words(trial.output))


def qemu_boots(machine, irqchip, vcpus, *more):
    """Firmware, Debian's kernel, a shell that answers, a virtio disk and network card, power-off."""
    what = " ".join([f"{machine}, kernel_irqchip={irqchip}, {vcpus} vCPUs", *more])

    @check(f"QEMU boots Debian's kernel: {what}",
           f"boot-guest -machine {machine},kernel_irqchip={irqchip} -smp {vcpus} {' '.join(more)}")
    def judge(trial):
        trial.succeeded()
        expect(f"answer 42 {vcpus}" in trial.output, f"its shell does not answer: {last_words(trial.output)}")
        disk = re.search(r"^disk (\w{32})", trial.output, re.M)[1]
        expect(f"\n{disk}  -" in trial.output.replace("\r", ""), f"its disk reads wrong: {last_words(trial.output)}")
        expect("1 packets received" in trial.output, f"no answer to ping: {last_words(trial.output)}")
    return judge


def qemu_boots_with(machine, interrupt_controllers):
    return [qemu_boots(machine, irqchip, vcpus) for irqchip, vcpus in interrupt_controllers]

