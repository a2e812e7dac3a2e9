/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/sleep.h"

#include "cpu/log.h"
#include "cpu/smp.h"
#include "cpu/x86.h"
#include "dom0/port.h"
#include "mem/page.h"

/* Offsets in the FADT (ACPI 6.4, table 5-9); the X_ fields are 64 bits wide. */
#define FADT_FACS	    36
#define FADT_PM1A_CONTROL   64
#define FADT_PM1B_CONTROL   68
#define FADT_X_FACS	    132
#define FADT_X_PM1A_CONTROL 172 /* a generic address structure (5.2.3.2) */
#define FADT_X_PM1B_CONTROL 184

#define SPACE_IO	    1u
#define PM1_SLP_EN	    BIT(13) /* ACPI 6.4, table 4-16 */
#define PM1_SIZE	    2

struct facs { /* ACPI 6.4, table 5-11 */
	char signature[4];
	u32 length;
	u32 hardware_signature;
	u32 waking_vector;
	u32 global_lock;
	u32 flags;
	u64 x_waking_vector; /* protected mode, preferred by the firmware where it is not 0 */
	u8 version;
	u8 reserved[31];
} PACKED;
ASSERT_SIZE(struct facs, 64);

static u16 control[2];		   /* PM1a and PM1b, 0: not there; immutable once dom0 runs */
static volatile struct facs *facs; /* likewise */
static struct {			   /* dom0's; its boot CPU's alone */
	u32 vector;
	u64 x_vector;
} saved;

/* Damaged or short tables read as zero. */
static u64 field(const struct phys_view *view, u64 fadt, u64 offset, u64 size)
{
	u64 value = 0;

	if (offset + size <= acpi_table_length(view, fadt, "FACP"))
		phys_read(view, fadt + offset, &value, size);
	return value;
}

/* ACPI 6.4, 5.2.9: where an X_ field is not 0, it counts. */
static u16 find_control(const struct phys_view *view, u64 fadt, u64 offset, u64 x_offset)
{
	u64 x_address = field(view, fadt, x_offset + 4, sizeof(u64));
	u64 address = x_address ? x_address : field(view, fadt, offset, sizeof(u32));

	if ((x_address && field(view, fadt, x_offset, 1) != SPACE_IO) ||
	    address > UINT16_MAX - PM1_SIZE)
		return 0;
	return (u16)address;
}

/* dom0 uses the one that ACPICA uses: the 32-bit field's, where it is not 0. */
static void find_facs(const struct phys_view *view, u64 fadt)
{
	u64 address = field(view, fadt, FADT_FACS, sizeof(u32));
	const struct facs *found;

	if (!address)
		address = field(view, fadt, FADT_X_FACS, sizeof(u64));
	found = address ? phys_at(view, address, sizeof(*found)) : NULL;
	if (found && memcmp(found->signature, "FACS", sizeof(found->signature)) == 0 &&
	    found->length >= sizeof(*found))
		facs = (volatile struct facs *)hpa_to_virt(hpa(address));
}

void sleep_init(const struct phys_view *view, const struct acpi_root *root)
{
	u64 fadt = acpi_find_table(view, root, "FACP", FADT_PM1B_CONTROL + sizeof(u32));

	if (!fadt)
		return;
	find_facs(view, fadt);
	control[0] = find_control(view, fadt, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
	control[1] = find_control(view, fadt, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
	for (u32 i = 0; facs && i < ARRAY_SIZE(control); i++) {
		if (control[i])
			dom0_port_intercept(control[i], PM1_SIZE);
	}
}

/* Where the access covers the register's second byte. */
static bool sets_sleep_enable(u16 port, u8 size, u32 value)
{
	for (u32 i = 0; i < ARRAY_SIZE(control); i++) {
		u32 at = (u32)control[i] + 1 - port; /* that byte's place in the access */

		if (control[i] && at < size && value >> 8 * at & PM1_SLP_EN >> 8)
			return true;
	}
	return false;
}

/*
 * The address is ours from now on, asleep or not: after S1 or a write that did nothing dom0
 * goes on behind the instruction, and it sets the address again before it sleeps again. In S4
 * and S5 nobody looks at it. Caches lose what they hold.
 */
void sleep_before_write(u16 port, u8 size, u32 value)
{
	u32 ours = (u32)smp_startup_vector() << PAGE_SHIFT;

	if (!facs || !sets_sleep_enable(port, size, value))
		return;
	if ((facs->waking_vector || facs->x_waking_vector) && facs->waking_vector != ours) {
		saved.vector = facs->waking_vector;
		saved.x_vector = facs->version ? facs->x_waking_vector : 0;
		facs->waking_vector = ours;
		facs->x_waking_vector = 0;
	}
	wbinvd();
}

/* ACPI 6.4, 5.2.10: CS:IP is the vector in real mode; X_ is entered in flat protected mode. */
void sleep_resume(struct vcpu *vcpu)
{
	struct segment *cs = &vcpu->segments.seg[SEG_CS];

	if (saved.x_vector && saved.x_vector < 4 * GIB) {
		vcpu_start_flat(vcpu, saved.x_vector);
	} else {
		vcpu->control.cr0 = CR0_ET;
		cs->selector = (u16)(saved.vector >> 4);
		cs->base = saved.vector & 0xffff0;
		vcpu->rip = saved.vector & 0xf;
	}
	hv_log("dom0 wakes up at 0x%llx",
	       (unsigned long long)(saved.x_vector ? saved.x_vector : saved.vector));
}
