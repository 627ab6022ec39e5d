/* SPDX-License-Identifier: Apache-2.0 */
/* Clock reads and RFC 3339 text. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

char *clock_rfc3339(uint64_t real_ns, char buf[static 40])
{
	time_t s = (time_t)(real_ns / 1000000000);
	struct tm tm;
	size_t n;
	gmtime_r(&s, &tm);
	n = strftime(buf, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, 40 - n, ".%09uZ", (unsigned)(real_ns % 1000000000));
	return buf;
}
