/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "kvm/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm/pins.h"
#include "kvm/real.h"
#include "kvm/system.h"
#include "kvm/user.h"
#include "kvm/vm.h"
#include "lib/luvalley.h"

#define PAGE_SIZE	 LUV_PAGE_SIZE
#define PAGE_MASK	 (PAGE_SIZE - 1u)

#define REGION_FLAGS	 (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
#define REGION_PAGES_MAX ((1ull << 31) - 1) /* KVM_MEM_MAX_NR_PAGES */

struct slot {
	uint64_t gpa, size; /* size 0: there is none */
	uintptr_t address;
	uint32_t flags;	 /* REGION_FLAGS */
	bool live;	 /* the hypervisor has it */
	uint64_t *dirty; /* with LOG_DIRTY_PAGES: a bit a page, not yet given to the client */
};

struct memory {
	pthread_rwlock_t lock; /* of slots, which change with all_lock held, too; `dirty` words
				  are atomic */
	struct vm *vm;
	struct slot slot[LUV_SLOTS_MAX];
	unsigned end;  /* behind the last slot that was ever used */
	unsigned last; /* a: where an address was found last */
	bool manual_protect, initially_set;
	bool stopped; /* by memory_change_begin */
	struct memory *next;
};

/* Taken before any memory's lock. Of the VMs of the process, and of what is pinned for them. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct memory *all;

static const char TAKEN_AWAY[] = "a guest uses memory that its client has taken away";

/* --- life -------------------------------------------------------------------------------- */

/* Another thread of the parent's may have had the locks; its VMs and pins are not the child's.
 */
static void after_fork_child(void)
{
	pthread_mutex_init(&all_lock, NULL);
	all = NULL;
	pins_forget();
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, after_fork_child);
}

int memory_create(struct vm *vm)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	pthread_once(&once, watch_forks);
	pthread_rwlock_init(&memory->lock, NULL);
	memory->vm = vm;
	vm->memory = memory;
	pthread_mutex_lock(&all_lock);
	memory->next = all;
	all = memory;
	pthread_mutex_unlock(&all_lock);
	return 0;
}

void memory_destroy(struct vm *vm)
{
	struct memory **link;

	pthread_mutex_lock(&all_lock);
	for (link = &all; *link; link = &(*link)->next) {
		if (*link != vm->memory)
			continue;
		*link = vm->memory->next;
		break;
	}
	if (!all)
		pins_drop(0, UINTPTR_MAX);
	pthread_mutex_unlock(&all_lock);
	for (unsigned i = 0; i < LUV_SLOTS_MAX; i++)
		free(vm->memory->slot[i].dirty);
	pthread_rwlock_destroy(&vm->memory->lock);
	free(vm->memory);
	vm->memory = NULL;
}

void memory_lock(struct vm *vm)
{
	pthread_rwlock_rdlock(&vm->memory->lock);
}

void memory_unlock(struct vm *vm)
{
	pthread_rwlock_unlock(&vm->memory->lock);
}

/* --- slots and the hypervisor ------------------------------------------------------------ */

static uint64_t pages(const struct slot *slot)
{
	return slot->size / PAGE_SIZE;
}

static uint64_t words(const struct slot *slot)
{
	return (pages(slot) + 63) / 64;
}

static unsigned number(const struct memory *memory, const struct slot *slot)
{
	return (unsigned)(slot - memory->slot);
}

/* With the vCPUs stopped. 0 or a LUV_ERR_ code. */
static int hand_over(struct memory *memory, struct slot *slot)
{
	const struct luv_slot wanted = {
	    .slot = number(memory, slot),
	    .flags = LUV_SLOT_LAZY | (slot->flags & KVM_MEM_READONLY ? LUV_SLOT_READ_ONLY : 0) |
		     (slot->flags & KVM_MEM_LOG_DIRTY_PAGES ? LUV_SLOT_LOG_DIRTY : 0),
	    .gpa = slot->gpa,
	    .size = slot->size,
	    .address = slot->address,
	};
	int result = luv_slot_set(memory->vm->handle, &wanted);

	slot->live = result == 0;
	return result;
}

static void take_back(struct memory *memory, struct slot *slot)
{
	const struct luv_slot nothing = {.slot = number(memory, slot)};

	if (slot->live)
		(void)luv_slot_set(memory->vm->handle, &nothing);
	slot->live = false;
}

/* Moves the hypervisor's dirty bits to ours, with the vCPUs stopped. */
static int collect(struct memory *memory, struct slot *slot)
{
	uint64_t bits[LUV_DIRTY_PAGES_MAX / 64];

	if (!slot->live || !slot->dirty)
		return 0;
	for (uint64_t first = 0; first < pages(slot); first += LUV_DIRTY_PAGES_MAX) {
		uint64_t left = pages(slot) - first;
		unsigned count =
		    left < LUV_DIRTY_PAGES_MAX ? (unsigned)left : LUV_DIRTY_PAGES_MAX;
		int result = luv_dirty_read(memory->vm->handle, number(memory, slot), first,
					    count, bits);

		if (result < 0)
			return system_errno(result);
		for (unsigned i = 0; i < (count + 63) / 64; i++)
			if (bits[i])
				__atomic_fetch_or(&slot->dirty[first / 64 + i], bits[i],
						  __ATOMIC_RELAXED);
	}
	return 0;
}

/* With all_lock held. Hands the slot over, if there is a hypervisor's VM to have it. */
static int bring(struct memory *memory, struct slot *slot, const char **why)
{
	int result = pins_add_area(slot->address, slot->size, why);

	if (result < 0 || memory->vm->handle < 0)
		return result;
	result = hand_over(memory, slot);
	if (result < 0)
		*why = luv_strerror(result);
	return result;
}

int memory_attach(struct vm *vm)
{
	struct memory *memory = vm->memory;
	int result = 0;

	pthread_rwlock_wrlock(&memory->lock);
	for (unsigned i = 0; i < LUV_SLOTS_MAX && result == 0; i++)
		if (memory->slot[i].size)
			result = hand_over(memory, &memory->slot[i]);
	pthread_rwlock_unlock(&memory->lock);
	return system_errno(result);
}

/* --- KVM_SET_USER_MEMORY_REGION ---------------------------------------------------------- */

static int check_region(const struct kvm_userspace_memory_region *region)
{
	uint64_t end, host_end;

	if (region->flags & ~REGION_FLAGS || region->slot >= LUV_SLOTS_MAX)
		return -EINVAL;
	if ((region->memory_size | region->guest_phys_addr | region->userspace_addr) &
	    PAGE_MASK)
		return -EINVAL;
	if (region->memory_size / PAGE_SIZE > REGION_PAGES_MAX ||
	    __builtin_add_overflow(region->guest_phys_addr, region->memory_size, &end) ||
	    __builtin_add_overflow(region->userspace_addr, region->memory_size, &host_end))
		return -EINVAL;
	return end > 1ull << LUV_GPA_BITS || host_end > 1ull << 47 ? -EINVAL : 0;
}

static bool overlaps(const struct memory *memory,
		     const struct kvm_userspace_memory_region *region)
{
	for (unsigned i = 0; i < LUV_SLOTS_MAX; i++) {
		const struct slot *slot = &memory->slot[i];

		if (i != region->slot && slot->size &&
		    slot->gpa < region->guest_phys_addr + region->memory_size &&
		    region->guest_phys_addr < slot->gpa + slot->size)
			return true;
	}
	return false;
}

static void remove_slot(struct memory *memory, struct slot *slot)
{
	take_back(memory, slot);
	free(slot->dirty);
	*slot = (struct slot){0};
}

/* What an existing slot may become: moved, or with other flags. */
static int check_change(const struct slot *slot,
			const struct kvm_userspace_memory_region *region)
{
	if (slot->address != region->userspace_addr || slot->size != region->memory_size ||
	    (slot->flags ^ region->flags) & KVM_MEM_READONLY)
		return -EINVAL;
	return 0;
}

static uint64_t *new_log(const struct memory *memory, const struct slot *slot)
{
	uint64_t *bits = calloc(words(slot), sizeof(*bits));

	for (uint64_t i = 0; bits && memory->initially_set && i < pages(slot); i++)
		bits[i / 64] |= 1ull << i % 64;
	return bits;
}

static int bring_or_complain(struct memory *memory, struct slot *slot)
{
	const char *why = "";
	int result = bring(memory, slot, &why);

	if (result < 0)
		system_complain("a guest's memory is refused", why);
	return system_errno(result);
}

/*
 * With the vCPUs stopped and the lock held for writing. What fails leaves the slot as it was,
 * but for the hypervisor, which is given it again when the guest touches it.
 */
static int change_slot(struct memory *memory, const struct kvm_userspace_memory_region *region)
{
	struct slot *slot = &memory->slot[region->slot], before = *slot;
	bool logged = region->flags & KVM_MEM_LOG_DIRTY_PAGES;
	int result;

	*slot = (struct slot){
	    .gpa = region->guest_phys_addr,
	    .size = region->memory_size,
	    .address = region->userspace_addr,
	    .flags = region->flags,
	    .dirty = logged ? before.dirty : NULL,
	    .live = before.live,
	};
	if (memory->end <= region->slot)
		memory->end = region->slot + 1;
	if (logged && !slot->dirty)
		slot->dirty = new_log(memory, slot);
	result = logged && !slot->dirty ? -ENOMEM : bring_or_complain(memory, slot);
	if (result == 0) {
		if (before.dirty != slot->dirty)
			free(before.dirty);
		return 0;
	}
	slot->live = before.live;
	take_back(memory, slot);
	if (before.dirty != slot->dirty)
		free(slot->dirty);
	*slot = before;
	slot->live = false;
	return result;
}

static int set_region(struct memory *memory, const struct kvm_userspace_memory_region *region)
{
	struct slot *slot = &memory->slot[region->slot];
	int result;

	if (!region->memory_size) {
		if (!slot->size)
			return -EINVAL;
		remove_slot(memory, slot);
		return 0;
	}
	result = slot->size ? check_change(slot, region) : 0;
	if (result < 0)
		return result;
	if (slot->size && slot->gpa == region->guest_phys_addr && slot->flags == region->flags)
		return 0;
	if (overlaps(memory, region))
		return -EEXIST;
	return change_slot(memory, region);
}

int memory_set_region(struct vm *vm, const struct kvm_userspace_memory_region *region)
{
	int result = check_region(region);

	if (result < 0)
		return result;
	pthread_mutex_lock(&all_lock);
	vm_stop(vm);
	pthread_rwlock_wrlock(&vm->memory->lock);
	result = set_region(vm->memory, region);
	pthread_rwlock_unlock(&vm->memory->lock);
	vm_resume(vm);
	pthread_mutex_unlock(&all_lock);
	return result;
}

/* --- the dirty log ----------------------------------------------------------------------- */

int memory_manual_protect(struct vm *vm, uint64_t flags)
{
	const uint64_t known =
	    KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;

	if (flags & ~known || (flags & KVM_DIRTY_LOG_INITIALLY_SET &&
			       !(flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)))
		return -EINVAL;
	pthread_rwlock_wrlock(&vm->memory->lock);
	vm->memory->manual_protect = flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	vm->memory->initially_set = flags & KVM_DIRTY_LOG_INITIALLY_SET;
	pthread_rwlock_unlock(&vm->memory->lock);
	return 0;
}

static struct slot *logged_slot(struct memory *memory, uint32_t index)
{
	struct slot *slot = index < LUV_SLOTS_MAX ? &memory->slot[index] : NULL;

	return slot && slot->size && slot->dirty ? slot : NULL;
}

static int give_dirty_log(struct memory *memory, const struct kvm_dirty_log *log)
{
	struct slot *slot = logged_slot(memory, log->slot);
	uint64_t *bits;
	int result;

	if (!slot)
		return log->slot < LUV_SLOTS_MAX ? -ENOENT : -EINVAL;
	bits = malloc(words(slot) * sizeof(*bits));
	result = bits ? collect(memory, slot) : -ENOMEM;
	for (uint64_t i = 0; result == 0 && i < words(slot); i++)
		bits[i] = memory->manual_protect
			      ? __atomic_load_n(&slot->dirty[i], __ATOMIC_RELAXED)
			      : __atomic_exchange_n(&slot->dirty[i], 0, __ATOMIC_RELAXED);
	if (result == 0)
		result = user_copy_out((uintptr_t)log->dirty_bitmap, bits,
				       words(slot) * sizeof(*bits));
	free(bits);
	return result;
}

int memory_get_dirty_log(struct vm *vm, const struct kvm_dirty_log *log)
{
	int result;

	vm_stop(vm);
	pthread_rwlock_wrlock(&vm->memory->lock);
	result = give_dirty_log(vm->memory, log);
	pthread_rwlock_unlock(&vm->memory->lock);
	vm_resume(vm);
	return result;
}

/*
 * What the guest writes between GET and CLEAR is in the hypervisor's bits, which CLEAR does not
 * touch: it is in the next GET.
 */
static int clear_dirty_log(struct memory *memory, const struct kvm_clear_dirty_log *log)
{
	struct slot *slot = logged_slot(memory, log->slot);
	uint64_t count = (log->num_pages + 63) / 64;
	uint64_t *bits;
	int result;

	if (log->slot >= LUV_SLOTS_MAX || log->first_page & 63)
		return -EINVAL;
	if (!slot)
		return -ENOENT;
	if (log->first_page > pages(slot) || log->num_pages > pages(slot) - log->first_page ||
	    (log->num_pages < pages(slot) - log->first_page && log->num_pages & 63))
		return -EINVAL;
	bits = malloc(count * sizeof(*bits) + 1);
	result = bits ? user_copy_in(bits, (uintptr_t)log->dirty_bitmap, count * sizeof(*bits))
		      : -ENOMEM;
	for (uint64_t i = 0; result == 0 && i < count; i++)
		__atomic_fetch_and(&slot->dirty[log->first_page / 64 + i], ~bits[i],
				   __ATOMIC_RELAXED);
	free(bits);
	return result;
}

int memory_clear_dirty_log(struct vm *vm, const struct kvm_clear_dirty_log *log)
{
	int result;

	pthread_rwlock_wrlock(&vm->memory->lock);
	result = clear_dirty_log(vm->memory, log);
	pthread_rwlock_unlock(&vm->memory->lock);
	return result;
}

/* --- guest memory for the library -------------------------------------------------------- */

static struct slot *find_slot(struct memory *memory, uint64_t gpa)
{
	unsigned last = __atomic_load_n(&memory->last, __ATOMIC_RELAXED);

	if (gpa - memory->slot[last].gpa < memory->slot[last].size)
		return &memory->slot[last];
	for (unsigned i = 0; i < memory->end; i++) {
		struct slot *slot = &memory->slot[i];

		if (gpa - slot->gpa >= slot->size)
			continue;
		__atomic_store_n(&memory->last, i, __ATOMIC_RELAXED);
		return slot;
	}
	return NULL;
}

bool memory_has(struct vm *vm, uint64_t gpa, bool write)
{
	const struct slot *slot = find_slot(vm->memory, gpa);

	return slot && !(write && slot->flags & KVM_MEM_READONLY);
}

void *memory_page(struct vm *vm, uint64_t gpa, bool write)
{
	struct slot *slot = find_slot(vm->memory, gpa);
	uint64_t page;

	if (!slot || (write && slot->flags & KVM_MEM_READONLY))
		return NULL;
	page = (gpa - slot->gpa) / PAGE_SIZE;
	if (write && slot->dirty)
		__atomic_fetch_or(&slot->dirty[page / 64], 1ull << page % 64, __ATOMIC_RELAXED);
	return (void *)(slot->address + page * PAGE_SIZE);
}

static size_t in_page(uint64_t gpa, size_t size)
{
	size_t room = PAGE_SIZE - (gpa & PAGE_MASK);

	return size < room ? size : room;
}

static bool all_there(struct vm *vm, uint64_t gpa, size_t size, bool write)
{
	for (size_t done = 0; done < size; done += in_page(gpa + done, size - done))
		if (!memory_page(vm, gpa + done, write))
			return false;
	return true;
}

static bool transfer(struct vm *vm, uint64_t gpa, uint8_t *bytes, size_t size, bool write)
{
	bool there;

	memory_lock(vm);
	there = all_there(vm, gpa, size, write);
	for (size_t done = 0, piece; there && done < size; done += piece) {
		uint8_t *at = memory_page(vm, gpa + done, write);

		piece = in_page(gpa + done, size - done);
		at += (gpa + done) & PAGE_MASK;
		if (write)
			memcpy(at, bytes + done, piece);
		else
			memcpy(bytes + done, at, piece);
	}
	memory_unlock(vm);
	return there;
}

bool vm_read(struct vm *vm, uint64_t gpa, void *to, size_t size)
{
	return transfer(vm, gpa, to, size, false);
}

bool vm_write(struct vm *vm, uint64_t gpa, const void *from, size_t size)
{
	return transfer(vm, gpa, (uint8_t *)(uintptr_t)from, size, true);
}

/* --- the client changes its mappings ----------------------------------------------------- */

int memory_revive(struct vm *vm, uint64_t gpa, bool write)
{
	struct memory *memory = vm->memory;
	const char *why = "";
	struct slot *slot;
	int result = 0;

	memory_lock(vm);
	slot = find_slot(memory, gpa);
	if (slot && !(write && slot->flags & KVM_MEM_READONLY))
		result = slot->live ? 1 : -EFAULT;
	memory_unlock(vm);
	if (result != -EFAULT)
		return result;

	pthread_mutex_lock(&all_lock);
	vm_stop(vm);
	pthread_rwlock_wrlock(&memory->lock);
	slot = find_slot(memory, gpa);
	result = slot && !slot->live && bring(memory, slot, &why) < 0 ? -EFAULT : 1;
	pthread_rwlock_unlock(&memory->lock);
	vm_resume(vm);
	pthread_mutex_unlock(&all_lock);
	if (result < 0)
		system_complain(TAKEN_AWAY, why);
	return result;
}

/* The piece of a slot around an address of the client's; false: no slot has it any more. */
static bool find_piece(struct vm *vm, uintptr_t address, uintptr_t *begin, uintptr_t *end)
{
	bool found = false;

	memory_lock(vm);
	for (unsigned i = 0; i < vm->memory->end && !found; i++) {
		const struct slot *slot = &vm->memory->slot[i];

		found = address - slot->address < slot->size;
		*begin = slot->address;
		*end = slot->address + slot->size;
	}
	memory_unlock(vm);
	if (found)
		pins_piece(address, begin, end);
	return found;
}

/* With all_lock held. Where a piece cannot be had, the page may. */
static int pin(struct vm *vm, uintptr_t address, const char **why)
{
	uintptr_t begin, end;
	int result;

	if (!find_piece(vm, address, &begin, &end))
		return 0;
	result = pins_keep(begin, end, why);
	return result < 0 ? pins_keep(address, address + PAGE_SIZE, why) : result;
}

int memory_pin(struct vm *vm, uintptr_t address, uintptr_t *begin, uintptr_t *end)
{
	const char *why = "";
	int result;

	if (pins_around(address, begin, end))
		return 0;
	/* Memory is cleared here, where nobody waits for it. An error shows below. */
	if (find_piece(vm, address, begin, end))
		(void)real()->madvise((void *)*begin, *end - *begin, MADV_POPULATE_WRITE);
	pthread_mutex_lock(&all_lock);
	result = pin(vm, address, &why);
	pthread_mutex_unlock(&all_lock);
	if (result == 0 && !pins_around(address, begin, end))
		*begin = *end = address; /* it was taken away again: the guest will ask again */
	if (result < 0)
		system_complain(TAKEN_AWAY, why);
	return result == LUV_ERR_NOMEM ? -ENOMEM : result < 0 ? -EFAULT : 0;
}

/* With all_lock held. */
static bool uses(const struct memory *memory, uintptr_t begin, uintptr_t end)
{
	for (unsigned i = 0; i < LUV_SLOTS_MAX; i++) {
		const struct slot *slot = &memory->slot[i];

		if (slot->size && slot->address < end && begin < slot->address + slot->size)
			return true;
	}
	return false;
}

static void leave_range(struct memory *memory, uintptr_t begin, uintptr_t end)
{
	for (unsigned i = 0; i < LUV_SLOTS_MAX; i++) {
		struct slot *slot = &memory->slot[i];

		if (!slot->size || slot->address >= end || begin >= slot->address + slot->size)
			continue;
		(void)collect(memory, slot);
		take_back(memory, slot);
	}
}

/*
 * Holds all_lock, and every VM that uses what is pinned there stopped and locked, until
 * memory_change_end. What is not pinned no guest has.
 */
bool memory_change_begin(uintptr_t address, size_t size)
{
	uintptr_t begin = address, end;
	bool pinned, used = false;

	if (__builtin_add_overflow(address, size, &end) || !pins_touch(address, size))
		return false;
	pthread_mutex_lock(&all_lock);
	pins_change_begin();
	pinned = pins_extend(&begin, &end);
	for (struct memory *memory = all; memory; memory = memory->next) {
		bool here = uses(memory, begin, end);

		used = used || here;
		memory->stopped = pinned && here;
		if (!memory->stopped)
			continue;
		pthread_rwlock_wrlock(&memory->lock);
		vm_stop(memory->vm);
		leave_range(memory, begin, end);
	}
	if (pinned)
		pins_drop(begin, end);
	if (!used)
		pins_trim(begin, end);
	return true;
}

/* What cannot be brought back is missed when the guest touches it: memory_revive. */
void memory_change_end(void)
{
	const char *why;

	for (struct memory *memory = all; memory; memory = memory->next) {
		if (!memory->stopped)
			continue;
		for (unsigned i = 0; i < LUV_SLOTS_MAX; i++)
			if (memory->slot[i].size && !memory->slot[i].live)
				(void)bring(memory, &memory->slot[i], &why);
		memory->stopped = false;
		vm_resume(memory->vm);
		pthread_rwlock_unlock(&memory->lock);
	}
	pins_change_end();
	pthread_mutex_unlock(&all_lock);
}
