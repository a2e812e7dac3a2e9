/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/firmware.h"

#include "dom0/acpi_luvy.h"
#include "dom0/memory.h"
#include "hypercall/session.h"
#include "lib/string.h"
#include "luvalley/calls.h"
#include "mem/page.h"

#define TABLES_OFFSET 64u /* behind our copy of the RSDP */

/* The firmware's page is write-protected memory: dom0 gets a copy of it that holds our RSDP. */
static bool shadow_rsdp(const struct phys_view *view, u64 rsdp_at, const struct acpi_rsdp *rsdp)
{
	u64 page = align_down(rsdp_at, PAGE_SIZE);
	u64 size = rsdp->revision >= 2 ? sizeof(*rsdp) : offsetof(struct acpi_rsdp, length);
	const void *original = phys_at(view, page, PAGE_SIZE);
	u8 *copy;

	if (!original || rsdp_at - page + size > PAGE_SIZE)
		return false;
	copy = page_alloc();
	if (!copy)
		return false;
	memcpy(copy, original, PAGE_SIZE);
	memcpy(copy + (rsdp_at - page), rsdp, size);
	if (dom0_memory_shadow(gpa(page), virt_to_hpa(copy)))
		return true;
	page_free(copy);
	return false;
}

void firmware_describe_luvy(struct luv_acpi_table *luvy)
{
	*luvy = (struct luv_acpi_table){
		.signature = LUV_ACPI_SIGNATURE,
		.length = sizeof(*luvy),
		.revision = LUV_ACPI_REVISION,
		.oem_id = {'L', 'U', 'V', 'A', 'L', 'Y'},
		.oem_table_id = {'L', 'U', 'V', 'A', 'L', 'L', 'E', 'Y'},
		.oem_revision = LUV_VERSION,
		.creator_id = LUV_ACPI_SIGNATURE,
		.creator_revision = 1,
		.abi_version = LUV_ABI_VERSION,
	};
	session_describe(luvy);
}

u64 firmware_show_luvy(const struct phys_view *view, const struct acpi_root *root, hpa_t acpi_page)
{
	struct luv_acpi_table luvy;
	u8 *page = hpa_to_virt(acpi_page);
	struct acpi_rsdp rsdp;

	memset(page, 0, PAGE_SIZE);
	firmware_describe_luvy(&luvy);
	if (!acpi_luvy_build(view, root, &luvy, page + TABLES_OFFSET, PAGE_SIZE - TABLES_OFFSET,
			     acpi_page.addr + TABLES_OFFSET, &rsdp))
		return 0;
	memcpy(page, &rsdp, sizeof(rsdp));
	if (!shadow_rsdp(view, root->rsdp, &rsdp))
		return 0;
	return acpi_page.addr;
}
