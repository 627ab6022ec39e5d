/* SPDX-License-Identifier: Apache-2.0 */
/* A container's place in the networks: links and DNS sockets; published ports are in unit_ports.c.
 * What they are follows from the record and the networks alone, so
 * that repair.c can make them again for one that runs. Given back in unit_release.c.
 *
 * The child makes its network namespace, links and sockets itself, before it mounts: it is a fork of the supervisor and knows all that it needs, and
 * fifty of them keep every processor busy where one supervisor would be waited for. It hands the sockets over when it is prepared. One that
 * dies takes its namespace, and so its links, along. */
#include "compose/supervisor.h"

#include <stdio.h>

#include "base/failpoint.h"
#include "network/netns.h"

size_t unit_links(const struct unit *u, struct attach_link links[static ATTACH_MAX_LINKS])
{
	const struct record *r = u->rec;
	size_t n = 0;
	bool gateway = false;
	for (size_t i = 0; i < r->n_endpoints && n < ATTACH_MAX_LINKS; i++) {
		const struct netw *net = nets_find(u->sv, r->endpoints[i].network_name);
		struct attach_link *l = &links[n];
		if (!net)
			continue;
		*l = (struct attach_link){ .bridge = net->bridge.name, .prefix_len = net->bridge.subnet.prefix_len, .mtu = net->bridge.mtu };
		snprintf(l->ifname, sizeof(l->ifname), "eth%zu", n);
		net_ip_parse(r->endpoints[i].address, &l->ip);
		l->gateway = net->internal || gateway ? 0 : net->bridge.gateway;
		gateway |= l->gateway != 0;
		n++;
	}
	return n;
}

int unit_wire(void *arg, int ret_dns[CONTAINER_NETWORK_FDS], struct err *err)
{
	const struct unit *u = arg;
	struct attach_link links[ATTACH_MAX_LINKS];
	struct netns ns;
	struct net out;
	int rc;
	if (netns_make(&ns, &u->sv->net, &out, NETNS_WANT_DNS, err) < 0)
		return -1;
	rc = failpoint_err("start.netns", err) < 0 ? -1 : attach_links(&out, &ns, u->rec->id, links, unit_links(u, links), err);
	if (rc == 0 && (rc = failpoint_err("start.links", err)) == 0)
		rc = netns_take_dns(&ns, &ret_dns[0], &ret_dns[1], err);
	netns_made_close(&ns, &out);
	return rc;
}

int unit_take_dns(struct unit *u, struct err *err)
{
	char key[ANCHOR_KEY_BYTES];
	if (u->proc.network_fds[0] < 0) /* it is in the host's network */
		return 0;
	u->dns_udp = TAKE_FD(u->proc.network_fds[0]);
	u->dns_tcp = TAKE_FD(u->proc.network_fds[1]);
	unit_key(u, "dns/udp", key);
	supervisor_anchor_put(u->sv, key, u->dns_udp);
	unit_key(u, "dns/tcp", key);
	supervisor_anchor_put(u->sv, key, u->dns_tcp);
	return failpoint_err("start.dns", err);
}
