# SPDX-License-Identifier: BSD-2-Clause
"""The machines that are booted, one entry each, and what is checked on them."""

import subprocess

from boot import checks, install, life, options
from boot.machine import TOOLS, Boot, Case, check, expect, must_fail

PARTITION_START = 1 << 20  # tools/disk
ESP_START = 4160 * 16 * 63 * 512

# Everywhere. Touching hidden memory changes what a second look finds, so it is done once a boot.
BASIC = [
    checks.cpus_held, checks.exits_grow, checks.memory_left, checks.hidden_reserved,
    checks.kernel_content,
]
EVERYWHERE = BASIC + [
    checks.memory_budget, checks.cpuid_signature, checks.hidden_touched, checks.refuses_users, checks.acpi_tables,
]
AFTERWARDS = [checks.cpus_held, checks.exits_grow]  # all the same after what was tried
FULL = EVERYWHERE + [
    checks.svm_locked, checks.svme_off, checks.host_save_area, checks.svm_instructions, checks.kvm_declines,
] + AFTERWARDS
FULL_VMX = EVERYWHERE + [
    checks.vmx_locked, checks.vmx_instructions, checks.syscall_msrs, checks.kvm_intel_declines,
] + AFTERWARDS
# QEMU keeps its translations over a reset, and GRUB's copying over pages that hold many of them takes
# minutes. So the first boot does little, and the second everything.
AGAIN = [checks.second_boot, *FULL]
END = [checks.powered_off, checks.nothing_unexpected]

# Bochs: GRUB starts Luvalley in any case, and with several CPUs its BIOS does not survive a reset, bare or not.
VMX = {"cpu": "vmx", "mem": "512M"}
DIRECT = {"kernel": "dom0", "initrd": "dom0"}
CHAIN, MODULE, FIRMWARE = "chain boot", "direct boot", "the firmware goes on"


def refusal(name, sentence, prepare=None, at_end=(), slow=False, **options):
    return Case(name, options, seconds=120, slow=slow, refusal=sentence, at_end=[checks.refused(sentence), *at_end],
                **({"prepare": prepare} if prepare else {}))


def write_empty_disk(build, folder):
    (folder / "empty.img").write_bytes(bytes(16 * 63 * 512))


def write_garbage(build, folder):
    (folder / "garbage").write_bytes(b"This is no kernel.\n" * 1000)


def write_disk(build, folder, menu):
    """dom0's disk with another GRUB menu."""
    disk, file = folder / "disk.img", folder / "grub.cfg"
    file.write_text(menu)
    subprocess.run(["cp", "--sparse=always", build / "dom0.img", disk], check=True)
    for request in "rm /boot/grub/grub.cfg", f"write {file} /boot/grub/grub.cfg":
        subprocess.run(["debugfs", "-w", "-R", request, f"{disk}?offset={PARTITION_START}"],
                       check=True, capture_output=True)


def write_stubborn_disk(build, folder):
    """Its GRUB starts Luvalley again and again."""
    write_disk(build, folder, "multiboot /boot/luvalley.elf\nboot\n")


def write_multiboot2_disk(build, folder):
    menu = (TOOLS / "dom0/grub.cfg").read_text()
    write_disk(build, folder, menu.replace("multiboot /boot", "multiboot2 /boot"))


def write_uefi_disk(build, folder, first, conf, conf_folder):
    """The UEFI disk with another first program, and luvalley.conf."""
    subprocess.run([TOOLS / "disk", "--firmware", "uefi", "--luvalley", build / "luvalley.elf", "--tools",
                    build / "user", "--output", build / "dom0-uefi.img"], check=True)
    disk, file = folder / "disk.img", folder / "luvalley.conf"
    subprocess.run(["cp", "--sparse=always", build / "dom0-uefi.img", disk], check=True)
    file.write_text(conf)
    for here, there in (build / first, "BOOT/BOOTX64.EFI"), (file, f"{conf_folder}/luvalley.conf"):
        subprocess.run(["mcopy", "-o", "-i", f"{disk}@@{ESP_START}", here, f"::EFI/{there}"], check=True)


def write_own_boot_disk(build, folder):
    """The firmware starts luvalley.efi itself, which reads luvalley.conf."""
    write_uefi_disk(build, folder, "luvalley.efi",
                    "# what comes next\nnext=\\EFI\\luvalley\\dom0.efi # and no more\nnonsense=1\n", "BOOT")


def write_state_disk(build, folder):
    """tests/boot/uefi/state.c looks at the CPU before and behind luvalley.efi."""
    write_uefi_disk(build, folder, "state.efi", "next=firmware\n", "luvalley")


GRUB_MODULES = """part_gpt ext2 fat tar normal configfile test loadenv echo chain linux halt reboot search search_label
    search_fs_file sleep""".split()
# The firmware starts this GRUB, and luvalley.efi, told nothing, starts it again. In a file it notes that it was there.
TWICE_START = "search.file /twice.cfg root\nconfigfile ($root)/twice.cfg\n"
TWICE = """load_env -f ($root)/twice
if [ -z "$twice" ]; then
    set twice=1
    save_env -f ($root)/twice twice
    chainloader /EFI/luvalley/luvalley.efi
    boot
    halt
fi
search.fs_label luvalley-dom0 root
set prefix=($root)/boot/grub
set started_by=luvalley
export started_by
configfile /boot/grub/grub.cfg
"""


def write_removable_disk(build, folder):
    """No distribution has a folder in \\EFI: there is only what the firmware finds by itself."""
    start, grub, menu, note = (folder / name for name in ("start.cfg", "grub.efi", "twice.cfg", "twice"))
    start.write_text(TWICE_START)
    menu.write_text(TWICE)
    subprocess.run(["grub-editenv", note, "create"], check=True)
    subprocess.run(["grub-mkimage", "-O", "x86_64-efi", "-p", "/boot/grub", "-c", start, "-o", grub, *GRUB_MODULES],
                   check=True)
    write_uefi_disk(build, folder, grub, "nonsense=1\n", "luvalley")
    subprocess.run(["mcopy", "-i", f"{folder / 'disk.img'}@@{ESP_START}", menu, note, "::"], check=True)


def write_locked_disk(build, folder):
    """The same, with VT-x switched off as the firmware's setup does it."""
    write_state_disk(build, folder)
    subprocess.run(["mcopy", "-i", f"{folder / 'disk.img'}@@{ESP_START}", "/dev/null", "::locked"], check=True)


@check("luvalley.efi says that the firmware disabled VT-x")
def locked_off(trial):
    expect("Intel VT-x (VMX) is disabled by the firmware" in trial.log("output.txt"), "it does not")


second_refused = check("the first Luvalley started, the second did not")(checks.refuses_exactly_once)

# kernel_irqchip= and the number of vCPUs.
INTERRUPT_CONTROLLERS = [("on", 1), ("on", 2), ("split", 1), ("split", 2), ("off", 1)]

CASES = [
    # First, because they take longest.
    Case("VT-x, chain from GRUB, 1 CPU, guests", {"smp": "1", **VMX, "luvalley_options": "apic=direct"},
         [Boot(BASIC + [checks.boot_log(CHAIN)], "reboot"),
          Boot([checks.second_boot, *FULL_VMX, checks.no_report, checks.apic_mode("direct"), checks.rests,
                checks.bad_calls, checks.example, checks.guest_exits, checks.guest_misuse, checks.cpus_held])],
         at_end=END, seconds=900),
    Case("VT-x, direct, 2 CPUs", {"smp": "2", "luvalley_options": "mitigations=off key=port", **VMX, **DIRECT},
         [Boot(FULL_VMX + [checks.boot_log(MODULE), checks.apic_mode("trap"), checks.cpu_replugged, checks.nmis_arrive,
                           checks.example, options.mitigates([]), options.key_at_port])],
         at_end=END, seconds=900),
    Case("VT-x, KVM face, 1 CPU", {"smp": "1", **VMX, **DIRECT, "luvalley_options": "apic=direct"},
         [Boot([*checks.kvm_api, checks.kvm_loop, checks.qemu_boots("pc", "on", 1)])],
         at_end=END, seconds=1500, step_seconds=600),
    Case("VT-x, UEFI by GRUB's chainloader, 2 CPUs", {"firmware": "uefi", "smp": "2", **VMX},
         [Boot(EVERYWHERE + [checks.vmx_locked, checks.boot_log(FIRMWARE), checks.apic_mode("trap"), checks.uefi_services,
                             checks.cpu_replugged, checks.example, *AFTERWARDS])],
         at_end=END, seconds=900),
    Case("VT-x, UEFI's state, 2 CPUs", {"firmware": "uefi", "smp": "2", "disk": "{folder}/disk.img", **VMX},
         prepare=write_state_disk, tap=".", at_end=END, seconds=300),
    Case("VT-x, UEFI's state, switched off and locked", {"firmware": "uefi", "smp": "1", "disk": "{folder}/disk.img", **VMX},
         prepare=write_locked_disk, tap="state", at_end=[checks.powered_off, locked_off], seconds=300),
    Case("VT-x, UEFI's state, x2APIC mode, 2 CPUs",
         {"firmware": "uefi-x2apic", "smp": "2", "disk": "{folder}/disk.img", **VMX},
         prepare=write_state_disk, tap=".", at_end=END, seconds=300),
    Case("VT-x, guests, 2 CPUs", {"smp": "2", **VMX, **DIRECT, "luvalley_options": "apic=direct"},
         [Boot([checks.guest_exits, checks.guest_misuse, checks.guest_restarts, checks.guest_state,
                life.microcode_loaded, life.msrs_swept, checks.cpus_held])],
         at_end=END, seconds=3000, slow=True),
    Case("direct, pc, virtio, 5 GiB, 4 CPUs",
         {"mem": "5G", "smp": "4", "append": "reboot=t", **DIRECT},
         [Boot(BASIC + [checks.boot_log(MODULE), checks.apic_mode("trap")], "reboot"),
          Boot(AGAIN + [checks.cpu_replugged])],
         at_end=[*END, checks.triple_faulted]),
    Case("chain from Multiboot, pc, IDE, 2 CPUs, forced crash",
         {"boot": "multiboot", "disk_bus": "ide", "smp": "2", "luvalley_options": "debug=crash"},
         [Boot(BASIC + [checks.boot_log(CHAIN)], "luvalley crash --yes; sleep 60"),
          Boot(AGAIN + [checks.report_survived, checks.cpu_replugged])],
         at_end=[checks.powered_off, checks.report_on_consoles]),
    Case("chain from GRUB, pc, virtio, 512 MiB, 1 CPU",
         {"mem": "512M", "smp": "1", "luvalley_options": "nonsense=1"},
         [Boot(BASIC + [checks.boot_log(CHAIN), checks.unknown_option], "reboot"),
          Boot(AGAIN + [checks.log_survived, checks.bad_calls])],
         at_end=END),
    Case("direct, q35, virtio, 2 CPUs, apic=direct",
         {"machine": "q35", "smp": "2", "luvalley_options": "apic=direct", **DIRECT},
         [Boot(FULL + [checks.boot_log(MODULE), checks.apic_mode("direct"), checks.rests,
                       checks.bad_calls])],
         at_end=END),
    Case("chain by Multiboot 2, q35, AHCI, 2 CPUs",
         {"machine": "q35", "disk_bus": "ahci", "smp": "2", "disk": "{folder}/disk.img"},
         [Boot(FULL + [checks.boot_log(CHAIN)])],
         prepare=write_multiboot2_disk, at_end=END, seconds=300),
    Case("UEFI by GRUB's chainloader, pc, virtio, 1 CPU", {"firmware": "uefi", "smp": "1"},
         [Boot(BASIC + [checks.monitor_is_quiet, checks.boot_log(FIRMWARE), checks.nothing_survived], "reboot"),
          Boot(AGAIN + [checks.log_survived, checks.uefi_services])],
         at_end=END, seconds=400),
    Case("UEFI starts Luvalley, q35, AHCI, 2 CPUs",
         {"firmware": "uefi", "machine": "q35", "disk_bus": "ahci", "smp": "2", "disk": "{folder}/disk.img"},
         [Boot(FULL + [checks.boot_log(FIRMWARE), checks.apic_mode("trap"), checks.unknown_option,
                       checks.cpu_replugged, checks.bad_calls])],
         prepare=write_own_boot_disk, at_end=END, seconds=400),
    Case("UEFI finds GRUB by itself, twice", {"firmware": "uefi", "smp": "1", "disk": "{folder}/disk.img"},
         [Boot([checks.cpus_held, checks.boot_log(FIRMWARE), checks.unknown_option])],
         prepare=write_removable_disk, at_end=END, seconds=120),
    Case("UEFI with SMM, q35, virtio, 2 CPUs, apic=direct",
         {"firmware": "uefi-smm", "machine": "q35", "smp": "2", "luvalley_options": "apic=direct"},
         [Boot(FULL + [checks.uefi_services, checks.apic_mode("direct"), checks.rests, checks.example])],
         at_end=END, seconds=400),
    Case("UEFI's state, pc, 2 CPUs", {"firmware": "uefi", "smp": "2", "disk": "{folder}/disk.img"},
         prepare=write_state_disk, tap=".", at_end=END, seconds=60),
    Case("UEFI's state, no AMD-V", {"firmware": "uefi", "smp": "2", "cpu": "svm-off", "disk": "{folder}/disk.img"},
         prepare=write_state_disk, tap="state", at_end=[checks.powered_off], seconds=60),
    Case("UEFI, no AMD-V: the way back", {"firmware": "uefi", "smp": "2", "cpu": "svm-off"},
         [Boot([checks.runs_without])],
         at_end=[checks.powered_off, checks.said_by_application("cannot start: this CPU has no AMD-V (SVM)")]),
    Case("UEFI, a CPU too few: the way back", {"firmware": "uefi", "smp": "2", "luvalley_options": "cpus=1"},
         [Boot([checks.runs_without])],
         at_end=[checks.powered_off, checks.said_by_application("the firmware waits for all its 2 CPUs, and only 1 can be had")]),
    Case("UEFI, forced crash", {"firmware": "uefi", "smp": "1", "luvalley_options": "debug=crash crash=halt"},
         [Boot([checks.cpus_held], "luvalley crash --yes; sleep 60")],
         at_end=[checks.report_on_framebuffer], seconds=120),
    Case("guests, pc, virtio, 1 CPU", {"smp": "1", **DIRECT},
         [Boot([checks.example, checks.guest_exits, checks.guest_misuse, checks.guest_restarts,
                checks.guest_state, checks.cpus_held])],
         at_end=END, seconds=400),
    Case("guests, q35, virtio, 2 CPUs", {"machine": "q35", "mem": "2G", "smp": "2", **DIRECT},
         [Boot([checks.example, checks.guest_exits, checks.guest_misuse, checks.guest_restarts,
                checks.guest_state, checks.guest_pins, checks.cpus_held])],
         at_end=END, seconds=400),
    # CPUs that really run at the same time; apic=direct keeps QEMU's race (docs/machine.md) rare.
    Case("guests, pc, virtio, 2 CPUs at once",
         {"mem": "2G", "smp": "2", "host_cpus": "all", "luvalley_options": "apic=direct", **DIRECT},
         [Boot([checks.example, checks.guest_exits, checks.guest_misuse, checks.guest_restarts,
                checks.guest_state, checks.cpus_held])],
         at_end=END, seconds=400, slow=True),
    Case("KVM face, pc, virtio, 1 CPU", {"smp": "1", **DIRECT},
         [Boot([*checks.kvm_api, checks.kvm_loop, checks.kvm_only_by_run, checks.cpus_held])],
         at_end=END, seconds=600),
    Case("KVM face, pc, virtio, 2 CPUs", {"smp": "2", "luvalley_options": "apic=direct", **DIRECT},
         [Boot([*checks.kvm_api, checks.kvm_loop, checks.qemu_boots("pc", "on", 2), checks.cpus_held])],
         at_end=END, seconds=600),
    # Not "off" with two vCPUs: QEMU 7.2 itself hangs (docs/kvm.md).
    Case("KVM face, pc's interrupt controllers", {"smp": "1", **DIRECT},
         [Boot(checks.qemu_boots_with("pc", INTERRUPT_CONTROLLERS))],
         at_end=END, seconds=900),
    Case("KVM face, q35's interrupt controllers", {"smp": "1", **DIRECT},
         [Boot(checks.qemu_boots_with("q35", INTERRUPT_CONTROLLERS))],
         at_end=END, seconds=900),
    # Linux's own KVM says what the tests of the face must ask for.
    Case("Linux's kvm_amd instead of Luvalley", {"hypervisor": "none", "smp": "1", **DIRECT},
         [Boot([*checks.kvm_api, checks.kvm_loop, *checks.qemu_boots_with("pc", INTERRUPT_CONTROLLERS)])],
         at_end=[checks.powered_off], seconds=1200),
    Case("life, pc, virtio, 2 CPUs", {"append": "crashkernel=160M", "smp": "2", **DIRECT},
         [Boot([*life.NMI, life.plugged_under_load], life.KEXEC),
          Boot([life.kernel_of(2, "luvalley.kexec"), *BASIC, life.guest_runs], life.reboot_by("kbd")),
          Boot([checks.cpus_held], life.reboot_by("pci")),
          Boot([checks.cpus_held], life.reboot_by("acpi")),
          Boot([checks.cpus_held], life.PANIC),
          Boot([checks.cpus_held], life.KDUMP),
          Boot([life.kernel_of(7, "luvalley.kdump"), life.crash_kernel])],
         at_end=END, seconds=800),
    Case("life, q35, virtio, 1 CPU of 2", {"machine": "q35", "append": "maxcpus=1", "smp": "2", **DIRECT},
         [Boot([life.one_cpu_first, checks.cpus_held])], at_end=END),
    Case("sleep, pc, virtio, 2 CPUs", {"smp": "2", "append": "no_console_suspend", **DIRECT},
         [Boot([life.suspended, checks.cpu_replugged, checks.guest_state])], at_end=END),
    Case("sleep, pc, IDE, 1 CPU, apic=direct",
         {"smp": "1", "disk_bus": "ide", "luvalley_options": "apic=direct", "boot": "multiboot"},
         [Boot([life.suspended, checks.rests, checks.example])], at_end=END),
    Case("sleep, pc, virtio, 2 CPUs, apic=direct",
         {"smp": "2", "luvalley_options": "apic=direct", **DIRECT},
         [Boot([life.suspended, checks.apic_mode("direct"), checks.rests])], at_end=END),
    Case("steady state, pc, virtio, 2 CPUs, apic=direct",
         {"smp": "2", "luvalley_options": "apic=direct", "qemu_args": "-nic user,model=virtio-net-pci", **DIRECT},
         [Boot([life.steady, checks.rests])], at_end=END),
    Case("hot-plugged memory, pc, virtio, 1 CPU", {"smp": "1", "qemu_args": "-m 1G,slots=2,maxmem=4G", **DIRECT},
         [Boot([life.memory_added, checks.cpus_held])], at_end=END),
    Case("suspend to disk, pc, virtio, 2 CPUs",
         {"smp": "2", "mem": "512M", "append": "no_console_suspend", **DIRECT,
          "qemu_args": "-drive file={folder}/swap.img,format=raw,if=virtio"},
         [Boot([], life.HIBERNATE), Boot([], life.RESUME)], prepare=life.write_swap_disk,
         at_end=[life.hibernated, *END], seconds=400, slow=True),
    Case("sweep, pc, virtio, 2 CPUs", {"smp": "2", **DIRECT},
         [Boot([life.microcode_loaded, life.msr_rules, life.msrs_swept, checks.cpus_held, checks.exits_grow, life.guest_runs, life.ports_read,
                checks.cpus_held], life.PORTS_WRITTEN),
          Boot([checks.second_boot, *AFTERWARDS])],
         at_end=END, seconds=400),
    Case("options: key=port log=all mitigations=all, luvalley apic",
         {"smp": "2", "luvalley_options": "key=port log=all mitigations=all console=none pool=40M", **DIRECT},
         [Boot([options.key_at_port, options.mitigates([]), options.pool(40 * 1024), options.logs_all, options.apic_switched,
                checks.refuses_users, life.guest_runs])],
         at_end=[*END, options.no_console]),
    Case("options: cpus=1 of 2",
         {"smp": "2", "luvalley_options": "key=acpi cpus=1 apic=direct", **DIRECT},
         [Boot([options.holds(1, 2), checks.apic_mode("trap"), options.apic_stays, options.logs_first])], at_end=END),
    Case("options: key=none log=quiet", {"smp": "1", "luvalley_options": "log=quiet key=none", **DIRECT},
         [Boot([options.no_key])], at_end=[checks.powered_off, options.no_line]),
    Case("options: boot=hd0,2",
         {"boot": "multiboot", "disk": "{folder}/disk.img", "disk_bus": "ide", "smp": "1", "mem": "128M",
          "luvalley_options": "boot=hd0,2"},
         tap=".", prepare=options.write_partitioned_disk, at_end=END, seconds=60),
    refusal("a partition that is not there", "no boot disk: the first sector is not bootable", options.write_partitioned_disk,
            boot="multiboot", disk="{folder}/disk.img", luvalley_options="boot=hd0,1"),
    # The checks themselves: where there is no Luvalley, they must say so.
    Case("without Luvalley, pc, virtio, 2 CPUs",
         {"hypervisor": "none", "smp": "2"},
         [Boot([checks.memory_bare, checks.kernel_content, *map(must_fail, (
             checks.cpus_held, checks.exits_grow, checks.escaped_cpu, checks.memory_left,
             checks.hidden_reserved, checks.memory_budget, checks.cpuid_signature, checks.hidden_touched, checks.svm_locked,
             checks.svme_off, checks.host_save_area, checks.kvm_declines, checks.refuses_users,
             checks.acpi_tables, checks.boot_log(CHAIN), checks.bad_calls, checks.log_survived,
             checks.second_boot, checks.example, checks.guest_exits, checks.guest_misuse,
             checks.guest_restarts, options.key_at_port, options.no_key, options.mitigates([]), options.apic_switched,
             life.suspended))])],
         at_end=[checks.powered_off, must_fail(checks.nothing_unexpected),
                 must_fail(checks.triple_faulted), must_fail(checks.report_on_consoles)]),
    # A dom0 of our own: callers under every kind of page tables.
    Case("bare dom0, pc, IDE, 1 CPU",
         {"boot": "multiboot", "disk": "{build}/bare/disk.img", "disk_bus": "ide", "smp": "1", "mem": "128M"},
         tap=".", at_end=END, seconds=60),
    Case("bare dom0, q35, virtio, 5-level paging, 2 CPUs",
         {"cpu": "la57", "boot": "multiboot", "disk": "{build}/bare/disk.img", "machine": "q35", "smp": "2"},
         tap=".", at_end=END, seconds=60),
    Case("bare dom0, without Luvalley",
         {"hypervisor": "none", "disk": "{build}/bare/disk.img", "smp": "1", "mem": "128M"},
         tap="raise #UD$", at_end=[checks.powered_off], seconds=60),
    refusal("no AMD-V", "this CPU has no AMD-V (SVM)", cpu="svm-off", boot="multiboot"),
    refusal("no nested paging", "has no nested paging", cpu="no-npt", boot="multiboot"),
    refusal("VT-x without EPT", "VT-x has no nested paging (EPT)", cpu="vmx-no-ept"),
    refusal("no VT-x", "this CPU has no Intel VT-x (VMX)", cpu="vmx-off", slow=True),
    refusal("too little memory", "too little memory: Luvalley needs", mem="64M", boot="multiboot"),
    refusal("a boot drive that is not there", "cannot read the boot disk", boot="multiboot",
            luvalley_options="boot=hd7"),
    refusal("a disk without a boot sector", "no boot disk: the first sector is not bootable",
            write_empty_disk, boot="multiboot", disk="{folder}/empty.img"),
    refusal("a module that is no kernel", "module 1 is no Linux kernel", write_garbage, kernel="{folder}/garbage"),
    refusal("SVM disabled: Luvalley started in dom0", "AMD-V (SVM) is disabled by the firmware",
            write_stubborn_disk, [second_refused], disk="{folder}/disk.img"),
    Case("direct, q35, virtio, 2 GiB, 8 CPUs",
         {"machine": "q35", "mem": "2G", "smp": "8", **DIRECT},
         [Boot(BASIC, "reboot"), Boot(AGAIN + [checks.cpu_replugged])],
         at_end=END, seconds=600, slow=True),
    *install.CASES,
]
