/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/lapic.h"

#include "luvalley/vcpu.h"

#define VERSION		   0x50014u /* six LVT entries, no EOI-broadcast suppression */
#define DEFAULT_BASE	   0xfee00000ull
#define BASE_BOOT_CPU	   BIT(8)
#define BASE_X2APIC	   BIT(10)
#define BASE_ENABLE	   BIT(11)
#define FIRST_LEGAL_VECTOR 16u

#define SVR_ENABLE	   BIT(8)
#define DFR_FLAT	   0xffffffffu
#define DFR_ONES	   0x0fffffffu

#define ESR_SEND_VECTOR	   BIT(5)
#define ESR_RECEIVE_VECTOR BIT(6)
#define ESR_ADDRESS	   BIT(7)

#define LVT_STATUS	   0x1000u
#define LVT_REMOTE_IRR	   0x4000u
#define LVT_LEVEL	   0x8000u
#define LVT_MASKED	   0x10000u
#define LVT_EXTINT	   7u

#define TIMER_PERIODIC	   0x20000u
#define TIMER_DEADLINE	   0x40000u
#define TIMER_MODE	   0x60000u /* both: reserved, and the timer does nothing */

#define ICR_STATUS	   0x1000u
#define ICR_WRITABLE	   0xccfffu
#define ICR_X2APIC_VALID   (0xffffffff00000000ull | ICR_WRITABLE | ICR_STATUS)

/* struct lapic's identity. */
#define IDENTITY_LDR_SHIFT  32 /* bits 31:24 of the LDR */
#define IDENTITY_DFR_SHIFT  40 /* bits 31:28 of the DFR */
#define IDENTITY_MODE_SHIFT 44
#define IDENTITY_ENABLED    BIT(46) /* by software */

/* The order of lvt[]. */
#define LVT_INDEX(offset) ((offset) / 16 - LAPIC_LVT_TIMER / 16)
#define TIMER		  LVT_INDEX(LAPIC_LVT_TIMER)
#define LINT0		  LVT_INDEX(LAPIC_LVT_LINT0)
#define ERROR		  LVT_INDEX(LAPIC_LVT_ERROR)

/* --- the map of registers --- */

#define XR BIT(0) /* xAPIC: readable */
#define XW BIT(1)
#define MR BIT(2) /* x2APIC MSR: readable */
#define MW BIT(3)

/* SDM 3A tables 10-1 and 10-6. */
static const struct {
	u32 rights;
	u32 writable;
	u32 ignored; /* read-only bits beside them; all others are reserved */
} registers[LAPIC_SIZE / 16] = {
    [LAPIC_ID / 16] = {XR | MR, 0, 0},
    [LAPIC_VERSION / 16] = {XR | MR, 0, 0},
    [LAPIC_TPR / 16] = {XR | XW | MR | MW, 0xff, 0},
    [LAPIC_PPR / 16] = {XR | MR, 0, 0},
    [LAPIC_EOI / 16] = {XW | MW, 0, 0},
    [LAPIC_LDR / 16] = {XR | XW | MR, 0xff000000, 0},
    [LAPIC_DFR / 16] = {XR | XW, 0xf0000000, 0},
    [LAPIC_SVR / 16] = {XR | XW | MR | MW, 0x3ff, 0},
    [LAPIC_ISR / 16 ... LAPIC_ISR / 16 + 7] = {XR | MR, 0, 0},
    [LAPIC_TMR / 16 ... LAPIC_TMR / 16 + 7] = {XR | MR, 0, 0},
    [LAPIC_IRR / 16 ... LAPIC_IRR / 16 + 7] = {XR | MR, 0, 0},
    [LAPIC_ESR / 16] = {XR | XW | MR | MW, 0, 0},
    [LAPIC_ICR / 16] = {XR | XW | MR | MW, ICR_WRITABLE, ICR_STATUS},
    [LAPIC_ICR_HIGH / 16] = {XR | XW, 0xff000000, 0},
    [LAPIC_LVT_TIMER / 16] = {XR | XW | MR | MW, 0x700ff, LVT_STATUS},
    [LAPIC_LVT_THERMAL / 16] = {XR | XW | MR | MW, 0x107ff, LVT_STATUS},
    [LAPIC_LVT_COUNTERS / 16] = {XR | XW | MR | MW, 0x107ff, LVT_STATUS},
    [LAPIC_LVT_LINT0 / 16] = {XR | XW | MR | MW, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR},
    [LAPIC_LVT_LINT1 / 16] = {XR | XW | MR | MW, 0x1a7ff, LVT_STATUS | LVT_REMOTE_IRR},
    [LAPIC_LVT_ERROR / 16] = {XR | XW | MR | MW, 0x100ff, LVT_STATUS},
    [LAPIC_TMICT / 16] = {XR | XW | MR | MW, 0xffffffff, 0},
    [LAPIC_TMCCT / 16] = {XR | MR, 0, 0},
    [LAPIC_TDCR / 16] = {XR | XW | MR | MW, 0xb, 0},
    [LAPIC_SELF_IPI / 16] = {MW, 0xff, 0},
};

static u32 writable(u32 offset, u32 value)
{
	return value & registers[offset / 16].writable;
}

/* --- vectors --- */

static void vector_set(u64 words[LAPIC_VECTOR_WORDS], u8 vector)
{
	words[vector / 64] |= BIT(vector % 64);
}

static void vector_clear(u64 words[LAPIC_VECTOR_WORDS], u8 vector)
{
	words[vector / 64] &= ~BIT(vector % 64);
}

static bool vector_test(const u64 words[LAPIC_VECTOR_WORDS], u8 vector)
{
	return words[vector / 64] >> vector % 64 & 1;
}

/* 0: none; vectors below 16 are never set. */
static u8 vector_highest(const u64 words[LAPIC_VECTOR_WORDS])
{
	for (u32 i = LAPIC_VECTOR_WORDS; i-- > 0;)
		if (words[i])
			return (u8)(i * 64 + 63 - (u32)__builtin_clzll(words[i]));
	return 0;
}

static u32 vector_register(const u64 words[LAPIC_VECTOR_WORDS], u32 offset)
{
	u32 i = offset / 16 % 8;

	return (u32)(words[i / 2] >> i % 2 * 32);
}

/* --- requests --- */

static bool software_enabled(const struct lapic *l)
{
	return l->svr & SVR_ENABLE;
}

/* On acceptance TMR takes the trigger mode (SDM 3A 10.8.4). */
static void request(struct lapic *l, u8 vector, bool level)
{
	if (!software_enabled(l))
		return;
	vector_set(l->irr, vector);
	if (level)
		vector_set(l->tmr, vector);
	else
		vector_clear(l->tmr, vector);
}

/* An illegal vector in the error entry itself is one more error and no interrupt. */
static void note_error(struct lapic *l, u32 error)
{
	u32 entry = l->lvt[ERROR];
	u8 vector = entry & 0xff;

	l->errors |= error;
	if (entry & LVT_MASKED)
		return;
	if (vector < FIRST_LEGAL_VECTOR)
		l->errors |= (u32)ESR_RECEIVE_VECTOR;
	else
		request(l, vector, false);
}

static void request_checked(struct lapic *l, u8 vector, bool level)
{
	if (vector < FIRST_LEGAL_VECTOR)
		note_error(l, ESR_RECEIVE_VECTOR);
	else
		request(l, vector, level);
}

bool lapic_post(struct lapic *l, u8 vector, bool level_triggered)
{
	u64 *words = level_triggered ? l->incoming.level : l->incoming.edge;
	u64 before = __atomic_fetch_or(&words[vector / 64], BIT(vector % 64), __ATOMIC_RELEASE);

	__atomic_exchange_n(&l->incoming.any, 1, __ATOMIC_RELEASE);
	return !(before >> vector % 64 & 1);
}

void lapic_tell_eoi(struct lapic *l, u8 vector)
{
	__atomic_fetch_or(&l->tell_eoi[vector / 64], BIT(vector % 64), __ATOMIC_RELAXED);
}

/* The acquire makes what the sender wrote before it posted visible to the guest. */
static u64 take(u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED)
		   ? __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE)
		   : 0;
}

/*
 * A vector that came in both trigger modes counts as level-triggered, because the I/O APIC
 * waits for its EOI.
 */
static NOINLINE void collect_incoming(struct lapic *l)
{
	__atomic_exchange_n(&l->incoming.any, 0, __ATOMIC_ACQUIRE);
	for (u32 i = 0; i < LAPIC_VECTOR_WORDS; i++) {
		u64 edge = take(&l->incoming.edge[i]), level = take(&l->incoming.level[i]);

		if (i == 0 && (edge | level) & (BIT(FIRST_LEGAL_VECTOR) - 1)) {
			if (software_enabled(l))
				note_error(l, ESR_RECEIVE_VECTOR);
			edge &= ~(BIT(FIRST_LEGAL_VECTOR) - 1);
			level &= ~(BIT(FIRST_LEGAL_VECTOR) - 1);
		}
		if (!software_enabled(l))
			continue;
		l->irr[i] |= edge | level;
		l->tmr[i] = (l->tmr[i] & ~edge) | level;
	}
}

static inline void collect(struct lapic *l)
{
	if (__atomic_load_n(&l->incoming.any, __ATOMIC_RELAXED))
		collect_incoming(l);
}

static void discard_incoming(struct lapic *l)
{
	__atomic_exchange_n(&l->incoming.any, 0, __ATOMIC_ACQUIRE);
	for (u32 i = 0; i < LAPIC_VECTOR_WORDS; i++) {
		take(&l->incoming.edge[i]);
		take(&l->incoming.level[i]);
	}
}

/* --- priorities --- */

/* SDM 3A 10.8.3.1. */
static void update_ppr(struct lapic *l)
{
	l->ppr = l->tpr >> 4 >= l->in_service >> 4 ? l->tpr : l->in_service & 0xf0;
}

void lapic_set_tpr(struct lapic *l, u8 tpr)
{
	l->tpr = tpr;
	update_ppr(l);
}

int lapic_requested(struct lapic *l)
{
	u8 vector;

	collect(l);
	vector = vector_highest(l->irr);
	return vector ? vector : -1;
}

int lapic_highest(struct lapic *l)
{
	int vector = lapic_requested(l);

	return lapic_passes(l, vector) ? vector : -1;
}

void lapic_accept(struct lapic *l, u8 vector)
{
	vector_clear(l->irr, vector);
	vector_set(l->isr, vector);
	l->in_service = vector;
	update_ppr(l);
}

static void end_of_interrupt(struct lapic *l, struct lapic_effect *effect)
{
	u8 vector = l->in_service;

	if (!vector)
		return;
	vector_clear(l->isr, vector);
	l->in_service = vector_highest(l->isr);
	update_ppr(l);
	if (vector_test(l->tmr, vector) ||
	    __atomic_load_n(&l->tell_eoi[vector / 64], __ATOMIC_RELAXED) >> vector % 64 & 1) {
		effect->kind = LAPIC_BROADCAST_EOI;
		effect->vector = vector;
	}
}

/* --- identity and mode --- */

enum lapic_mode lapic_mode(const struct lapic *l)
{
	if (!(l->base & BASE_ENABLE))
		return LAPIC_DISABLED;
	return l->base & BASE_X2APIC ? LAPIC_X2APIC : LAPIC_XAPIC;
}

/* Nothing else is published through it, so no order is needed. */
static void publish_identity(struct lapic *l)
{
	u64 identity = l->id | (u64)(l->ldr >> 24) << IDENTITY_LDR_SHIFT |
		       (u64)(l->dfr >> 28) << IDENTITY_DFR_SHIFT |
		       (u64)lapic_mode(l) << IDENTITY_MODE_SHIFT;

	if (software_enabled(l))
		identity |= IDENTITY_ENABLED;
	__atomic_store_n(&l->identity, identity, __ATOMIC_RELAXED);
}

bool lapic_set_base(struct lapic *l, u64 base)
{
	const u64 valid = BASE_BOOT_CPU | BASE_X2APIC | BASE_ENABLE |
			  align_down(BIT(LUV_GPA_BITS) - 1, PAGE_SIZE);

	if (base & ~valid || (base & BASE_X2APIC && !(base & BASE_ENABLE)))
		return false;
	l->base = base;
	publish_identity(l);
	return true;
}

/* SDM 3A 10.12.5: x2APIC is entered from xAPIC mode; it is left by disabling, which resets. */
static COLD bool write_base(struct lapic *l, u64 base)
{
	enum lapic_mode before = lapic_mode(l);
	bool enable = base & BASE_ENABLE, x2apic = base & BASE_X2APIC;

	if ((before == LAPIC_DISABLED && x2apic) ||
	    (before == LAPIC_X2APIC && enable && !x2apic))
		return false;
	if (!lapic_set_base(l, base))
		return false;
	if (before != LAPIC_DISABLED && !enable)
		lapic_init(l);
	return true;
}

COLD void lapic_init(struct lapic *l)
{
	discard_incoming(l);
	for (u32 i = 0; i < LAPIC_VECTOR_WORDS; i++) {
		l->irr[i] = l->isr[i] = l->tmr[i] = 0;
		__atomic_store_n(&l->tell_eoi[i], 0, __ATOMIC_RELAXED);
	}
	for (u32 i = 0; i < LAPIC_LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	l->in_service = 0;
	lapic_set_tpr(l, 0);
	l->ldr = 0;
	l->dfr = DFR_FLAT;
	l->svr = 0xff;
	l->icr = 0;
	l->esr = l->errors = 0;
	l->initial_count = l->divide = 0;
	l->deadline = 0;
	publish_identity(l);
}

COLD void lapic_reset(struct lapic *l, u32 id, bool boot_cpu)
{
	l->id = id;
	l->base = DEFAULT_BASE | BASE_ENABLE | (boot_cpu ? BASE_BOOT_CPU : 0);
	l->tsc_khz = LAPIC_BUS_KHZ;
	lapic_init(l);
}

/* --- the timer --- */

bool lapic_set_tsc_khz(struct lapic *l, u32 tsc_khz)
{
	if (!tsc_khz || tsc_khz > LAPIC_TSC_KHZ_MAX)
		return false;
	l->tsc_khz = tsc_khz;
	return true;
}

static u32 divide_shift(const struct lapic *l)
{
	return ((l->divide >> 1 & 4) + (l->divide & 3) + 1) & 7;
}

/* A count is below 2^39 bus ticks: no product here reaches 2^64. */
static u64 count_to_tsc(const struct lapic *l, u32 count)
{
	u64 ticks = (u64)count << divide_shift(l);

	return (ticks * l->tsc_khz + LAPIC_BUS_KHZ - 1) / LAPIC_BUS_KHZ;
}

/* The smallest count that lasts that long, so that saving and restoring loses nothing. */
static u32 tsc_to_count(const struct lapic *l, u64 tsc)
{
	u64 ticks = (tsc - 1) * LAPIC_BUS_KHZ / l->tsc_khz;

	return (u32)(ticks >> divide_shift(l)) + 1;
}

static u64 add_saturating(u64 a, u64 b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static u32 timer_mode(const struct lapic *l)
{
	return l->lvt[TIMER] & TIMER_MODE;
}

/* One-shot or periodic: the count register's modes. */
static bool timer_counts(u32 mode)
{
	return !(mode & TIMER_DEADLINE);
}

/* TMCCT. Should the TSC have gone back by more than a period, the count has not moved. */
static u32 current_count(const struct lapic *l, u64 now)
{
	u64 period, left;

	if (!l->deadline || !timer_counts(timer_mode(l)))
		return 0;
	period = count_to_tsc(l, l->initial_count);
	if (now < l->deadline)
		left = l->deadline - now;
	else if (timer_mode(l) == TIMER_PERIODIC)
		left = period - (now - l->deadline) % period;
	else
		return 0;
	return left >= period ? l->initial_count : tsc_to_count(l, left);
}

/* A count of 0 stops the timer. */
static void start_count(struct lapic *l, u32 count, u64 now)
{
	l->deadline = count ? add_saturating(now, count_to_tsc(l, count)) : 0;
}

u64 lapic_timer_expired(struct lapic *l, u64 now)
{
	if (!l->deadline || now < l->deadline)
		return l->deadline;
	if (!(l->lvt[TIMER] & LVT_MASKED))
		request_checked(l, l->lvt[TIMER] & 0xff, false);
	if (timer_mode(l) == TIMER_PERIODIC) {
		u64 period = max_u64(count_to_tsc(l, l->initial_count), LAPIC_PERIOD_MIN);

		l->deadline = add_saturating(now - (now - l->deadline) % period, period);
	} else {
		l->deadline = 0;
	}
	return l->deadline;
}

void lapic_tsc_stepped(struct lapic *l, u64 before, u64 after)
{
	lapic_timer_expired(l, before);
	if (l->deadline && timer_counts(timer_mode(l)))
		l->deadline = add_saturating(after, l->deadline - before);
}

/* SDM 3A 10.5.4.1: entering or leaving TSC-deadline mode disarms; the others count on. */
static void write_lvt_timer(struct lapic *l, u32 value)
{
	u32 before = timer_mode(l), after = value & TIMER_MODE;

	l->lvt[TIMER] = value;
	if (before != after && !(timer_counts(before) && timer_counts(after)))
		l->deadline = 0;
}

static void write_initial_count(struct lapic *l, u32 value, u64 now)
{
	if (!timer_counts(timer_mode(l)))
		return;
	l->initial_count = value;
	start_count(l, value, now);
}

/* What is left of a running count goes on at the new pace. */
static void write_divide(struct lapic *l, u32 value, u64 now)
{
	u32 left = current_count(l, now);

	l->divide = value;
	if (left)
		start_count(l, left, now);
}

/* A deadline in the past is due at once. */
void lapic_set_deadline(struct lapic *l, u64 deadline, u64 now)
{
	if (timer_mode(l) != TIMER_DEADLINE)
		return;
	lapic_timer_expired(l, now);
	l->deadline = deadline;
	lapic_timer_expired(l, now);
}

u64 lapic_tsc_deadline(const struct lapic *l, u64 now)
{
	return timer_mode(l) == TIMER_DEADLINE && now < l->deadline ? l->deadline : 0;
}

/* --- reading --- */

/* SDM 3A 10.12.10.2. */
static u32 read_ldr(const struct lapic *l)
{
	return lapic_mode(l) == LAPIC_X2APIC ? l->id >> 4 << 16 | 1u << (l->id & 15) : l->ldr;
}

/* A readable register's low 32 bits. */
static u32 read_register(struct lapic *l, u32 offset, u64 now)
{
	switch (offset) {
	case LAPIC_ID:
		return lapic_mode(l) == LAPIC_X2APIC ? l->id : l->id << 24;
	case LAPIC_VERSION:
		return VERSION;
	case LAPIC_TPR:
		return l->tpr;
	case LAPIC_PPR:
		return l->ppr;
	case LAPIC_LDR:
		return read_ldr(l);
	case LAPIC_DFR:
		return l->dfr;
	case LAPIC_SVR:
		return l->svr;
	case LAPIC_ISR ... LAPIC_ISR + 0x7f:
		return vector_register(l->isr, offset);
	case LAPIC_TMR ... LAPIC_TMR + 0x7f:
		collect(l);
		return vector_register(l->tmr, offset);
	case LAPIC_IRR ... LAPIC_IRR + 0x7f:
		collect(l);
		return vector_register(l->irr, offset);
	case LAPIC_ESR:
		return l->esr;
	case LAPIC_ICR:
		return (u32)l->icr;
	case LAPIC_ICR_HIGH:
		return l->icr >> 32;
	case LAPIC_TMICT:
		return l->initial_count;
	case LAPIC_TMCCT:
		return current_count(l, now);
	case LAPIC_TDCR:
		return l->divide;
	default:
		return l->lvt[LVT_INDEX(offset)];
	}
}

/* --- writing --- */

/* What the manuals call invalid is sent nowhere; a de-assert has no effect (SDM 3A 10.6.1). */
static void send(struct lapic *l, const struct icr *icr, struct lapic_effect *effect)
{
	bool fixed = icr->delivery == ICR_FIXED || icr->delivery == ICR_LOWEST;

	if (fixed && icr->vector < FIRST_LEGAL_VECTOR) {
		note_error(l, ESR_SEND_VECTOR);
	} else if (fixed && icr->shorthand == ICR_SELF) {
		request(l, icr->vector, false);
	} else if (fixed || icr->delivery == ICR_SMI || icr->delivery == ICR_NMI ||
		   icr->delivery == ICR_STARTUP ||
		   (icr->delivery == ICR_INIT && !icr_is_init_deassert(icr))) {
		effect->kind = LAPIC_SEND;
		effect->icr = *icr;
	}
}

static void write_icr_low(struct lapic *l, u32 value, struct lapic_effect *effect)
{
	struct icr icr;

	l->icr = (l->icr & ~0xffffffffull) | value;
	icr_decode_xapic((u32)(l->icr >> 32), value, &icr);
	send(l, &icr, effect);
}

static void write_icr64(struct lapic *l, u64 value, struct lapic_effect *effect)
{
	struct icr icr;

	l->icr = value & ~(u64)ICR_STATUS;
	icr_decode_x2apic(l->icr, &icr);
	send(l, &icr, effect);
}

/* Software disable masks all LVT entries (SDM 3A 10.4.7.2). What came before is accepted. */
static void write_svr(struct lapic *l, u32 value)
{
	collect(l);
	l->svr = value;
	for (u32 i = 0; i < LAPIC_LVT_COUNT && !software_enabled(l); i++)
		l->lvt[i] |= LVT_MASKED;
	publish_identity(l);
}

static void write_lvt(struct lapic *l, u32 offset, u32 value)
{
	if (!software_enabled(l))
		value |= LVT_MASKED;
	if (offset == LAPIC_LVT_TIMER)
		write_lvt_timer(l, value);
	else
		l->lvt[LVT_INDEX(offset)] = value;
}

/* A writable register; value has no other bits. */
static void write_register(struct lapic *l, u32 offset, u32 value, u64 now,
			   struct lapic_effect *effect)
{
	switch (offset) {
	case LAPIC_TPR:
		lapic_set_tpr(l, (u8)value);
		break;
	case LAPIC_EOI:
		end_of_interrupt(l, effect);
		break;
	case LAPIC_LDR:
		l->ldr = value;
		publish_identity(l);
		break;
	case LAPIC_DFR:
		l->dfr = value | DFR_ONES;
		publish_identity(l);
		break;
	case LAPIC_SVR:
		write_svr(l, value);
		break;
	case LAPIC_ESR:
		collect(l);
		l->esr = l->errors;
		l->errors = 0;
		break;
	case LAPIC_ICR:
		write_icr_low(l, value, effect);
		break;
	case LAPIC_ICR_HIGH:
		l->icr = (u64)value << 32 | (u32)l->icr;
		break;
	case LAPIC_TMICT:
		write_initial_count(l, value, now);
		break;
	case LAPIC_TDCR:
		write_divide(l, value, now);
		break;
	case LAPIC_SELF_IPI:
		request_checked(l, (u8)value, false);
		break;
	default:
		write_lvt(l, offset, value);
	}
}

static void write_settled(struct lapic *l, u32 offset, u32 value, u64 now, struct lapic_effect *effect)
{
	/* The timer's registers see it as it is now, whoever has been late to look. */
	if (offset == LAPIC_LVT_TIMER || offset == LAPIC_TMICT || offset == LAPIC_TDCR)
		lapic_timer_expired(l, now);
	write_register(l, offset, value, now, effect);
}

static void note_deadline(const struct lapic *l, u64 before, struct lapic_effect *effect)
{
	if (l->deadline == before)
		return;
	effect->kind = LAPIC_TIMER;
	effect->deadline = l->deadline;
}

/* --- the two ways in --- */

static u32 rights(u32 offset)
{
	return offset % 16 || offset >= LAPIC_SIZE ? 0 : registers[offset / 16].rights;
}

bool lapic_mmio_read(struct lapic *l, u32 offset, u64 now, u32 *value)
{
	if (lapic_mode(l) != LAPIC_XAPIC)
		return false;
	*value = 0;
	if (rights(offset) & XR)
		*value = read_register(l, offset, now);
	else if (!(rights(offset) & XW))
		note_error(l, ESR_ADDRESS);
	return true;
}

bool lapic_mmio_write(struct lapic *l, u32 offset, u32 value, u64 now,
		      struct lapic_effect *effect)
{
	u64 before = l->deadline;

	effect->kind = LAPIC_NOTHING;
	if (lapic_mode(l) != LAPIC_XAPIC)
		return false;
	if (rights(offset) & XW)
		write_settled(l, offset, writable(offset, value), now, effect);
	else if (!(rights(offset) & XR))
		note_error(l, ESR_ADDRESS);
	note_deadline(l, before, effect);
	return true;
}

/* The offset of an x2APIC register, if MSR 800h + is one with this right; else LAPIC_SIZE. */
static u32 x2apic_offset(const struct lapic *l, u32 index, u32 right)
{
	u32 i = index - MSR_LAPIC_X2APIC;

	if (lapic_mode(l) != LAPIC_X2APIC || i >= ARRAY_SIZE(registers) ||
	    !(registers[i].rights & right))
		return LAPIC_SIZE;
	return i * 16;
}

bool lapic_msr_read(struct lapic *l, u32 index, u64 now, u64 *value)
{
	u32 offset = x2apic_offset(l, index, MR);

	if (index == MSR_LAPIC_BASE)
		*value = l->base;
	else if (index == MSR_LAPIC_DEADLINE)
		*value = lapic_tsc_deadline(l, now);
	else if (offset == LAPIC_ICR)
		*value = l->icr;
	else if (offset < LAPIC_SIZE)
		*value = read_register(l, offset, now);
	else
		return false;
	return true;
}

/* Reserved bits are #GP (SDM 3A 10.12.1.2). */
static bool write_x2apic(struct lapic *l, u32 index, u64 value, u64 now,
			 struct lapic_effect *effect)
{
	u32 offset = x2apic_offset(l, index, MW);

	if (offset == LAPIC_SIZE)
		return false;
	if (offset == LAPIC_ICR) {
		if (value & ~ICR_X2APIC_VALID)
			return false;
		write_icr64(l, value, effect);
		return true;
	}
	if (value & ~(u64)(registers[offset / 16].writable | registers[offset / 16].ignored))
		return false;
	write_settled(l, offset, writable(offset, (u32)value), now, effect);
	return true;
}

bool lapic_msr_write(struct lapic *l, u32 index, u64 value, u64 now,
		     struct lapic_effect *effect)
{
	u64 before = l->deadline;
	bool done = true;

	effect->kind = LAPIC_NOTHING;
	if (index == MSR_LAPIC_BASE)
		done = write_base(l, value);
	else if (index == MSR_LAPIC_DEADLINE)
		lapic_set_deadline(l, value, now);
	else
		done = write_x2apic(l, index, value, now, effect);
	note_deadline(l, before, effect);
	return done;
}

/* --- pins --- */

/* Level-triggered pins have no remote IRR: whoever drives one raises it again after EOI. */
COLD enum lapic_pin lapic_lint(struct lapic *l, u32 pin)
{
	u32 entry = l->lvt[LINT0 + (pin & 1)];

	if (lapic_mode(l) == LAPIC_DISABLED)
		return pin & 1 ? LAPIC_PIN_NMI : LAPIC_PIN_EXTINT;
	if (entry & LVT_MASKED)
		return LAPIC_PIN_NOTHING;
	switch (entry >> 8 & 7) {
	case ICR_FIXED:
		request_checked(l, entry & 0xff, entry & LVT_LEVEL);
		return LAPIC_PIN_NOTHING;
	case ICR_SMI:
		return LAPIC_PIN_SMI;
	case ICR_NMI:
		return LAPIC_PIN_NMI;
	case ICR_INIT:
		return LAPIC_PIN_INIT;
	case LVT_EXTINT:
		return LAPIC_PIN_EXTINT;
	default:
		return LAPIC_PIN_NOTHING;
	}
}

bool lapic_takes_extint(const struct lapic *l)
{
	u32 entry = l->lvt[LINT0];

	return lapic_mode(l) == LAPIC_DISABLED ||
	       (!(entry & LVT_MASKED) && (entry >> 8 & 7) == LVT_EXTINT);
}

/* --- messages --- */

static bool is_everybody(const struct icr *icr)
{
	return icr->destination == 0xffffffff ||
	       (icr->destination == 0xff && !icr->x2apic && !icr->logical);
}

bool lapic_reached(const struct lapic *l, const struct icr *icr, u32 sender)
{
	u64 identity = __atomic_load_n(&l->identity, __ATOMIC_RELAXED);
	u32 mode = identity >> IDENTITY_MODE_SHIFT & 3;
	struct apic_identity self = {.id = sender};
	struct apic_identity receiver = {
	    .id = (u32)identity,
	    .ldr = (u32)(identity >> IDENTITY_LDR_SHIFT & 0xff) << 24,
	    .dfr = (u32)(identity >> IDENTITY_DFR_SHIFT & 0xf) << 28,
	};
	struct icr message = *icr;

	if (mode == LAPIC_DISABLED)
		return false;
	if ((icr->delivery == ICR_FIXED || icr->delivery == ICR_LOWEST) &&
	    !(identity & IDENTITY_ENABLED))
		return false;
	if (icr->shorthand == ICR_DESTINATION && is_everybody(icr))
		return true;
	/* An xAPIC's logical destination has 8 bits. */
	if (icr->logical && mode == LAPIC_XAPIC && icr->destination > 0xff)
		return false;
	message.x2apic = mode == LAPIC_X2APIC;
	return icr_reaches(&message, &self, &receiver);
}

int lapic_arbitrate(struct lapic *const lapics[], u32 count, const struct icr *icr, u32 sender,
		    u32 turn)
{
	for (u32 i = 0; i < count; i++) {
		u32 index = (turn % count + i) % count;

		if (lapics[index] && lapic_reached(lapics[index], icr, sender))
			return (int)index;
	}
	return -1;
}

/* --- saving and restoring --- */

static u32 get32(const u8 *at)
{
	u32 value;

	__builtin_memcpy(&value, at, sizeof(value));
	return value;
}

COLD void lapic_save(struct lapic *l, u64 now, u8 page[LAPIC_SIZE])
{
	lapic_timer_expired(l, now);
	for (u32 i = 0; i < LAPIC_SIZE; i++)
		page[i] = 0;
	for (u32 offset = 0; offset < LAPIC_SIZE; offset += 16)
		if (rights(offset) & XR)
			__builtin_memcpy(page + offset, &(u32){read_register(l, offset, now)}, sizeof(u32));
}

static void restore_vectors(u64 words[LAPIC_VECTOR_WORDS], const u8 *from)
{
	for (u32 i = 0; i < LAPIC_VECTOR_WORDS; i++)
		words[i] = (u64)get32(from + i * 32 + 16) << 32 | get32(from + i * 32);
	words[0] &= ~(BIT(FIRST_LEGAL_VECTOR) - 1);
}

static COLD void restore_timer(struct lapic *l, u64 now, const u8 *page)
{
	u32 offset = LAPIC_LVT_TIMER, left;

	write_lvt_timer(l, writable(offset, get32(page + offset)));
	l->initial_count = get32(page + LAPIC_TMICT);
	l->divide = writable(LAPIC_TDCR, get32(page + LAPIC_TDCR));
	if (!timer_counts(timer_mode(l)))
		return;
	left = (u32)min_u64(get32(page + LAPIC_TMCCT), l->initial_count);
	if (!left && timer_mode(l) == TIMER_PERIODIC)
		left = l->initial_count;
	start_count(l, left, now);
	/* QEMU saves no current count: a one-shot that was ever started is due, as with KVM. */
	if (!left && l->initial_count)
		l->deadline = now ? now : 1;
}

COLD void lapic_restore(struct lapic *l, u64 now, const u8 page[LAPIC_SIZE])
{
	discard_incoming(l);
	restore_vectors(l->isr, page + LAPIC_ISR);
	restore_vectors(l->tmr, page + LAPIC_TMR);
	restore_vectors(l->irr, page + LAPIC_IRR);
	l->in_service = vector_highest(l->isr);
	lapic_set_tpr(l, (u8)get32(page + LAPIC_TPR));
	if (lapic_mode(l) == LAPIC_X2APIC) {
		l->icr = (u64)get32(page + LAPIC_ICR_HIGH) << 32;
	} else {
		l->ldr = writable(LAPIC_LDR, get32(page + LAPIC_LDR));
		l->dfr = get32(page + LAPIC_DFR) | DFR_ONES;
		l->icr = (u64)writable(LAPIC_ICR_HIGH, get32(page + LAPIC_ICR_HIGH)) << 32;
	}
	l->icr |= writable(LAPIC_ICR, get32(page + LAPIC_ICR));
	l->svr = writable(LAPIC_SVR, get32(page + LAPIC_SVR));
	l->esr = get32(page + LAPIC_ESR) & 0xff;
	l->errors = 0;
	for (u32 offset = LAPIC_LVT_THERMAL; offset <= LAPIC_LVT_ERROR; offset += 16)
		l->lvt[LVT_INDEX(offset)] = writable(offset, get32(page + offset));
	restore_timer(l, now, page);
	publish_identity(l);
}
