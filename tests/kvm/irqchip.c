/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-kernel PIC, I/O APIC and PIT. */
#include <string.h>

#include "kvm/test.h"

#define IOAPIC	    0xfec00000u
#define PIC_VECTOR  0x20u
#define PORT_PIC    0x13u /* the handlers report here */
#define PORT_IOAPIC 0x14u
#define PINS	    24u
#define EDGE_PIN    18u /* beyond the PIC's lines */
#define LEVEL_PIN   19u

/* ICW1 to 4 of both PICs, IRQs 0 to 15 to vectors 20h and 28h; then the mask in BL, BH. */
#define PIC_INIT                                                                               \
	"mov $0x11, %al; out %al, $0x20; out %al, $0xa0; mov $0x20, %al; out %al, $0x21\n"     \
	"mov $0x28, %al; out %al, $0xa1; mov $4, %al; out %al, $0x21; mov $2, %al; out %al, "  \
	"$0xa1\n"                                                                              \
	"mov $1, %al; out %al, $0x21; out %al, $0xa1; mov %bl, %al; out %al, $0x21; mov %bh, " \
	"%al\n"                                                                                \
	"out %al, $0xa1\n"

/* The local APIC enabled by its spurious vector register. */
#define APIC_ENABLE "mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15)\n"

/* Redirection entry EBX: low half in ECX, high half 0, to APIC 0. */
#define IOAPIC_ENTRY                                                                   \
	"mov $0xfec00000, %r14d; lea 0x11(,%rbx,2), %eax; mov %eax, (%r14); movl $0, " \
	"0x10(%r14)\n"                                                                 \
	"lea 0x10(,%rbx,2), %eax; mov %eax, (%r14); mov %ecx, 0x10(%r14)\n"

GUEST(pic_halt, 64, PIC_INIT "sti; out %al, $0x10; 1: hlt; jmp 1b");
GUEST(pic_spin, 64, PIC_INIT "sti; out %al, $0x10; 1: pause; jmp 1b");
GUEST(pic_ports, 64,
      "in $0x21, %al; out %al, $0x10; in $0xa1, %al; out %al, $0x10; mov $0xa, %al\n"
      "out %al, $0x20; in $0x20, %al; out %al, $0x10; mov $0x55, %al; out %al, $0x21; out %al, "
      "$0x10");
GUEST(ioapic, 64, APIC_ENABLE IOAPIC_ENTRY "sti; out %al, $0x10; 1: hlt; jmp 1b");
GUEST(ioapic_registers, 64,
      "mov $0xfec00000, %edi; movl $1, (%rdi); mov 0x10(%rdi), %eax; out %eax, $0x10\n"
      "movl $0x12, (%rdi); mov 0x10(%rdi), %eax; out %eax, $0x10; movl $0x55, 0x10(%rdi)\n"
      "movl $0, (%rdi); movl $0x03000000, 0x10(%rdi); mov 0x10(%rdi), %eax; out %eax, $0x10");
GUEST(pic_handler, 64,
      "push %rax; mov $0x20, %al; out %al, $0x20; out %al, $0x13; pop %rax; iretq");
GUEST(slave_handler, 64,
      "push %rax; mov $0x20, %al; out %al, $0xa0; out %al, $0x20; out %al, $0x13; pop %rax; "
      "iretq");
GUEST(apic_handler, 64, "out %al, $0x14; movl $0, 0xb0(%r15); iretq");
GUEST(pit, 64,
      PIC_INIT
      "mov $0x34, %al; out %al, $0x43; mov $0x50, %al; out %al, $0x40; mov $0x12, %al\n"
      "out %al, $0x40; sti; out %al, $0x10; 1: hlt; jmp 1b");
GUEST(pit_reads, 64,
      "mov $0xb6, %al; out %al, $0x43; xor %eax, %eax; out %al, $0x42; mov $0xff, %al; out "
      "%al, $0x42\n"
      "in $0x61, %al; or $1, %al; out %al, $0x61\n"
      "mov $0x80, %al; out %al, $0x43; in $0x42, %al; mov %al, %ah; in $0x42, %al; xchg %al, "
      "%ah\n"
      "out %ax, $0x10; mov $200000, %ecx; 1: loop 1b\n"
      "mov $0x80, %al; out %al, $0x43; in $0x42, %al; mov %al, %ah; in $0x42, %al; xchg %al, "
      "%ah\n"
      "out %ax, $0x10; hlt");

static struct vm vm;

static void line(unsigned gsi, unsigned level)
{
	const struct kvm_irq_level request = {.irq = gsi, .level = level};

	MUST(ioctl(vm.fd, KVM_IRQ_LINE, &request));
}

static int line_status(unsigned gsi, unsigned level)
{
	struct kvm_irq_level request = {.irq = gsi, .level = level};

	MUST(ioctl(vm.fd, KVM_IRQ_LINE_STATUS, &request));
	return (int)request.status;
}

static void start(const struct guest *guest, uint64_t rbx, uint64_t rcx)
{
	struct kvm_regs regs;

	vm_load(&vm, 0, guest, LONG);
	vm_put(&vm, HANDLER + 0x100, &pic_handler);
	vm_put(&vm, HANDLER + 0x180, &slave_handler);
	vm_put(&vm, HANDLER + 0x200, &apic_handler);
	for (unsigned i = 0; i < 16; i++)
		vm_gate(&vm, PIC_VECTOR + i, i < 8 ? HANDLER + 0x100 : HANDLER + 0x180);
	for (unsigned i = 0x30; i < 256; i++)
		vm_gate(&vm, i, HANDLER + 0x200);
	regs = vm_regs(&vm, 0);
	regs.rbx = rbx;
	regs.rcx = rcx;
	vm_set_regs(&vm, 0, &regs);
}

/* --- creating, getting, setting
 * --------------------------------------------------------------- */

static void test_create(int argument)
{
	const struct kvm_irq_level request = {.irq = 1, .level = 1};
	const struct kvm_interrupt interrupt = {.irq = 0x40};
	struct kvm_irqchip chip = {0};
	struct kvm_pit_state2 state;
	struct kvm_lapic_state lapic;

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_IRQCHIP);
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_IRQCHIP)), EINVAL); /* after a vCPU */
	EXPECT(failure(ioctl(vm.fd, KVM_IRQ_LINE, &request)), ENXIO);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip)), ENXIO);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_PIT2, &state)), ENXIO);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_GET_LAPIC, &lapic)), EINVAL);
	vm_close(&vm);
	vm_create_with_irqchip(&vm);
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_IRQCHIP)), EEXIST);
	EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_INTERRUPT, &interrupt)), ENXIO);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_PIT2, &state)), ENXIO); /* it has no PIT yet */
}

static void test_chips(int argument)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_SLAVE};
	struct kvm_pic_state pic = {
	    .irq_base = 0x70, .imr = 0xa5, .init4 = 1, .elcr = 0x0c, .elcr_mask = 0xde};

	(void)argument;
	vm_create_with_irqchip(&vm);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	pic.elcr_mask = chip.chip.pic.elcr_mask;
	chip.chip.pic = pic;
	EXPECT(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip), 0);
	memset(&chip.chip, 0, sizeof(chip.chip));
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(memcmp(&chip.chip.pic, &pic, sizeof(pic)), 0);
	chip.chip_id = KVM_IRQCHIP_PIC_MASTER; /* the other one is as it was */
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.pic.irq_base, 0);
	chip.chip_id = 3;
	EXPECT(failure(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip)), EINVAL);
	EXPECT(failure(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip)), EINVAL);
}

static void test_ioapic_state(int argument)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	(void)argument;
	vm_create_with_irqchip(&vm);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.ioapic.base_address, IOAPIC);
	for (unsigned i = 0; i < PINS; i++)
		EXPECT(chip.chip.ioapic.redirtbl[i].fields.mask, 1);
	chip.chip.ioapic.redirtbl[1].bits = 0x0100000000010055;
	chip.chip.ioapic.ioregsel = 0x12;
	EXPECT(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip), 0);
	memset(&chip.chip, 0, sizeof(chip.chip));
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.ioapic.redirtbl[1].bits, 0x0100000000010055);
	EXPECT(chip.chip.ioapic.ioregsel, 0x12);
}

/* --- the PIC ---------------------------------------------------------------------------------
 */

static void test_pic_ports(int argument)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};

	(void)argument;
	vm_create_with_irqchip(&vm);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	chip.chip.pic.imr = 0xf7;
	chip.chip.pic.init4 = 1;
	MUST(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip));
	start(&pic_ports, 0, 0);
	line(5, 1);
	EXPECT(vm_out(&vm, 0, PORT), 0xf7);
	vm_out(&vm, 0, PORT);
	EXPECT(vm_out(&vm, 0, PORT), 0x20); /* IRR: IRQ 5, masked */
	vm_out(&vm, 0, PORT);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.pic.imr, 0x55);
}

static void test_pic(int spins)
{
	vm_create_with_irqchip(&vm);
	start(spins ? &pic_spin : &pic_halt, 0, 0);
	vm_out(&vm, 0, PORT);
	for (unsigned i = 0; i < 3; i++) {
		line(5, 1);
		line(5, 0);
		vm_out(&vm, 0, PORT_PIC);
		line(11, 1); /* by the slave */
		line(11, 0);
		vm_out(&vm, 0, PORT_PIC);
	}
}

static void test_pic_masked(int argument)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};

	(void)argument;
	vm_create_with_irqchip(&vm);
	start(&pic_halt, 0x20, 0);
	vm_out(&vm, 0, PORT);
	line(5, 1);
	line(5, 0);
	line(4, 1);
	line(4, 0);
	vm_out(&vm, 0, PORT_PIC);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.pic.imr, 0x20);
}

/* What a clock that re-injects lost ticks asks: was it taken, or merged with one that waits? */
static void test_line_status(int argument)
{
	(void)argument;
	vm_create_with_irqchip(&vm);
	start(&pic_halt, 0, 0);
	vm_out(&vm, 0, PORT);
	CHECK(line_status(5, 1) > 0, "a first edge was not delivered");
	line_status(5, 0);
	EXPECT(line_status(5, 1), 0);
	line_status(5, 0);
	vm_out(&vm, 0, PORT_PIC);
	CHECK(line_status(5, 1) > 0, "an edge after the EOI was not delivered");
}

/* --- the I/O APIC ----------------------------------------------------------------------------
 */

static void test_ioapic_registers(int argument)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	(void)argument;
	vm_create_with_irqchip(&vm);
	start(&ioapic_registers, 0, 0);
	EXPECT(vm_out(&vm, 0, PORT) & 0xff00ff, 0x170011);
	EXPECT(vm_out(&vm, 0, PORT), 0x10000);
	EXPECT(vm_out(&vm, 0, PORT), 0x03000000);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.ioapic.redirtbl[1].bits, 0x55);
	EXPECT(chip.chip.ioapic.id, 3);
}

static void test_ioapic_edge(int argument)
{
	(void)argument;
	vm_create_with_irqchip(&vm);
	start(&ioapic, EDGE_PIN, 0x51);
	vm_out(&vm, 0, PORT);
	for (int i = 0; i < 3; i++) {
		line(EDGE_PIN, 1);
		vm_out(&vm, 0, PORT_IOAPIC);
		line(EDGE_PIN, 0);
	}
	line(EDGE_PIN, 1);
	line(EDGE_PIN, 0);
	vm_out(&vm, 0, PORT_IOAPIC);
}

/* A line that stays high interrupts again after each EOI. */
static void test_ioapic_level(int argument)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	(void)argument;
	vm_create_with_irqchip(&vm);
	start(&ioapic, LEVEL_PIN, 0x8052);
	vm_out(&vm, 0, PORT);
	line(LEVEL_PIN, 1);
	vm_out(&vm, 0, PORT_IOAPIC);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.ioapic.redirtbl[LEVEL_PIN].fields.remote_irr, 1);
	vm_out(&vm, 0, PORT_IOAPIC);
	vm_out(&vm, 0, PORT_IOAPIC);
	line(LEVEL_PIN, 0);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	EXPECT(chip.chip.ioapic.irr >> LEVEL_PIN & 1, 0);
}

static void test_ioapic_masked(int argument)
{
	(void)argument;
	vm_create_with_irqchip(&vm);
	start(&ioapic, EDGE_PIN, 0x10051);
	vm_out(&vm, 0, PORT);
	EXPECT(line_status(EDGE_PIN, 1), -1);
	line(EDGE_PIN, 0);
	CHECK(line_status(24, 1) < 0, "a line that is not there was delivered");
}

/* --- the PIT ---------------------------------------------------------------------------------
 */

static void create_with_pit(void)
{
	const struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY}; /* port 61h */

	vm_create_bare(&vm);
	REQUIRE(&vm, KVM_CAP_IRQCHIP);
	REQUIRE(&vm, KVM_CAP_PIT2);
	MUST(ioctl(vm.fd, KVM_CREATE_IRQCHIP));
	EXPECT(ioctl(vm.fd, KVM_CREATE_PIT2, &config), 0);
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_PIT2, &config)), EEXIST);
	vm_add_vcpu(&vm, 0);
}

static void test_pit_interrupts(int argument)
{
	(void)argument;
	create_with_pit();
	start(&pit, 0, 0); /* each 4 ms */
	vm_out(&vm, 0, PORT);
	for (int i = 0; i < 5; i++)
		vm_out(&vm, 0, PORT_PIC);
}

static void test_pit_counts(int argument)
{
	uint32_t first, second;

	(void)argument;
	create_with_pit();
	start(&pit_reads, 0, 0);
	first = vm_out(&vm, 0, PORT);
	second = vm_out(&vm, 0, PORT);
	CHECK(first != second, "channel 2 stands still at %#x", first);
}

static void test_pit_state(int argument)
{
	struct kvm_pit_state2 state, got;

	(void)argument;
	create_with_pit();
	MUST(ioctl(vm.fd, KVM_GET_PIT2, &state));
	state.channels[2].count = 0x1234;
	state.channels[2].mode = 3;
	state.channels[2].rw_mode = 3;
	state.channels[2].gate = 1;
	state.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	EXPECT(ioctl(vm.fd, KVM_SET_PIT2, &state), 0);
	MUST(ioctl(vm.fd, KVM_GET_PIT2, &got));
	EXPECT(got.channels[2].count, 0x1234);
	EXPECT(got.channels[2].mode, 3);
	EXPECT(got.channels[2].rw_mode, 3);
	EXPECT(got.channels[2].gate, 1);
	EXPECT(got.flags & KVM_PIT_FLAGS_HPET_LEGACY, KVM_PIT_FLAGS_HPET_LEGACY);
}

const struct test irqchip_tests[] = {
    TEST("irqchip: creating it, and being without it", test_create),
    TEST("irqchip: PIC state", test_chips),
    TEST("irqchip: I/O APIC state", test_ioapic_state),
    TEST("irqchip: the PIC's ports", test_pic_ports),
    TEST_OF("irqchip: PIC interrupts wake the guest", test_pic, 0),
    TEST_OF("irqchip: PIC interrupts reach a guest that runs", test_pic, 1),
    TEST("irqchip: PIC, masked", test_pic_masked),
    TEST("irqchip: KVM_IRQ_LINE_STATUS", test_line_status),
    TEST("irqchip: the I/O APIC's registers", test_ioapic_registers),
    TEST("irqchip: I/O APIC, edges", test_ioapic_edge),
    TEST("irqchip: I/O APIC, levels", test_ioapic_level),
    TEST("irqchip: I/O APIC, masked", test_ioapic_masked),
    TEST("irqchip: PIT interrupts", test_pit_interrupts),
    TEST("irqchip: PIT counters", test_pit_counts),
    TEST("irqchip: PIT state", test_pit_state),
    TESTS_END,
};
