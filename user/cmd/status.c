/* SPDX-License-Identifier: BSD-2-Clause */
#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/command.h"
#include "cmd/key.h"

#define OPTION_JSON 256

struct numbers {
	int version, vendor, cpus, in_dom0, held, pool, pool_free, apic_mode, touches, mitigations;
};

static const char *const vendor_names[] = {
    [LUV_VENDOR_SVM] = "svm",
    [LUV_VENDOR_VMX] = "vmx",
};

static const char *const apic_modes[] = {"direct", "trap"};

/* By bit: LUV_MITIGATION_. */
static const char *const mitigation_names[] = {"ibpb", "l1d", "verw", "small pages"};

static const char *const exit_names[] = {
    [LUV_EXIT_CPUID] = "cpuid",
    [LUV_EXIT_MSR] = "msr",
    [LUV_EXIT_IO] = "io",
    [LUV_EXIT_MEMORY] = "memory",
    [LUV_EXIT_CALL] = "call",
    [LUV_EXIT_ILLEGAL] = "illegal",
    [LUV_EXIT_INVD] = "invd",
    [LUV_EXIT_XSETBV] = "xsetbv",
    [LUV_EXIT_CR] = "cr",
    [LUV_EXIT_INTERRUPT] = "interrupt",
    [LUV_EXIT_NMI] = "nmi",
    [LUV_EXIT_INIT] = "init",
    [LUV_EXIT_STARTUP] = "startup",
    [LUV_EXIT_SHUTDOWN] = "shutdown",
    [LUV_EXIT_EXCEPTION] = "exception",
    [LUV_EXIT_HLT] = "hlt",
    [LUV_EXIT_WINDOW] = "window",
    [LUV_EXIT_TASK_SWITCH] = "task switch",
    [LUV_EXIT_ENTRY_FAILED] = "entry failed",
    [LUV_EXIT_OTHER] = "other",
    [LUV_EXIT_DR] = "dr",
};
_Static_assert(sizeof(exit_names) / sizeof(exit_names[0]) == LUV_EXIT_COUNT,
	       "a name for every exit");

static const char *name_of(const char *const *names, size_t count, int index)
{
	return (size_t)index < count ? names[index] : "unknown";
}
#define NAME_OF(names, index) name_of(names, sizeof(names) / sizeof((names)[0]), index)

static int query_all(struct numbers *n)
{
	const struct {
		enum luv_query item;
		int *to;
	} wanted[] = {
	    {LUV_QUERY_VERSION, &n->version},
	    {LUV_QUERY_VENDOR, &n->vendor},
	    {LUV_QUERY_CPUS, &n->cpus},
	    {LUV_QUERY_CPUS_IN_DOM0, &n->in_dom0},
	    {LUV_QUERY_MEMORY_HELD, &n->held},
	    {LUV_QUERY_POOL_SIZE, &n->pool},
	    {LUV_QUERY_POOL_FREE, &n->pool_free},
	    {LUV_QUERY_APIC_MODE, &n->apic_mode},
	    {LUV_QUERY_HIDDEN_TOUCHES, &n->touches},
	    {LUV_QUERY_MITIGATIONS, &n->mitigations},
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		*wanted[i].to = luv_query(wanted[i].item);
		if (*wanted[i].to < 0)
			return *wanted[i].to;
	}
	return 0;
}

/* The statistics of all CPUs; to be freed. NULL: *error says why. */
static struct luv_cpu_statistics *statistics_all(int session, int cpus, int *error)
{
	struct luv_cpu_statistics *all = calloc((size_t)cpus + 1, sizeof(*all));

	*error = all ? 0 : LUV_ERR_NOMEM;
	for (int i = 0; i < cpus && !*error; i++) {
		int result = luv_cpu_statistics_get(session, (unsigned)i, &all[i]);

		*error = result < 0 ? result : 0;
	}
	if (!*error)
		return all;
	free(all);
	return NULL;
}

static unsigned long long total_of(const struct luv_cpu_statistics *cpu)
{
	unsigned long long total = 0;

	for (int i = 0; i < LUV_EXIT_COUNT; i++)
		total += cpu->exits[i];
	return total;
}

static void print_mitigations(int mitigations, const char *first, const char *more, const char *end)
{
	const char *format = first;

	for (int i = 0; i < 4; i++) {
		if (!(mitigations & 1 << i))
			continue;
		printf(format, mitigation_names[i]);
		format = more;
	}
	if (format == more)
		printf("%s", end);
}

static void print_numbers(const struct numbers *n)
{
	printf("luvalley %u.%u.%u (%s)\n", (unsigned)n->version >> 16,
	       (unsigned)n->version >> 8 & 0xff, (unsigned)n->version & 0xff,
	       NAME_OF(vendor_names, n->vendor));
	printf("cpus      %d, of which %d run this system\n", n->cpus, n->in_dom0);
	printf("memory    %d KiB, of which %d KiB are the pool (%d KiB free)\n", n->held,
	       n->pool, n->pool_free);
	printf("apic      %s\n", NAME_OF(apic_modes, n->apic_mode));
	print_mitigations(n->mitigations, "guests    %s", ", %s", "\n");
	if (n->touches)
		printf("touched   %d pages of the hidden memory, by this system\n", n->touches);
}

static void print_table(const struct luv_cpu_statistics *all, int cpus)
{
	bool shown[LUV_EXIT_COUNT] = {false};

	for (int cpu = 0; cpu < cpus; cpu++)
		for (int i = 0; i < LUV_EXIT_COUNT; i++)
			shown[i] |= all[cpu].exits[i] != 0;

	printf("\n%4s %8s %-7s %6s", "cpu", "apic id", "state", "starts");
	for (int i = 0; i < LUV_EXIT_COUNT; i++)
		if (shown[i])
			printf(" %10s", exit_names[i]);
	printf(" %10s\n", "exits");

	for (int cpu = 0; cpu < cpus; cpu++) {
		const struct luv_cpu_statistics *s = &all[cpu];

		printf("%4d %8llu %-7s %6llu", cpu, (unsigned long long)s->apic_id,
		       s->in_dom0 ? "dom0" : "waiting", (unsigned long long)s->starts);
		for (int i = 0; i < LUV_EXIT_COUNT; i++)
			if (shown[i])
				printf(" %10llu", (unsigned long long)s->exits[i]);
		printf(" %10llu\n", total_of(s));
	}
}

static void print_json(const struct numbers *n, const struct luv_cpu_statistics *all)
{
	printf("{\"version\": \"%u.%u.%u\", \"abi_version\": %d, \"vendor\": \"%s\",\n",
	       (unsigned)n->version >> 16, (unsigned)n->version >> 8 & 0xff,
	       (unsigned)n->version & 0xff, LUV_ABI_VERSION, NAME_OF(vendor_names, n->vendor));
	printf(" \"cpus_held\": %d, \"cpus_in_dom0\": %d, \"memory_held_kib\": %d, "
	       "\"pool_size_kib\": %d, \"pool_free_kib\": %d,\n",
	       n->cpus, n->in_dom0, n->held, n->pool, n->pool_free);
	printf(" \"apic\": \"%s\", \"hidden_touches\": %d, \"mitigations\": [",
	       NAME_OF(apic_modes, n->apic_mode), n->touches);
	print_mitigations(n->mitigations, "\"%s\"", ", \"%s\"", "");
	printf("],\n \"cpus\": [");
	for (int cpu = 0; cpu < n->cpus; cpu++) {
		const struct luv_cpu_statistics *s = &all[cpu];

		printf(
		    "%s\n  {\"cpu\": %d, \"apic_id\": %llu, \"in_dom0\": %s, \"starts\": %llu, "
		    "\"exits\": {",
		    cpu ? "," : "", cpu, (unsigned long long)s->apic_id,
		    s->in_dom0 ? "true" : "false", (unsigned long long)s->starts);
		for (int i = 0; i < LUV_EXIT_COUNT; i++)
			printf("\"%s\": %llu, ", exit_names[i],
			       (unsigned long long)s->exits[i]);
		printf("\"total\": %llu}}", total_of(s));
	}
	puts("]}");
}

static const struct argp_option options[] = {
    {"json", OPTION_JSON, NULL, 0, "the same as one JSON object, all exit reasons included", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	(void)arg;
	if (key != OPTION_JSON)
		return ARGP_ERR_UNKNOWN;
	*json = true;
	return 0;
}

/* Everybody may know the numbers; the counts of each CPU need the key. */
static int show(bool json)
{
	struct luv_cpu_statistics *all;
	struct numbers numbers;
	int session, status, error = query_all(&numbers);

	if (error)
		return fail("cannot query the hypervisor", error);
	if (!json) {
		print_numbers(&numbers);
		fflush(stdout);
	}
	status = session_open(&session);
	if (status != EXIT_DONE)
		return status;
	all = statistics_all(session, numbers.cpus, &error);
	luv_session_close(session);
	if (!all)
		return fail("cannot read the statistics", error);
	if (json)
		print_json(&numbers, all);
	else
		print_table(all, numbers.cpus);
	free(all);
	return EXIT_DONE;
}

int status_command(int argc, char **argv)
{
	static const struct argp argp = {
	    .options = options,
	    .parser = parse,
	    .doc = "Prints what the hypervisor holds and, for root, how often each CPU left "
		   "dom0 for "
		   "it since power-on, by reason (reasons that never occurred are left out).",
	};
	bool json = false;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &json);
	status = luvalley_check();
	return status == EXIT_DONE ? show(json) : status;
}
