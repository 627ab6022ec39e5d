/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a container's /etc/hosts. */
#ifndef NETWORK_HOSTS_H
#define NETWORK_HOSTS_H

#include "base/str.h"

struct hosts_entry {
	const char *address; /* as text */
	const char *names;   /* one or more, separated by spaces */
};

/* Adds docker's six localhost lines and then one line `address<TAB>names` for each entry: the container's own address with its
 * hostname (and domain) for each network, then extra hosts. */
void hosts_build(const struct hosts_entry *entries, size_t n, struct str *ret);

#endif
