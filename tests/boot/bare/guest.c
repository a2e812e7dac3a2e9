/* SPDX-License-Identifier: BSD-2-Clause */
/* A client with a guest in real mode: its memory is in a large page of the client's, its ROM in
 * a small one. */
#include "bare.h"

#include <luvalley/vcpu.h>

#define ROM_GPA	    0xfffff000u
#define CODE_AT	    0xf00 /* in the ROM's page */
#define RESET_AT    0xff0
#define MEMORY_AT   0x100000 /* the guest's memory in the big page */
#define MEMORY_SIZE 0x10000
#define COUNTER	    0x1000 /* in the guest's memory */
#define GO_ON	    0x2000
#define LEAF	    0x4321
#define LEAF_EBX    0x600df00d
#define TICKS	    2

static const uint8_t code[] = {
    0x66, 0x40,			     /* 1: incl %eax */
    0x66, 0xa3, 0x00, 0x10,	     /* movl %eax, COUNTER */
    0x80, 0x3e, 0x00, 0x20, 0x00,    /* cmpb $0, GO_ON */
    0x74, 0xf3,			     /* je 1b */
    0xe6, 0x10,			     /* outb %al, $0x10 */
    0x66, 0xb8, 0x21, 0x43, 0,	  0, /* movl $LEAF, %eax */
    0x0f, 0xa2,			     /* cpuid */
    0xf4,			     /* hlt */
};
static const uint8_t reset[] = {0xe9, 0x0d, 0xff}; /* jmp CODE_AT */

static void copy(word to, const uint8_t *from, u32 size)
{
	for (u32 i = 0; i < size; i++)
		((volatile uint8_t *)to)[i] = from[i];
}

static void clear(word page_at)
{
	for (u32 i = 0; i < 0x1000 / sizeof(word); i++)
		((volatile word *)page_at)[i] = 0;
}

/* Big or small: the walk leads to the frame that is not at the linear address. */
static volatile u32 *memory(u32 at)
{
	return (volatile u32 *)(word)(BIG + MEMORY_AT + at);
}

static int set_slot(int vm, u64 slot, u64 gpa, u64 size, word address)
{
	struct luv_slot *arguments = (struct luv_slot *)page(PAGE_ARGUMENTS);

	*arguments =
	    (struct luv_slot){.slot = slot, .gpa = gpa, .size = size, .address = address};
	return call(LUV_CALL_SLOT_SET, (word)vm, (word)arguments, 0);
}

static int create_vcpu(int vm)
{
	struct luv_vcpu_create *arguments = (struct luv_vcpu_create *)page(PAGE_ARGUMENTS);

	*arguments = (struct luv_vcpu_create){
	    .page = page(PAGE_VCPU),
	    .fpu_page = page(PAGE_FPU),
	    .stop = (word)&shared.stop_byte,
	};
	return call(LUV_CALL_VCPU_CREATE, (word)vm, (word)arguments, 0);
}

static int set_cpuid(int vm)
{
	struct luv_cpuid_entry *entry = (struct luv_cpuid_entry *)page(PAGE_CPUID);

	*entry = (struct luv_cpuid_entry){.leaf = LEAF, .ebx = LEAF_EBX};
	return call(LUV_CALL_VCPU_CPUID, (word)vm, 0, (word)entry);
}

static void set_registers(struct luv_vcpu_page *vcpu)
{
	for (u32 i = 0; i < LUV_GENERAL_COUNT; i++)
		vcpu->general[i] = i * 0x01010101;
	vcpu->general[LUV_RAX] = 0;
	vcpu->rip = 0xfff0;
	/* Interrupts must end a guest whatever its IF says; Bochs 2.7 forgets that at VM entry.
	 */
	vcpu->rflags = shared.is_amd ? 2 : 2 | FLAG_IF;
	vcpu->dirty = LUV_GROUP_GENERAL;
	vcpu->wanted = LUV_GROUP_GENERAL;
}

static int run(int vm)
{
	struct luv_vcpu_page *vcpu = (struct luv_vcpu_page *)page(PAGE_VCPU);
	int result;

	/* Everything was touched before. */
	result = call(LUV_CALL_VCPU_RUN, (word)vm, 0, 0);
	return result ? result : (int)vcpu->exit.reason;
}

static bool registers_kept(const struct luv_vcpu_page *vcpu)
{
	for (u32 i = 1; i < LUV_R8; i++) {
		if (vcpu->general[i] != i * 0x01010101)
			return false;
	}
	return true;
}

/* The guest spins until a tick of the timer, not the first, finds that it has run. */
static void check_interrupted(int vm, const struct luv_vcpu_page *vcpu)
{
	u32 counted;
	int result;

	shared.ticks = 0;
	shared.tick_ip = 0;
	shared.stop_after = TICKS;
	shared.watched = (word)memory(COUNTER);
	timer_start();
	result = run(vm);
	timer_stop();
	shared.stop_after = 0;
	counted = *memory(COUNTER);
	expect("RUN ends when the timer's handler says so", result, LUV_ERR_INTR);
	expect("the handler sees RIP on the call, and its arguments",
	       shared.ticks >= TICKS && shared.tick_ip == (word)call_plain_at &&
		   shared.tick_ax == LUV_CALL_VCPU_RUN && shared.tick_di == (word)vm,
	       1);
	expect("the guest has run and has kept its registers",
	       counted && (u32)vcpu->general[LUV_RAX] - counted <= 1 && registers_kept(vcpu),
	       1);
}

/* RUN directly behind STI, with an interrupt waiting: it is begun anew after the interrupt. */
static int run_after_sti(int vm)
{
	struct registers r = {.ax = LUV_CALL_VCPU_RUN, .di = (word)vm};
	int result;

	shared.ticks = 0;
	timer_pending();
	result = issue(call_after_sti, call_after_sti_behind, &r);
	timer_stop();
	return result;
}

static void check_finished(int vm, const struct luv_vcpu_page *vcpu)
{
	struct registers masked = {.ax = LUV_CALL_VCPU_RUN, .di = (word)vm};
	u32 counted = *memory(COUNTER);

	expect("RUN with interrupts off", issue(call_plain, call_plain_behind, &masked),
	       LUV_ERR_INVAL);
	shared.stop_byte = 0;
	*memory(GO_ON) = 1;
	expect("RUN behind STI is begun anew after the interrupt",
	       run_after_sti(vm) == 0 && shared.ticks &&
		   shared.first_ip == (word)call_after_sti_at,
	       1);
	expect("the guest writes to a port",
	       vcpu->exit.reason == LUV_RUN_IO && vcpu->exit.io.port == 0x10 &&
		   vcpu->exit.io.data == (*memory(COUNTER) & 0xff) &&
		   *memory(COUNTER) >= counted,
	       1);
	expect("the guest reads its CPUID table, and halts",
	       run(vm) == LUV_RUN_HLT && vcpu->general[LUV_RBX] == LEAF_EBX, 1);
}

void check_guest(int session)
{
	struct luv_vm_create *arguments = (struct luv_vm_create *)page(PAGE_ARGUMENTS);
	struct luv_vcpu_page *vcpu = (struct luv_vcpu_page *)page(PAGE_VCPU);
	int vm;

	for (u32 i = 0; i < WINDOW_PAGES; i++)
		clear(page(i));
	*memory(COUNTER) = *memory(GO_ON) = 0;
	*(volatile u32 *)big() = 0; /* now it is dirty */
	shared.stop_byte = 0;
	copy(page(PAGE_ROM) + CODE_AT, code, sizeof(code));
	copy(page(PAGE_ROM) + RESET_AT, reset, sizeof(reset));
	*arguments = (struct luv_vm_create){.owner_page = page(PAGE_OWNER)};
	vm = call(LUV_CALL_VM_CREATE, (word)session, (word)arguments, 0);
	if (!expect("a VM is made", vm > 0, 1))
		return;
	expect("with memory in a large page",
	       set_slot(vm, 0, 0, MEMORY_SIZE, big() + MEMORY_AT), 0);
	expect("and in a small one", set_slot(vm, 1, ROM_GPA, 0x1000, page(PAGE_ROM)), 0);
	expect("with a vCPU", create_vcpu(vm), 0);
	expect("that has a CPUID table", set_cpuid(vm), 0);
	set_registers(vcpu);
	check_interrupted(vm, vcpu);
	check_finished(vm, vcpu);
	expect("the VM is destroyed", call(LUV_CALL_VM_DESTROY, (word)vm, 0, 0), 0);
}
