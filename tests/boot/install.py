# SPDX-License-Identifier: BSD-2-Clause
"""Luvalley on an installed Debian (tools/installed-disk), as docs/install.md tells it: installed, broken, left out, installed
again, taken away without a trace."""

import os
import shutil
import subprocess

from boot import checks
from boot.machine import TOOLS, Boot, Case, check, expect, last_words

ROOT = TOOLS.parent

# mov dx, 0xcf9; mov al, 6; out dx, al; jmp . : the same in 32- and 64-bit mode. The machine is reset.
RESET = bytes.fromhex("66baf90cb006eeebfe")


# --- files ---------------------------------------------------------------------------------------

def number(image, at, size=4):
    return int.from_bytes(image[at:at + size], "little")


def elf_entry(image):
    """Where a 32-bit ELF file's entry point lies in the file."""
    entry, headers = number(image, 24), number(image, 28)
    for header in range(headers, headers + 32 * number(image, 44, 2), 32):
        offset, address, size = number(image, header + 4), number(image, header + 8), number(image, header + 16)
        if address <= entry < address + size:
            return offset + entry - address
    raise ValueError("no segment holds the entry point")


def pe_entry(image):
    """The same of luvalley.efi, whose sections lie in the file as in memory."""
    return number(image, number(image, 0x3c) + 40)


def write_broken(build, share):
    """Images that are loaded, and reset the machine at once."""
    for name, entry in ("luvalley.elf", elf_entry), ("luvalley.efi", pe_entry):
        image = bytearray((build / name).read_bytes())
        at = entry(image)
        image[at:at + len(RESET)] = RESET
        (share / f"broken-{name}").write_bytes(image)


def write_system(build, folder):
    """The disk, and in /share what "make install" copies."""
    share = folder / "share"
    subprocess.run([TOOLS / "installed-disk", "--output", folder / "disk.img"], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(["make", "-s", f"B={os.path.relpath(build, ROOT)}", f"DESTDIR={share}/tree", "install-files"], cwd=ROOT,
                   env=environment, stdout=subprocess.DEVNULL, check=True)
    shutil.copy(build / "user/kvm-loop", share)
    write_broken(build, share)


# --- checks --------------------------------------------------------------------------------------

# "set -e" does not look at what stands behind a "!".
SHELL = """
not() { if "$@"; then echo "not expected: $*"; return 1; fi; }
if [ -d /sys/firmware/efi ]; then image=/boot/efi/EFI/luvalley/luvalley.efi; else image=/boot/luvalley.elf; fi
traces() {
    find /usr -xdev -printf '%p %s %m %l\\n'
    find /boot /boot/efi /etc -xdev -type f ! -name grub.cfg -exec md5sum {} + # made anew, and by another firmware before
    grep luvalley /boot/grub/grub.cfg || true
    [ ! -d /sys/firmware/efi ] || efibootmgr -v | grep -iE 'luvalley|BootNext' || true
}
"""


def script_check(name, script):
    """Passes where the script ends with 0 and says what it checked last."""
    @check(name, f"set -e{SHELL}{script}\necho done")
    def judge(trial):
        trial.succeeded()
        expect(trial.lines[-1] == "done", last_words(trial.output))
    return judge


healthy = script_check("the installed system is up", '[ -z "$(systemctl --failed --quiet --no-legend)" ]; findmnt /boot/efi')
plain = script_check("it runs without Luvalley",
                     "not luvalley status; not test -e /sys/firmware/acpi/tables/LUVY; not test -e /run/luvalley/key")
note_traces = script_check("what is there is noted", "traces | sort >/var/tmp/before; [ $(wc -l </var/tmp/before) -gt 1000 ]")
no_traces = script_check("uninstalled without a trace",
                         "luvalley uninstall; cd /; traces | sort | diff /var/tmp/before -; not test -e /usr/local/sbin/luvalley")
came_up = script_check("the system knows that Luvalley came up",
                       """systemctl --quiet is-active luvalley || systemctl show -P Result luvalley | grep -qx success
                       not grep -E 'luvalley_tried|next_entry=.' <(grub-editenv list)
                       [ "$(stat -c '%a %U' /run/luvalley/key)" = '600 root' ]""")


def install(*options):
    words = " ".join(["luvalley install", *options])
    return script_check(f'"{words}"', words)


copy_and_install = [script_check("the files of make install", "cp -a /share/tree/. /"), install()]
resets = script_check("an image that resets the machine is put in place", "[ -s $image ]; cp /share/broken-${image##*/} $image")
garbage = script_check("an image that is none is put in place", "[ -s $image ]; echo 'This is no Luvalley.' >$image")
# Tried by GRUB: next_entry was taken by the start that this is; or by the fallback, and still waits.
left_out = script_check("the next start took the system's own entry, and notes that",
                        """grub-editenv list | grep -x luvalley_tried=1
                        not grep 'next_entry=.' <(grub-editenv list)""")
fell_back = script_check("GRUB fell back in the same start",
                         "grub-editenv list | grep -x luvalley_tried=1; grub-editenv list | grep -x next_entry=0")
# GRUB could not note that it tried Luvalley, and so it did not.
empty_grubenv = script_check("GRUB's environment is empty, as after a loss of power", ": >/boot/grub/grubenv")
not_tried = script_check("GRUB, which could write nothing, took the system's own entry", "[ ! -s /boot/grub/grubenv ]")
# Its folder comes before Debian's, and what luvalley.efi would find there resets the machine.
another_system = script_check("with UEFI there is another system's loader, and an entry for Debian's",
                              """[ -d /sys/firmware/efi ] || { echo done; exit 0; }
                              cd /boot/efi/EFI; mv debian later; mkdir another; mv later debian
                              [ "$(ls -U | grep -x -e another -e debian | head -n 1)" = another ]
                              cp /share/broken-luvalley.efi another/shimx64.efi
                              efibootmgr -q --create --disk /dev/vda --part 2 --label debian --loader '\\EFI\\debian\\shimx64.efi'""")
own_loader = script_check("its own loader was noted, and came behind Luvalley",
                          """[ -d /sys/firmware/efi ] || { echo done; exit 0; }
                          grep -Fx 'next=\\EFI\\debian\\shimx64.efi' /boot/efi/EFI/luvalley/luvalley.conf
                          rm -r /boot/efi/EFI/another""")
boot_next_set = script_check("BootNext leads to Luvalley again",
                             """entry=$(efibootmgr | sed -n 's/^BootNext: //p')
                             [ -n "$entry" ]; efibootmgr | grep "^Boot$entry.*Luvalley"
                             not grep "^BootOrder.*$entry" <(efibootmgr); not grep luvalley /boot/grub/grub.cfg""")
boot_next_gone = script_check("no BootNext is left", "not grep BootNext <(efibootmgr); efibootmgr | grep Luvalley")

UNDER_LUVALLEY = [checks.cpus_held, healthy, came_up]
GUESTS = [checks.example, checks.kvm_loop]

BY_GRUB = [
    Boot([healthy, plain, note_traces, *copy_and_install], "reboot"),
    Boot([*UNDER_LUVALLEY, *GUESTS, resets], "reboot"),
    Boot([plain, left_out, another_system], "reboot"),
    Boot([plain, healthy, left_out, install(), garbage], "reboot"),
    Boot([plain, fell_back, install(), empty_grubenv], "reboot"),
    Boot([plain, not_tried, install()], "reboot"),
    Boot([*UNDER_LUVALLEY, own_loader, no_traces], "reboot"),
    Boot([plain, healthy]),
]
BY_BOOT_NEXT = [
    Boot([healthy, plain, note_traces, copy_and_install[0], install("--boot-next")], "reboot"),
    Boot([*UNDER_LUVALLEY, boot_next_set, *GUESTS, resets], "reboot"),
    Boot([plain, boot_next_gone], "reboot"),
    Boot([plain, boot_next_gone, install("--boot-next")], "reboot"),
    Boot([*UNDER_LUVALLEY, boot_next_set, no_traces], "reboot"),
    Boot([plain, healthy]),
]


def case(name, boots, **options):
    return Case(f"installed Debian, {name}", {"smp": "1", "disk": "{folder}/disk.img", "power_cycle": "", **options}, boots,
                prepare=write_system, at_end=[checks.powered_off], seconds=2400, slow=True)


CASES = [
    case("BIOS", BY_GRUB),
    case("UEFI", BY_GRUB, firmware="uefi"),
    case("UEFI, BootNext", BY_BOOT_NEXT, firmware="uefi"),
]
