/* SPDX-License-Identifier: BSD-2-Clause */
/* user/kvm/emulate.h by hand: modes, segments, faults, the way to the client and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "emulate_guest.h"
#include "kvm/emulate_state.h"

#define RAM	    0x0ull
#define RAM_SIZE    0x10000
#define DEVICE	    0xd0000ull
#define DEVICE_SIZE 0x2000
#define ROM	    0xf0000ull
#define HOME	    0x1000 /* RIP */

static struct guest guest;
static uint8_t ram[RAM_SIZE] __attribute__((aligned(4096)));
static uint8_t device[DEVICE_SIZE] __attribute__((aligned(4096)));
static uint8_t rom[4096] __attribute__((aligned(4096)));

#define RUN(gpa, write, bytes) run(gpa, write, bytes, sizeof(bytes) - 1)

static uint64_t *reg(unsigned name)
{
	return &guest.page.general[name];
}

static void begin(uint64_t code)
{
	guest_init(&guest, code);
	memset(ram, 0, sizeof(ram));
	memset(rom, 0, sizeof(rom));
	for (unsigned i = 0; i < DEVICE_SIZE; i++)
		device[i] = (uint8_t)(i * 7 + 1);
	guest.region[0] = (struct guest_region){RAM, RAM_SIZE, ram, false, false};
	guest.region[1] = (struct guest_region){DEVICE, DEVICE_SIZE, device, true, false};
	guest.region[2] = (struct guest_region){ROM, 4096, rom, false, true};
	guest.page.rip = HOME;
}

/* One exit; the client's part is the test's. */
static enum emulate_result run(uint64_t gpa, bool write, const char *bytes, unsigned count)
{
	guest_exit(&guest, gpa, write, bytes, count);
	return emulate_mmio(&guest.emulate);
}

static void expect_fault(enum emulate_result result, unsigned vector, uint32_t error)
{
	assert_int_equal(result, EMULATE_FAULT);
	assert_int_equal(guest.emulate.fault.vector, vector);
	assert_int_equal(guest.emulate.fault.error, error);
	assert_int_equal(guest.page.rip, HOME);
	assert_true(guest.page.rflags & RFLAGS_RF);
	assert_false(emulate_waits(&guest.emulate));
}

static uint64_t device_word(unsigned offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, device + offset, size);
	return value;
}

/* --- the way to the client --- */

static void test_write_asked(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.ask = true;
	*reg(LUV_RBX) = DEVICE + 8;
	*reg(LUV_RCX) = 0x1122334455667788;
	assert_int_equal(RUN(DEVICE + 8, true, "\x89\x0b"), EMULATE_MMIO); /* mov [rbx], ecx */
	assert_true(guest.emulate.access.write);
	assert_int_equal(guest.emulate.access.gpa, DEVICE + 8);
	assert_int_equal(guest.emulate.access.size, 4);
	assert_memory_equal(guest.emulate.access.data, "\x88\x77\x66\x55", 4);
	/* As with KVM, the client sees the registers behind the instruction. */
	assert_int_equal(guest.page.rip, HOME + 2);
	assert_true(emulate_waits(&guest.emulate));
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_DONE);
	assert_false(emulate_waits(&guest.emulate));
	assert_int_equal(guest.asked, 1);
	assert_true(guest.page.dirty & LUV_GROUP_GENERAL);
}

static void test_read_asked(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.ask = true;
	*reg(LUV_RBX) = DEVICE;
	*reg(LUV_RCX) = ~0ull;
	assert_int_equal(RUN(DEVICE, false, "\x8b\x0b"), EMULATE_MMIO); /* mov ecx, [rbx] */
	assert_false(guest.emulate.access.write);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(*reg(LUV_RCX), ~0ull);
	assert_int_equal(guest.page.dirty, 0);
	memcpy(guest.emulate.access.data, "\x01\x02\x03\x84", 4);
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RCX), 0x84030201);
	assert_int_equal(guest.page.rip, HOME + 2);
}

/* The second time; false: emulate_plain leaves it to emulate_mmio. */
static bool again(uint64_t gpa, bool write, const char *bytes, unsigned count)
{
	guest.page.rip = HOME;
	(void)guest_finish(&guest, run(gpa, write, bytes, count));
	guest.page.rip = HOME;
	guest.page.dirty = 0;
	guest_exit(&guest, gpa, write, bytes, count);
	return emulate_plain(&guest.emulate);
}

#define AGAIN(gpa, write, bytes) again(gpa, write, bytes, sizeof(bytes) - 1)

static void test_plain(void **state)
{
	const struct emulate_access *access = &guest.emulate.access;

	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE + 8;
	*reg(LUV_RCX) = 0x1122334455667788;
	assert_true(AGAIN(DEVICE + 8, true, "\x66\x89\x0b")); /* mov [rbx], cx */
	assert_true(access->write && access->size == 2 && access->gpa == DEVICE + 8);
	assert_memory_equal(access->data, "\x88\x77", 2);
	emulate_plain_done(&guest.emulate);
	assert_int_equal(guest.page.rip, HOME + 3);
	assert_int_equal(guest.page.dirty, LUV_GROUP_RIP);

	assert_true(AGAIN(DEVICE + 8, false, "\x8b\x0b")); /* mov ecx, [rbx] */
	*reg(LUV_RCX) = ~0ull;
	memcpy(guest.emulate.access.data, "\1\2\3\x84\5\6\7\x8", 8);
	emulate_plain_done(&guest.emulate);
	assert_int_equal(*reg(LUV_RCX), 0x84030201);
	assert_int_equal(guest.page.dirty, LUV_GROUP_RIP | LUV_GROUP_GENERAL);
}

static void test_not_plain(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE + 8;
	assert_false(AGAIN(DEVICE + 8, true, "\x88\x2b"));     /* mov [rbx], ch */
	assert_false(AGAIN(DEVICE + 8, true, "\x64\x89\x0b")); /* mov fs:[rbx], ecx */
	assert_false(AGAIN(DEVICE + 8, true, "\x87\x0b"));     /* xchg [rbx], ecx */
	assert_false(AGAIN(DEVICE + 8, true, "\x01\x0b"));     /* add [rbx], ecx */
	*reg(LUV_RBX) = DEVICE + 0xffe;
	assert_false(AGAIN(DEVICE + 0xffe, true, "\x89\x0b"));	/* in two pages */
	assert_false(AGAIN(DEVICE + 0x1000, true, "\x89\x0b")); /* began in the page before */
	*reg(LUV_RBX) = DEVICE;
	assert_true(AGAIN(DEVICE, true, "\x89\x0b"));
	guest.page.rflags |= RFLAGS_TF;
	assert_false(emulate_plain(&guest.emulate));
	guest.page.rflags &= ~RFLAGS_TF;
	guest.page.rip++; /* moved while the access was made */
	emulate_plain_done(&guest.emulate);
	assert_int_equal(guest.page.dirty, 0);
}

/* Each access once, however often the instruction is executed for it. */
static void test_read_modify_write(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.ask = true;
	*reg(LUV_RBX) = DEVICE + 0xffe; /* in two pages */
	*reg(LUV_RCX) = 0x01010101;
	memcpy(device + 0xffe, "\x01\x02\x03\xff", 4);
	assert_int_equal(guest_finish(&guest, RUN(DEVICE + 0xffe, true, "\xf0\x01\x0b")),
			 EMULATE_DONE); /* lock add [rbx], ecx */
	assert_int_equal(device_word(0xffe, 4), 0x00040302);
	assert_int_equal(guest.logged, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(guest.log[i].gpa, DEVICE + 0xffe + i % 2 * 2);
		assert_int_equal(guest.log[i].size, 2);
		assert_int_equal(guest.log[i].write, i >= 2);
	}
	assert_true(guest.page.rflags & RFLAGS_CF);
	assert_int_equal(guest.page.rip, HOME + 3);
}

static void test_pieces(void **state)
{
	static const struct {
		unsigned offset, count;
		uint8_t size[6];
	} rows[] = {
	    {0, 4, {8, 8, 8, 8}},
	    {0xff0, 4, {8, 8, 8, 8}},
	    {0xffd, 5, {3, 8, 8, 8, 5}},
	    {0xfe5, 5, {8, 8, 8, 3, 5}},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(GUEST_CODE64);
		guest.ask = i & 1;
		*reg(LUV_RBX) = DEVICE + rows[i].offset;
		/* vmovdqu ymm1, [rbx] */
		assert_int_equal(guest_finish(&guest, RUN(DEVICE + rows[i].offset, false,
							  "\xc5\xfe\x6f\x0b")),
				 EMULATE_DONE);
		assert_int_equal(guest.logged, rows[i].count);
		for (unsigned j = 0; j < rows[i].count; j++)
			assert_int_equal(guest.log[j].size, rows[i].size[j]);
		assert_memory_equal(guest.xsave + 160 + 16, device + rows[i].offset, 16);
		assert_memory_equal(guest.xsave + 576 + 16, device + rows[i].offset + 16, 16);
		assert_true(guest.page.dirty & LUV_GROUP_FPU);
	}
}

/* A client that resets the vCPU while it answers a read. */
static void test_moved_away(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.ask = true;
	*reg(LUV_RBX) = DEVICE;
	assert_int_equal(RUN(DEVICE, false, "\x8b\x0b"), EMULATE_MMIO);
	guest.page.rip = 0xfff0;
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.page.rip, 0xfff0);
	assert_int_equal(*reg(LUV_RCX), 0);
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_DONE);
	assert_int_equal(RUN(DEVICE, false, "\x8b\x0b"), EMULATE_MMIO);
	emulate_cancel(&guest.emulate);
	assert_int_equal(emulate_resume(&guest.emulate), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RCX), 0);
}

static void test_read_only(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = ROM + 4;
	memcpy(rom + 4, "\x05", 1);
	assert_int_equal(RUN(ROM + 4, true, "\xfe\x03"), EMULATE_DONE); /* inc byte [rbx] */
	assert_int_equal(guest.logged, 1);
	assert_true(guest.log[0].write);
	assert_int_equal(guest.log[0].data[0], 6);
	assert_int_equal(rom[4], 5);
}

/* Memory that another CPU changes between the read and the write of a locked instruction. */
static void *meddling_memory(void *context, uint64_t gpa, bool write)
{
	uint8_t *page = guest_memory(context, gpa, write);

	if (write && guest.dirtied == 1)
		page[0x10]++;
	return page;
}

static void test_locked(void **state)
{
	struct emulate_ops ops = guest_ops;

	(void)state;
	begin(GUEST_CODE64);
	ops.memory = meddling_memory;
	guest.emulate.setup.ops = &ops;
	*reg(LUV_RBX) = 0x3010;
	*reg(LUV_RCX) = 0x100;
	ram[0x3010] = 5;
	assert_int_equal(RUN(0x3010, true, "\xf0\x48\x0f\xc1\x0b"), EMULATE_DONE); /* xadd */
	assert_int_equal(*reg(LUV_RCX), 6);
	assert_memory_equal(ram + 0x3010, "\x06\x01\0\0\0\0\0", 8);
}

static void test_dirty_log(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RSI) = DEVICE;
	*reg(LUV_RDI) = 0x4ffe;
	assert_int_equal(RUN(DEVICE, false, "\xa5"), EMULATE_DONE); /* movsd */
	assert_true(guest.dirtied >= 2);
	assert_memory_equal(ram + 0x4ffe, device, 4);
	guest.dirtied = 0;
	*reg(LUV_RBX) = DEVICE;
	assert_int_equal(RUN(DEVICE, true, "\x89\x0b"), EMULATE_DONE);
	assert_int_equal(guest.dirtied, 0);
}

/* --- what ends an instruction --- */

static void test_flags_behind(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE;
	guest.page.rflags |= RFLAGS_RF;
	guest.page.events.shadow = 1;
	assert_int_equal(RUN(DEVICE, true, "\x89\x0b"), EMULATE_DONE);
	assert_int_equal(guest.page.rflags, 2);
	assert_int_equal(guest.page.events.shadow, 0);
	assert_true(guest.page.dirty & LUV_GROUP_EVENTS);
	assert_false(guest.emulate.step);
	guest.page.rip = HOME;
	guest.page.rflags |= RFLAGS_TF;
	assert_int_equal(RUN(DEVICE, true, "\x89\x0b"), EMULATE_DONE);
	assert_true(guest.emulate.step);
	assert_int_equal(guest.page.rflags, 2 | RFLAGS_TF);
	/* The trap of POPF is that of the flags before it. */
	guest.page.rip = HOME;
	*reg(LUV_RSP) = DEVICE;
	memset(device, 0, 8);
	assert_int_equal(RUN(DEVICE, false, "\x9d"), EMULATE_DONE);
	assert_true(guest.emulate.step);
	assert_int_equal(guest.page.rflags, 2);
}

static void test_step_rep(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.page.rflags |= RFLAGS_TF;
	*reg(LUV_RDI) = DEVICE;
	*reg(LUV_RCX) = 2;
	assert_int_equal(RUN(DEVICE, true, "\xf3\xaa"), EMULATE_DONE);
	assert_true(guest.emulate.step);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(*reg(LUV_RCX), 1);
	assert_int_equal(RUN(DEVICE + 1, true, "\xf3\xaa"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME + 2);
}

static void test_rip_wraps(void **state)
{
	(void)state;
	begin(GUEST_CODE32);
	guest.page.rip = 0xffffffff;
	*reg(LUV_RBX) = DEVICE;
	assert_int_equal(RUN(DEVICE, true, "\x89\x0b"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, 1);
}

/* --- segments --- */

#define OK 99u

static const struct {
	const char *name;
	uint64_t code;		    /* mode */
	uint64_t limit, attributes; /* of DS and SS */
	uint64_t offset;
	bool write, stack;
	unsigned vector;
} segment_rows[] = {
    {"within", GUEST_CODE32, 0x1003, GUEST_DATA16, 0x1000, true, false, OK},
    {"one byte too far", GUEST_CODE32, 0x1002, GUEST_DATA16, 0x1000, true, false, 13},
    {"on the stack", GUEST_CODE32, 0x1002, GUEST_DATA16, 0x1000, true, true, 12},
    {"wraps", GUEST_CODE32, 0xffffffff, GUEST_DATA32, 0xfffffffe, false, false, 13},
    {"not present", GUEST_CODE32, 0xffffffff, GUEST_DATA32 & ~0x80, 0x1000, false, false, 13},
    {"no stack", GUEST_CODE32, 0xffffffff, GUEST_DATA32 & ~0x80, 0x1000, false, true, 12},
    {"read-only, read", GUEST_CODE32, 0xffffffff, 0xc91, 0x1000, false, false, OK},
    {"read-only, write", GUEST_CODE32, 0xffffffff, 0xc91, 0x1000, true, false, 13},
    {"code, read", GUEST_CODE32, 0xffffffff, 0xc9b, 0x1000, false, false, OK},
    {"code, write", GUEST_CODE32, 0xffffffff, 0xc9b, 0x1000, true, false, 13},
    {"execute-only, read", GUEST_CODE32, 0xffffffff, 0xc99, 0x1000, false, false, 13},
    {"a system segment", GUEST_CODE32, 0xffffffff, 0xc83, 0x1000, false, false, 13},
    {"down, above", GUEST_CODE32, 0xfff, 0xc97, 0x1000, true, false, OK},
    {"down, at the limit", GUEST_CODE32, 0x1000, 0xc97, 0x1000, true, false, 13},
    {"down, 16 bits, at its end", GUEST_CODE32, 0xfff, 0x97, 0xfffc, true, false, OK},
    {"down, 16 bits, too far", GUEST_CODE32, 0xfff, 0x97, 0xfffd, true, false, 13},
    {"down, 32 bits", GUEST_CODE32, 0xfff, 0xc97, 0xfffd, true, false, OK},
    {"16-bit code", GUEST_CODE16, 0xffff, GUEST_DATA16, 0xfffc, true, false, OK},
    {"16-bit code, too far", GUEST_CODE16, 0xffff, GUEST_DATA16, 0xffff, true, false, 13},
    {"64-bit code has none", GUEST_CODE64, 0, 0, 0x1000, true, false, OK},
    {"canonical", GUEST_CODE64, 0, 0, 0x7ffffffffffc, true, false, OK},
    {"one byte is not", GUEST_CODE64, 0, 0, 0x7ffffffffffd, true, false, 13},
    {"not canonical", GUEST_CODE64, 0, 0, 0x800000000000, true, false, 13},
    {"not canonical, stack", GUEST_CODE64, 0, 0, 0x800000000000, true, true, 12},
    {"canonical again", GUEST_CODE64, 0, 0, 0xffff800000000000, true, false, OK},
};

/* mov [ebx], ecx; mov [ebp], ecx; and the other way; with 67h and 66h in 16-bit code. */
static void test_segments(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(segment_rows) / sizeof(segment_rows[0]); i++) {
		char bytes[8] = "\x67\x66\x89\x0b";
		bool stack = segment_rows[i].stack, short_code;
		enum emulate_result result;

		begin(segment_rows[i].code);
		short_code = segment_rows[i].code == GUEST_CODE16;
		guest.page.segment[LUV_DS].limit = segment_rows[i].limit;
		guest.page.segment[LUV_DS].attributes = segment_rows[i].attributes;
		guest.page.segment[LUV_SS] = guest.page.segment[LUV_DS];
		guest.region[0].size = 0;
		guest.region[1].gpa = segment_rows[i].offset & ~0xfffull;
		bytes[2] = segment_rows[i].write ? '\x89' : '\x8b';
		*reg(LUV_RBX) = *reg(LUV_RBP) = segment_rows[i].offset;
		guest_exit(&guest, 1, false, bytes + (short_code ? 0 : 2), 4);
		if (stack) { /* mov [ebp + 0], ecx: the displacement behind ModRM is 0 */
			guest.page.exit.mmio.bytes[short_code ? 3 : 1] = 0x4d;
			guest.page.exit.mmio.byte_count++;
		}
		result = emulate_mmio(&guest.emulate);
		if (segment_rows[i].vector == OK
			? result != EMULATE_DONE
			: result != EMULATE_FAULT ||
			      guest.emulate.fault.vector != segment_rows[i].vector)
			fail_msg("%s: result %d, vector %u", segment_rows[i].name, result,
				 guest.emulate.fault.vector);
		if (result == EMULATE_FAULT)
			assert_int_equal(guest.logged, 0);
	}
}

static void test_bases(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	for (unsigned i = 0; i <= LUV_GS; i++)
		guest.page.segment[i].base = DEVICE + 0x100 * i;
	/* In 64-bit mode only those of FS and GS count. */
	assert_int_equal(RUN(1, true, "\x64\x88\x0c\x25\x08\x00\x00\x00"), EMULATE_DONE);
	assert_int_equal(guest.log[0].gpa, DEVICE + 0x100 * LUV_FS + 8);
	*reg(LUV_RBX) = DEVICE + 0x10;
	guest.page.rip = HOME;
	assert_int_equal(RUN(1, true, "\x3e\x88\x0b"), EMULATE_DONE);
	assert_int_equal(guest.log[1].gpa, DEVICE + 0x10);

	begin(GUEST_CODE32);
	for (unsigned i = 0; i <= LUV_GS; i++)
		guest.page.segment[i].base = DEVICE + 0x100 * i;
	*reg(LUV_RBX) = (uint32_t)-4; /* addresses wrap at 4 GiB, and so do bases */
	assert_int_equal(RUN(1, true, "\x88\x4b\x08"), EMULATE_DONE);
	assert_int_equal(guest.log[0].gpa, DEVICE + 0x100 * LUV_DS + 4);
	*reg(LUV_RBP) = 0x20;
	assert_int_equal(RUN(1, true, "\x88\x4d\x00"), EMULATE_DONE);
	assert_int_equal(guest.log[1].gpa, DEVICE + 0x100 * LUV_SS + 0x20);
	*reg(LUV_RDI) = 0x30;
	*reg(LUV_RSI) = 0x40;
	assert_int_equal(RUN(1, true, "\x65\xa4"), EMULATE_DONE); /* movsb es:[edi], gs:[esi] */
	assert_int_equal(guest.log[2].gpa, DEVICE + 0x100 * LUV_GS + 0x40);
	assert_int_equal(guest.log[3].gpa, DEVICE + 0x100 * LUV_ES + 0x30);
}

/* --- real and virtual-8086 mode --- */

static void test_real(void **state)
{
	(void)state;
	begin(GUEST_REAL);
	guest.page.segment[LUV_DS].base = DEVICE;
	guest.page.segment[LUV_SS].base = DEVICE + 0x1000;
	*reg(LUV_RBX) = 0xfff0ff0010;
	*reg(LUV_RSI) = 0x8;
	*reg(LUV_RAX) = 0xaabbccdd;
	assert_int_equal(RUN(DEVICE + 0x18, false, "\x8b\x00"), EMULATE_DONE); /* ax, [bx+si] */
	assert_int_equal(*reg(LUV_RAX), 0xaabb0000 | device_word(0x18, 2));
	assert_int_equal(guest.page.rip, HOME + 2);
	/* mov ax, moffs */
	assert_int_equal(RUN(DEVICE + 0x204, false, "\xa1\x04\x02"), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RAX), 0xaabb0000 | device_word(0x204, 2));
	/* push ax: SP wraps at 64 KiB, the rest of ESP stays */
	*reg(LUV_RSP) = 0x12340004;
	assert_int_equal(RUN(1, true, "\x50"), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RSP), 0x12340002);
	assert_int_equal(device_word(0x1002, 2), *reg(LUV_RAX) & 0xffff);
	*reg(LUV_RBX) = 0xffff;
	*reg(LUV_RSI) = 0;
	guest.page.rip = HOME;
	expect_fault(RUN(1, false, "\x8b\x00"), VECTOR_GP, 0);
	guest.page.segment[LUV_DS].limit = 0xffffffff; /* "unreal" mode */
	guest.page.segment[LUV_DS].base = DEVICE - 0xffff;
	assert_int_equal(RUN(1, false, "\x8b\x00"), EMULATE_DONE);
}

/* IP of a return address from device memory, in the 16 bits that count. */
static void test_real_branches(void **state)
{
	(void)state;
	begin(GUEST_REAL);
	guest.page.segment[LUV_DS].base = DEVICE;
	guest.page.segment[LUV_SS].base = DEVICE + 0x1000;
	memcpy(device + 0x10, "\x34\x12", 2);
	assert_int_equal(RUN(1, false, "\xff\x26\x10\x00"), EMULATE_DONE); /* jmp [10h] */
	assert_int_equal(guest.page.rip, 0x1234);
	*reg(LUV_RSP) = 0x100;
	assert_int_equal(RUN(1, false, "\xff\x16\x10\x00"), EMULATE_DONE); /* call [10h] */
	assert_int_equal(device_word(0x10fe, 2), 0x1238);
	assert_int_equal(*reg(LUV_RSP), 0xfe);
	assert_int_equal(RUN(1, false, "\xc2\x06\x00"), EMULATE_DONE); /* ret 6 */
	assert_int_equal(guest.page.rip, 0x1238);
	assert_int_equal(*reg(LUV_RSP), 0x106);
}

static void test_virtual_8086(void **state)
{
	(void)state;
	begin(GUEST_REAL);
	guest.page.cr0 = 1;
	guest.page.rflags |= RFLAGS_VM | RFLAGS_AC;
	guest.page.cr0 |= CR0_AM;
	guest.page.segment[LUV_SS].base = DEVICE;
	*reg(LUV_RSP) = 0x100;
	expect_fault(RUN(1, true, "\x9c"), VECTOR_GP, 0); /* pushf wants IOPL 3 */
	guest.page.rflags |= RFLAGS_IOPL;
	assert_int_equal(RUN(1, true, "\x9c"), EMULATE_DONE);
	assert_int_equal(device_word(0xfe, 2), 0x3002);
	/* CPL is 3: alignment counts. */
	guest.page.rip = HOME;
	*reg(LUV_RSP) = 0x101;
	expect_fault(RUN(1, true, "\x50"), VECTOR_AC, 0);
}

static void test_branches_64(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE;
	*reg(LUV_RSP) = DEVICE + 0x100;
	memcpy(device, "\0\0\0\0\0\x80\0\0", 8);
	expect_fault(RUN(1, false, "\xff\x23"), VECTOR_GP, 0); /* jmp [rbx] */
	expect_fault(RUN(1, false, "\xff\x13"), VECTOR_GP, 0); /* call [rbx] */
	assert_int_equal(*reg(LUV_RSP), DEVICE + 0x100);
	memcpy(device, "\0\0\0\0\x12\x34\0\0", 8);
	assert_int_equal(RUN(1, false, "\xff\x13"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, 0x341200000000);
	assert_int_equal(device_word(0xf8, 8), HOME + 2);
	assert_int_equal(RUN(1, false, "\xc3"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME + 2);
	assert_int_equal(*reg(LUV_RSP), DEVICE + 0x100);
}

/* --- string instructions --- */

/* What was done before a fault stays done. */
static void test_rep_fault(void **state)
{
	(void)state;
	begin(GUEST_CODE32);
	guest.page.segment[LUV_ES].limit = DEVICE + 9;
	*reg(LUV_RDI) = DEVICE;
	*reg(LUV_RAX) = 0x55667788;
	*reg(LUV_RCX) = 5;
	expect_fault(RUN(DEVICE, true, "\xf3\xab"), VECTOR_GP, 0);
	assert_int_equal(*reg(LUV_RCX), 3);
	assert_int_equal(*reg(LUV_RDI), DEVICE + 8);
	assert_int_equal(device_word(4, 4), 0x55667788);
	assert_int_equal(guest.logged, 2);
}

/* The target's fault comes before the source is read. */
static void test_movs_order(void **state)
{
	(void)state;
	begin(GUEST_CODE32);
	guest.page.segment[LUV_ES].limit = 0xff;
	*reg(LUV_RDI) = 0x1000;
	*reg(LUV_RSI) = DEVICE;
	expect_fault(RUN(DEVICE, false, "\xa5"), VECTOR_GP, 0);
	assert_int_equal(guest.logged, 0);
}

static void test_rep_bounds(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RDI) = 0x1000000; /* nothing is there, and there is a lot of it */
	*reg(LUV_RCX) = 1u << 20;
	assert_int_equal(RUN(0x1000000, true, "\xf3\xab"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(*reg(LUV_RCX), (1u << 20) - EMULATE_REP_MAX);
	/* Where RAM begins the CPU goes on. */
	begin(GUEST_CODE64);
	*reg(LUV_RSI) = DEVICE + DEVICE_SIZE - 8;
	*reg(LUV_RDI) = 0x2000;
	*reg(LUV_RCX) = 100;
	guest.region[2].gpa = DEVICE + DEVICE_SIZE;
	assert_int_equal(RUN(DEVICE, false, "\xf3\xa5"), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RCX), 97);
	assert_int_equal(guest.page.rip, HOME);
}

static void test_rep_asked(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.ask = true;
	*reg(LUV_RSI) = DEVICE;
	*reg(LUV_RDI) = DEVICE + 0x1000;
	*reg(LUV_RCX) = 3;
	assert_int_equal(guest_finish(&guest, RUN(DEVICE, false, "\xf3\x48\xa5")),
			 EMULATE_DONE);
	assert_int_equal(guest.logged, 6);
	assert_memory_equal(device, device + 0x1000, 24);
	assert_int_equal(guest.page.rip, HOME + 3);
	assert_int_equal(*reg(LUV_RCX), 0);
}

static void test_rep_nothing(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RSI) = *reg(LUV_RDI) = 1ull << 63; /* not canonical, and not used */
	assert_int_equal(RUN(1, false, "\xf3\xa5"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME + 2);
	assert_int_equal(guest.logged, 0);
}

/* --- strings and ports --- */

static enum emulate_result run_io(unsigned size, uint64_t flags, unsigned bits)
{
	struct luv_exit_record *exit = &guest.page.exit;

	memset(exit, 0, sizeof(*exit));
	exit->reason = LUV_RUN_IO;
	exit->instruction_length = 2;
	exit->io.port = 0x1f0;
	exit->io.size = size;
	exit->io.flags = flags | LUV_IO_STRING;
	exit->io.segment = flags & LUV_IO_IN ? LUV_ES : LUV_DS;
	exit->io.address_bits = bits;
	return emulate_string_io(&guest.emulate);
}

static void fill_port(void)
{
	for (unsigned i = 0; i < sizeof(guest.port_in); i++)
		guest.port_in[i] = (uint8_t)(i * 3 + i / 256);
}

static void test_ins(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	fill_port();
	*reg(LUV_RDI) = 0x2f00;
	*reg(LUV_RCX) = 256;
	assert_int_equal(run_io(2, LUV_IO_IN | LUV_IO_REP, 64), EMULATE_DONE);
	assert_memory_equal(ram + 0x2f00, guest.port_in, 512);
	assert_int_equal(guest.port_calls, 2); /* one for each page */
	assert_int_equal(*reg(LUV_RDI), 0x3100);
	assert_int_equal(*reg(LUV_RCX), 0);
	assert_int_equal(guest.page.rip, HOME + 2);
	/* Without REP, downwards, RCX is nobody's. */
	guest.page.rflags |= RFLAGS_DF;
	*reg(LUV_RCX) = 77;
	assert_int_equal(run_io(4, LUV_IO_IN, 64), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RDI), 0x30fc);
	assert_int_equal(*reg(LUV_RCX), 77);
	assert_memory_equal(ram + 0x3100, guest.port_in + 512, 4);
}

static void test_ins_asked(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	fill_port();
	guest.port_ask = true;
	*reg(LUV_RDI) = 0x2000;
	*reg(LUV_RCX) = 600;
	assert_int_equal(run_io(2, LUV_IO_IN | LUV_IO_REP, 64), EMULATE_IO);
	assert_int_equal(guest.emulate.io.count, EMULATE_IO_SIZE / 2);
	assert_int_equal(guest.emulate.io.port, 0x1f0);
	assert_int_equal(guest.emulate.io.size, 2);
	assert_true(guest.emulate.io.in);
	assert_int_equal(*reg(LUV_RCX), 600);
	assert_int_equal(guest_finish(&guest, EMULATE_IO), EMULATE_DONE);
	assert_int_equal(guest.port_calls, 2);
	assert_memory_equal(ram + 0x2000, guest.port_in, 1200);
	assert_int_equal(guest.page.rip, HOME + 2);
}

/* No port is read for memory that cannot be written. */
static void test_ins_fault(void **state)
{
	(void)state;
	begin(GUEST_CODE32);
	guest.page.segment[LUV_ES].limit = 0x2003;
	*reg(LUV_RDI) = 0x2000;
	*reg(LUV_RCX) = 3;
	expect_fault(run_io(4, LUV_IO_IN | LUV_IO_REP, 32), VECTOR_GP, 0);
	assert_int_equal(guest.port_calls, 1);
	assert_int_equal(*reg(LUV_RCX), 2);
	assert_int_equal(*reg(LUV_RDI), 0x2004);
}

static void test_outs(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.port_ask = true;
	for (unsigned i = 0; i < 1024; i++)
		ram[0x2800 + i] = (uint8_t)(i * 5);
	*reg(LUV_RSI) = 0x2800;
	*reg(LUV_RCX) = 10;
	assert_int_equal(run_io(1, LUV_IO_REP, 64), EMULATE_IO);
	assert_int_equal(guest.emulate.io.count, 10);
	assert_false(guest.emulate.io.in);
	/* As with KVM the registers are those behind it. */
	assert_int_equal(*reg(LUV_RCX), 0);
	assert_int_equal(guest.page.rip, HOME + 2);
	assert_int_equal(guest_finish(&guest, EMULATE_IO), EMULATE_DONE);
	assert_memory_equal(guest.port_out, ram + 0x2800, 10);
	assert_int_equal(guest.port_calls, 1);
}

/* Both ends are somebody's device. */
static void test_outs_device(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.port_ask = guest.ask = true;
	*reg(LUV_RSI) = DEVICE;
	*reg(LUV_RCX) = 3;
	assert_int_equal(guest_finish(&guest, run_io(1, LUV_IO_REP, 64)), EMULATE_DONE);
	assert_memory_equal(guest.port_out, device, 3);
	assert_int_equal(guest.port_calls, 3);
	assert_int_equal(guest.page.rip, HOME + 2);

	guest.page.rip = HOME;
	fill_port();
	*reg(LUV_RDI) = DEVICE + 0xfff;
	assert_int_equal(guest_finish(&guest, run_io(4, LUV_IO_IN, 64)), EMULATE_DONE);
	assert_memory_equal(device + 0xfff, guest.port_in, 4);
}

static void test_io_wraps(void **state)
{
	(void)state;
	begin(GUEST_REAL);
	fill_port();
	*reg(LUV_RDI) = 0xfffe;
	*reg(LUV_RCX) = 0x70004;
	assert_int_equal(run_io(1, LUV_IO_IN | LUV_IO_REP, 16), EMULATE_DONE);
	assert_memory_equal(ram + 0xfffe, guest.port_in, 2);
	assert_memory_equal(ram, guest.port_in + 2, 2);
	assert_int_equal(*reg(LUV_RDI), 2);
	assert_int_equal(*reg(LUV_RCX), 0x70000);
	/* In the middle of a page, where no limit stops it. */
	guest.page.segment[LUV_ES].base = 0xffff1800;
	guest.page.segment[LUV_ES].limit = 0xffffffff;
	guest.region[2] = (struct guest_region){0xffff1000, 4096, rom, false, false};
	guest.port_read = 0;
	*reg(LUV_RDI) = 0xfffe;
	*reg(LUV_RCX) = 4;
	assert_int_equal(run_io(1, LUV_IO_IN | LUV_IO_REP, 16), EMULATE_DONE);
	assert_memory_equal(ram + 0x17fe, guest.port_in, 2);
	assert_memory_equal(rom + 0x800, guest.port_in + 2, 2);
}

/* A CPU that does not say how long the instruction is. */
static void test_io_length(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	memcpy(ram + HOME, "\xf3\x66\x6d", 3);
	fill_port();
	*reg(LUV_RDI) = 0x2000;
	*reg(LUV_RCX) = 1;
	memset(&guest.page.exit, 0, sizeof(guest.page.exit));
	guest.page.exit.io.size = 2;
	guest.page.exit.io.flags = LUV_IO_IN | LUV_IO_STRING | LUV_IO_REP;
	guest.page.exit.io.address_bits = 64;
	assert_int_equal(emulate_string_io(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME + 3);
	assert_memory_equal(ram + 0x2000, guest.port_in, 2);
	/* The guest has overwritten it meanwhile: it shall have what is there now. */
	guest.page.rip = HOME;
	*reg(LUV_RCX) = 1;
	memcpy(ram + HOME, "\x90\x90\x90", 3);
	assert_int_equal(emulate_string_io(&guest.emulate), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(guest.port_calls, 1);
}

/* --- the instruction's bytes --- */

static void test_fetch(void **state)
{
	(void)state;
	/* At the end of a page; the exit had no bytes at all, or some. */
	for (unsigned count = 0; count < 4; count++) {
		begin(GUEST_CODE64);
		memcpy(ram + 0x1ffe, "\x48\x89\x4b\x08", 4);
		guest.page.rip = 0x1ffe;
		*reg(LUV_RBX) = DEVICE;
		*reg(LUV_RCX) = 0x8877665544332211;
		assert_int_equal(run(DEVICE + 8, true, "\x48\x89\x4b", count), EMULATE_DONE);
		assert_int_equal(device_word(8, 8), 0x8877665544332211);
		assert_int_equal(guest.page.rip, 0x2002);
	}
}

static void test_fetch_fails(void **state)
{
	(void)state;
	begin(GUEST_CODE64); /* code that is in no RAM */
	guest.page.rip = DEVICE;
	assert_int_equal(run(DEVICE, false, "", 0), EMULATE_UNKNOWN);
	begin(GUEST_CODE32); /* the limit cuts it off */
	guest.page.segment[LUV_CS].limit = HOME;
	memcpy(ram + HOME, "\x89\x0b", 2);
	expect_fault(run(DEVICE, true, "", 0), VECTOR_GP, 0);
}

static void test_bad_bytes(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE;
	expect_fault(RUN(DEVICE, true, "\xf0\x89\x0b"), VECTOR_UD, 0); /* lock mov */
	expect_fault(RUN(DEVICE, false, "\xf0\x03\x0b"), VECTOR_UD,
		     0); /* lock add ecx, [rbx] */
	/* 16 bytes */
	expect_fault(
	    RUN(DEVICE, true, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x89"),
	    VECTOR_GP, 0);
	guest.page.rflags = 2;
	assert_int_equal(RUN(DEVICE, true, "\xdd\x33"), EMULATE_UNKNOWN); /* fnsave [rbx] */
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(guest.page.rflags, 2);
	assert_int_equal(guest.logged, 0);
	/* A program of the guest's cannot end the guest. */
	guest.page.segment[LUV_SS].attributes |= GUEST_RING3;
	expect_fault(RUN(DEVICE, true, "\xdd\x33"), VECTOR_UD, 0);
	/* INS at an exit for memory: its port is the CPU's to check. */
	assert_int_equal(RUN(DEVICE, true, "\x6c"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME);
	assert_int_equal(guest.port_calls, 0);
}

/* The same address, other bytes or another mode: nothing stale is executed. */
static void test_cache(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	for (unsigned i = 0; i < 3; i++) {
		guest.page.rip = HOME;
		*reg(LUV_RBX) = DEVICE;
		*reg(LUV_RAX) = 0;
		assert_int_equal(RUN(DEVICE, true, "\x48\xff\x03"),
				 EMULATE_DONE); /* inc [rbx] */
		assert_int_equal(guest.log[1].size, 8);
		guest.logged = 0;
		guest.page.rip = HOME;
		assert_int_equal(RUN(DEVICE, true, "\x48\xff\x0b"),
				 EMULATE_DONE); /* dec [rbx] */
		assert_int_equal(guest.log[1].size, 8);
		guest.logged = 0;
	}
	assert_int_equal(device_word(0, 1), 1);
	guest.page.segment[LUV_CS].attributes = GUEST_CODE32; /* dec eax */
	guest.page.rip = HOME;
	assert_int_equal(RUN(DEVICE, true, "\x48\xff\x0b"), EMULATE_DONE);
	assert_int_equal(*reg(LUV_RAX), 0xffffffff);
	assert_int_equal(guest.page.rip, HOME + 1);
	/* Fewer bytes than the instruction that is known has. */
	guest.page.segment[LUV_CS].attributes = GUEST_CODE64;
	guest.page.rip = HOME;
	assert_int_equal(RUN(DEVICE, true, "\xfe\x43\x00"), EMULATE_DONE); /* inc [rbx + 0] */
	guest.page.rip = HOME;
	memcpy(ram + HOME, "\xfe\x43\x08", 3);
	device[8] = 7;
	assert_int_equal(run(DEVICE + 8, true, "\xfe\x43", 2), EMULATE_DONE);
	assert_int_equal(guest.page.rip, HOME + 3);
	assert_int_equal(device[8], 8);
}

/* --- vector registers --- */

static void test_vector_refused(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE;
	guest.page.cr4 &= ~CR4_OSFXSR;
	expect_fault(RUN(DEVICE, true, "\x0f\x11\x03"), VECTOR_UD, 0); /* movups [rbx], xmm0 */
	guest.page.cr4 |= CR4_OSFXSR;
	guest.page.cr0 |= CR0_TS;
	expect_fault(RUN(DEVICE, true, "\x0f\x11\x03"), VECTOR_NM, 0);
	expect_fault(RUN(DEVICE, true, "\xc5\xf8\x11\x03"), VECTOR_NM, 0); /* vmovups */
	expect_fault(RUN(DEVICE, true, "\x0f\x7f\x03"), VECTOR_NM, 0);	   /* movq [rbx], mm0 */
	guest.page.cr0 |= CR0_EM;
	expect_fault(RUN(DEVICE, true, "\x0f\x11\x03"), VECTOR_UD, 0);
	expect_fault(RUN(DEVICE, true, "\x0f\x7f\x03"), VECTOR_UD, 0);
	guest.page.cr0 &= ~(CR0_EM | CR0_TS);
	guest.page.xcr0 = 3;
	expect_fault(RUN(DEVICE, true, "\xc5\xf8\x11\x03"), VECTOR_UD, 0);
	guest.page.xcr0 = 7;
	guest.page.cr4 &= ~CR4_OSXSAVE;
	expect_fault(RUN(DEVICE, true, "\xc5\xf8\x11\x03"), VECTOR_UD, 0);
	guest.xsave[2] = 0x80; /* a pending x87 error */
	expect_fault(RUN(DEVICE, true, "\x0f\x7f\x03"), VECTOR_MF, 0);
	assert_int_equal(guest.logged, 0);
}

/* States that are not in use are 0, whatever lies in the area. */
static void test_vector_unused(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	memset(guest.xsave, 0xee, 512);
	memset(guest.xsave + 576, 0xee, 256);
	guest.xsave[512] = 0;
	guest.page.valid &= ~LUV_GROUP_FPU;
	*reg(LUV_RBX) = DEVICE;
	assert_int_equal(RUN(DEVICE, true, "\xc5\xfc\x11\x0b"), EMULATE_DONE); /* ymm1 */
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(device[i], 0);
	assert_true(guest.page.valid & LUV_GROUP_FPU);
	assert_int_equal(RUN(DEVICE, false, "\xf3\x0f\x6f\x4b\x40"), EMULATE_DONE); /* xmm1 */
	assert_int_equal(guest.xsave[512], 2);
	assert_memory_equal(guest.xsave + 160 + 16, device + 0x40, 16);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(guest.xsave[160 + i], 0);
	assert_int_equal(RUN(DEVICE, false, "\x0f\x6f\x43\x40"), EMULATE_DONE); /* mm0 */
	assert_int_equal(guest.xsave[512], 3);
	assert_int_equal(guest.xsave[0], 0x7f); /* FCW */
	assert_int_equal(guest.xsave[4], 0xff); /* FTW */
	assert_memory_equal(guest.xsave + 32, device + 0x40, 8);
}

/* A move to YMM clears the upper half of ZMM, one to XMM (SSE) does not touch YMM. */
static void test_vector_upper(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	guest.emulate.setup.zmm_offset = 896;
	guest.xsave[512] = 0x47;
	memset(guest.xsave + 576, 0xee, 256);
	memset(guest.xsave + 896, 0xee, 512);
	*reg(LUV_RBX) = DEVICE;
	assert_int_equal(RUN(DEVICE, false, "\x0f\x10\x0b"), EMULATE_DONE);
	assert_int_equal(guest.xsave[576 + 16], 0xee);
	assert_int_equal(guest.xsave[896 + 32], 0xee);
	assert_int_equal(RUN(DEVICE, false, "\xc5\xf8\x10\x0b"), EMULATE_DONE);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(guest.xsave[576 + 16 + i], 0);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(guest.xsave[896 + 32 + i], 0);
	assert_int_equal(guest.xsave[896 + 31], 0xee);
	assert_int_equal(guest.xsave[896 + 64], 0xee);
}

/* --- segment registers, descriptor tables --- */

#define GDT 0x5000

/* Descriptors: low and high word. */
static void descriptor(unsigned selector, uint64_t words)
{
	memcpy(ram + GDT + (selector & ~7u), &words, 8);
}

static void begin_tables(uint64_t code)
{
	begin(code);
	guest.page.gdt_base = GDT;
	guest.page.gdt_limit = 0x7f;
	descriptor(0x10, 0x00af9a000000ffff);		      /* 64-bit code */
	descriptor(0x18, 0x12cf92345678ffff);		      /* data, base 12345678h */
	descriptor(0x20, 0x00cf9a000000ffff);		      /* 32-bit code */
	descriptor(0x28, 0x00cf92000000ffff & ~(1ull << 47)); /* not present */
	descriptor(0x30, 0x00cff2000000ffff);		      /* data of privilege 3 */
	descriptor(0x38, 0x000089001000002f);		      /* a TSS at 1000h */
	descriptor(0x48, 0x0000820020000017);		      /* an LDT at 2000h */
	descriptor(0x58, 0x0000ec0000200000);		      /* a call gate */
	*reg(LUV_RBX) = DEVICE;
}

static void device_put(uint64_t selector)
{
	memcpy(device, &selector, 2);
}

#define MOV_DS "\x8e\x1b" /* mov ds, [rbx] */
#define MOV_SS "\x8e\x13"

static void test_load_data(void **state)
{
	(void)state;
	begin_tables(GUEST_CODE32);
	device_put(0x18);
	assert_int_equal(RUN(DEVICE, false, MOV_DS), EMULATE_DONE);
	assert_int_equal(guest.page.segment[LUV_DS].base, 0x12345678);
	assert_int_equal(guest.page.segment[LUV_DS].limit, 0xffffffff);
	assert_int_equal(guest.page.segment[LUV_DS].selector, 0x18);
	assert_int_equal(guest.page.segment[LUV_DS].attributes, 0xc93);
	assert_int_equal(ram[GDT + 0x1d], 0x93); /* accessed */
	assert_true(guest.page.dirty & LUV_GROUP_SEGMENTS);
	assert_int_equal(guest.page.events.shadow, 0);
	begin_tables(GUEST_CODE32);
	device_put(0x18);
	assert_int_equal(RUN(DEVICE, false, MOV_SS), EMULATE_DONE);
	assert_int_equal(guest.page.segment[LUV_SS].base, 0x12345678);
	assert_int_equal(guest.page.events.shadow, 1);
	assert_true(guest.page.dirty & LUV_GROUP_EVENTS);
}

static void test_load_refused(void **state)
{
	static const struct {
		uint16_t selector;
		bool stack;
		unsigned vector, error;
	} rows[] = {
	    {0x80, false, VECTOR_GP, 0x80}, /* behind the table */
	    {0x1c, false, VECTOR_GP, 0x1c}, /* no LDT */
	    {0x28, false, VECTOR_NP, 0x28}, {0x28, true, VECTOR_SS, 0x28},
	    {0x38, false, VECTOR_GP, 0x38}, /* a system segment */
	    {0x20, true, VECTOR_GP, 0x20},  /* code */
	    {0x1b, false, VECTOR_GP, 0x18}, /* RPL 3, DPL 0 */
	    {0x1b, true, VECTOR_GP, 0x18},  {0x30, true, VECTOR_GP, 0x30},
	    {0x00, true, VECTOR_GP, 0},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before;

		begin_tables(GUEST_CODE32);
		device_put(rows[i].selector);
		before = guest.page.segment[LUV_DS].selector;
		guest_exit(&guest, DEVICE, false, rows[i].stack ? MOV_SS : MOV_DS, 2);
		expect_fault(emulate_mmio(&guest.emulate), rows[i].vector, rows[i].error);
		assert_int_equal(guest.page.segment[LUV_DS].selector, before);
		assert_int_equal(ram[GDT + 0x1d], 0x92);
	}
}

static void test_load_null(void **state)
{
	(void)state;
	begin_tables(GUEST_CODE64);
	device_put(0);
	assert_int_equal(RUN(DEVICE, false, MOV_SS), EMULATE_DONE);
	assert_int_equal(guest.page.segment[LUV_SS].selector, 0);
	guest.page.rip = HOME;
	device_put(3);
	expect_fault(RUN(DEVICE, false, MOV_SS), VECTOR_GP, 0);
	assert_int_equal(RUN(DEVICE, false, MOV_DS), EMULATE_DONE);
	assert_int_equal(guest.page.segment[LUV_DS].attributes, 0);
}

static void test_far_jump(void **state)
{
	(void)state;
	begin_tables(GUEST_CODE64);
	memcpy(device, "\x78\x56\x34\x12\xff\x7f\0\0\x10\0", 10);
	assert_int_equal(RUN(DEVICE, false, "\x48\xff\x2b"), EMULATE_DONE); /* ljmp [rbx] */
	assert_int_equal(guest.page.rip, 0x7fff12345678);
	assert_int_equal(guest.page.segment[LUV_CS].selector, 0x10);
	assert_int_equal(guest.page.segment[LUV_CS].attributes, 0xa9b);
	/* To compatibility mode, with a far CALL. */
	guest.page.rip = HOME;
	memcpy(device, "\x78\x56\x34\x12\x20\0", 6);
	*reg(LUV_RSP) = 0x3000;
	assert_int_equal(RUN(DEVICE, false, "\xff\x1b"), EMULATE_DONE);
	assert_int_equal(guest.page.rip, 0x12345678);
	assert_int_equal(guest.page.segment[LUV_CS].attributes, 0xc9b);
	assert_memory_equal(ram + 0x2ff8, "\x02\x10\0\0\x10\0\0\0", 8);
	assert_int_equal(*reg(LUV_RSP), 0x2ff8);

	begin_tables(GUEST_CODE64);
	memcpy(device, "\0\0\0\0\0\x80\0\0\x10\0", 10);
	expect_fault(RUN(DEVICE, false, "\x48\xff\x2b"), VECTOR_GP, 0); /* not canonical */
	memcpy(device + 8, "\x18\0", 2);
	expect_fault(RUN(DEVICE, false, "\x48\xff\x2b"), VECTOR_GP, 0x18); /* data */
	memcpy(device + 8, "\x58\0", 2);
	assert_int_equal(RUN(DEVICE, false, "\x48\xff\x2b"), EMULATE_UNKNOWN); /* a gate */
	assert_int_equal(guest.page.segment[LUV_CS].selector, 8);
}

static void test_far_real(void **state)
{
	(void)state;
	begin(GUEST_REAL);
	guest.page.segment[LUV_DS].base = DEVICE;
	memcpy(device, "\x34\x12\x00\xf0", 4);
	*reg(LUV_RBX) = 0;
	assert_int_equal(RUN(DEVICE, false, "\xff\x2f"), EMULATE_DONE); /* jmp far [bx] */
	assert_int_equal(guest.page.rip, 0x1234);
	assert_int_equal(guest.page.segment[LUV_CS].base, 0xf0000);
	assert_int_equal(guest.page.segment[LUV_CS].selector, 0xf000);
	assert_int_equal(RUN(DEVICE, false, "\xc4\x0f"), EMULATE_DONE); /* les cx, [bx] */
	assert_int_equal(*reg(LUV_RCX), 0x1234);
	assert_int_equal(guest.page.segment[LUV_ES].base, 0xf0000);
}

static void test_system_segments(void **state)
{
	(void)state;
	begin_tables(GUEST_CODE64);
	device_put(0x38);
	descriptor(0x40, 0x00000000ffff8000);
	assert_int_equal(RUN(DEVICE, false, "\x0f\x00\x1b"), EMULATE_DONE); /* ltr */
	assert_int_equal(guest.page.segment[LUV_TR].base, 0xffff800000001000);
	assert_int_equal(guest.page.segment[LUV_TR].attributes, 0x8b);
	assert_int_equal(ram[GDT + 0x3d], 0x8b); /* busy */
	guest.page.rip = HOME;
	expect_fault(RUN(DEVICE, false, "\x0f\x00\x1b"), VECTOR_GP, 0x38);
	device_put(0x48);
	assert_int_equal(RUN(DEVICE, false, "\x0f\x00\x13"), EMULATE_DONE); /* lldt */
	assert_int_equal(guest.page.segment[LUV_LDTR].base, 0x2000);
	assert_int_equal(guest.page.segment[LUV_LDTR].limit, 0x17);
	guest.page.rip = HOME;
	guest.page.segment[LUV_SS].attributes |= GUEST_RING3;
	expect_fault(RUN(DEVICE, false, "\x0f\x00\x13"), VECTOR_GP, 0);
	assert_int_equal(RUN(DEVICE, true, "\x0f\x00\x0b"), EMULATE_DONE); /* str */
	assert_int_equal(device_word(0, 2), 0x38);
}

/* --- others --- */

static void test_smsw(void **state)
{
	(void)state;
	begin(GUEST_CODE64);
	*reg(LUV_RBX) = DEVICE;
	guest.page.cr0 = 0x80050033 & ~CR0_PG;
	assert_int_equal(RUN(DEVICE, true, "\x0f\x01\x23"), EMULATE_DONE);
	assert_int_equal(device_word(0, 2), 0x33);
	guest.page.rip = HOME;
	guest.page.cr4 |= CR4_UMIP;
	guest.page.segment[LUV_SS].attributes |= GUEST_RING3;
	expect_fault(RUN(DEVICE, true, "\x0f\x01\x23"), VECTOR_GP, 0);
}

/* IF only with IOPL, IOPL only at privilege 0; VM and RF never. */
static void test_popf(void **state)
{
	static const struct {
		unsigned privilege, iopl;
		uint64_t changed;
	} rows[] = {
	    {0, 0, RFLAGS_IF | RFLAGS_IOPL},
	    {3, 3, RFLAGS_IF},
	    {3, 0, 0},
	};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = 2 | (uint64_t)rows[i].iopl << 12, kept = before & RFLAGS_IOPL;

		begin(GUEST_CODE64);
		guest.page.segment[LUV_SS].attributes |= rows[i].privilege << 5;
		guest.page.rflags = before;
		*reg(LUV_RSP) = DEVICE;
		memset(device, 0xff, 8);
		assert_int_equal(RUN(DEVICE, false, "\x9d"), EMULATE_DONE);
		assert_int_equal(guest.page.rflags,
				 0x244dd7 /* ID AC NT OF DF TF SF ZF AF PF 1 CF */ | kept |
				     rows[i].changed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_write_asked),
	    cmocka_unit_test(test_read_asked),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_not_plain),
	    cmocka_unit_test(test_read_modify_write),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_moved_away),
	    cmocka_unit_test(test_read_only),
	    cmocka_unit_test(test_locked),
	    cmocka_unit_test(test_dirty_log),
	    cmocka_unit_test(test_flags_behind),
	    cmocka_unit_test(test_step_rep),
	    cmocka_unit_test(test_rip_wraps),
	    cmocka_unit_test(test_segments),
	    cmocka_unit_test(test_bases),
	    cmocka_unit_test(test_real),
	    cmocka_unit_test(test_real_branches),
	    cmocka_unit_test(test_virtual_8086),
	    cmocka_unit_test(test_branches_64),
	    cmocka_unit_test(test_rep_fault),
	    cmocka_unit_test(test_movs_order),
	    cmocka_unit_test(test_rep_bounds),
	    cmocka_unit_test(test_rep_asked),
	    cmocka_unit_test(test_rep_nothing),
	    cmocka_unit_test(test_ins),
	    cmocka_unit_test(test_ins_asked),
	    cmocka_unit_test(test_ins_fault),
	    cmocka_unit_test(test_outs),
	    cmocka_unit_test(test_outs_device),
	    cmocka_unit_test(test_io_wraps),
	    cmocka_unit_test(test_io_length),
	    cmocka_unit_test(test_fetch),
	    cmocka_unit_test(test_fetch_fails),
	    cmocka_unit_test(test_bad_bytes),
	    cmocka_unit_test(test_cache),
	    cmocka_unit_test(test_vector_refused),
	    cmocka_unit_test(test_vector_unused),
	    cmocka_unit_test(test_vector_upper),
	    cmocka_unit_test(test_load_data),
	    cmocka_unit_test(test_load_refused),
	    cmocka_unit_test(test_load_null),
	    cmocka_unit_test(test_far_jump),
	    cmocka_unit_test(test_far_real),
	    cmocka_unit_test(test_system_segments),
	    cmocka_unit_test(test_smsw),
	    cmocka_unit_test(test_popf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
