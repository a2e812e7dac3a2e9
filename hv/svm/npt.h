/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD's nested page tables as formats for mem/nested.c (APM 2 5.3 and 15.25). Pure.
 *
 * The hardware walks them in the paging mode that the host had at VMRUN (APM 2 15.25.3): the
 * host must be in 4-level long mode, and without EFER.NXE in the host a page that lacks
 * NESTED_EXEC has a reserved bit set.
 *
 * What is mapped can always be read: NPT has no execute-only or write-only pages. Entries carry
 * no memory type; `memory_type` answers write-back, and the MTRRs decide (APM 2 15.25.8).
 */
#ifndef SVM_NPT_H
#define SVM_NPT_H

#include "mem/nested.h"

extern const struct nested_format npt_format;	 /* leaves up to 1 GiB */
extern const struct nested_format npt_format_2m; /* CPUs without 1 GiB pages */

#endif
