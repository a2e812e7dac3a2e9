# SPDX-License-Identifier: BSD-2-Clause
"""kvm-unit-tests' list of entries, and the script that runs some of them in dom0.

Format of x86/unittests.cfg: the suite's docs/unittests.txt. Values are words for a shell, as there.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 90  # seconds, the suite's own where its list names none

# Multiboot images need no BIOS, and qboot is there in milliseconds. Waking from S3, and what real mode calls, is a BIOS's work.
FIRMWARE = {"s3": "bios-256k.bin", "realmode": "bios-256k.bin"}
QBOOT = "qboot.rom"

QEMU = f"""qemu-system-x86_64 -no-reboot -nodefaults -global kvm-pit.lost_tick_policy=discard -device pc-testdev
    -device isa-debug-exit,iobase=0xf4,iosize=0x4 -display none -serial stdio -device pci-testdev
    -machine""".replace("\n", " ")

# What an entry prints is kept in dom0 until its end: a serial line that is slow must not make it late.
SCRIPT = """
cd /tmp
[ -d /share ] || cd "$1"
one() {  # NAME LIMIT COMMAND...
    echo; echo "@entry $1"
    start=$EPOCHREALTIME
    timeout --kill-after=10 "$2" "${@:3}" </dev/null >output 2>&1
    status=$?
    seconds=$((${EPOCHREALTIME/./} - ${start/./}))
    tr -d '\\r\\0' <output | { head -c 60000; tail -c 20000; }
    echo; echo "@exit $1 $status $seconds"
}
is() {  # PATH=VALUE...
    for pair; do
        [ "$(cat "${pair%%=*}" 2>&1)" = "${pair#*=}" ] && continue
        echo; echo "@unmet $name $pair"
        return 1
    done
}
echo "@linux Linux $(uname -r)"
"""


@dataclass
class Entry:
    name: str
    keys: dict = field(default_factory=dict)

    @property
    def groups(self):
        return self.keys.get("groups", "").split()

    @property
    def image(self):
        return self.keys["file"]

    def refusal(self, suite):
        """Why it does not run at all; empty when it does."""
        if "nodefault" in self.groups:
            return "not run by default"
        if self.keys.get("arch", "x86_64") != "x86_64":
            return f"for {self.keys['arch']} only"
        if not (suite.folder / "x86" / self.image).is_file():
            return f"{self.image} is not built"
        return ""

    def limit(self, factor):
        return int(float(self.keys.get("timeout", LIMIT)) * factor)

    def command(self, column, share):
        arguments = self.keys.get("test_args", "").strip("'\"")
        words = [column.face, QEMU, f"accel={column.accel}", "-bios", FIRMWARE.get(self.name, QBOOT),
                 "-smp", self.keys.get("smp", "1"), "-kernel", f"{share}/{self.image}"]
        words += ["-append", f'"{arguments}"'] if arguments else []
        own = self.keys.get("qemu_params", self.keys.get("extra_params", "")).replace("-enable-kvm", "")
        if column.accel != "kvm":
            own = own.replace("-cpu host", "-cpu max").replace("-cpu max,host-phys-bits", "-cpu max")
        return " ".join(word for word in [*words, own] if word)

    def script(self, column, share, factor):
        run = f"one {self.name} {self.limit(factor)} {self.command(column, share)}\n"
        if "check" in self.keys:
            return f"name={self.name}; is {shlex.join(self.keys['check'].split())} && {run}"
        return run


class Suite:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.entries = list(parse((self.folder / "x86/unittests.cfg").read_text()))

    def images(self, entries):
        return {self.folder / "x86" / entry.image for entry in entries}


def parse(text):
    entry = None
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if begin := re.fullmatch(r"\[(.+)\]", line):
            if entry:
                yield entry
            entry = Entry(begin[1])
        elif entry and "=" in line:
            key, value = line.split("=", 1)
            entry.keys[key.strip()] = value.strip()
    if entry:
        yield entry
