/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * luvalley.efi: the firmware, or a boot loader, starts it like any application. It sets memory aside, puts the
 * hypervisor there, takes this CPU into guest mode in the middle of the running firmware, and starts
 * the next boot loader. It must never keep a machine from booting: where Luvalley cannot run, it says why, and
 * the next boot loader starts all the same. docs/boot.md.
 */
#include "boot/uefi/app/app.h"

#include "lib/printf.h"
#include "lib/string.h"

#define SECOND 1000000ull /* microseconds */
#define LINE   600

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table);

struct efi_system_table *efi;
struct efi_boot_services *efi_boot;

void say(const char *format, ...)
{
	efi_char wide[LINE + 3];
	char line[LINE];
	size_t length = 0;
	va_list args;

	va_start(args, format);
	hv_vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	while (line[length]) {
		wide[length] = (u8)line[length];
		length++;
	}
	wide[length++] = '\r';
	wide[length++] = '\n';
	wide[length] = 0;
	if (efi->console_out)
		efi->console_out->output_string(efi->console_out, wide);
}

/* NULL, or why Luvalley does not run. */
static const char *take_over(struct handoff *handoff, const struct options *options)
{
	const char *wrong = unfit_state();

	if (wrong)
		return wrong;
	handoff->rsdp = find_rsdp();
	find_screen(&handoff->screen);
	handoff->cpus = firmware_cpus();
	wrong = take_memory(handoff, options, count_cpus(handoff->rsdp));
	if (wrong)
		return wrong;
	handoff->entry = payload_entry;
	if (enter_hypervisor(handoff))
		return NULL;
	return_memory(handoff);
	return handoff->sentence;
}

static void in_guest_mode_now(struct handoff *handoff)
{
	u32 others, visited = visit_other_cpus(&others);

	install_luvy(&handoff->luvy);
	memset(&handoff->luvy, 0, sizeof(handoff->luvy));
	if (visited != others)
		say("luvalley: %u of %u other CPUs wait outside guest mode until the system starts them",
		    others - visited, others);
}

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table)
{
	static const struct efi_guid loaded_image = {
		0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
	struct efi_loaded_image *image;
	struct handoff *handoff;
	struct options options;
	const char *wrong;

	efi = table;
	efi_boot = table->boot_services;
	if (efi_boot->handle_protocol(self, &loaded_image, (void **)&image) & EFI_ERROR)
		return EFI_ABORTED;
	handoff = allocate(sizeof(*handoff));
	if (!handoff)
		return EFI_ABORTED;
	read_cmdline(image, handoff->cmdline, sizeof(handoff->cmdline));
	options_parse(handoff->cmdline, &options, NULL, NULL);
	if (in_guest_mode()) {
		say("luvalley: runs already; the next boot loader is started");
		return start_next(self, image, options.next);
	}
	wrong = take_over(handoff, &options);
	if (wrong) {
		say("luvalley: cannot start: %s.", wrong);
		say("luvalley: your system starts without it.");
		efi_boot->stall(5 * SECOND);
	} else {
		in_guest_mode_now(handoff);
	}
	return start_next(self, image, options.next);
}
