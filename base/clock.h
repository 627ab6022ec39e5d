/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. Durations and time-outs use the monotonic clock; only what people read uses the real one. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_real_ns(void);
/* "2026-11-21T04:44:21.748419480Z" (30 characters and NUL) of a real-clock time in UTC. */
char *clock_rfc3339(uint64_t real_ns, char buf[static 40]);

#endif
