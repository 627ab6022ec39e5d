/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts: the same localhost lines, in the same order and with the same tabs, as docker writes, since images' scripts grep
 * them. */
#include "network/hosts.h"

static const struct hosts_entry hosts_local[] = {
	{ "127.0.0.1", "localhost" },
	{ "::1", "localhost ip6-localhost ip6-loopback" },
	{ "fe00::", "ip6-localnet" },
	{ "ff00::", "ip6-mcastprefix" },
	{ "ff02::1", "ip6-allnodes" },
	{ "ff02::2", "ip6-allrouters" },
};

static void hosts_lines(const struct hosts_entry *entries, size_t n, struct str *ret)
{
	for (size_t i = 0; i < n; i++)
		str_addf(ret, "%s\t%s\n", entries[i].address, entries[i].names);
}

void hosts_build(const struct hosts_entry *entries, size_t n, struct str *ret)
{
	hosts_lines(hosts_local, ARRAY_SIZE(hosts_local), ret);
	hosts_lines(entries, n, ret);
}
