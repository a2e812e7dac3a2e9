/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "guest/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/pin.h"

#define PAGE 4096u

#define CR0_PE	       0x1u
#define CR0_ET	       0x10u
#define CR0_PG	       0x80000000u
#define CR4_PAE	       0x20u
#define CR4_OSFXSR     0x600u /* and OSXMMEXCPT */
#define EFER_LMA_LME   0x500u
#define ENTRY_TABLE    3u    /* present, writable */
#define ENTRY_LARGE    0x83u /* and a 2 MiB page */
#define LARGE_PAGES    3u    /* mapped: memory, MMIO, MORE */
#define XSAVE_FCW      0
#define XSAVE_MXCSR    24
#define GATES	       256u

PAYLOAD(handler);

int open_session(void)
{
	uint32_t key[3];
	const char *why = luv_key_read(key);
	int session;

	CHECK(!why, "%s", why);
	session = luv_session_open(key);
	CHECK(session > 0, "opening a session: %s", luv_strerror(session));
	return session;
}

void *plain_pages(size_t size)
{
	void *memory =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED, "no memory");
	return memory;
}

void *pinned_pages(size_t size)
{
	const char *why = NULL;
	void *memory = plain_pages(size);
	int result = luv_pin(memory, size, &why);

	CHECK(result == 0, "%s", why);
	return memory;
}

static void set_slot(struct machine *machine, const struct luv_slot *slot)
{
	int result = luv_slot_set(machine->vm, slot);

	CHECK(result == 0, "slot %" PRIu64 ": %s", slot->slot, luv_strerror(result));
}

int create_vm(int session, uint64_t flags, void *owner_page)
{
	const struct luv_vm_create create = {flags, (uintptr_t)owner_page, 0};

	return luv_vm_create(session, &create);
}

void machine_create_with(struct machine *machine, uint64_t vm_flags, uint64_t slot_flags)
{
	*machine = (struct machine){
		.session = open_session(),
		.memory = pinned_pages(MEMORY),
		.owner = pinned_pages(PAGE),
	};
	machine->vm = create_vm(machine->session, vm_flags, machine->owner);
	CHECK(machine->vm > 0, "creating a VM: %s", luv_strerror(machine->vm));
	set_slot(machine, &(struct luv_slot){
				  .flags = slot_flags,
				  .size = MEMORY,
				  .address = (uintptr_t)machine->memory,
			  });
	machine_add_vcpu(machine, 0);
}

void machine_create(struct machine *machine, uint64_t slot_flags)
{
	machine_create_with(machine, 0, slot_flags);
}

void machine_destroy(struct machine *machine)
{
	EXPECT(luv_vm_destroy(machine->vm), 0);
	EXPECT(luv_session_close(machine->session), 0);
	luv_unpin(machine->memory, MEMORY);
	munmap(machine->memory, MEMORY);
}

/* The XSAVE area of a CPU after FNINIT: zeros but for these (SDM 1 13.6). */
static void init_fpu(uint8_t *area)
{
	const uint16_t control = 0x37f;
	const uint32_t mxcsr = 0x1f80;

	memcpy(area + XSAVE_FCW, &control, sizeof(control));
	memcpy(area + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
}

void machine_add_vcpu(struct machine *machine, unsigned index)
{
	uint8_t *pages = pinned_pages(3 * PAGE);
	struct machine_vcpu *vcpu = &machine->vcpu[index];
	const struct luv_vcpu_create create = {
		.index = index,
		.page = (uintptr_t)pages,
		.fpu_page = (uintptr_t)pages + PAGE,
		.stop = (uintptr_t)pages + 2 * PAGE,
	};
	int result;

	vcpu->page = (struct luv_vcpu_page *)pages;
	vcpu->fpu = pages + PAGE;
	vcpu->stop = pages + 2 * PAGE;
	init_fpu(vcpu->fpu);
	result = luv_vcpu_create(machine->vm, &create);
	CHECK(result == 0, "vCPU %u: %s", index, luv_strerror(result));
	vcpu->page->dirty = LUV_GROUP_FPU;
	vcpu->page->wanted = LUV_GROUPS_ALL & ~LUV_GROUP_FPU;
	EXPECT(luv_vcpu_sync(machine->vm, index), 0);
}

static void put(struct machine *machine, uint64_t at, const void *bytes, size_t size)
{
	memcpy(machine->memory + at, bytes, size);
}

static void put_word(struct machine *machine, uint64_t at, uint64_t word)
{
	put(machine, at, &word, sizeof(word));
}

static const uint8_t *code_of(const struct payload *payload, enum mode mode, size_t *size)
{
	unsigned width = mode == REAL ? 0 : mode == LONG ? 2 : 1;

	*size = (size_t)(payload->code[width].end - payload->code[width].begin);
	return payload->code[width].begin;
}

static void put_code(struct machine *machine, uint64_t at, const struct payload *payload,
		     enum mode mode)
{
	size_t size;
	const uint8_t *code = code_of(payload, mode, &size);

	put(machine, at, code, size);
}

/* All vectors lead to HANDLER: 4, 8 or 16 bytes each (SDM 3A 6.11, 6.14.1, 20.1.4). */
static void put_gates(struct machine *machine, enum mode mode)
{
	const uint64_t gate = HANDLER | 8u << 16 | 0x8e00ull << 32;
	const uint32_t far_pointer = HANDLER;

	for (unsigned i = 0; i < GATES; i++) {
		if (mode == REAL)
			put(machine, 4 * i, &far_pointer, sizeof(far_pointer));
		else if (mode != LONG)
			put_word(machine, IDT + 8 * i, gate);
		else {
			put_word(machine, IDT + 16 * i, gate);
			put_word(machine, IDT + 16 * i + 8, 0);
		}
	}
}

static void put_tables(struct machine *machine, enum mode mode)
{
	const uint64_t directory = TABLES + 2 * PAGE;

	put_word(machine, GDT + 8, mode == LONG ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	put_word(machine, GDT + 16, 0x00cf93000000ffff);
	put_word(machine, TABLES, (TABLES + PAGE) | ENTRY_TABLE);
	put_word(machine, TABLES + PAGE, directory | ENTRY_TABLE);
	if (mode == PAE) /* its top level has no writable bit */
		put_word(machine, TABLES, directory | 1);
	for (uint64_t i = 0; i < LARGE_PAGES; i++)
		put_word(machine, directory + 8 * i, i << 21 | ENTRY_LARGE);
}

void machine_load(struct machine *machine, const struct payload *payload, enum mode mode)
{
	put_code(machine, CODE, payload, mode);
	put_code(machine, HANDLER, &handler, mode);
	put_gates(machine, mode);
	put_tables(machine, mode);
	machine_start(machine, 0, mode);
}

static void set_segments(struct luv_vcpu_page *page, enum mode mode)
{
	uint64_t code = mode == REAL ? 0x9b : mode == LONG ? 0xa9b : 0xc9b;
	const struct luv_segment data = {
		.limit = mode == REAL ? 0xffff : 0xffffffff,
		.selector = mode == REAL ? 0 : 16,
		.attributes = mode == REAL ? 0x93 : 0xc93,
	};

	for (unsigned i = LUV_ES; i <= LUV_GS; i++)
		page->segment[i] = data;
	page->segment[LUV_CS].attributes = code;
	page->segment[LUV_CS].selector = mode == REAL ? 0 : 8;
	page->segment[LUV_ES].base = mode == REAL ? MMIO : 0;
	page->segment[LUV_LDTR] = (struct luv_segment){.limit = 0xffff, .attributes = 0x82};
	page->segment[LUV_TR] = (struct luv_segment){.limit = 0xffff, .attributes = 0x8b};
	page->gdt_base = GDT;
	page->gdt_limit = 23;
	page->idt_base = mode == REAL ? 0 : IDT;
	page->idt_limit = 0xfff;
}

static void set_control(struct luv_vcpu_page *page, enum mode mode)
{
	page->cr0 = CR0_ET | (mode == REAL ? 0 : CR0_PE) | (mode >= PAE ? CR0_PG : 0);
	page->cr3 = mode >= PAE ? TABLES : 0;
	page->cr4 = CR4_OSFXSR | (mode >= PAE ? CR4_PAE : 0);
	page->efer = mode == LONG ? EFER_LMA_LME : 0;
	page->cr2 = page->cr8 = 0;
}

void machine_start(struct machine *machine, unsigned index, enum mode mode)
{
	struct luv_vcpu_page *page = machine->vcpu[index].page;

	memset(page->general, 0, sizeof(page->general));
	page->general[LUV_RSI] = DATA;
	page->general[LUV_RDI] = mode == REAL ? 0 : MMIO;
	page->general[LUV_RSP] = STACK - STACK_SIZE * index;
	page->rip = CODE;
	page->rflags = 2;
	set_segments(page, mode);
	set_control(page, mode);
	page->dirty |= LUV_GROUP_GENERAL | LUV_GROUP_SEGMENTS | LUV_GROUP_CONTROL;
	page->wanted = LUV_GROUP_GENERAL | LUV_GROUP_CONTROL | LUV_GROUP_EVENTS;
	page->debug_flags = page->debug_exceptions = page->request = 0;
}

void machine_map_more(struct machine *machine, void *memory, size_t size, uint64_t flags)
{
	set_slot(machine, &(struct luv_slot){
				  .slot = 1,
				  .flags = flags,
				  .gpa = MORE,
				  .size = size,
				  .address = (uintptr_t)memory,
			  });
}

struct luv_exit_record *machine_run(struct machine *machine, unsigned index, enum luv_run reason)
{
	struct luv_vcpu_page *page = machine->vcpu[index].page;
	int result = luv_vcpu_run(machine->vm, index, page);

	CHECK(result == 0, "RUN: %s", luv_strerror(result));
	if (page->exit.reason != reason)
		fail(__FILE__, __LINE__,
		     "exit %" PRIu64 " (%#" PRIx64 " %#" PRIx64 " %#" PRIx64 ") at rip %#" PRIx64
		     ", not %d",
		     page->exit.reason, page->exit.word[0], page->exit.word[1], page->exit.word[2],
		     page->rip, (int)reason);
	return &page->exit;
}

void machine_expect_out(struct machine *machine, unsigned port, unsigned size, uint64_t value)
{
	const struct luv_exit_record *exit = machine_run(machine, 0, LUV_RUN_IO);

	EXPECT(exit->io.flags, 0);
	EXPECT(exit->io.port, port);
	EXPECT(exit->io.size, size);
	EXPECT(exit->io.data, value);
}

void machine_skip(struct machine *machine, unsigned length)
{
	machine->vcpu[0].page->rip += length;
	machine->vcpu[0].page->dirty |= LUV_GROUP_GENERAL;
}
