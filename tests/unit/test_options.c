/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/options.h"
#include "fake_memory.h"

static u32 complaints;
static char last_complaint[512];

static void complain(void *context, const char *sentence)
{
	assert_ptr_equal(context, &complaints);
	complaints++;
	assert_true(strlen(sentence) < sizeof(last_complaint));
	strcpy(last_complaint, sentence);
	assert_int_equal(sentence[strlen(sentence) - 1], '.');
}

static struct options parse(const char *line)
{
	struct options options;

	memset(&options, 0xa5, sizeof(options));
	complaints = 0;
	options_parse(line, &options, complain, &complaints);
	return options;
}

static void test_defaults(void **unused)
{
	static const char *const lines[] = {"", "   "};

	(void)unused;
	for (u32 i = 0; i < ARRAY_SIZE(lines); i++) {
		struct options o = parse(lines[i]);

		assert_int_equal(complaints, 0);
		assert_true(o.console_vga);
		assert_int_equal(o.com_count, 1);
		assert_int_equal(o.com[0].port, 0x3f8);
		assert_int_equal(o.com[0].baud, 115200);
		assert_false(o.boot_drive_set || o.boot_partition);
		assert_int_equal(o.cpus, 0);
		assert_int_equal(o.pool, 0);
		assert_int_equal(o.apic, APIC_MODE_DEFAULT);
		assert_int_equal(o.crash, CRASH_REBOOT);
		assert_int_equal(o.key, KEY_ACPI);
		assert_int_equal(o.log, LOG_MODE_FIRST);
		assert_int_equal(o.mitigations, MITIGATE_AUTO);
		assert_int_equal(o.debug, DEBUG_NONE);
	}
}

static void test_everything_at_once(void **unused)
{
	struct options o = parse(" console=com2,9600  console=0xe010 boot=0x81 cpus=3 pool=64M "
				 "apic=trap crash=halt key=none debug=crash log=quiet mitigations=all");

	(void)unused;
	assert_int_equal(complaints, 0);
	assert_false(o.console_vga);
	assert_int_equal(o.com_count, 2);
	assert_int_equal(o.com[0].port, 0x2f8);
	assert_int_equal(o.com[0].baud, 9600);
	assert_int_equal(o.com[1].port, 0xe010);
	assert_int_equal(o.com[1].baud, 115200);
	assert_true(o.boot_drive_set && o.boot_drive == 0x81);
	assert_int_equal(o.cpus, 3);
	assert_int_equal(o.pool, 64 * MIB);
	assert_int_equal(o.apic, APIC_MODE_TRAP);
	assert_int_equal(o.crash, CRASH_HALT);
	assert_int_equal(o.key, KEY_NONE);
	assert_int_equal(o.debug, DEBUG_CRASH);
	assert_int_equal(o.log, LOG_MODE_QUIET);
	assert_int_equal(o.mitigations, MITIGATE_ALL);
}

static void test_the_last_counts(void **unused)
{
	struct options o =
	    parse("apic=trap apic=direct crash=halt crash=reboot key=none key=acpi "
		  "boot=0x80 boot=hd127 pool=4096 pool=1G cpus=9 cpus=4294967295 "
		  "console=com1 console=none console=vga console=com4 "
		  "console=com3,1 console=com4,300");

	(void)unused;
	assert_int_equal(complaints, 0);
	assert_int_equal(o.apic, APIC_MODE_DIRECT);
	assert_int_equal(o.crash, CRASH_REBOOT);
	assert_int_equal(o.key, KEY_ACPI);
	assert_int_equal(o.boot_drive, 0xff);
	assert_int_equal(o.pool, GIB);
	assert_int_equal(o.cpus, UINT32_MAX);
	assert_true(o.console_vga);
	assert_int_equal(o.com_count, 2);
	assert_int_equal(o.com[0].port, 0x2e8);
	assert_int_equal(o.com[0].baud, 300);
	assert_int_equal(o.com[1].port, 0x3e8);
	assert_int_equal(o.com[1].baud, 1);

	o = parse("boot=hd3,4 log=all mitigations=off key=port apic=trap apic=auto debug=crash debug=none");
	assert_int_equal(o.boot_drive, 0x83);
	assert_int_equal(o.boot_partition, 4);
	assert_int_equal(o.log, LOG_MODE_ALL);
	assert_int_equal(o.mitigations, MITIGATE_OFF);
	assert_int_equal(o.key, KEY_PORT);
	assert_int_equal(o.apic, APIC_MODE_DEFAULT);
	assert_int_equal(o.debug, DEBUG_NONE);
	assert_int_equal(parse("boot=0x80,1 boot=hd1").boot_partition, 0);
	assert_int_equal(complaints, 0);

	o = parse("console=none");
	assert_int_equal(o.com_count + o.console_vga, 0);
	o = parse("pool=3K");
	assert_int_equal(o.pool, 3 * KIB);
	o = parse("pool=17179869183G");
	assert_int_equal(o.pool, 17179869183 * GIB);
	o = parse("next=firmware next=\\EFI\\a\\shimx64.efi");
	assert_string_equal(o.next, "\\EFI\\a\\shimx64.efi");
	assert_string_equal(parse("next=firmware").next, "firmware");
}

static const char *const bad[] = {
	"quiet", "=", "=vga", "next", "next=", "next=\\", "next=shim.efi", "next=firm", "console", "console=", "console=vg", "console=vgaa",
	"console=com0", "console=com5", "console=com1,", "console=com1,0", "console=com1,7",
	"console=com1,115201", "console=com1,9600,8", "console=0x", "console=0x0",
	"console=0xfff9", "console=0x1000003f8", "console=3f8", "console=vga,9600", "boot",
	"boot=", "boot=0x100", "boot=128", "boot=0xg0", "boot=hd", "boot=hd128", "boot=hd-1",
	"boot=cd0", "boot=hd0,", "boot=hd0,0", "boot=hd0,5", "boot=hd0,x", "boot=hd0,1,2", "boot=,1", "cpus", "cpus=", "cpus=0", "cpus=-1", "cpus=4294967296",
	"cpus=99999999999999999999999", "cpus=2x", "pool=", "pool=M", "pool=0", "pool=64T",
	"pool=64MM", "pool=17179869184G", "pool=18446744073709551616", "pool=-1", "apic=",
	"apic=on", "apic=trapp", "crash=", "crash=no", "key=ports", "log", "log=", "log=no", "log=quiets", "mitigations=", "mitigations=on", "key=", "debug=", "debug=x",
	"Console=vga", "apic=TRAP", "consol=vga", "apic=trap=direct",
};

static void test_damaged_ones_are_reported_and_ignored(void **unused)
{
	struct options defaults = parse("");

	(void)unused;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		char line[128];
		struct options o;

		snprintf(line, sizeof(line), "%s crash=halt", bad[i]);
		o = parse(line);
		if (complaints != 1 || !strstr(last_complaint, bad[i]))
			fail_msg("'%s': %u complaints, last '%s'", bad[i], complaints,
				 last_complaint);
		assert_int_equal(o.crash, CRASH_HALT);
		o.crash = defaults.crash;
		assert_memory_equal(&o, &defaults, sizeof(o));
	}
}

static void test_a_third_port_is_refused(void **unused)
{
	struct options o = parse("console=com1 console=com2 console=com3");

	(void)unused;
	assert_int_equal(complaints, 1);
	assert_int_equal(o.com_count, 2);
	assert_int_equal(o.com[1].port, 0x2f8);
}

static void test_long_words_fit_the_sentence(void **unused)
{
	char line[1000];

	(void)unused;
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	parse(line);
	assert_int_equal(complaints, 1);
	memcpy(line, "console=", 8);
	parse(line);
	assert_int_equal(complaints, 1);
	assert_non_null(strstr(last_complaint, "com1"));
}

static void test_random_lines(void **unused)
{
	static const char good[] =
	    "console=com1,9600 boot=hd3 cpus=4 pool=16M apic=trap key=none "
	    "console=0x2f8 crash=halt debug=crash log=all mitigations=off";
	u64 state = 3;

	(void)unused;
	for (u32 round = 0; round < 5000; round++) {
		/* On the heap and as long as it is, for ASan. */
		char *line = strdup(good);
		struct options o;

		damage((u8 *)line, strlen(line), &state);
		o = parse(line);
		assert_true(o.com_count <= OPTION_COM_PORTS_MAX);
		for (u32 i = 0; i < o.com_count; i++) {
			assert_true(o.com[i].baud && 115200 % o.com[i].baud == 0);
			assert_true(o.com[i].port && o.com[i].port <= 0xfff8);
		}
		free(line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_everything_at_once),
	    cmocka_unit_test(test_the_last_counts),
	    cmocka_unit_test(test_damaged_ones_are_reported_and_ignored),
	    cmocka_unit_test(test_a_third_port_is_refused),
	    cmocka_unit_test(test_long_words_fit_the_sentence),
	    cmocka_unit_test(test_random_lines),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
