/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/mapping.h"

#include <stdio.h>
#include <sys/sysmacros.h>

#define LINE_SIZE 512

/* Long names are cut: fgets then returns their rest as a line that is none. */
static bool parse(const char *line, struct mapping *m)
{
	unsigned long begin, end, offset, inode;
	unsigned major, minor;
	char rights[5];

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &begin, &end, rights, &offset, &major,
		   &minor, &inode) != 7)
		return false;
	*m = (struct mapping){
	    .begin = begin,
	    .end = end,
	    .offset = offset,
	    .device = makedev(major, minor),
	    .inode = inode,
	    .shared = rights[3] == 's',
	};
	return true;
}

static bool find(uintptr_t address, bool any, uint64_t device, uint64_t inode,
		 struct mapping *found)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[LINE_SIZE];
	bool done = false;

	while (maps && !done && fgets(line, sizeof(line), maps))
		done = parse(line, found) && found->end > address &&
		       (any || (found->device == device && found->inode == inode));
	if (maps)
		fclose(maps);
	return done;
}

bool mapping_next(uintptr_t address, struct mapping *found)
{
	return find(address, true, 0, 0, found);
}

bool mapping_of_file(uintptr_t address, uint64_t device, uint64_t inode, struct mapping *found)
{
	return find(address, false, device, inode, found);
}
