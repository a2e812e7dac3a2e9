/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BOOT_REFUSE_H
#define BOOT_REFUSE_H

#include "lib/types.h"

/*
 * Luvalley cannot run here, and it is not our bug: says why, in a sentence that tells the user what to do,
 * and restarts the machine at a key press. Before dom0 starts. The sentence goes on from "cannot start:"
 * and has no full stop.
 */
noreturn void refuse(const char *format, ...) PRINTF(1, 2);

/* From now on a refusal ends in `how`, with the sentence, which does not come back. */
void refuse_by(void (*how)(const char *sentence));

#endif
