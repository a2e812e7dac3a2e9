# SPDX-License-Identifier: BSD-2-Clause
"""The test machine's VT-x side: a PC emulated by Bochs, where QEMU's TCG has no VT-x.

    refusals(arguments)     what of tools/machine's options Bochs cannot do
    Bochs(...)              a running machine, used as tools/machine uses QEMU's

What is peculiar to it: docs/machine.md, "Bochs".
"""

import os
import re
import select
import shutil
import socket
import struct
import subprocess
import time
import uuid

BIOS = "/usr/share/bochs/BIOS-bochs-latest"
OVMF = "/usr/share/ovmf/OVMF.fd"
VGA_BIOS = "/usr/share/vgabios/vgabios.bin"
CPUS_MAX = 8  # in Debian's build

# A delay loop costs as many emulated instructions as it waits microseconds times ips / 10^6: few ips make
# delays cheap. With several CPUs each gets its share of them.
IPS = 20000000
# What its debugger says, between the lines of port E9h: where each CPU begins; where it ends, or a guest shut down.
ITS_OWN = re.compile(rb"^(\(\d+\)\.\[|bx_dbg_).*\n?", re.M)
BEGINNING = re.compile(rb"Next at t=0\n(\(\d+\) [^\n]*\n)+")

CONFIGURATION = """\
config_interface: textconfig
display_library: sdl2
plugin_ctrl: unmapped=1, biosdev=1, extfpuirq=1, speaker=0, parallel=0, gameport=0, iodebug=0
romimage: file={bios}
vgaromimage: file={vga_bios}
megs: {megabytes}
cpu: model={model}, count={cpus}, ips={ips}, quantum=32, reset_on_triple_fault=0
clock: sync=none, time0={time}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path="{disk}", mode=flat
ata0-slave: type=disk, path="{job}", mode=flat
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
{chain}boot: disk
log: "{logs}/bochs.log"
panic: action=fatal
port_e9_hack: enabled=1
com1: enabled=1, {com1}
com2: enabled=1, mode=file, dev="{logs}/job.log"
{more}"""

# idle=halt: with all CPUs in MWAIT Bochs never goes on. reboot=pci: its keyboard controller's reset hangs in
# the BIOS.
KERNEL_OPTIONS = "idle=halt reboot=pci"
JOB_PORT = "/dev/ttyS1"  # COM3 shares COM1's interrupt line


TYPE_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
SECTOR = 512
PM_BASE = 0xb000  # where OVMF puts the power management's registers
SCI = 9


def megabytes(size):
    return int(size[:-1]) * (1024 if size.endswith("G") else 1)


def refusals(arguments):
    missing = [path for path in (BIOS, VGA_BIOS) if not os.path.exists(path)]
    return [
        (not shutil.which("bochs-bin") or missing, "Bochs is missing: run tools/packages machine."),
        (arguments.machine != "pc", f"--machine {arguments.machine}: Bochs has only a pc."),
        (arguments.disk_bus != "ide", f"--disk-bus {arguments.disk_bus}: Bochs has only IDE."),
        (arguments.boot != "grub", f"--boot {arguments.boot}: Bochs starts no kernel by itself; leave it away."),
        (arguments.kernel not in (None, "dom0"), "--kernel: under Bochs GRUB loads it, so only dom0's own."),
        (arguments.initrd not in (None, "dom0"), "--initrd: under Bochs GRUB loads it, so only dom0's own."),
        (arguments.firmware == "uefi-smm", "--firmware uefi-smm: Bochs' OVMF is without SMM; take uefi."),
        (arguments.firmware != "bios" and not tables_program(arguments).is_file(),
         f"{tables_program(arguments)} is not there: run make test-programs."),
        (arguments.icount, "--icount is QEMU's; Bochs always counts instructions."),
        (arguments.qemu_args, "--qemu-args: this machine is Bochs."),
        (arguments.display_text, "--display-text: Bochs shows its screen to nobody."),
        (arguments.power_cycle, "--power-cycle is QEMU's."),
        (arguments.dry_run, "--dry-run: Bochs has a configuration file, bochsrc among the logs."),
        (arguments.smp > CPUS_MAX, f"--smp: Bochs has at most {CPUS_MAX} CPUs."),
        (megabytes(arguments.mem) > 2048, "--mem: at most 2G under Bochs."),
    ]


# --- UEFI --------------------------------------------------------------------------------------
#
# OVMF has its ACPI tables from QEMU. In Bochs a program gives them to it before anything else is started
# (tests/boot/uefi/tables.c): Bochs' own DSDT, and what its BIOS would make for this machine.

def tables_program(arguments):
    return arguments.elf.parent / "tables.efi"


def table(signature, revision, body):
    """ACPI 6.4, 5.2.6; the firmware sums it up."""
    return struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, b"LUVY  ", b"BOCHS   ", 1, b"LUVY", 1) + body


def dsdt():
    """Of the BIOS' two the last: the other is data of its beginning, which is copied."""
    bios = open(BIOS, "rb").read()
    at = bios.rindex(b"DSDT", 0, bios.rindex(b"BXDSDT"))
    return bios[at:at + int.from_bytes(bios[at + 4:at + 8], "little")]


def fadt():
    """ACPI 6.4, 5.2.9, as far as there is something to say: always in ACPI mode, the PIIX4's registers, CMOS' century."""
    return table(b"FACP", 3, struct.pack(
        "<IIBBHIBBBB8I8B4H4BBHBI", 0, 0, 1, 0, SCI, 0, 0, 0, 0, 0,
        PM_BASE, 0, PM_BASE + 4, 0, 0, PM_BASE + 8, 0, 0, 4, 2, 0, 4, 0, 0, 0, 0,
        0xfff, 0xfff, 0, 0, 0, 0, 0, 0, 0x32, 0, 0, 0x25).ljust(244 - 36, b"\0"))


def madt(cpus):
    """ACPI 6.4, 5.2.12. The timer is at the I/O APIC's second pin; PCI's interrupts are level-triggered."""
    entries = [struct.pack("<BBBBI", 0, 8, cpu, cpu, 1) for cpu in range(cpus)]
    entries += [struct.pack("<BBBBII", 1, 12, cpus, 0, 0xfec00000, 0), struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0)]
    entries += [struct.pack("<BBBBIH", 2, 10, 0, irq, irq, 0xd) for irq in (5, SCI, 10, 11)]
    entries += [struct.pack("<BBBHB", 4, 6, 0xff, 0, 1)]
    return table(b"APIC", 1, struct.pack("<II", 0xfee00000, 1) + b"".join(entries))


def esp_offset(disk):
    """UEFI 2.10, 5.3.3: the table that begins in sector 2."""
    with open(disk, "rb") as image:
        image.seek(2 * SECTOR)
        entries = struct.iter_unpack("<16s16sQ88s", image.read(128 * 128))
        return next(first * SECTOR for kind, _, first, _ in entries if kind == TYPE_ESP)


def add_tables(disk, program, cpus, x2apic, logs):
    """The program takes the place of what the firmware starts, which it starts itself then."""
    facs = struct.pack("<4sI56x", b"FACS", 64)
    (logs / "tables").write_bytes(facs + dsdt() + fadt() + madt(cpus))
    image = f"{disk}@@{esp_offset(disk)}"
    first = "::EFI/BOOT/BOOTX64.EFI"
    commands = [["mcopy", "-i", image, first, logs / "next.efi"], ["mcopy", "-o", "-i", image, logs / "next.efi", "::"],
                ["mcopy", "-o", "-i", image, program, first], ["mcopy", "-o", "-i", image, logs / "tables", "::"]]
    if x2apic:
        commands.append(["mcopy", "-o", "-i", image, "/dev/null", "::x2apic"])
    for command in commands:
        subprocess.run(command, check=True)
    (logs / "next.efi").unlink()


# --- a running machine -------------------------------------------------------------------------

class Bochs:
    def __init__(self, arguments, model, logs, disks):
        self.arguments, self.logs = arguments, logs
        self.console = self.listener = None
        disk = logs / "copy.img"
        subprocess.run(["cp", "--sparse=always", disks[0], disk], check=True)
        chain = f'ata1-master: type=disk, path="{logs}/chain.img", mode=flat\n' if disks[2:] else ""
        for image in disks[2:]:
            shutil.copy(image, logs / "chain.img")
        if arguments.firmware != "bios":
            add_tables(disk, tables_program(arguments), arguments.smp, arguments.firmware == "uefi-x2apic", logs)
        com1 = f'mode=file, dev="{logs}/serial.log"'
        if arguments.run is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            com1 = f"mode=socket-client, dev=127.0.0.1:{self.listener.getsockname()[1]}"
        # Each XCHG BX,BX stops the machine, and the next command runs.
        more = "magic_break: enabled=1\n" if arguments.debugger else ""
        (logs / "bochsrc").write_text(CONFIGURATION.format(
            bios=BIOS if arguments.firmware == "bios" else OVMF, vga_bios=VGA_BIOS, model=model, cpus=arguments.smp, ips=IPS,
            megabytes=megabytes(arguments.mem), time=int(time.time()), disk=disk, job=disks[1], chain=chain, logs=logs,
            com1=com1, more=more))
        # Debian's Bochs begins in its debugger.
        (logs / "commands").write_text(arguments.debugger.read_text() if arguments.debugger else "c\n")
        self.deadline = time.monotonic() + arguments.timeout if arguments.timeout else None

    def start(self):
        command = ["bochs-bin", "-q", "-f", str(self.logs / "bochsrc"), "-rc", str(self.logs / "commands")]
        (self.logs / "command").write_text(" ".join(command) + "\n")
        environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
        with open(self.logs / "bochs.out", "wb") as out, open(self.logs / "bochs.err", "wb") as err:
            # However we end, the emulator must not stay behind.
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, env=environment, start_new_session=True)
        if self.listener:
            self.listener.settimeout(20)
            self.console, _ = self.listener.accept()

    def late(self):
        return self.deadline is not None and time.monotonic() > self.deadline

    def runs(self):
        if not self.arguments.debugger:  # which may say very much
            self.copy_log()
        return self.process.poll() is None

    def listen(self, seconds, *others):
        return select.select(others, [], [], seconds)[0]

    def copy_log(self):
        """Port E9h is Bochs' standard output, among what Bochs says itself."""
        said = (self.logs / "bochs.out").read_bytes()
        begin = BEGINNING.search(said)
        if not begin:
            return
        (self.logs / "hypervisor.log").write_bytes(ITS_OWN.sub(b"", said[begin.end():]))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.copy_log()
        for name in "copy.img", "copy.img.lock", "job.tar", "job.tar.lock", "chain.img", "chain.img.lock":
            (self.logs / name).unlink(missing_ok=True)
