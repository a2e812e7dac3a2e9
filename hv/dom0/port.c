/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/port.h"

#include "cpu/desc.h"
#include "cpu/log.h"
#include "cpu/x86.h"
#include "dom0/sleep.h"
#include "exit/instruction.h"
#include "hypercall/session.h"
#include "luvalley/acpi.h"

u8 dom0_ports[PORT_MAP_SIZE] ALIGNED(4096); /* immutable once dom0 runs */

void dom0_port_intercept(u32 first, u32 count)
{
	for (u32 port = first; port < first + count; port++)
		dom0_ports[port / 8] |= (u8)(1 << port % 8);
}

static u32 in(u16 port, u8 size)
{
	if (size == 4)
		return inl(port);
	return size == 2 ? inw(port) : inb(port);
}

static void out(u16 port, u8 size, u32 value)
{
	if (size == 4)
		outl(port, value);
	else if (size == 2)
		outw(port, (u16)value);
	else
		outb(port, (u8)value);
}

/* A 32-bit result clears the upper half of RAX, as every one does (APM 3 1.2.3). */
static void read(struct vcpu *vcpu, u16 port, u8 size)
{
	u64 mask = BIT(8 * size) - 1, value;

	value = session_key_is_at(port) ? session_key_read(port) : in(port, size);
	if (size == 4)
		vcpu->gpr[GPR_RAX] = 0;
	vcpu->gpr[GPR_RAX] = (vcpu->gpr[GPR_RAX] & ~mask) | (value & mask);
}

/* The intercept comes behind dom0's own permission to use the port (APM 2 15.10, SDM
 * 3C 26.1.1). */
void dom0_port_exit(struct vcpu *vcpu)
{
	u16 port = vcpu->exit.io.port;
	u8 size = vcpu->exit.io.size;

	if (vcpu->exit.io.string) {
		hv_log_first("CPU %u: dom0 used a string instruction on port 0x%x, which is "
			     "not its own; it gets #GP",
			     vcpu->cpu->index, port);
		vcpu_raise(vcpu, VECTOR_GP, true, 0);
		return;
	}
	if (vcpu->exit.io.in) {
		read(vcpu, port, size);
	} else {
		sleep_before_write(port, size, (u32)vcpu->gpr[GPR_RAX]);
		out(port, size, (u32)vcpu->gpr[GPR_RAX]);
	}
	instruction_retire(vcpu);
}
