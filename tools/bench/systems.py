# SPDX-License-Identifier: BSD-2-Clause
"""The systems that are measured, and the files that they boot from."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import image
import machine

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
        if what != STEADY:
            return machine.MACHINE
        disk = self.folder / "disk"
        disk.write_bytes(bytes(16 << 20))
        return machine.steady(disk)

    def xen(self):
        return image.xen_image(self.folder)


@dataclass(frozen=True)
class System:
    name: str
    title: str
    runs: tuple
    command: Callable  # (files, what) -> QEMU's arguments
    prepare: Callable = lambda files: None
    seconds: int = 900


def run_bare(files, what):
    return machine.bare(files.kernel, files.initramfs(what), what)


def run_xen(files, what):
    return machine.xen(files.xen(), files.kernel, files.initramfs(what), what)


def run_luvalley(files, what):
    return machine.luvalley(files.elf, files.kernel, files.initramfs(what), what)


# Without a number the program measures one VM with one vCPU; NAME-V-C: V VMs exist, C vCPUs in each.
MANY = ((8, 1), (64, 1), (1, 2), (1, 4), (1, 8))


def many(name):
    return ",".join(f"{name}-{vms}-{cpus}" for vms, cpus in MANY)


STEADY = "disk-modules,exits-idle,exits-cpu,exits-disk,exits-net,exits-ipi"

FULL = (
    System("bare", "bare Debian", ("dom0",), run_bare),
    System("kvm", "Debian on KVM", (f"modules,kvm,{many('kvm')}", "modules,guest-boot"), run_bare),
    System("xen", "Debian under Xen", ("dom0",), run_xen, lambda files: files.xen()),
    System("luvalley", "Debian under Luvalley",
           (f"dom0,luv,{many('luv')},status",
            f"face,{many('face')}", "guest-boot-face", "guest-boot-tcg", STEADY), run_luvalley),
)
SMOKE = (System("luvalley", "Debian under Luvalley", ("luv-1-1",), run_luvalley, seconds=240),)
