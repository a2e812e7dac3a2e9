/* SPDX-License-Identifier: BSD-2-Clause */
#include "mem/page.h"

#include "cpu/crash.h"
#include "cpu/spinlock.h"
#include "lib/layout.h"
#include "lib/string.h"

/* A free page's first word links to the next; pages never used yet lie in [fresh, end). */
static struct {
	struct spinlock lock;
	u64 base, end; /* immutable */
	u64 fresh;     /* lock */
	void *free;    /* lock */
	u64 free_count; /* lock */
} pool;

void *hpa_to_virt(hpa_t address)
{
	return (void *)(DIRECT_BASE + address.addr);
}

hpa_t virt_to_hpa(const void *at)
{
	return hpa((u64)at - DIRECT_BASE);
}

void page_pool_init(hpa_t base, u64 size)
{
	pool.base = base.addr;
	pool.fresh = base.addr;
	pool.end = base.addr + size;
}

void *page_alloc(void)
{
	void *page = NULL;

	spin_lock(&pool.lock);
	if (pool.free) {
		page = pool.free;
		pool.free = *(void **)page;
		pool.free_count--;
	} else if (pool.fresh < pool.end) {
		page = hpa_to_virt(hpa(pool.fresh));
		pool.fresh += PAGE_SIZE;
	}
	spin_unlock(&pool.lock);
	if (page)
		memset(page, 0, PAGE_SIZE);
	return page;
}

void page_free(void *page)
{
	u64 address = virt_to_hpa(page).addr;

	ASSERT(address >= pool.base && address < pool.end && address % PAGE_SIZE == 0);
	spin_lock(&pool.lock);
	*(void **)page = pool.free;
	pool.free = page;
	pool.free_count++;
	spin_unlock(&pool.lock);
}

u64 page_pool_size(void)
{
	return pool.end - pool.base;
}

u64 page_pool_free(void)
{
	u64 bytes;

	spin_lock(&pool.lock);
	bytes = pool.end - pool.fresh + pool.free_count * PAGE_SIZE;
	spin_unlock(&pool.lock);
	return bytes;
}

static void *source_alloc(struct page_source *source)
{
	return page_alloc();
}

static void source_free(struct page_source *source, void *page)
{
	page_free(page);
}

static hpa_t source_to_hpa(struct page_source *source, const void *page)
{
	return virt_to_hpa(page);
}

static void *source_to_page(struct page_source *source, hpa_t address)
{
	return hpa_to_virt(address);
}

struct page_source page_pool = {
	.alloc = source_alloc,
	.free = source_free,
	.to_hpa = source_to_hpa,
	.to_page = source_to_page,
};
