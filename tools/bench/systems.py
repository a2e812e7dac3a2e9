# SPDX-License-Identifier: BSD-2-Clause
"""The systems that are measured, and the files that they boot from."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import image
import machine
import recorder
import vtx
from rows import BY_NAME

PROGRAMS = ("bench-dom0", "bench-kvm", "bench-luv")


class Files:
    """Made once in build/bench."""

    def __init__(self, build, kernel="full"):
        self.build, self.folder = build, build / "bench"
        self.logs = self.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.elf = build / "luvalley.elf"
        base = self.base()
        self.kernel, self.guest_kernel = base / f"vmlinuz-{kernel}", base / "vmlinuz-cloud"
        self.disk = f"{base / 'disk.img'}?offset={image.PARTITION_START}"

    def base(self):
        done = subprocess.run([str(image.TOOLS / "disk"), "--print-base", "--output", str(self.build / "dom0.img")],
                              stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise image.Failure("no kernels: tools/disk failed, see above")
        return Path(done.stdout.strip())

    def initramfs(self, what=""):
        """The same for every system; only what starts QEMU in dom0 needs the one that has it."""
        big = "guest-boot" in what
        path = self.folder / ("initramfs-qemu" if big else "initramfs")
        programs = {name: self.folder / name for name in PROGRAMS} | {"luvalley": self.build / "user/luvalley"}
        more = {"bin/libluvalley-kvm.so": self.build / "user/libluvalley-kvm.so"}
        if big:
            more |= image.qemu_files(self.disk, self.guest_kernel)
        data = image.initramfs(self.disk, programs, more)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
        return path

    def hardware(self, what):
        if "exits-" not in what:
            return machine.MACHINE
        disk = self.folder / "disk"
        disk.write_bytes(bytes(16 << 20))
        return machine.steady(disk)

    def xen(self):
        return image.xen_image(self.folder)


@dataclass(frozen=True)
class System:
    """On the emulated AMD machine."""
    name: str
    title: str
    runs: tuple
    start: Callable  # (files, what, the kernel's command line) -> QEMU's arguments
    traced: tuple = ()  # rows
    peer: bool = True  # where it cannot be started, its column is missing; without Luvalley there is no result
    seconds: int = 900

    def boot(self, files, what, rows=()):
        return machine.run(f"{self.name}-{log_name(what)}", self.start(files, what, machine.append(what, rows)), what,
                           files.logs, self.seconds, files.hardware(what))

    def trace(self, files):
        return recorder.trace(files, self.name, self.traced) if self.traced else {}


@dataclass(frozen=True)
class VtxSystem(System):
    """On Bochs; its runs trace, too."""
    start: None = None
    hypervisor: str = "none"

    def boot(self, files, what, rows=()):
        return vtx.run(f"{self.name}-{log_name(what)}", files, what, rows, self.hypervisor, self.seconds, PROGRAMS)

    def trace(self, files):
        return {}


def log_name(what):
    """Of a run; a long one has a name with its end cut off."""
    return re.sub("[^a-z0-9]+", "-", what)[:60]


def start_bare(files, what, append):
    return machine.bare(files.kernel, files.initramfs(what), append)


def start_xen(files, what, append):
    return machine.xen(files.xen(), files.kernel, files.initramfs(what), append)


def start_luvalley(files, what, append):
    return machine.luvalley(files.elf, files.kernel, files.initramfs(what), append)


# Without a number the program measures one VM with one vCPU; NAME-V-C: V VMs exist, C vCPUs in each.
MANY = ((8, 1), (64, 1), (1, 2), (1, 4), (1, 8))


def configurations(name):
    """A row's name, and the names that it has with more VMs or vCPUs."""
    return [name, *(f"{name}/{vms}vm/{cpus}vcpu" for vms, cpus in MANY)]


def many(name):
    return ",".join(f"{name}-{vms}-{cpus}" for vms, cpus in MANY)


STEADY = "disk-modules,exits-idle,exits-cpu,exits-disk,exits-net,exits-ipi"

LIBRARY_TRACED = ("luv-call", "luv-cpuid", "luv-out", "luv-hlt")
FACE_TRACED = ("cpuid", "out", "hlt", "mmio-write")

FULL = (
    System("bare", "bare Debian", ("dom0",), start_bare, peer=False),
    System("kvm", "Debian on KVM", (f"modules,kvm,{many('kvm')}", "modules,guest-boot"), start_bare, FACE_TRACED),
    System("xen", "Debian under Xen", ("dom0",), start_xen),
    System("luvalley", "Debian under Luvalley",
           (f"dom0,luv,{many('luv')},status",
            f"face,{many('face')}", "guest-boot-face", "guest-boot-tcg", STEADY), start_luvalley,
           LIBRARY_TRACED + FACE_TRACED, peer=False),
    VtxSystem("kvm-vmx", "Debian on KVM, VT-x", ("kvm-intel,dom0,kvm,kvm-trace",)),
    VtxSystem("luvalley-vmx", "Debian under Luvalley, VT-x", ("dom0,luv,face,exits-idle,exits-cpu,luv-trace,face-trace",), peer=False,
              hypervisor="luvalley"),
)
SMOKE = (System("luvalley", "Debian under Luvalley", ("luv",), start_luvalley, peer=False, seconds=240),)


SETUP = ("modules", "disk-modules", "kvm-intel")
ALIASES = {"kvm": "face", "guest-boot-face": "guest-boot"}


def gives(word, name):
    """Whether a word of System.runs measures that row."""
    base, _, shape = name.partition("/")
    match = re.fullmatch(r"(kvm|face|luv)(?:-(\d+)-(\d+))?", word)
    program = match[1] if match else word
    here = f"{match[2]}vm/{match[3]}vcpu" if match and match[2] else ""
    return BY_NAME[base].by == ALIASES.get(program, program) and shape == here


def runs_for(system, names):
    """The system's runs, less what gives none of the rows."""
    kept = []
    for run in system.runs:
        words = [word for word in run.split(",") if word in SETUP or any(gives(word, name) for name in names)]
        if not all(word in SETUP for word in words):
            kept.append(",".join(words))
    return kept
