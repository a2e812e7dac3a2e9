# SPDX-License-Identifier: BSD-2-Clause
#
#   make         the hypervisor and the dom0 tools, into build/
#   make demo    a test machine that boots Debian as dom0 (see README.md)
#   make check   all tests; ends with "N passed, N failed"
#   make clean
#
# CC=clang builds with Clang; B=DIR puts everything elsewhere than build/.

# V=1 shows the commands.
$(V).SILENT:
say = @printf '  %-4s %s\n'

CC  := $(if $(filter default,$(origin CC)),gcc,$(CC))
B   ?= build
PY  := /usr/bin/python3

.PHONY: all demo check check-unit check-boot check-rules clean
all: $(B)/luvalley.elf $(B)/user/luvalley

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wundef -Wvla \
	-Wpointer-arith -Wwrite-strings -Wcast-qual

# --- the hypervisor -------------------------------------------------------------------------

# Only general registers: dom0's vector state stays in place while we run. No red zone, because faults
# in root mode push onto the running stack.
HV_CFLAGS := -std=c11 -O2 -g $(WARN) -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-omit-frame-pointer -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fcf-protection=none -fno-common -Wframe-larger-than=1536 \
	-Ihv -Iinclude -MMD -MP
HV_SRCS := $(sort $(wildcard hv/*/*.c hv/*/*.S))
HV_OBJS := $(HV_SRCS:%=$(B)/%.o)
LDS     := hv/boot/luvalley.lds

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

# --- dom0's tools ---------------------------------------------------------------------------

USER_CFLAGS := -std=gnu11 -O2 -g $(WARN) -Iinclude -Iuser -MMD -MP
USER_SRCS := $(sort $(wildcard user/lib/*.c user/cmd/*.c))
USER_OBJS := $(USER_SRCS:%=$(B)/%.o)

$(B)/user/%.c.o: user/%.c Makefile
	@mkdir -p $(@D)
	$(say) CC $<
	$(CC) $(USER_CFLAGS) -c $< -o $@

$(B)/user/luvalley: $(USER_OBJS)
	$(say) LINK $@
	$(CC) $^ -o $@

# --- host unit tests ------------------------------------------------------------------------

# The parts of hv/ that need no CPU mode, built for the host under ASan and UBSan.
PURE_SRCS := $(filter-out hv/lib/string.c,$(wildcard hv/lib/*.c)) hv/mem/memmap.c hv/mem/nested.c \
	hv/mem/mtrr.c hv/mem/walk.c hv/boot/multiboot.c hv/boot/options.c hv/cpu/acpi.c \
	hv/exit/insn.c hv/dom0/acpi_luvy.c hv/dom0/bzimage.c hv/dom0/mov.c hv/dom0/icr.c \
	hv/svm/npt.c
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

check-unit: $(UNIT_TESTS)
	tests/run --unit $(B)

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
