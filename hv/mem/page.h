/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool: every page the hypervisor will ever own, set aside at boot. */
#ifndef MEM_PAGE_H
#define MEM_PAGE_H

#include "mem/page_source.h"

/* Adopts [base, base+size), page aligned, RAM that is mapped at DIRECT_BASE. Once. */
void page_pool_init(hpa_t base, u64 size);

/* A zeroed page, or NULL. The caller owns it until page_free. Any CPU. */
void *page_alloc(void);
void page_free(void *page);

u64 page_pool_size(void); /* bytes */
u64 page_pool_free(void); /* bytes */

/* The direct map. The address must be RAM, or below 1 MiB. */
void *hpa_to_virt(hpa_t address);
hpa_t virt_to_hpa(const void *at); /* of something in the direct map */

extern struct page_source page_pool;

#endif
