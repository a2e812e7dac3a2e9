# SPDX-License-Identifier: BSD-2-Clause
"""What the measured systems boot: Debian's kernel, an initramfs of ours, Xen's image.

Kernel and modules are those of the test machine's disk (tools/disk); Xen is Debian's package, unpacked
and not installed. The same files give the same bytes, so that every system unpacks the same initramfs.
"""

import gzip
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
TESTS = TOOLS.parent / "tests/bench"
PARTITION_START = 1 << 20
XEN_PACKAGE = "xen-hypervisor-4.17-amd64"
KVM_MODULES = ["kvm_amd"]
DISK_MODULES = ["virtio_pci", "virtio_blk", "virtio_net"]
BUSYBOX = "/usr/bin/busybox"  # on dom0's disk, static
APPLETS = "sh cat mount insmod grep awk poweroff mkdir sleep seq tr timeout dd echo".split()


class Failure(Exception):
    """A sentence for the user."""


class Absent(Failure):
    """A system cannot be started."""


def output_of(*command, **keywords):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **keywords)
    if done.returncode:
        raise Failure(f"{' '.join(map(str, command))} failed: {done.stderr.decode(errors='replace')[-400:]}")
    return done.stdout


class Cpio:
    """The kernel's "newc" format; owner, times and order are fixed."""

    def __init__(self):
        self.parts, self.number, self.seen = [], 0, set()

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.number += 1
        fields = [self.number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def directory(self, name):
        if name in ("", "."):
            return
        if name not in self.seen:
            self.directory(os.path.dirname(name))
            self.seen.add(name)
            self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        if name in self.seen:
            return
        self.directory(os.path.dirname(name))
        self.seen.add(name)
        self.add(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.directory(os.path.dirname(name))
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def libraries(*programs):
    """The shared libraries that these programs load, with the loader."""
    found = set()
    for program in programs:
        for line in output_of("ldd", program).decode().splitlines():
            match = re.search(r"(/\S+) \(0x", line)
            if match:
                found.add(match[1])
    return sorted(found)


def kernel_version(disk):
    listed = output_of("debugfs", "-R", "ls -p /usr/lib/modules", disk).decode()
    return next(name for name in re.findall(r"/([^/]+)//", listed) if name[0].isdigit() and "cloud" not in name)


def kernel_modules(disk, names):
    """[(name, bytes)] in the order of loading."""
    top = f"/usr/lib/modules/{kernel_version(disk)}"
    dependencies = {}
    for line in from_disk(disk, f"{top}/modules.dep").decode().splitlines():
        module, _, needs = line.partition(":")
        dependencies[Path(module).stem.replace("-", "_")] = [module, *needs.split()]
    order = []
    for name in names:
        order += [path for path in reversed(dependencies.get(name, [])) if path not in order]
    return [(Path(path).name, from_disk(disk, f"{top}/{path}")) for path in order]


QEMU = Path("/usr/bin/qemu-system-x86_64")
QEMU_MODULE = Path("/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so")
FIRMWARE = [Path("/usr/share/seabios/bios-256k.bin"), Path("/usr/share/qemu/linuxboot_dma.bin"),
            Path("/usr/share/seabios/kvmvapic.bin"), Path("/usr/share/qemu/kvmvapic.bin")]
GUEST_INIT = b"""#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
/bin/busybox echo GUEST-UP
/bin/busybox poweroff -f
"""


def from_disk(disk, path):
    return output_of("debugfs", "-R", f"cat {path}", disk)


def guest_initrd(busybox):
    archive = Cpio()
    for name in ("bin", "dev", "proc"):
        archive.directory(name)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.file("bin/busybox", busybox)
    archive.file("init", GUEST_INIT)
    return archive.bytes()


def qemu_files(disk, kernel):
    """{path in the initramfs: file or bytes}: QEMU, its firmware, a kernel and an initrd for its guest."""
    files = {str(path).lstrip("/"): path for path in (QEMU, QEMU_MODULE)}
    files |= {f"usr/share/qemu/{path.name}": path for path in FIRMWARE if path.exists()}
    return files | {"guest/vmlinuz": kernel, "guest/initrd": guest_initrd(from_disk(disk, BUSYBOX))}


def initramfs(disk, programs, more=()):
    """programs: {name in /bin: file}; more: {path: file or bytes}."""
    archive = Cpio()
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        archive.directory(name)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.file("init", (TESTS / "init").read_bytes())
    archive.file("bin/busybox", from_disk(disk, BUSYBOX))
    for applet in APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    for folder, names in ("modules", KVM_MODULES), ("disk-modules", DISK_MODULES):
        modules = kernel_modules(disk, names)
        archive.file(f"{folder}/order", "".join(f"{name}\n" for name, _ in modules).encode())
        for name, data in modules:
            archive.file(f"{folder}/{name}", data)
    files = {f"bin/{name}": path for name, path in programs.items()} | dict(more)
    for name, content in sorted(files.items()):
        archive.file(name, content if isinstance(content, bytes) else Path(content).read_bytes())
    elves = [path for path in files.values() if isinstance(path, Path)]
    dynamic = [path for path in elves if path.name.endswith(".so") or b"/ld-linux-" in path.read_bytes()[:4096]]
    for library in libraries(*dynamic):
        archive.file(library.lstrip("/"), Path(library).read_bytes())
    return archive.bytes()


def xen_image(cache):
    """Xen's hypervisor out of Debian's package. Absent where there is none."""
    image = cache / "xen"
    if image.exists():
        return image
    with tempfile.TemporaryDirectory() as folder:
        try:
            output_of("apt-get", "-q", "download", XEN_PACKAGE, cwd=folder)
        except Failure as failure:
            print(f"tools/bench: {failure}", file=sys.stderr)  # with names of hosts, which are nothing for the document
            raise Absent(f"Debian's package {XEN_PACKAGE} cannot be downloaded") from None
        package, = Path(folder).glob("*.deb")
        output_of("dpkg-deb", "-x", package, Path(folder, "tree"))
        packed = sorted(Path(folder, "tree/boot").glob("xen-*.gz"))
        if not packed:
            raise Absent(f"{XEN_PACKAGE} holds no /boot/xen-*.gz")
        unfinished = cache / "xen.new"
        unfinished.write_bytes(gzip.decompress(packed[0].read_bytes()))
        unfinished.rename(image)
        shutil.copy(packed[0], cache / "xen.gz")
    return image


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]
