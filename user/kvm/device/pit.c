/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/device/pit.h"

#define BIT(n)	 (1u << (n))

#define NS_PER_S 1000000000u

/* The control word (data sheet, figures 7, 10, 12). */
#define CONTROL_PORT	    3u
#define CONTROL_BCD	    BIT(0)
#define CONTROL_MODE(w)	    ((w) >> 1 & 7)
#define CONTROL_ACCESS(w)   ((w) >> 4 & 3)
#define CONTROL_CHANNEL(w)  ((w) >> 6)
#define READ_BACK	    3u /* as channel */
#define READ_BACK_NO_STATUS BIT(4)
#define READ_BACK_NO_COUNT  BIT(5)
#define STATUS_OUT	    BIT(7)
#define STATUS_NULL_COUNT   BIT(6)

enum { LOW = 1, HIGH = 2, BOTH = 3 }; /* access */

#define SPEAKER_GATE	BIT(0)
#define SPEAKER_DATA	BIT(1)
#define SPEAKER_REFRESH BIT(4)
#define SPEAKER_OUT	BIT(5)
#define REFRESH_NS	15085u /* port 61h's bit 4 toggles with every memory refresh */

/* --- time --- */

static uint64_t ns_to_clocks(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * PIT_HZ / NS_PER_S);
}

/* Rounded up: that many clocks have passed by then. */
static uint64_t clocks_to_ns(unsigned __int128 clocks)
{
	unsigned __int128 ns = (clocks * NS_PER_S + PIT_HZ - 1) / PIT_HZ;

	return ns > INT64_MAX ? INT64_MAX : (uint64_t)ns;
}

static bool is_periodic(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Modes 1 and 5 wait for the gate to rise; in the others a low gate stops the counting. */
static bool waits_for_trigger(const struct pit_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

static bool is_counting(const struct pit_channel *c)
{
	return c->loaded && (waits_for_trigger(c) ? c->triggered : c->gate);
}

/* Clocks since the count was loaded, as far as the gate let them count. */
static uint64_t clocks(const struct pit_channel *c, uint64_t now)
{
	if (!is_counting(c))
		return c->held;
	return c->held + ns_to_clocks(now > c->start ? now - c->start : 0);
}

/* --- outputs --- */

/* Mode 3: odd counts are high for one clock more; the counter runs by twos from an even number.
 */
static uint32_t square_counter(const struct pit_channel *c, uint64_t phase)
{
	uint32_t high = (c->count + 1) / 2;

	return (c->count & ~1u) - 2 * (uint32_t)(phase < high ? phase : phase - high);
}

/* The counting element, in binary. */
static uint32_t counter(const struct pit_channel *c, uint64_t now)
{
	uint32_t wrap = c->bcd ? 10000 : 65536;
	uint64_t passed = clocks(c, now);

	switch (c->mode) {
	case 2:
		return c->count - (uint32_t)(passed % c->count);
	case 3:
		return square_counter(c, passed % c->count);
	default:
		return (uint32_t)(c->count + wrap - passed % wrap) % wrap;
	}
}

/* Before the count is loaded OUT has the level that the control word gave it. */
static bool output(const struct pit_channel *c, uint64_t now)
{
	uint64_t passed = clocks(c, now);

	if (!c->loaded || (waits_for_trigger(c) && !c->triggered))
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return passed >= c->count;
	case 2:
		return !c->gate || passed % c->count != c->count - 1;
	case 3:
		return !c->gate || passed % c->count < (c->count + 1) / 2;
	default: /* 4, 5: a strobe of one clock */
		return passed != c->count;
	}
}

/* Two or four digits of what the counter holds. */
static uint16_t as_read(const struct pit_channel *c, uint32_t value)
{
	if (!c->bcd)
		return (uint16_t)value;
	value %= 10000;
	return (uint16_t)(value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
			  value % 10);
}

/* --- channel 0's interrupts --- */

/*
 * OUT rises when the count has passed; modes 2 and 3 do so once a period, mode 4 after its
 * strobe. Modes 1 and 5 need a gate that rises, which channel 0's does not.
 */
static uint64_t edge_clock(const struct pit_channel *c, uint64_t edge)
{
	const uint32_t shortest = (uint32_t)((uint64_t)PIT_PERIOD_MIN * PIT_HZ / NS_PER_S);

	if (is_periodic(c))
		return (edge + 1) * (c->count < shortest ? shortest : c->count);
	return c->count + (c->mode == 4);
}

static bool has_edges(const struct pit *pit)
{
	const struct pit_channel *c = &pit->channel[0];

	return c->loaded && !waits_for_trigger(c) && !pit->hpet_legacy &&
	       (is_periodic(c) || pit->edges == 0);
}

uint64_t pit_deadline(const struct pit *pit)
{
	const struct pit_channel *c = &pit->channel[0];

	return has_edges(pit) ? c->start + clocks_to_ns(edge_clock(c, pit->edges)) : 0;
}

uint64_t pit_expire(struct pit *pit, uint64_t now)
{
	const struct pit_channel *c = &pit->channel[0];
	uint64_t passed = clocks(c, now), before = pit->edges;

	if (!has_edges(pit) || now < pit_deadline(pit))
		return 0;
	pit->edges = is_periodic(c) ? passed / edge_clock(c, 0) : 1;
	return pit->edges > before ? pit->edges - before : 0;
}

/* --- counts --- */

static uint32_t from_bcd(uint32_t value)
{
	uint32_t sum = 0;

	for (uint32_t shift = 16, digit; shift > 0; shift -= 4) {
		digit = value >> (shift - 4) & 0xf;
		sum = sum * 10 + (digit > 9 ? 9 : digit);
	}
	return sum;
}

static void begin(struct pit *pit, struct pit_channel *c, uint64_t now)
{
	c->count = c->reload;
	c->start = now;
	c->held = 0;
	if (c == &pit->channel[0])
		pit->edges = 0;
}

/* A one-shot takes a new count with its next trigger. */
static void load(struct pit *pit, struct pit_channel *c, uint16_t value, uint64_t now)
{
	c->reload = c->bcd ? from_bcd(value) : value;
	if (!c->reload)
		c->reload = c->bcd ? 10000 : 65536;
	c->loaded = c->mode != PIT_UNPROGRAMMED;
	if (!waits_for_trigger(c) || !c->triggered)
		begin(pit, c, now);
}

static void write_count(struct pit *pit, struct pit_channel *c, uint8_t value, uint64_t now)
{
	if (c->access == LOW) {
		load(pit, c, value, now);
	} else if (c->access == HIGH) {
		load(pit, c, (uint16_t)(value << 8), now);
	} else if (c->write_high) {
		c->write_high = false;
		load(pit, c, (uint16_t)(value << 8 | c->write_low), now);
	} else {
		c->write_high = true;
		c->write_low = value;
		/* The first byte stops mode 0, and its output falls. */
		if (c->mode == 0)
			c->loaded = false;
	}
}

/* --- reading --- */

static void latch_count(struct pit_channel *c, uint64_t now)
{
	if (c->latched_bytes)
		return;
	c->latched = as_read(c, counter(c, now));
	c->latched_bytes = c->access;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status =
	    (uint8_t)((output(c, now) ? STATUS_OUT : 0) | (c->loaded ? 0 : STATUS_NULL_COUNT) |
		      (unsigned)c->access << 4 | (unsigned)c->mode << 1 | c->bcd);
}

static uint8_t read_latched(struct pit_channel *c)
{
	uint8_t bytes = c->latched_bytes;

	c->latched_bytes = bytes == BOTH ? HIGH : 0;
	return (uint8_t)(bytes == HIGH ? c->latched >> 8 : c->latched);
}

static uint8_t read_channel(struct pit_channel *c, uint64_t now)
{
	uint16_t value;
	bool high;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched_bytes)
		return read_latched(c);
	value = as_read(c, counter(c, now));
	high = c->access == HIGH || (c->access == BOTH && c->read_high);
	c->read_high = c->access == BOTH && !c->read_high;
	return (uint8_t)(high ? value >> 8 : value);
}

/* --- the control word --- */

static void read_back(struct pit *pit, uint8_t word, uint64_t now)
{
	for (unsigned i = 0; i < PIT_CHANNELS; i++) {
		if (!(word & BIT(i + 1)))
			continue;
		if (!(word & READ_BACK_NO_COUNT))
			latch_count(&pit->channel[i], now);
		if (!(word & READ_BACK_NO_STATUS))
			latch_status(&pit->channel[i], now);
	}
}

/* Modes 6 and 7 are 2 and 3. Counting waits for a count; what was latched is still read. */
static void program(struct pit_channel *c, uint8_t word)
{
	c->access = CONTROL_ACCESS(word);
	c->mode = CONTROL_MODE(word) > 5 ? CONTROL_MODE(word) - 4 : CONTROL_MODE(word);
	c->bcd = word & CONTROL_BCD;
	c->read_high = c->write_high = false;
	c->loaded = c->triggered = false;
	c->held = 0;
	c->count = c->reload = c->bcd ? 10000 : 65536;
}

static void write_control(struct pit *pit, uint8_t word, uint64_t now)
{
	if (CONTROL_CHANNEL(word) == READ_BACK)
		read_back(pit, word, now);
	else if (CONTROL_ACCESS(word) == 0)
		latch_count(&pit->channel[CONTROL_CHANNEL(word)], now);
	else
		program(&pit->channel[CONTROL_CHANNEL(word)], word);
}

/* --- ports --- */

uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now)
{
	return (port & 3) == CONTROL_PORT ? 0 : read_channel(&pit->channel[port & 3], now);
}

void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now)
{
	if ((port & 3) == CONTROL_PORT)
		write_control(pit, value, now);
	else
		write_count(pit, &pit->channel[port & 3], value, now);
}

/* Data sheet, "Gate Pin Operations Summary". */
static void set_gate(struct pit *pit, struct pit_channel *c, bool gate, uint64_t now)
{
	if (gate == c->gate)
		return;
	if (waits_for_trigger(c)) {
		c->gate = gate;
		if (!gate || !c->loaded)
			return;
		c->triggered = true;
		begin(pit, c, now);
		return;
	}
	c->held = clocks(c, now);
	c->start = now;
	c->gate = gate;
	if (gate && is_periodic(c) && c->loaded)
		begin(pit, c, now);
}

uint8_t pit_speaker_read(const struct pit *pit, uint64_t now)
{
	const struct pit_channel *c = &pit->channel[2];

	return (uint8_t)((c->gate ? SPEAKER_GATE : 0) | (pit->speaker_data ? SPEAKER_DATA : 0) |
			 (now / REFRESH_NS & 1 ? SPEAKER_REFRESH : 0) |
			 (output(c, now) ? SPEAKER_OUT : 0));
}

void pit_speaker_write(struct pit *pit, uint8_t value, uint64_t now)
{
	pit->speaker_data = value & SPEAKER_DATA;
	set_gate(pit, &pit->channel[2], value & SPEAKER_GATE, now);
}

/* --- state --- */

void pit_reset(struct pit *pit, uint64_t now)
{
	*pit = (struct pit){.edges = 0};
	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		pit->channel[i] = (struct pit_channel){.count = 65536,
						       .reload = 65536,
						       .start = now,
						       .gate = i != 2,
						       .access = BOTH,
						       .mode = PIT_UNPROGRAMMED};
}

/* KVM's read_state and write_state: the access, or 4 for the second byte of two. */
#define SECOND_BYTE 4u

static void get_channel(const struct pit_channel *c, struct kvm_pit_channel_state *s,
			uint64_t now)
{
	*s = (struct kvm_pit_channel_state){
	    .count = c->reload,
	    .latched_count = c->latched,
	    .count_latched = c->latched_bytes,
	    .status_latched = c->status_latched,
	    .status = c->status,
	    .read_state = c->read_high ? SECOND_BYTE : c->access,
	    .write_state = c->write_high ? SECOND_BYTE : c->access,
	    .write_latch = c->write_low,
	    .rw_mode = c->access,
	    .mode = c->mode,
	    .bcd = c->bcd,
	    .gate = c->gate,
	    .count_load_time = (int64_t)(now - clocks_to_ns(clocks(c, now))),
	};
}

void pit_get_state(const struct pit *pit, struct kvm_pit_state2 *state, uint64_t now)
{
	*state = (struct kvm_pit_state2){
	    .flags = (pit->hpet_legacy ? KVM_PIT_FLAGS_HPET_LEGACY : 0) |
		     (pit->speaker_data ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0)};
	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		get_channel(&pit->channel[i], &state->channels[i], now);
}

static void set_channel(struct pit *pit, unsigned i, const struct kvm_pit_channel_state *s,
			uint64_t now)
{
	struct pit_channel *c = &pit->channel[i];
	uint32_t most = s->bcd ? 10000 : 65536;

	*c = (struct pit_channel){
	    .reload = s->count && s->count < most ? s->count : most,
	    .loaded = s->mode <= 5,
	    .gate = i != 2 || s->gate,
	    .bcd = s->bcd,
	    .mode = s->mode <= 5 ? s->mode : PIT_UNPROGRAMMED,
	    .access = s->rw_mode & 3 ? s->rw_mode & 3 : BOTH,
	    .read_high = s->read_state == SECOND_BYTE,
	    .write_high = s->write_state == SECOND_BYTE,
	    .write_low = s->write_latch,
	    .latched = s->latched_count,
	    .latched_bytes = s->count_latched & 3,
	    .status_latched = s->status_latched,
	    .status = s->status,
	};
	c->read_high &= c->access == BOTH;
	c->write_high &= c->access == BOTH;
	begin(pit, c, now);
}

void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state, uint64_t now)
{
	pit->hpet_legacy = state->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	pit->speaker_data = state->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	for (unsigned i = 0; i < PIT_CHANNELS; i++)
		set_channel(pit, i, &state->channels[i], now);
}
