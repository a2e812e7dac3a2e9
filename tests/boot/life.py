# SPDX-License-Identifier: BSD-2-Clause
"""What happens to a machine in its life: NMIs, CPUs that go and come, new kernels, ways to reboot."""

import json
import re

from boot.checks import guest_tests
from boot.machine import check, expect, last_words

NMIS = 10
PLUGS = 10

END_ALL = "{ pkill -KILL -x 'yes|cpu|guest-tests'; wait; } 2>/dev/null"
COUNT_NMIS = "count() { awk '/NMI:/ {for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i} END {print n}' /proc/interrupts; }"


def nmis(name, background):
    """NMIs while CPU 0 does something: none is lost, and Luvalley survives them all."""
    @check(f"NMIs that come {name} reach dom0",
           f"""exec 2>/dev/null
           {COUNT_NMIS}
           {background} &
           sleep 0.5; before=$(count)
           for i in $(seq {NMIS}); do monitor nmi; sleep 0.05; done
           kill -0 $! && echo "[$before, $(count)]"; {END_ALL}""")
    def judge(trial):
        before, after = trial.json()
        expect(after - before == NMIS, f"{after - before} of {NMIS} arrived")
    return judge


NMI = [nmis("in dom0", "taskset -c 0 yes >/dev/null"),
       nmis("in root mode", "taskset -c 0 cpu spin 0 100000000"),
       nmis("in a guest", "taskset -c 0 guest-tests --seconds 60 'state: one guest' >/dev/null")]


@check(f"a CPU goes and comes {PLUGS} times under load, with a guest running",
       f"""exec 2>/dev/null # bash tells of the killed ones there
       echo '['; luvalley status --json
       guest-tests --seconds 60 'state: one guest' >/tmp/guest & guest=$!
       taskset -c 0 yes >/dev/null &
       for i in $(seq {PLUGS}); do
           echo 0 >/sys/devices/system/cpu/cpu1/online; echo 1 >/sys/devices/system/cpu/cpu1/online
       done
       kill -0 $guest && taskset -c 1 true && echo ,; {END_ALL}
       luvalley status --json; echo ']'""")
def plugged_under_load(trial):
    before, after = trial.json()
    expect(after["cpus_in_dom0"] == before["cpus_in_dom0"], f"{after['cpus_in_dom0']} CPUs are in dom0")
    starts = [now["starts"] - then["starts"] for then, now in zip(before["cpus"], after["cpus"])]
    expect(starts == [0, PLUGS], f"its CPUs were started {starts} times")


@check("one CPU of two, as the kernel was told; the other later",
       """set -e
       echo '['; luvalley status --json; echo 1 >/sys/devices/system/cpu/cpu1/online
       echo ,; cpu spin 1 1000; echo ,; luvalley status --json; echo ']'""")
def one_cpu_first(trial):
    before, _, after = trial.json()
    expect((before["cpus_held"], before["cpus_in_dom0"]) == (2, 1), f"{before['cpus_in_dom0']} in dom0")
    expect(after["cpus_in_dom0"] == 2 and after["cpus"][1]["exits"]["cpuid"] >= 1000, f"{after['cpus']}")


@check("suspend to RAM and back, twice, with a guest running: every CPU is held again, and the guest lives",
       """exec 2>/dev/null
       echo '['; luvalley status --json
       guest-tests --seconds 12 'state: one guest' >/tmp/guest & guest=$!
       for i in 1 2; do
           sleep 1; monitor after 5 system_wakeup; echo mem >/sys/power/state || exit 1
       done
       wait $guest || exit 2
       for cpu in $(seq 0 $(($(nproc) - 1))); do echo ,; cpu spin $cpu 1000; done
       echo ,; luvalley status --json; echo ']'""")
def suspended(trial):
    before, *_, after = trial.json()
    expect(after["cpus_in_dom0"] == trial.case.cpus, f"{after['cpus_in_dom0']} CPUs are in dom0")
    expect(after["apic"] == before["apic"], f"the APIC mode was {before['apic']} and is {after['apic']}")
    for then, now in zip(before["cpus"], after["cpus"]):
        expect(now["starts"] == then["starts"] + 2, f"CPU {now['cpu']} was started {now['starts']} times: {after}")
        expect(now["exits"]["cpuid"] >= then["exits"]["cpuid"] + 1000, f"CPU {now['cpu']} escaped: {after}")


def kernel_of(boot, cmdline):
    """This boot's kernel was started with such a command line."""
    return check(f"boot {boot} is another kernel's", "cat /proc/cmdline")(
        lambda trial: expect(cmdline in trial.output, trial.output))


guest_runs = guest_tests("a guest runs", "'^state: one guest'")

# The counts say that it was no empty loop.
@check("every MSR is read and written by dom0's root, and nothing happens to Luvalley",
       "modprobe msr allow_writes=on 2>/dev/null; dmesg -n 1; sweep msr 0; luvalley log")
def msrs_swept(trial):
    trial.succeeded()
    read, written = (int(word) for word in trial.lines[0].split() if word.isdigit())
    expect(read > 100 and written > 50, trial.lines[0])
    expect("unexpected" not in trial.output and "cannot" not in trial.output, last_words(trial.output))


# What is loaded are zeros, which no CPU takes; refused is what does not lie together.
@check("dom0's microcode update is loaded from where it lies",
       "modprobe msr allow_writes=on 2>/dev/null; dmesg -n 1; sweep microcode && luvalley log")
def microcode_loaded(trial):
    trial.succeeded()
    addresses = re.search(r"^together (0x\w+) torn (0x\w+)$", trial.output, re.M)
    refused = re.findall(r"microcode update at (0x\w+) was not loaded", trial.output)
    expect(refused == [addresses[2]], f"refused were {refused}: {addresses[0]}")


# docs/dom0-cpu.md. On a bare machine the local APIC moves; TCG's SYSCFG, TOP_MEM and HWCR keep nothing there either.
@check("MSRs that hold the machine together keep what they have; MTRRs and PAT are dom0's",
       "modprobe msr allow_writes=on 2>/dev/null; dmesg -n 1; sweep rules && luvalley log")
def msr_rules(trial):
    trial.succeeded()
    for line in ("APIC_BASE's address: refused, kept", "APIC_BASE's enable bit again: taken, kept",
                 "PAT's entry 7: taken, changed", "MTRR 7's base: taken, changed", "TOP_MEM: taken, kept"):
        expect(line in trial.lines, f"not {line!r}: {trial.output}")
    ignored = re.findall(r"change of bits 0x(\w+) of MSR 0x(\w+) was ignored", trial.output)
    expect(ignored == [("200000", "c0010010"), ("40000000", "c001001a"), ("1", "c0010015")],
           f"ignored were {ignored}")


@check("every port is read by dom0's root, and nothing happens to Luvalley", "sweep ports read; luvalley log")
def ports_read(trial):
    trial.succeeded()
    expect(trial.lines[0] == "65536 ports", trial.lines[0])


# dom0 has devices no more then, whatever else it has; the monitor resets the machine.
PORTS_WRITTEN = "monitor after 20 system_reset; sync; sweep ports write; sleep 60"

# --- how dom0 leaves -----------------------------------------------------------------------------

IMAGES = "/boot/vmlinuz-cloud --initrd=/boot/initramfs-cloud"
CMDLINE = r"$(sed 's/crashkernel=\S*//' /proc/cmdline)"

KEXEC = f'kexec -s -l {IMAGES} --command-line="{CMDLINE} luvalley.kexec" && kexec -e; sleep 60'
KDUMP = f"""kexec -s -p {IMAGES} --command-line="{CMDLINE} nr_cpus=1 reset_devices luvalley.kdump" &&
    sync && echo c >/proc/sysrq-trigger; sleep 60"""
PANIC = "sync; echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger; sleep 60"


def reboot_by(kind):
    """One of the kernel's ways: kbd (keyboard controller), pci (port CF9h), acpi."""
    return f"echo {kind} >/sys/kernel/reboot/type; echo 1 >/sys/kernel/reboot/force; reboot"


LOADS = ("computing", "reading a disk", "waking each other's programs", "sending and receiving")


@check("dom0 under load leaves guest mode for CPUID alone",
       """exec 2>/dev/null
       modprobe virtio_net; busybox ifconfig eth0 10.0.2.15 up; busybox ping -c 2 10.0.2.2 >/dev/null
       dd if=/dev/vda of=/dev/null bs=1M count=1 iflag=direct
       echo '['; luvalley status --json
       timeout 2 taskset -c 0 yes >/dev/null
       echo ,; luvalley status --json
       dd if=/dev/vda of=/dev/null bs=1M count=64 iflag=direct
       echo ,; luvalley status --json
       timeout 2 sh -c 'taskset -c 0 yes | taskset -c 1 cat >/dev/null'
       echo ,; luvalley status --json
       busybox ping -c 20 -i 0.1 10.0.2.2 >/tmp/ping
       echo ,; luvalley status --json; echo ,; grep -o '[0-9]* packets received' /tmp/ping | cut -d ' ' -f 1; echo ']'""")
def steady(trial):
    *times, received = trial.json()
    expect(received == 20, f"{received} of 20 packets came back")
    for load, before, after in zip(LOADS, times, times[1:]):
        for then, now in zip(before["cpus"], after["cpus"]):
            grown = {name: now["exits"][name] - count for name, count in then["exits"].items()
                     if name not in ("cpuid", "call", "total") and now["exits"][name] != count}
            expect(not grown, f"{load}, CPU {now['cpu']}: {grown}")


@check("memory that is added to dom0 serves calls and guests",
       """exec 2>&1
       monitor object_add memory-backend-ram,id=m1,size=512M; monitor device_add pc-dimm,id=d1,memdev=m1; sleep 2
       before=$(awk '/MemTotal/ {print $2}' /proc/meminfo)
       for m in /sys/devices/system/memory/memory*; do
           [ $(cat $m/state) = online ] || echo online_movable >$m/state
       done
       echo $(($(awk '/MemTotal/ {print $2}' /proc/meminfo) - before)); luvalley log | head -1; luvalley-loop | tail -1
       guest-tests --seconds 2 'state: one guest'; awk '/zone  *Movable/ {m = 1} m && /nr_zone_active_anon|nr_mlock/' /proc/zoneinfo""")
def memory_added(trial):
    expect(int(trial.lines[0]) == 512 * 1024, f"{trial.lines[0]} KiB were added")
    expect(trial.lines[1].startswith("version") and trial.lines[2] == "done", last_words(trial.output))
    expect(re.search("^ok 1", trial.output, re.M), last_words(trial.output))


# Suspend to disk: the image goes to a disk of its own, and the next boot's kernel gives way to it.
HIBERNATE = """dmesg -n 1; mkswap /dev/vdc >/dev/null; swapon /dev/vdc
    guest-tests --seconds 300 'state: one guest' >/tmp/guest 2>&1 & guest=$!
    sleep 2; echo reboot >/sys/power/disk; echo disk >/sys/power/state; echo "@woke up: $?"
    wait $guest; echo "@the old guest: $?"; cat /tmp/guest
    echo @new; guest-tests --seconds 2 'state: one guest'; for cpu in 0 1; do cpu spin $cpu 5000 >/dev/null; done
    luvalley status --json; echo @end; poweroff"""
RESUME = "cat /sys/block/vdc/dev >/sys/power/resume; echo '@it does not wake up'; poweroff"


def write_swap_disk(build, folder):
    with open(folder / "swap.img", "wb") as disk:
        disk.truncate(600 << 20)


@check("suspend to disk and back: the old guest ends with an error, a new one runs, both CPUs are held")
def hibernated(trial):
    output = trial.log("output.txt")
    expect("@woke up: 0" in output and "@it does not" not in output, last_words(output))
    old, _, new = output.partition("@the old guest: ")[2].partition("@new")
    expect(not old.startswith("0") and "not ok" in old, f"the old guest: {last_words(old)}")
    new, _, _ = new.partition("@end")
    expect("\nok 1" in new and '"cpus_in_dom0": 2' in new, last_words(new))
    for cpu in json.loads(new[new.index("{"):])["cpus"]:
        expect(cpu["exits"]["cpuid"] >= 5000, f"{cpu} escaped")


@check("the crash kernel has the other's memory, and Luvalley still answers",
       "ls -s /proc/vmcore; luvalley status --json")
def crash_kernel(trial):
    trial.succeeded()
    expect("/proc/vmcore" in trial.output and '"cpus_held": 2' in trial.output, last_words(trial.output))
