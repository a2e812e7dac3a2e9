/* SPDX-License-Identifier: BSD-2-Clause */
#include "dom0/linux.h"

#include "cpu/x86.h"
#include "dom0/bzimage.h"
#include "lib/string.h"
#include "mem/page.h"

#define CMDLINE_OFFSET 64 /* behind the GDT, in the same page */

/* Linux's boot protocol, "32-bit boot protocol": vcpu_start_flat's selectors, in a GDT in memory. */
static const u64 boot_gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};

static void enter_kernel(struct vcpu *vcpu, u64 entry, hpa_t params, hpa_t gdt)
{
	struct vcpu_segments *s = &vcpu->segments;

	vcpu_reset(vcpu);
	vcpu_start_flat(vcpu, entry);
	s->gdt_base = gdt.addr;
	s->gdt_limit = sizeof(boot_gdt) - 1;
	s->idt_limit = 0;
	vcpu->gpr[GPR_RSI] = params.addr;
}

const char *linux_prepare(struct vcpu *vcpu, const struct linux_modules *modules,
			  const struct low_memory *low, const struct mem_map *map, u64 rsdp)
{
	const struct mem_range avoid[] = {modules->kernel, modules->initrd};
	const u8 *image = hpa_to_virt(hpa(modules->kernel.base));
	hpa_t stub = low_page(low, LOW_STUB), params = low_page(low, LOW_PARAMS);
	char *cmdline = (char *)hpa_to_virt(stub) + CMDLINE_OFFSET;
	struct bzimage_plan plan;
	const char *wrong;

	_Static_assert(CMDLINE_OFFSET + LINUX_CMDLINE_MAX <= PAGE_SIZE, "the stub page is full");
	_Static_assert(sizeof(boot_gdt) <= CMDLINE_OFFSET, "GDT and command line overlap");
	wrong = bzimage_plan(image, modules->kernel.size, modules->initrd.size, map, avoid,
			     modules->initrd.size ? 2 : 1, &plan);
	if (wrong)
		return wrong;
	memcpy(hpa_to_virt(stub), boot_gdt, sizeof(boot_gdt));
	str_copy(cmdline, bzimage_cmdline(modules->cmdline),
		 min_u64(LINUX_CMDLINE_MAX, plan.cmdline_max + 1));
	wrong = bzimage_boot_params(image, modules->kernel.size, &plan, map,
				    stub.addr + CMDLINE_OFFSET, rsdp, hpa_to_virt(params));
	if (wrong)
		return wrong;
	/* The initrd first: its place overlaps no module, the kernel's may overlap the initrd. */
	if (plan.initrd_size)
		memmove(hpa_to_virt(hpa(plan.initrd_address)),
			hpa_to_virt(hpa(modules->initrd.base)), plan.initrd_size);
	memmove(hpa_to_virt(hpa(plan.load_address)), image + plan.payload_offset, plan.payload_size);
	enter_kernel(vcpu, plan.load_address, params, stub);
	return NULL;
}
