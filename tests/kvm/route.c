/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways of an interrupt: MSIs, GSI routes, irqfds; ioeventfds; the split interrupt controller.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm/test.h"

#define MSI_ADDRESS 0xfee00000u
#define GSI	    30u
#define PORT_APIC   0x14u
#define SPLIT_PINS  24u
#define LEVEL	    0x8000u

#define APIC_ENABLE "mov $0xfee00000, %r15d; movl $0x1ff, 0xf0(%r15)\n"

GUEST(waits, 64, APIC_ENABLE "sti; out %al, $0x10; 1: hlt; jmp 1b");
GUEST(spins, 64, APIC_ENABLE "sti; out %al, $0x10; 1: pause; jmp 1b");
GUEST(handler, 64, "out %al, $0x14; movl $0, 0xb0(%r15); iretq");
GUEST(notify, 64,
      "movw $5, (%rdi); movl $0x1234, 8(%rdi); movl $0x9999, 8(%rdi); mov $2, %eax; mov "
      "$0x500, %dx\n"
      "out %ax, %dx; out %al, %dx; mov $3, %eax; out %ax, %dx; hlt");
GUEST(notify_loop, 64, "1: movl $1, (%rdi); out %al, $0x10; jmp 1b");
GUEST(notify_each, 64,
      "1: movb $1, (%rdi); movw $1, (%rdi); movl $1, (%rdi); movl $2, (%rdi); movl $3, (%rdi)\n"
      "movb $2, 1(%rdi); movq $1, 8(%rdi); movl $1, 8(%rdi); movb $1, 8(%rdi); movl $1, "
      "12(%rdi)\n"
      "mov $1, %eax; mov $0x500, %dx; out %al, %dx; out %ax, %dx; out %eax, %dx; mov $2, %al\n"
      "out %al, %dx; inc %edx; out %al, %dx; jmp 1b");
/* Two bells in turn for ever, the second at a port or in memory; EBX: how often. */
GUEST(bells, 64, "xor %ebx, %ebx; mov $0x500, %edx; 1: inc %ebx; mov %ebx, (%rdi); out %al, %dx; jmp 1b");
GUEST(bells_mmio, 64, "xor %ebx, %ebx; 1: inc %ebx; mov %ebx, (%rdi); mov %ebx, 16(%rdi); jmp 1b");
GUEST(extint, 64, APIC_ENABLE "movl $0x700, 0x350(%r15); sti; nop; 1: out %al, $0x10; jmp 1b");
GUEST(chips, 64,
      "mov $0xfec00000, %eax; mov (%rax), %eax; out %eax, $0x10; in $0x21, %al; out %al, "
      "$0x10; hlt");

static struct vm vm;

struct routes {
	struct kvm_irq_routing header;
	struct kvm_irq_routing_entry entries[4];
};

static void load(const struct guest *guest)
{
	vm_load(&vm, 0, guest, LONG);
	vm_put(&vm, HANDLER + 0x100, &handler);
	for (unsigned i = 0x30; i < 256; i++)
		vm_gate(&vm, i, HANDLER + 0x100);
}

static void start(const struct guest *guest)
{
	vm_create_with_irqchip(&vm);
	load(guest);
	vm_out(&vm, 0, PORT);
}

static int line(unsigned gsi, unsigned level)
{
	struct kvm_irq_level request = {.irq = gsi, .level = level};

	return failure(ioctl(vm.fd, KVM_IRQ_LINE, &request));
}

static struct kvm_irq_routing_entry msi_route(unsigned gsi, uint32_t data)
{
	return (struct kvm_irq_routing_entry){
	    .gsi = gsi,
	    .type = KVM_IRQ_ROUTING_MSI,
	    .u.msi = {.address_lo = MSI_ADDRESS, .data = data},
	};
}

static int set_routes(struct routes *routes, uint32_t count)
{
	routes->header.nr = count;
	return failure(ioctl(vm.fd, KVM_SET_GSI_ROUTING, routes));
}

static void route_msi(unsigned gsi, uint32_t data)
{
	struct routes routes = {.entries = {msi_route(gsi, data)}};

	EXPECT(set_routes(&routes, 1), 0);
}

/* --- MSIs and routes -------------------------------------------------------------------------
 */

static void test_msi(int argument)
{
	struct kvm_msi msi = {.address_lo = MSI_ADDRESS, .data = 0x61};

	(void)argument;
	start(&waits);
	REQUIRE(&vm, KVM_CAP_SIGNAL_MSI);
	for (int i = 0; i < 3; i++) {
		CHECK(MUST(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi)) > 0, "not delivered");
		vm_out(&vm, 0, PORT_APIC);
	}
	msi.flags = 0x80;
	EXPECT(failure(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi)), EINVAL);
}

static void test_msi_without(int argument)
{
	struct kvm_msi msi = {.address_lo = MSI_ADDRESS, .data = 0x61};

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_SIGNAL_MSI);
	EXPECT(failure(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi)), EINVAL);
}

static void test_routes(int argument)
{
	struct routes routes = {.entries = {
				    msi_route(GSI, 0x62),
				    {.gsi = 5,
				     .type = KVM_IRQ_ROUTING_IRQCHIP,
				     .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = 20}},
				}};
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	(void)argument;
	start(&waits);
	EXPECT(set_routes(&routes, 2), 0);
	EXPECT(line(GSI, 1), 0);
	vm_out(&vm, 0, PORT_APIC);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	chip.chip.ioapic.redirtbl[20].bits = 0x63;
	MUST(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip));
	EXPECT(line(5, 1), 0);
	vm_out(&vm, 0, PORT_APIC);
	EXPECT(line(5, 0), 0);
	/* Another table: the old routes are gone. */
	route_msi(GSI + 1, 0x64);
	EXPECT(line(GSI + 1, 1), 0);
	vm_out(&vm, 0, PORT_APIC);
}

static void test_bad_routes(int argument)
{
	struct routes routes = {.entries = {msi_route(GSI, 0x62)}};

	(void)argument;
	start(&waits);
	routes.entries[0].flags = 8;
	EXPECT(set_routes(&routes, 1), EINVAL);
	routes.entries[0] = msi_route(1u << 20, 0x62);
	EXPECT(set_routes(&routes, 1), EINVAL);
	routes.entries[0] = msi_route(GSI, 0x62);
	routes.entries[0].type = 77;
	EXPECT(set_routes(&routes, 1), EINVAL);
	routes.entries[0] = (struct kvm_irq_routing_entry){
	    .gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = 9, .pin = 1}};
	EXPECT(set_routes(&routes, 1), EINVAL);
	routes.header.flags = 1;
	EXPECT(set_routes(&routes, 0), EINVAL);
	routes.header.flags = 0;
	EXPECT(set_routes(&routes, 1u << 20), EINVAL);
	EXPECT(set_routes(&routes, 0), 0);
}

/* --- irqfds ----------------------------------------------------------------------------------
 */

static int irqfd(int fd, unsigned gsi, uint32_t flags)
{
	const struct kvm_irqfd request = {.fd = (uint32_t)fd, .gsi = gsi, .flags = flags};

	return failure(ioctl(vm.fd, KVM_IRQFD, &request));
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	EXPECT(write(fd, &one, sizeof(one)), sizeof(one));
}

static bool signalled(int fd, int milliseconds)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t count;

	return poll(&wait, 1, milliseconds) == 1 &&
	       read(fd, &count, sizeof(count)) == sizeof(count);
}

static void test_irqfd(int spinning)
{
	int fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	start(spinning ? &spins : &waits);
	REQUIRE(&vm, KVM_CAP_IRQFD);
	route_msi(GSI, 0x65);
	EXPECT(irqfd(fd, GSI, 0), 0);
	for (int i = 0; i < 5; i++) {
		signal_fd(fd);
		vm_out(&vm, 0, PORT_APIC);
	}
	EXPECT(irqfd(fd, GSI, KVM_IRQFD_FLAG_DEASSIGN), 0);
	signal_fd(fd);
	CHECK(signalled(fd, 1000), "what is written after that is not the client's");
}

static struct {
	int fd;
	int resample;	  /* 0: none */
	atomic_int taken; /* interrupts that the client has seen */
} sender;

static void send_later(struct vm *which)
{
	(void)which;
	for (int i = 0; i < 3; i++) {
		struct pollfd completed = {.fd = sender.resample, .events = POLLIN};

		/* A line that is active has no edge; a message that waits takes the next one in. */
		while (sender.taken < i)
			sleep_ms(1);
		if (sender.resample && i)
			EXPECT(poll(&completed, 1, 10000), 1);
		sleep_ms(30); /* the vCPU is most likely in RUN again */
		signal_fd(sender.fd);
	}
}

/* Signalled while the vCPU is in RUN: halted, or busy. */
static void test_irqfd_while_running(int spinning)
{
	sender.fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	start(spinning ? &spins : &waits);
	REQUIRE(&vm, KVM_CAP_IRQFD);
	route_msi(GSI, 0x65);
	EXPECT(irqfd(sender.fd, GSI, 0), 0);
	thread_start(&vm, send_later);
	for (int i = 0; i < 3; i++) {
		vm_out(&vm, 0, PORT_APIC);
		sender.taken++;
	}
	thread_join_all();
}

static void test_bad_irqfds(int argument)
{
	int fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	(void)argument;
	start(&waits);
	REQUIRE(&vm, KVM_CAP_IRQFD);
	EXPECT(irqfd(1000, GSI, 0), EBADF);
	EXPECT(irqfd(vm.fd, GSI, 0), EINVAL); /* no eventfd */
	EXPECT(irqfd(fd, GSI, 0x80), EINVAL);
	EXPECT(irqfd(fd, GSI, 0), 0);
	EXPECT(irqfd(fd, GSI, 0), EBUSY);
	EXPECT(irqfd(fd, GSI, KVM_IRQFD_FLAG_DEASSIGN), 0);
	EXPECT(irqfd(fd, GSI, 0), 0);
}

/* A level: the line is high until the guest's EOI, which tells the client to look again. */
static void test_resample(int argument)
{
	int fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	int resample = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	struct kvm_irqfd request = {.fd = (uint32_t)fd,
				    .gsi = 20,
				    .flags = KVM_IRQFD_FLAG_RESAMPLE,
				    .resamplefd = (uint32_t)resample};
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	(void)argument;
	start(&waits);
	REQUIRE(&vm, KVM_CAP_IRQFD_RESAMPLE);
	MUST(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip));
	chip.chip.ioapic.redirtbl[20].bits = LEVEL | 0x66;
	MUST(ioctl(vm.fd, KVM_SET_IRQCHIP, &chip));
	EXPECT(ioctl(vm.fd, KVM_IRQFD, &request), 0);
	sender.fd = fd;
	sender.resample = resample;
	thread_start(&vm, send_later);
	for (int i = 0; i < 3; i++) {
		vm_out(&vm, 0, PORT_APIC);
		EXPECT(signalled(resample, 0), i > 0);
		sender.taken++;
	}
	thread_join_all();
}

/* --- ioeventfds ------------------------------------------------------------------------------
 */

static int ioeventfd(int fd, uint64_t address, uint32_t length, uint64_t match, uint32_t flags)
{
	const struct kvm_ioeventfd request = {
	    .fd = fd, .addr = address, .len = length, .datamatch = match, .flags = flags};

	return failure(ioctl(vm.fd, KVM_IOEVENTFD, &request));
}

static void test_ioeventfd(int argument)
{
	int any = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	int matched = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	int port = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_IOEVENTFD);
	EXPECT(ioeventfd(any, MMIO, 2, 0, 0), 0);
	EXPECT(ioeventfd(matched, MMIO + 8, 4, 0x1234, KVM_IOEVENTFD_FLAG_DATAMATCH), 0);
	EXPECT(
	    ioeventfd(port, 0x500, 2, 2, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH),
	    0);
	load(&notify);
	vm_mmio(&vm, 0, MMIO + 8, 4, true); /* 9999h */
	CHECK(signalled(any, 0), "2 bytes were not seen");
	CHECK(signalled(matched, 0) && !signalled(matched, 0), "1234h was not seen once");
	EXPECT(vm_out(&vm, 0, 0x500), 2); /* one byte */
	CHECK(signalled(port, 0), "the port was not seen");
	EXPECT(vm_out(&vm, 0, 0x500), 3);
	vm_run(&vm, 0, KVM_EXIT_HLT);
	CHECK(!signalled(port, 0) && !signalled(any, 0), "more was seen than was written");
}

static unsigned count_of(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (unsigned)count : 0;
}

/* One address, several events: size and data say which. What overlaps it is another address. */
static void test_ioeventfds_together(int argument)
{
	const uint32_t match = KVM_IOEVENTFD_FLAG_DATAMATCH, pio = KVM_IOEVENTFD_FLAG_PIO;
	int fd[7];

	(void)argument;
	for (int i = 0; i < 7; i++)
		fd[i] = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_IOEVENTFD_ANY_LENGTH);
	EXPECT(ioeventfd(fd[0], MMIO, 1, 0, 0), 0);
	EXPECT(ioeventfd(fd[1], MMIO, 4, 1, match), 0);
	EXPECT(ioeventfd(fd[2], MMIO, 4, 2, match), 0);
	EXPECT(ioeventfd(fd[3], MMIO, 4, 0, 0), EEXIST);
	EXPECT(ioeventfd(fd[3], MMIO, 0, 0, 0), EEXIST);
	EXPECT(ioeventfd(fd[3], MMIO + 8, 0, 0, 0), 0);
	EXPECT(ioeventfd(fd[4], MMIO + 8, 4, 1, match), EEXIST);
	EXPECT(ioeventfd(fd[4], 0x500, 1, 1, pio | match), 0);
	EXPECT(ioeventfd(fd[5], 0x500, 1, 2, pio | match), 0);
	EXPECT(ioeventfd(fd[6], 0x500, 4, 0, pio), 0);
	load(&notify_each);
	for (int i = 0; i < 3; i++) {
		vm_mmio(&vm, 0, MMIO, 2, true);
		vm_mmio(&vm, 0, MMIO, 4, true); /* 3 */
		vm_mmio(&vm, 0, MMIO + 1, 1, true);
		vm_mmio(&vm, 0, MMIO + 12, 4, true);
		EXPECT(vm_out(&vm, 0, 0x500), 1); /* 2 bytes */
		EXPECT(vm_out(&vm, 0, 0x501), 2);
		for (int event = 0; event < 7; event++)
			EXPECT(count_of(fd[event]), event == 3 ? 3 : 1);
	}
}

static void test_ioeventfd_any_length(int argument)
{
	int fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_IOEVENTFD_ANY_LENGTH);
	load(&notify_loop);
	vm_mmio(&vm, 0, MMIO, 4, true);
	EXPECT(ioeventfd(fd, MMIO, 0, 0, 0), 0);
	vm_out(&vm, 0, PORT);
	for (int i = 0; i < 3; i++) {
		vm_out(&vm, 0, PORT);
		CHECK(signalled(fd, 0), "not signalled");
	}
	EXPECT(ioeventfd(fd, MMIO, 0, 0, KVM_IOEVENTFD_FLAG_DEASSIGN), 0);
	vm_mmio(&vm, 0, MMIO, 4, true);
}

static void test_bad_ioeventfds(int argument)
{
	int fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	int other = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

	(void)argument;
	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_IOEVENTFD);
	EXPECT(ioeventfd(fd, MMIO, 3, 0, 0), EINVAL);
	EXPECT(ioeventfd(fd, -1ull, 2, 0, 0), EINVAL);
	EXPECT(ioeventfd(fd, MMIO, 2, 0, 0x100), EINVAL);
	EXPECT(ioeventfd(1000, MMIO, 2, 0, 0), EBADF);
	EXPECT(ioeventfd(fd, MMIO, 2, 0, KVM_IOEVENTFD_FLAG_DEASSIGN), ENOENT);
	EXPECT(ioeventfd(fd, MMIO, 2, 0, 0), 0);
	EXPECT(ioeventfd(other, MMIO, 2, 0, 0), EEXIST);
	/* As QEMU tries how many there may be. */
	for (unsigned i = 0; i < 7; i++)
		EXPECT(ioeventfd(fd, 0, 2, i,
				 KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH),
		       0);
	for (unsigned i = 0; i < 7; i++)
		EXPECT(ioeventfd(fd, 0, 2, i,
				 KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH |
				     KVM_IOEVENTFD_FLAG_DEASSIGN),
		       0);
}

#define BELL_ROUNDS 50

static atomic_int bells_stop;
static int bells_told; /* counts the exits for the second bell */

static void ring(struct vm *which)
{
	const uint64_t one = 1;

	while (!bells_stop) {
		EXPECT(failure(ioctl(which->vcpu[0].fd, KVM_RUN, 0)), 0);
		EXPECT(write(bells_told, &one, sizeof(one)), sizeof(one));
	}
}

static void await(int fd, const char *what)
{
	struct pollfd wait = {fd, POLLIN, 0};

	EXPECT(poll(&wait, 1, 10000), 1);
	CHECK(count_of(fd), "%s", what);
}

/* Takes whatever number is free next, as an eventfd of its own: nobody else may write to it. */
static void hold_numbers(int held[4])
{
	held[0] = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	for (int i = 1; i < 4; i++)
		held[i] = MUST(fcntl(held[0], F_DUPFD_CLOEXEC, i == 1 ? 0 : 960));
}

/* An event of the guest's comes and goes while the guest rings it, and rings another that stays. */
static void test_ioeventfd_changes(int pio)
{
	const uint64_t address = pio ? 0x500 : MMIO + 16;
	const uint32_t size = pio ? 1 : 4, flags = pio ? KVM_IOEVENTFD_FLAG_PIO : 0;
	int stays = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), held[4];

	vm_create(&vm);
	REQUIRE(&vm, KVM_CAP_IOEVENTFD);
	bells_told = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	EXPECT(ioeventfd(stays, MMIO, 4, 0, 0), 0);
	load(pio ? &bells : &bells_mmio);
	thread_start(&vm, ring);
	for (int round = 0; round < BELL_ROUNDS; round++) {
		int fd = MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

		EXPECT(ioeventfd(fd, address, size, 0, flags), 0);
		await(fd, "not signalled");
		EXPECT(ioeventfd(fd, address, size, 0, flags | KVM_IOEVENTFD_FLAG_DEASSIGN), 0);
		hold_numbers(held);
		(void)count_of(fd);
		(void)count_of(bells_told);
		await(bells_told, "the client was not told");
		await(bells_told, "the client was not told twice");
		CHECK(!count_of(fd), "signalled after it was deassigned");
		CHECK(!count_of(held[0]), "another file was written to");
		for (int i = 0; i < 4; i++)
			close(held[i]);
		close(fd);
	}
	bells_stop = 1;
	thread_join_all();
	EXPECT(count_of(stays), vm_regs(&vm, 0).rbx);
}

/* --- the split controller: local APICs here, the rest the client's
 * ----------------------------- */

static int enable_split(uint64_t pins)
{
	const struct kvm_enable_cap enable = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {pins}};

	return failure(ioctl(vm.fd, KVM_ENABLE_CAP, &enable));
}

static void start_split(const struct guest *guest)
{
	vm_create_bare(&vm);
	REQUIRE(&vm, KVM_CAP_SPLIT_IRQCHIP);
	EXPECT(enable_split(SPLIT_PINS), 0);
	vm_add_vcpu(&vm, 0);
	load(guest);
}

static void test_split_enable(int argument)
{
	struct kvm_irqchip chip = {0};
	struct kvm_lapic_state lapic;

	(void)argument;
	vm_create_bare(&vm);
	REQUIRE(&vm, KVM_CAP_SPLIT_IRQCHIP);
	EXPECT(enable_split(1u << 20), EINVAL);
	EXPECT(enable_split(SPLIT_PINS), 0);
	EXPECT(enable_split(SPLIT_PINS), EEXIST);
	EXPECT(failure(ioctl(vm.fd, KVM_CREATE_IRQCHIP)), EEXIST);
	EXPECT(failure(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip)), ENXIO);
	vm_add_vcpu(&vm, 0);
	EXPECT(ioctl(vm.vcpu[0].fd, KVM_GET_LAPIC, &lapic), 0);
}

static void test_split_chips(int argument)
{
	(void)argument;
	start_split(&chips);
	memset(vm_mmio(&vm, 0, 0xfec00000, 4, false), 0x44, 4);
	EXPECT(vm_out(&vm, 0, PORT), 0x44444444);
	struct kvm_run *run = vm_run(&vm, 0, KVM_EXIT_IO);
	EXPECT(run->io.direction, KVM_EXIT_IO_IN);
	EXPECT(run->io.port, 0x21);
}

static void test_split_level(int argument)
{
	struct kvm_run *run;

	(void)argument;
	start_split(&waits);
	route_msi(10, LEVEL | 0x67);
	vm_out(&vm, 0, PORT);
	for (int i = 0; i < 3; i++) {
		EXPECT(line(10, 1), 0);
		vm_out(&vm, 0, PORT_APIC);
		run = vm_run(&vm, 0, KVM_EXIT_IOAPIC_EOI);
		EXPECT(run->eoi.vector, 0x67);
	}
}

static void test_split_edge(int argument)
{
	(void)argument;
	start_split(&waits);
	route_msi(11, 0x68);
	vm_out(&vm, 0, PORT);
	for (int i = 0; i < 3; i++) {
		EXPECT(line(11, 1), 0);
		EXPECT(line(11, 0), 0);
		vm_out(&vm, 0, PORT_APIC);
	}
}

/* The client's PIC interrupts through LINT0. */
static void test_split_extint(int argument)
{
	const struct kvm_interrupt interrupt = {.irq = 0x20};

	(void)argument;
	start_split(&extint);
	for (int i = 0; i < 3; i++) {
		vm_out(&vm, 0, PORT);
		CHECK(vm.vcpu[0].run->ready_for_interrupt_injection, "not ready");
		EXPECT(ioctl(vm.vcpu[0].fd, KVM_INTERRUPT, &interrupt), 0);
		EXPECT(failure(ioctl(vm.vcpu[0].fd, KVM_INTERRUPT, &interrupt)), EEXIST);
		vm_out(&vm, 0, PORT_HANDLER);
	}
}

const struct test route_tests[] = {
    TEST("route: KVM_SIGNAL_MSI", test_msi),
    TEST("route: KVM_SIGNAL_MSI without local APICs", test_msi_without),
    TEST("route: KVM_SET_GSI_ROUTING", test_routes),
    TEST("route: routes that cannot be", test_bad_routes),
    TEST_OF("route: irqfd of a halted guest", test_irqfd, 0),
    TEST_OF("route: irqfd of a guest that runs", test_irqfd, 1),
    TEST_OF("route: irqfd signalled while the vCPU is halted in RUN", test_irqfd_while_running,
	    0),
    TEST_OF("route: irqfd signalled while the vCPU is busy", test_irqfd_while_running, 1),
    TEST("route: irqfds that cannot be", test_bad_irqfds),
    TEST("route: irqfd with resampling", test_resample),
    TEST("route: ioeventfd", test_ioeventfd),
    TEST("route: ioeventfds at one address", test_ioeventfds_together),
    TEST("route: ioeventfd of any length", test_ioeventfd_any_length),
    TEST("route: ioeventfds that cannot be", test_bad_ioeventfds),
    TEST_OF("route: ioeventfds that come and go while the guest writes, MMIO", test_ioeventfd_changes, 0),
    TEST_OF("route: ioeventfds that come and go while the guest writes, a port", test_ioeventfd_changes, 1),
    TEST("route: split, enabling", test_split_enable),
    TEST("route: split, the chips are the client's", test_split_chips),
    TEST("route: split, levels and KVM_EXIT_IOAPIC_EOI", test_split_level),
    TEST("route: split, edges", test_split_edge),
    TEST("route: split, the client's PIC", test_split_extint),
    TESTS_END,
};
