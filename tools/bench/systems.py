# SPDX-License-Identifier: BSD-2-Clause
"""The systems that are measured, and the files that they boot from."""

import subprocess
from pathlib import Path

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
        self.kernel = base / f"vmlinuz-{kernel}"
        self.disk = f"{base / 'disk.img'}?offset={image.PARTITION_START}"

    def base(self):
        done = subprocess.run([str(image.TOOLS / "disk"), "--print-base", "--output", str(self.build / "dom0.img")],
                              stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise image.Failure("no kernels: tools/disk failed, see above")
        return Path(done.stdout.strip())

    def initramfs(self):
        """The same for every system."""
        path = self.folder / "initramfs"
        programs = {name: self.folder / name for name in PROGRAMS} | {"luvalley": self.build / "user/luvalley"}
        data = image.initramfs(self.disk, programs)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)
        return path

    def xen(self):
        return image.xen_image(self.folder)
