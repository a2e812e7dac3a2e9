/* SPDX-License-Identifier: BSD-2-Clause */
/* Where table builders get their pages: the pool on the machine, malloc in a host test. */
#ifndef MEM_PAGE_SOURCE_H
#define MEM_PAGE_SOURCE_H

#include "lib/types.h"

struct page_source {
	/* A zeroed page, or NULL when there is none left. */
	void *(*alloc)(struct page_source *source);
	void (*free)(struct page_source *source, void *page);
	hpa_t (*to_hpa)(struct page_source *source, const void *page);
	/* Only for addresses that to_hpa returned. */
	void *(*to_page)(struct page_source *source, hpa_t address);
};

#endif
