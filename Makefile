# SPDX-License-Identifier: BSD-2-Clause
#
#   make         the hypervisor and the dom0 tools, into build/
#   make demo    a test machine that boots Debian as dom0 (see README.md); FIRMWARE=uefi
#   make bench   measured against KVM and Xen (docs/performance.md)
#   make conformance KVM_UNIT_TESTS=DIR   the public test suite (docs/conformance.md)
#   make install, make uninstall   on this system, as root (docs/install.md)
#   make check   all tests; ends with "N passed, N failed" (make check-all: slow ones, too)
#   make clean
#
# CC=clang builds with Clang; B=DIR puts everything elsewhere than build/.

# V=1 shows the commands.
$(V).SILENT:
say = @printf '  %-4s %s\n'

CC  := $(if $(filter default,$(origin CC)),gcc,$(CC))
B   ?= build
PY  := /usr/bin/python3

.PHONY: all demo check check-all check-unit check-rules check-boot check-svm check-vmx test-programs clean
all: $(B)/luvalley.elf $(B)/luvalley.efi $(B)/user/luvalley $(B)/user/libluvalley-kvm.so $(B)/user/luvalley-loop \
	$(B)/user/kvm-loop $(B)/user/guest-initramfs

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wundef -Wvla \
	-Wpointer-arith -Wwrite-strings -Wcast-qual

# --- the hypervisor -------------------------------------------------------------------------

# Root mode has all memory mapped, and any process can call: no indirect branch may be steered by what a
# program left in the predictors.
RETPOLINE := $(if $(findstring clang,$(CC)),-mretpoline,-mindirect-branch=thunk \
	-mindirect-branch-register)

# Padding between functions and before loops is 4 KiB of the image's budget.
UNPADDED := -falign-functions=1 -falign-loops=1 $(if $(findstring clang,$(CC)),,-falign-jumps=1 -falign-labels=1)

# Only general registers: dom0's vector state stays in place while we run. No red zone, because faults
# in root mode push onto the running stack.
HV_CFLAGS := -std=c11 -O2 -g $(WARN) -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-omit-frame-pointer -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none -fno-common -Wframe-larger-than=1536 \
	-Wno-unused-parameter \
	-fno-jump-tables $(RETPOLINE) $(UNPADDED) \
	-Ihv -Iinclude -MMD -MP
HV_SRCS := $(sort $(wildcard hv/*/*.c hv/*/*.S hv/boot/uefi/*.c hv/boot/uefi/*.S))
HV_OBJS := $(HV_SRCS:%=$(B)/%.o)
LDS     := hv/boot/luvalley.lds

# What runs once, or hardly ever, is to be small: code and read-only data have a budget.
HV_COLD := $(wildcard hv/boot/*.c hv/boot/uefi/*.c) hv/lib/printf.c hv/lib/string.c $(addprefix hv/cpu/,acpi.c console.c crash.c desc.c log.c smp.c symbols.c) \
	$(addprefix hv/dom0/,acpi_luvy.c apic.c bzimage.c chain.c firmware.c launch.c linux.c memory.c microcode.c msr.c mtrr.c port.c sleep.c) \
	$(addprefix hv/hypercall/,inspect.c lapic.c machine.c session.c) \
	$(addprefix hv/mem/,host.c memmap.c mtrr.c page.c ram.c) $(addprefix hv/vmx/,capability.c check.c instructions.c msr_bitmap.c) \
	hv/vm/vm.c hv/vm/valid.c hv/vm/icr.c hv/vm/vcpu.c hv/svm/msrpm.c hv/cpu/apic.c hv/cpu/random.c hv/exit/insn.c hv/exit/mov.c
$(HV_COLD:%=$(B)/%.o): HV_CFLAGS += -Os

$(B)/hv/%.c.o: hv/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(HV_CFLAGS) -c $< -o $@

$(B)/hv/%.S.o: hv/%.S Makefile
	@mkdir -p $(@D)
	$(say) AS $<
	$(CC) $(HV_CFLAGS) -D__ASSEMBLER__ -c $< -o $@

# Linked twice: the second time with the symbol table made from the first. The table lies behind all
# code, so no function moves; the script checks that.
LINK = ld -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --fatal-warnings \
	--orphan-handling=error -T $(LDS)

$(B)/luvalley.stage1: $(HV_OBJS) $(LDS) tools/symbols
	tools/symbols --empty > $(B)/symbols0.S
	$(CC) -c $(B)/symbols0.S -o $(B)/symbols0.o
	$(LINK) $(HV_OBJS) $(B)/symbols0.o -o $@

# GRUB and QEMU want a 32-bit ELF for Multiboot 1; luvalley.debug is the same image for gdb.
$(B)/luvalley.debug: $(B)/luvalley.stage1
	tools/symbols $< > $(B)/symbols.S
	$(CC) -c $(B)/symbols.S -o $(B)/symbols.o
	$(LINK) $(HV_OBJS) $(B)/symbols.o -o $@
	tools/symbols --verify $@ $(B)/symbols.S

$(B)/luvalley.elf: $(B)/luvalley.debug
	$(say) LINK $@
	objcopy -O elf32-i386 --strip-all $< $@

# --- the same for UEFI ----------------------------------------------------------------------

# An application around the hypervisor's image. It runs wherever the firmware puts it.
EFI_CFLAGS := -std=c11 -O2 -g $(WARN) -ffreestanding -fpie -fvisibility=hidden -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-fcf-protection=none -fno-common -fno-jump-tables -fshort-wchar \
	-Ihv -Iinclude -MMD -MP
EFI_SRCS := $(sort $(wildcard hv/boot/uefi/app/*.c hv/boot/uefi/app/*.S)) hv/boot/hidden.c \
	hv/boot/options.c hv/cpu/acpi.c hv/lib/printf.c hv/lib/string.c hv/mem/memmap.c
EFI_OBJS := $(EFI_SRCS:%=$(B)/efi/%.o)
EFI_LDS  := hv/boot/uefi/app/efi.lds

$(B)/efi/%.c.o: %.c Makefile
	@mkdir -p $(@D)
	$(say) CC "$< (UEFI)"
	$(CC) $(EFI_CFLAGS) -include hv/boot/uefi/app/hidden.h -c $< -o $@

$(B)/efi/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	$(say) AS $<
	$(CC) $(EFI_CFLAGS) -D__ASSEMBLER__ -c $< -o $@

# The image without its boot part and without zeroed data, and where it is linked.
$(B)/efi/payload.S: $(B)/luvalley.debug
	@mkdir -p $(@D)
	objcopy -O binary -j .text -j .rodata -j .symbols -j .data $< $(B)/efi/payload
	nm $< | awk '{ at[$$3] = "0x" $$1 } END { \
		print ".section .rodata\n.globl payload, payload_end, payload_start, payload_size, payload_entry"; \
		print "payload: .incbin \"$(B)/efi/payload\"\npayload_end:\n.balign 8"; \
		print "payload_start: .quad " at["image_start"]; \
		print "payload_size: .quad " at["image_end"] "-" at["image_start"]; \
		print "payload_entry: .quad " at["uefi_entry"]; \
		print ".section .note.GNU-stack, \"\", @progbits" }' >$@

$(B)/efi/payload.o: $(B)/efi/payload.S
	$(CC) -c $< -o $@

EFI_LINK = ld -nostdlib -pie --no-dynamic-linker -z max-page-size=4096 -z noexecstack -z norelro -z text \
	--hash-style=gnu --build-id=none --fatal-warnings --no-warn-rwx-segments \
	--orphan-handling=error -T $(EFI_LDS)

$(B)/efi/luvalley.pie: $(EFI_OBJS) $(B)/efi/payload.o $(EFI_LDS)
	$(EFI_LINK) $(EFI_OBJS) $(B)/efi/payload.o -o $@

# The test machine's: what gives OVMF in Bochs its ACPI tables; what looks at the firmware's state.
EFI_TEST := $(patsubst %,$(B)/efi/%.o,tests/boot/uefi/program.c hv/cpu/acpi.c hv/lib/printf.c hv/lib/string.c \
	$(addprefix hv/boot/uefi/app/,start.S file.c next.c firmware.c))
$(B)/efi/tests/%: EFI_CFLAGS += -Itests

$(B)/efi/tables.pie $(B)/efi/state.pie: $(B)/efi/%.pie: $(B)/efi/tests/boot/uefi/%.c.o $(EFI_TEST) $(EFI_LDS)
	$(EFI_LINK) $(filter %.o,$^) -o $@

$(B)/%.efi: $(B)/efi/%.pie
	$(say) LINK $@
	objcopy -O binary $< $@

# --- dom0's tools ---------------------------------------------------------------------------

USER_CFLAGS := -std=gnu11 -O2 -g $(WARN) -fPIC -fvisibility=hidden -Iinclude -Iuser -MMD -MP
USER_LIB  := $(patsubst %.c,$(B)/%.c.o,$(sort $(wildcard user/lib/*.c)))
USER_CMD  := $(patsubst %.c,$(B)/%.c.o,$(sort $(wildcard user/cmd/*.c)))

$(B)/user/%.c.o: user/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(USER_CFLAGS) -c $< -o $@

$(B)/user/libluvalley.a: $(USER_LIB)
	$(say) AR $@
	rm -f $@
	ar rcs $@ $^

$(B)/user/luvalley: $(USER_CMD) $(B)/user/libluvalley.a
	$(say) LINK $@
	$(CC) $^ -l:liburing.a -o $@

# The KVM face: loaded into a client before its C library (luvalley run).
USER_KVM := $(patsubst %.c,$(B)/%.c.o,$(sort $(wildcard user/kvm/*.c user/kvm/*/*.c)))

$(B)/user/libluvalley-kvm.so: $(USER_KVM) $(B)/user/libluvalley.a
	$(say) LINK $@
	$(CC) -shared -Wl,--no-undefined -Wl,-soname,libluvalley-kvm.so $^ -lZydis -luring -pthread -o $@

# 32-bit clients (tools/packages test32).
$(B)/user32/%.c.o: user/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC "$< (32 bits)"
	$(CC) -m32 $(USER_CFLAGS) -c $< -o $@

$(B)/user32/libluvalley.a: $(USER_LIB:$(B)/user/%=$(B)/user32/%)
	$(say) AR $@
	rm -f $@
	ar rcs $@ $^

# --- examples -------------------------------------------------------------------------------

# Static, as all programs that tests carry into dom0.
EXAMPLES := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/luvalley-*.c))

$(B)/examples/%-32: examples/%.c $(B)/user32/libluvalley.a Makefile
	@mkdir -p $(@D)
	$(say) CC "$< (32 bits)"
	$(CC) -m32 $(USER_CFLAGS) -static $< $(B)/user32/libluvalley.a -o $@

$(B)/examples/%: examples/%.c $(B)/user/libluvalley.a Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(USER_CFLAGS) -static $< $(B)/user/libluvalley.a -luring -o $@

.PHONY: examples
examples: $(EXAMPLES) $(EXAMPLES:%=%-32)

# --- tests in guests ------------------------------------------------------------------------

# One program for dom0 that holds the guests; tests/guest/main.c lists what it tests.
GUEST_OBJS := $(patsubst %,$(B)/%.o,$(sort $(wildcard tests/guest/*.c tests/guest/*.S)) tests/tap.c)

$(B)/tests/%.c.o: tests/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(USER_CFLAGS) -Itests -c $< -o $@

$(B)/tests/guest/%.S.o: tests/guest/%.S Makefile
	@mkdir -p $(@D)
	$(say) AS $<
	$(CC) -MMD -MP -Itests -Iinclude -c $< -o $@

$(B)/guest/guest-tests: $(GUEST_OBJS) $(B)/user/libluvalley.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(CC) -static -pthread $^ -luring -o $@

.PHONY: guest-tests
guest-tests: $(B)/guest/guest-tests

# --- tests of the KVM API ---------------------------------------------------------------------

# Dynamic, because that is how a client gets the KVM face. They run on any /dev/kvm.
KVM_OBJS := $(patsubst %,$(B)/%.o,$(sort $(wildcard tests/kvm/*.c)) tests/tap.c)

# Nothing of ours but the tests; and lists of KVM's with their entries behind them.
$(KVM_OBJS): USER_CFLAGS := $(filter-out -Iinclude -Iuser,$(USER_CFLAGS)) \
	-Wno-gnu-variable-sized-type-not-at-end

$(B)/dom0/kvm-tests: $(KVM_OBJS)
	@mkdir -p $(@D)
	$(say) LINK $@
	$(CC) -pthread $^ -o $@

# On dom0's disk, beside the tool. kvm-loop is dynamic: "luvalley run" loads a library into it.
$(B)/user/luvalley-loop: $(B)/examples/luvalley-loop
	cp $< $@

$(B)/user/kvm-loop: examples/kvm-loop.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(filter-out -Iinclude -Iuser,$(USER_CFLAGS)) $< -o $@

$(B)/user/guest-initramfs: tools/dom0/guest-initramfs
	@mkdir -p $(@D)
	cp $< $@

# --- measuring ------------------------------------------------------------------------------

# Programs for the measured systems' initramfs; docs/performance.md.
BENCH := $(B)/bench/bench-dom0 $(B)/bench/bench-kvm $(B)/bench/bench-luv
BENCH_CFLAGS := $(USER_CFLAGS) -Itests

$(B)/tests/bench/%.c.o: tests/bench/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(BENCH_CFLAGS) -c $< -o $@

$(B)/tests/bench/%.S.o: tests/bench/%.S Makefile
	@mkdir -p $(@D)
	$(say) AS $<
	$(CC) -MMD -MP -Itests -c $< -o $@

# Through the KVM face: a library is loaded before it, so it cannot be static.
$(B)/bench/bench-kvm: LINKING := -pie
$(B)/bench/bench-%: LINKING := -static
$(B)/bench/bench-%: $(B)/tests/bench/%.c.o $(B)/tests/bench/guest.c.o $(B)/tests/bench/guest.S.o $(B)/user/libluvalley.a
	@mkdir -p $(@D)
	$(say) LINK $@
	$(CC) $(LINKING) -pthread $^ -luring -o $@

.PHONY: bench bench-compare bench-programs
bench-programs: all $(BENCH)

bench:
	tools/packages build machine bench
	$(MAKE) bench-programs
	tools/bench/run --build $(B)

# make bench-compare BASE=an-older-bench.json
bench-compare:
	tools/bench/compare $(BASE) $(B)/bench.json

# --- the public test suite --------------------------------------------------------------------

# kvm-unit-tests, built. COLUMNS may have vmx, too; ENTRIES are names of its entries, with * and ?.
KVM_UNIT_TESTS :=
ENTRIES :=
COLUMNS := svm kvm_amd

.PHONY: conformance
conformance: $(if $(KVM_UNIT_TESTS),all)
	tests/conformance/run --build $(B) $(if $(KVM_UNIT_TESTS),--suite $(KVM_UNIT_TESTS)) $(COLUMNS:%=--column %) \
		$(foreach entry,$(ENTRIES),'$(entry)')

# --- installing on this system -----------------------------------------------------------------

# Where "luvalley install" finds everything; a manifest says what "luvalley uninstall" takes away.
PREFIX := /usr/local
SETUP_FILES := setup grub-generator $(patsubst user/install/%,%,$(wildcard user/install/etc/*/* \
	user/install/etc/systemd/system/*.service))

# What is built belongs to whom the source tree belongs to, not to root.
OWNER    := $(shell stat -c %U .)
AS_OWNER := $(if $(filter-out root UNKNOWN,$(OWNER)),runuser -u $(OWNER) --)

.PHONY: install uninstall install-files
install:
	[ $$(id -u) = 0 ] || { echo "make install: only root may do that: sudo make install" >&2; exit 1; }
	tools/packages build
	$(AS_OWNER) $(MAKE) CC=$(CC) B=$(B) all
	$(MAKE) install-files
	$(PREFIX)/sbin/luvalley install

install-files: all
	install -d $(DESTDIR)$(PREFIX)/lib/luvalley $(DESTDIR)$(PREFIX)/sbin
	install -m 755 $(B)/user/luvalley $(DESTDIR)$(PREFIX)/sbin/luvalley
	install -m 644 $(B)/user/libluvalley-kvm.so $(DESTDIR)$(PREFIX)/lib/
	install -m 644 $(B)/luvalley.elf $(B)/luvalley.efi $(DESTDIR)$(PREFIX)/lib/luvalley/
	for file in $(SETUP_FILES); do \
		[ -d user/install/$$file ] || install -D -m $$([ -x user/install/$$file ] && echo 755 || echo 644) \
			user/install/$$file $(DESTDIR)$(PREFIX)/lib/luvalley/$$file; \
	done
	{ cd $(DESTDIR)$(PREFIX)/lib/luvalley && find . -type f ! -name manifest | sed 's,^\.,$(PREFIX)/lib/luvalley,'; \
		echo $(PREFIX)/sbin/luvalley; echo $(PREFIX)/lib/libluvalley-kvm.so; } \
		>$(DESTDIR)$(PREFIX)/lib/luvalley/manifest

uninstall:
	$(PREFIX)/sbin/luvalley uninstall

# --- the demo

# FIRMWARE=uefi shows it on a UEFI PC.
FIRMWARE := bios

demo:
	tools/packages build machine
	$(MAKE) all
	tools/demo --firmware $(FIRMWARE)

# --- host unit tests ------------------------------------------------------------------------

# The parts of hv/ that need no CPU mode, built for the host under ASan and UBSan.
PURE_SRCS := $(filter-out hv/lib/string.c,$(wildcard hv/lib/*.c)) hv/mem/memmap.c hv/mem/nested.c \
	hv/mem/mtrr.c hv/mem/walk.c hv/boot/multiboot.c hv/boot/options.c hv/cpu/acpi.c \
	hv/exit/insn.c hv/dom0/acpi_luvy.c hv/dom0/bzimage.c hv/exit/mov.c hv/vm/icr.c hv/vm/lapic.c \
	hv/svm/npt.c hv/vmx/ept.c hv/vmx/check.c hv/vmx/msr_bitmap.c
PURE_OBJS := $(PURE_SRCS:%=$(B)/unit/%.o)
UNIT_CFLAGS := -std=gnu11 -O1 -g $(WARN) -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -Ihv -Iinclude -Itests/unit -MMD -MP
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))

$(B)/unit/hv/%.c.o: hv/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC "$< (host)"
	$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(B)/unit/test_%: tests/unit/test_%.c $(PURE_OBJS) Makefile
	@mkdir -p $(@D)
	$(say) TEST $<
	$(CC) $(UNIT_CFLAGS) $< $(PURE_OBJS) -lcmocka -o $@

# The KVM face's parts that make no calls: decoding, devices, conversions.
KVM_PURE_SRCS := $(wildcard user/kvm/emulate*.c user/kvm/device/*.c)
KVM_PURE_OBJS := $(KVM_PURE_SRCS:%=$(B)/unit/%.o)
KVM_UNIT_CFLAGS := $(filter-out -Ihv,$(UNIT_CFLAGS)) -Iuser
UNIT_TESTS += $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/kvm/test_*.c))

$(B)/unit/user/%.c.o: user/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC "$< (host)"
	$(CC) $(KVM_UNIT_CFLAGS) -c $< -o $@

$(B)/unit/kvm/test_%: tests/unit/kvm/test_%.c $(KVM_PURE_OBJS) Makefile
	@mkdir -p $(@D)
	$(say) TEST $<
	$(CC) $(KVM_UNIT_CFLAGS) $< $(KVM_PURE_OBJS) -lcmocka -lZydis -pthread -o $@

# --- checks ---------------------------------------------------------------------------------

# Programs that boot tests run in dom0: static but for kvm-tests, so that they need nothing there.
BOOT_TESTS := $(patsubst tests/boot/dom0/%.c,$(B)/dom0/%,$(wildcard tests/boot/dom0/*.c)) \
	$(patsubst tests/boot/dom0/%.sh,$(B)/dom0/%,$(wildcard tests/boot/dom0/*.sh)) \
	$(B)/dom0/guest-tests $(B)/dom0/kvm-tests $(B)/dom0/luvalley-loop $(B)/dom0/luvalley-loop-32 \
	$(B)/bare/disk.img $(B)/tables.efi $(B)/state.efi

$(B)/dom0/guest-tests: $(B)/guest/guest-tests
	@mkdir -p $(@D)
	cp $< $@

$(B)/dom0/luvalley-%: $(B)/examples/luvalley-%
	@mkdir -p $(@D)
	cp $< $@

$(B)/dom0/%: tests/boot/dom0/%.c $(B)/user/libluvalley.a Makefile
	@mkdir -p $(@D)
	$(say) TEST $<
	$(CC) $(USER_CFLAGS) -static $< $(B)/user/libluvalley.a -o $@

$(B)/dom0/%: tests/boot/dom0/%.sh
	@mkdir -p $(@D)
	cp $< $@

# A dom0 without an operating system, a disk image: 32-bit code with a 64-bit half inside.
BARE_CFLAGS := -std=c11 -O2 $(WARN) -ffreestanding -fno-pic -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-common \
	-Iinclude -MMD -MP -DPROGRAM64='"$(B)/bare/64.bin"'
BARE_BOTH := entry.S trap.c checks.c guest.c

$(B)/bare/32/%.o: tests/boot/bare/% Makefile
	@mkdir -p $(@D)
	$(say) CC "$< (32 bits)"
	$(CC) -m32 $(BARE_CFLAGS) -c $< -o $@

$(B)/bare/64/%.o: tests/boot/bare/% Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(BARE_CFLAGS) -c $< -o $@

BARE_LINK = ld -nostdlib -static -z noexecstack --build-id=none --no-warn-rwx-segments -T tests/boot/bare/bare.lds

$(B)/bare/64.bin: $(BARE_BOTH:%=$(B)/bare/64/%.o) tests/boot/bare/bare.lds
	$(BARE_LINK) --defsym base=0x10000 --defsym bss=0x28000 $(filter %.o,$^) -o $(@:.bin=.elf)
	objcopy -O binary $(@:.bin=.elf) $@

$(B)/bare/32/boot.S.o: $(B)/bare/64.bin

# Whole cylinders of 16 heads and 63 sectors.
$(B)/bare/disk.img: $(patsubst %,$(B)/bare/32/%.o,boot.S main.c $(BARE_BOTH)) tests/boot/bare/bare.lds
	$(say) LINK $@
	$(BARE_LINK) -m elf_i386 --defsym base=0x7c00 --defsym bss=0x20000 $(filter %.o,$^) -o $(@:.img=.elf)
	objcopy -O binary $(@:.img=.elf) $@
	truncate -s 516096 $@

# tests/run builds twice: GCC into $(B), Clang into $(B)/clang.
check:
	tests/run --all $(B)

check-all:
	tests/run --all $(B) --slow

check-unit: $(UNIT_TESTS)
	tests/run --unit $(B)

check-rules: all
	tests/run --rules $(B)

check-boot: all $(BOOT_TESTS)
	tests/run --boot $(B)

check-svm check-vmx: check-%: all $(BOOT_TESTS)
	tests/run --boot $(B) --vendor $*

test-programs: all $(UNIT_TESTS) $(BOOT_TESTS) $(BENCH)

# For tools/check-headers.
print-hv-compiler:   ; @echo $(CC) $(filter-out -MMD -MP,$(HV_CFLAGS))
print-user-compiler: ; @echo $(CC) $(filter-out -MMD -MP,$(USER_CFLAGS))
print-unit-compiler: ; @echo $(CC) $(filter-out -MMD -MP,$(UNIT_CFLAGS)) -Iuser

clean:
	rm -rf $(B)

-include $(shell find $(B) -type f -name '*.d' 2>/dev/null)
