/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's local APIC as a state machine (SDM 3A chapter 10; APM 2 chapter 16). Pure.
 *
 * Each belongs to one vCPU. Its owner is whoever runs that vCPU or holds it against being run.
 * Other CPUs may call lapic_post, lapic_reached and lapic_arbitrate at any time; everything
 * else is the owner's.
 *
 * `now` is the guest's TSC everywhere. Deadlines are values of the guest's TSC; 0: the timer is
 * stopped.
 */
#ifndef VM_LAPIC_H
#define VM_LAPIC_H

#include "lib/types.h"
#include "vm/icr.h"

/* Registers: offsets in the xAPIC page; the x2APIC MSR is 800h + offset / 16. */
enum lapic_register {
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_PPR = 0x0a0,
	LAPIC_EOI = 0x0b0,
	LAPIC_LDR = 0x0d0,
	LAPIC_DFR = 0x0e0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ISR = 0x100, /* and TMR, IRR: 8 registers each */
	LAPIC_TMR = 0x180,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_COUNTERS = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TMICT = 0x380,
	LAPIC_TMCCT = 0x390,
	LAPIC_TDCR = 0x3e0,
	LAPIC_SELF_IPI = 0x3f0,
};

#define LAPIC_SIZE	   0x400u /* of the registers, as lapic_save writes them */
#define LAPIC_LVT_COUNT	   6u
#define LAPIC_VECTOR_WORDS 4u
#define LAPIC_BUS_KHZ	   1000000u /* the timer's clock before its divider: 1 ns a tick */
#define LAPIC_TSC_KHZ_MAX  0xffffffu

/* Ticks of the TSC. With a shorter one a vCPU would do nothing else, and its CPU would not either (vmx/guest.c). */
#define LAPIC_PERIOD_MIN 50000u

#define MSR_LAPIC_BASE	   0x01bu
#define MSR_LAPIC_DEADLINE 0x6e0u
#define MSR_LAPIC_X2APIC   0x800u

enum lapic_mode { LAPIC_DISABLED, LAPIC_XAPIC, LAPIC_X2APIC };

/*
 * What other CPUs sent and the owner has not looked at: one bit per vector and trigger mode. A
 * sender sets its bit, then `any`; the owner clears `any`, then takes the bits. So a bit set
 * behind the owner's back leaves `any` set. `any` is changed by read-modify-write only: the
 * owner's acquire then covers every sender before it, not just the last. Bits 0 to 15 (illegal
 * vectors) end in the ESR.
 */
struct lapic_incoming {
	u64 edge[LAPIC_VECTOR_WORDS];  /* atomic */
	u64 level[LAPIC_VECTOR_WORDS]; /* atomic */
	u32 any;		       /* atomic */
};

struct lapic {
	struct lapic_incoming incoming ALIGNED(64);
	/* What decides whether a message reaches this APIC: atomic; the owner writes it. */
	u64 identity ALIGNED(64);
	/* Vectors whose EOI is broadcast whatever their trigger mode; atomic. INIT clears it. */
	u64 tell_eoi[LAPIC_VECTOR_WORDS];
	/* The owner's. */
	u64 irr[LAPIC_VECTOR_WORDS];
	u64 isr[LAPIC_VECTOR_WORDS];
	u64 tmr[LAPIC_VECTOR_WORDS];
	u8 tpr;
	u8 ppr;	       /* follows from tpr and in_service */
	u8 in_service; /* highest vector in isr; 0: none */
	u32 id;	       /* immutable */
	u64 base;      /* APIC_BASE */
	u64 deadline;
	u64 icr;
	u32 ldr, dfr, svr;
	u32 esr;    /* as read */
	u32 errors; /* since the last write to the ESR */
	u32 lvt[LAPIC_LVT_COUNT];
	u32 initial_count;
	u32 divide;
	u32 tsc_khz;
};
_Static_assert(sizeof(struct lapic) <= 512, "struct lapic");

/* What a register write asks of the caller. */
struct lapic_effect {
	enum {
		LAPIC_NOTHING,
		LAPIC_BROADCAST_EOI, /* of `vector`, level-triggered or in tell_eoi, to the I/O APICs */
		LAPIC_SEND,  /* icr: to every APIC that lapic_reached names, which may be the
			      * sender; fixed, lowest priority, SMI, NMI, INIT or STARTUP */
		LAPIC_TIMER, /* the timer has another `deadline` */
	} kind;
	union {
		u8 vector;
		struct icr icr;
		u64 deadline;
	};
};

/* --- state --- */

/* Power-up: xAPIC mode. id below 255. The TSC's frequency starts as LAPIC_BUS_KHZ. */
void lapic_reset(struct lapic *l, u32 id, bool boot_cpu);

/* INIT: registers only; id, mode and base stay (SDM 3A 10.4.7.3). What was posted is lost. */
void lapic_init(struct lapic *l);

/* The guest's TSC frequency, 1 to LAPIC_TSC_KHZ_MAX; false: out of range. A timer that runs
 * keeps its deadline. */
bool lapic_set_tsc_khz(struct lapic *l, u32 tsc_khz);

enum lapic_mode lapic_mode(const struct lapic *l);

/*
 * The client's APIC_BASE: any mode from any mode, registers stay. False: reserved bits, or
 * x2APIC without enable. Both this and lapic_msr_write take x2APIC mode: the caller refuses
 * what its CPUID does not show.
 */
bool lapic_set_base(struct lapic *l, u64 base);

/*
 * The registers in KVM_GET_LAPIC's layout: 32 bits at each register's offset, what is no
 * register 0; the ID and LDR as the mode reads them, the x2APIC ICR in two halves. APIC_BASE
 * and the TSC deadline are not in it.
 */
void lapic_save(struct lapic *l, u64 now, u8 page[LAPIC_SIZE]);

/*
 * Takes registers over, for the mode that APIC_BASE says. Never fails: read-only registers (and
 * the ID) are ignored, reserved bits and vectors below 16 dropped. The timer goes on from
 * TMCCT; a TSC deadline stays if the timer was in that mode. What was posted is lost. LVT
 * entries may be unmasked although the APIC is software-disabled, which no guest can write:
 * clients set LINT0 up like that for a BIOS. A one-shot with an initial count and no current
 * count is due at once: a timer interrupt too many, rather than one that is lost. The caller passes lapic_deadline() on.
 */
void lapic_restore(struct lapic *l, u64 now, const u8 page[LAPIC_SIZE]);

/* --- registers --- */

/*
 * The xAPIC page: 32-bit accesses. False: not in xAPIC mode, so these addresses are ordinary
 * memory. Reserved or unaligned offsets, whatever their value, read 0, ignore writes and are an
 * error in the ESR.
 */
bool lapic_mmio_read(struct lapic *l, u32 offset, u64 now, u32 *value);
bool lapic_mmio_write(struct lapic *l, u32 offset, u32 value, u64 now,
		      struct lapic_effect *effect);

/* MSRs 1Bh, 6E0h, 800h to 8FFh. False: #GP, and nothing has changed. */
bool lapic_msr_read(struct lapic *l, u32 index, u64 now, u64 *value);
bool lapic_msr_write(struct lapic *l, u32 index, u64 value, u64 now,
		     struct lapic_effect *effect);

/* What the CPU has as TPR; CR8 is its bits 7:4 (APM 2 16.6.4). */
void lapic_set_tpr(struct lapic *l, u8 tpr);

/* --- interrupts --- */

/*
 * Any CPU: a fixed or lowest-priority message has arrived. False: the same one is waiting
 * already, and whoever posted it makes the owner look. Software-disabled APICs drop it when
 * their owner looks.
 */
bool lapic_post(struct lapic *l, u8 vector, bool level_triggered);

/* Any CPU, before lapic_post: from now on this vector's EOI is broadcast even if it is edge-triggered. */
void lapic_tell_eoi(struct lapic *l, u8 vector);

/* The highest vector requested, or -1. */
int lapic_requested(struct lapic *l);

/* Whether TPR and PPR let the vector through; not -1. */
static inline bool lapic_passes(const struct lapic *l, int vector)
{
	return vector >> 4 > l->ppr >> 4;
}

/* The vector to deliver now as far as they decide, or -1. */
int lapic_highest(struct lapic *l);

/* The vector that lapic_highest just returned goes to the CPU: IRR to ISR. */
void lapic_accept(struct lapic *l, u8 vector);

enum lapic_pin {
	LAPIC_PIN_NOTHING, /* masked, or posted */
	LAPIC_PIN_SMI,
	LAPIC_PIN_NMI,
	LAPIC_PIN_INIT,
	LAPIC_PIN_EXTINT, /* the PIC has the vector */
};

/* LINT0 or LINT1 became active. A disabled APIC has them as INTR and NMI (SDM 3A 10.4.3). */
enum lapic_pin lapic_lint(struct lapic *l, u32 pin);

/* Would LINT0 bring the CPU a PIC's interrupts now? */
bool lapic_takes_extint(const struct lapic *l);

/* --- the timer --- */

/*
 * Posts what is due and returns the next deadline. May be called at any time. Periods that
 * nobody looked at become one interrupt. They are LAPIC_PERIOD_MIN long at least.
 */
u64 lapic_timer_expired(struct lapic *l, u64 now);

static inline u64 lapic_deadline(const struct lapic *l)
{
	return l->deadline;
}

/* IA32_TSC_DEADLINE: 0 in the timer's other modes, where setting it does nothing. */
u64 lapic_tsc_deadline(const struct lapic *l, u64 now);
void lapic_set_deadline(struct lapic *l, u64 deadline, u64 now);

/* The guest's TSC was set: the timer's own clock was not; a TSC deadline stays. */
void lapic_tsc_stepped(struct lapic *l, u64 before, u64 after);

/* --- messages --- */

/*
 * Any CPU: does l accept the message of APIC `sender` (which only matters to shorthands)?
 * Logical destinations are read in the receiver's mode. One from a device has x2apic false: FFh
 * is then everybody. Software-disabled APICs accept no fixed or lowest-priority messages (SDM
 * 3A 10.4.7.2).
 */
bool lapic_reached(const struct lapic *l, const struct icr *icr, u32 sender);

/*
 * Any CPU: who takes a lowest-priority message: the first that it reaches, starting with `turn`
 * and in a ring; -1: nobody. Entries may be NULL. Round robin, because a priority read from
 * afar is stale.
 */
int lapic_arbitrate(struct lapic *const lapics[], u32 count, const struct icr *icr, u32 sender,
		    u32 turn);

#endif
