/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/icr.h"

#define XAPIC_BROADCAST	  0xffu
#define X2APIC_BROADCAST  0xffffffffu

#define DFR_MODEL_FLAT	  0xfu
#define DFR_MODEL_CLUSTER 0x0u
#define CLUSTER_BROADCAST 0xfu

/* SDM 3A figures 10-12 and 10-28: the low halves differ in the delivery status only. */
static void decode_low(u32 low, struct icr *icr)
{
	*icr = (struct icr){
	    .vector = low & 0xff,
	    .delivery = low >> 8 & 7,
	    .logical = low & BIT(11),
	    .assert = low & BIT(14),
	    .level_triggered = low & BIT(15),
	    .shorthand = low >> 18 & 3,
	};
}

void icr_decode_xapic(u32 high, u32 low, struct icr *icr)
{
	decode_low(low, icr);
	icr->destination = high >> 24;
}

void icr_decode_x2apic(u64 value, struct icr *icr)
{
	decode_low((u32)value, icr);
	icr->destination = value >> 32;
	icr->x2apic = true;
}

bool icr_is_init_deassert(const struct icr *icr)
{
	return icr->delivery == ICR_INIT && icr->level_triggered && !icr->assert;
}

/* SDM 3A 10.12.10.2: clusters of 16, numbered by the APIC ID. */
static bool x2apic_logical_reaches(u32 destination, u32 id)
{
	u32 cluster = id >> 4 & 0xffff;
	u32 member = BIT(id & 15);

	return destination >> 16 == cluster && (destination & member);
}

/* SDM 3A 10.6.2.2. */
static bool xapic_logical_reaches(u32 destination, const struct apic_identity *cpu)
{
	u32 logical_id = cpu->ldr >> 24;
	u32 cluster = destination >> 4;

	switch (cpu->dfr >> 28) {
	case DFR_MODEL_FLAT:
		return destination & logical_id;
	case DFR_MODEL_CLUSTER:
		return (cluster == logical_id >> 4 || cluster == CLUSTER_BROADCAST) &&
		       (destination & logical_id & 0xf);
	default:
		return false;
	}
}

static bool destination_reaches(const struct icr *icr, const struct apic_identity *cpu)
{
	/* SDM 3A 10.12.9: in x2APIC mode all ones is everybody in both destination modes. */
	if (icr->x2apic)
		return icr->destination == X2APIC_BROADCAST ||
		       (icr->logical ? x2apic_logical_reaches(icr->destination, cpu->id)
				     : icr->destination == cpu->id);
	if (icr->logical)
		return xapic_logical_reaches(icr->destination, cpu);
	return icr->destination == XAPIC_BROADCAST || icr->destination == cpu->id;
}

bool icr_reaches(const struct icr *icr, const struct apic_identity *self,
		 const struct apic_identity *cpu)
{
	switch (icr->shorthand) {
	case ICR_SELF:
		return cpu->id == self->id;
	case ICR_ALL:
		return true;
	case ICR_ALL_BUT_SELF:
		return cpu->id != self->id;
	default:
		return destination_reaches(icr, cpu);
	}
}
