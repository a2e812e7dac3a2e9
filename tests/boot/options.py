# SPDX-License-Identifier: BSD-2-Clause
"""What Luvalley's options do (docs/options.md)."""

from boot.machine import check, expect, last_words

PARTITION_LBA = 4096
SECTOR = 512


@check("key=port: the ACPI table has no key, root finds it behind ports, others do not",
       """od -A n -t u4 -j 40 -N 16 /sys/firmware/acpi/tables/LUVY
       luvalley log | head -1; setpriv --reuid=65534 --regid=65534 --clear-groups luvalley log; echo $?""")
def key_at_port(trial):
    expect(trial.lines[0].replace(" ", "").isdigit(), last_words(trial.output))
    flags, *key = map(int, trial.lines[0].split())
    expect((flags, key) == (2, [0, 0, 0]), f"flags {flags}, key {key}")
    expect(trial.lines[1].startswith("version "), last_words(trial.output))
    expect(trial.lines[-1] == "1" and "only root" in trial.output, last_words(trial.output))


@check("key=none: nobody has a session", "luvalley status; echo $?; luvalley log; echo $?")
def no_key(trial):
    expect(trial.lines.count("1") == 2, last_words(trial.output))
    expect(trial.output.count("booted with key=none") == 2 and "pool" in trial.output, last_words(trial.output))


@check("log=quiet: no console shows a line")
def no_line(trial):
    for name in "hypervisor.log", "serial.log", "display.txt":
        expect("luvalley: version" not in trial.log(name), f"{name}: {last_words(trial.log(name))}")


REPEATS = 20


def touch_logged(count):
    @check(f"of {REPEATS} lines of one kind the log has {count}",
           f"""first=$(($(memory hidden)))
           for i in $(seq {REPEATS}); do memory read $(printf '0x%x' $((first + i * 4096))) 1 >/dev/null; done; luvalley log""")
    def judge(trial):
        found = trial.output.count("dom0 touched hidden memory")
        expect(found == count, f"it has {found}")
    return judge


logs_all = touch_logged(REPEATS + 1)  # and what Linux itself touches when it boots
logs_first = touch_logged(8)


@check("console=none: the serial port and the screen show nothing of Luvalley's")
def no_console(trial):
    for name in "serial.log", "display.txt":
        expect("luvalley: version" not in trial.log(name), f"{name}: {last_words(trial.log(name))}")
    expect("luvalley: version" in trial.log("hypervisor.log"), "nor does the debug port")


def mitigates(names):
    @check(f"around guests is done: {', '.join(names) or 'nothing'}", "luvalley status --json")
    def judge(trial):
        found = trial.json()["mitigations"]
        expect(found == names, f"it is {found}")
    return judge


def holds(cpus, of):
    @check(f"cpus={cpus}: so many of {of} are held", "nproc; luvalley status --json | grep -o '\"cpus_held\": [0-9]*'")
    def judge(trial):
        expect(trial.lines == [str(cpus), f'"cpus_held": {cpus}'], trial.output)
    return judge


def pool(kib):
    @check(f"the pool has {kib} KiB at least", "luvalley status --json")
    def judge(trial):
        found = trial.json()["pool_size_kib"]
        expect(kib <= found < kib + 4096, f"it has {found} KiB")
    return judge


@check("luvalley apic: direct and back to trap, and each time all CPUs are held",
       """exec 2>&1
       luvalley apic direct; s=$(luvalley status | tail -1); sleep 1; luvalley apic
       luvalley status --json >/tmp/1; sleep 2; luvalley status --json >/tmp/2
       luvalley apic trap
       echo 0 >/sys/devices/system/cpu/cpu1/online; echo 1 >/sys/devices/system/cpu/cpu1/online
       cpu spin 1 1000; luvalley apic; echo @json; echo '['; cat /tmp/1; echo ,; cat /tmp/2; echo ,; luvalley status --json
       echo ']'""")
def apic_switched(trial):
    said, _, trial.output = trial.output.partition("@json")
    expect(said.split() == ["direct", "direct", "trap", "1", "trap"], last_words(said))
    first, second, last = trial.json()
    for then, now in zip(first["cpus"], second["cpus"]):
        expect(now["exits"]["memory"] == then["exits"]["memory"], f"direct, CPU {now['cpu']} is trapped: {now}")
    for then, now in zip(second["cpus"], last["cpus"]):
        expect(now["exits"]["memory"] > then["exits"]["memory"], f"trap, CPU {now['cpu']} is not: {now}")
    expect(last["cpus_in_dom0"] == trial.case.cpus and last["cpus"][1]["starts"] == 2, f"{last}")


@check("luvalley apic direct: not where CPUs are not Luvalley's", "luvalley apic direct; luvalley apic")
def apic_stays(trial):
    expect("the trap stays" in trial.output and trial.lines[-1] == "trap", last_words(trial.output))


def write_partitioned_disk(build, folder):
    """The bare dom0's boot sector is its first partition's; the drive's own has no code."""
    disk = bytearray((build / "bare/disk.img").read_bytes().ljust((PARTITION_LBA + 8) * SECTOR, b"\0"))
    disk[PARTITION_LBA * SECTOR:(PARTITION_LBA + 1) * SECTOR] = disk[:SECTOR]
    entry = bytes((0x80, 0, 0, 0, 0x83, 0, 0, 0)) + PARTITION_LBA.to_bytes(4, "little") + (8).to_bytes(4, "little")
    disk[:SECTOR] = bytes(446) + bytes(16) + entry + bytes(32) + b"\x55\xaa"
    unit = 16 * 63 * SECTOR
    (folder / "disk.img").write_bytes(disk.ljust(-(-len(disk) // unit) * unit, b"\0"))
