/* SPDX-License-Identifier: Apache-2.0 */
/* What a container takes while it runs and gives back when it ends: names, DNS sockets, packet rules, the reservation of its host ports,
 * addresses, cgroup. A container that its restart policy brings back keeps the reservation, so that it comes up on the same port.
 *
 * Its links go with its namespace, within milliseconds, unless a TCP socket with unsent data keeps that: LEFT_MS later they are looked for.
 *
 * A cgroup in which something is still dying (an exec from outside, say) cannot be removed at once; it is tried again until it can, and the
 * project does not end before. */
#include "compose/supervisor.h"

#include <stdio.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "network/nft.h"

enum { DYING_MS = 2, DYING_MAX_MS = 50, DYING_TRIES = 200, LEFT_MS = 200 };

void unit_key(const struct unit *u, const char *what, char buf[ANCHOR_KEY_BYTES])
{
	snprintf(buf, ANCHOR_KEY_BYTES, "%.*s/%s", SHORT_ID, u->rec->id, what);
}

static void drop(struct unit *u, const char *what)
{
	char key[ANCHOR_KEY_BYTES];
	unit_key(u, what, key);
	supervisor_anchor_drop(u->sv, key);
}

static void sweep(struct loop_timer *t)
{
	struct supervisor *sv = CONTAINER_OF(t, struct supervisor, dying_timer);
	for (size_t i = 0; i < sv->dying.n;) {
		struct err err = {0};
		int rc = cgroup_remove(sv->cgroups, sv->dying.v[i], &err);
		if (rc == 1 && sv->dying_tries < DYING_TRIES) {
			i++;
			continue;
		}
		if (rc != 0)
			log_warn("cgroup %s stays: %s", sv->dying.v[i], rc < 0 ? err.msg : "something in it does not die");
		unit_dying(sv, sv->dying.v[i], true);
	}
	sv->dying_tries++;
	if (sv->dying.n)
		loop_timer_set(&sv->loop, t, MIN(DYING_MS * (uint64_t)sv->dying_tries, (uint64_t)DYING_MAX_MS), sweep);
	else
		supervisor_maybe_finish(sv);
}

bool unit_dying(struct supervisor *sv, const char *cgroup, bool forget)
{
	struct strv *d = &sv->dying;
	for (size_t i = 0; i < d->n; i++) {
		if (strcmp(d->v[i], cgroup) != 0)
			continue;
		if (forget) {
			free(d->v[i]);
			d->v[i] = d->v[--d->n];
			d->v[d->n] = NULL;
		}
		return true;
	}
	return false;
}

void unit_bury(struct supervisor *sv, const char *cgroup)
{
	struct err err = {0};
	int rc = cgroup_remove(sv->cgroups, cgroup, &err);
	if (rc < 0)
		log_warn("%s", err.msg);
	if (rc != 1)
		return;
	if (!unit_dying(sv, cgroup, false))
		strv_push(&sv->dying, cgroup);
	sv->dying_tries = 0;
	loop_timer_set(&sv->loop, &sv->dying_timer, DYING_MS, sweep);
}

/* Started again: its newest links are its own. */
static bool runs_again(void *arg, const char *id)
{
	const struct unit *u = supervisor_find(arg, id);
	return u && (u->phase == UNIT_STARTING || u->phase == UNIT_RUNNING);
}

void unit_await_links(struct supervisor *sv)
{
	struct err err = {0};
	if (sv->left.n && attach_await(&sv->net, sv->left.v, sv->left.n, LEFT_MS, &err) < 0)
		log_warn("%s", err.msg);
}

static void sweep_links(struct loop_timer *t)
{
	struct supervisor *sv = CONTAINER_OF(t, struct supervisor, left_timer);
	AUTO_STRV struct strv ids = sv->left;
	struct err err = {0};
	sv->left = (struct strv){0};
	if (ids.n && attach_sweep(&sv->net, ids.v, ids.n, runs_again, sv, &err) < 0)
		log_warn("%s", err.msg);
	for (size_t i = 0; i < ids.n; i++) {
		const struct unit *u = supervisor_find(sv, ids.v[i]);
		if (u && u->phase == UNIT_STARTING) /* which of its links are the new ones could not be told yet */
			strv_push(&sv->left, ids.v[i]);
	}
	if (sv->left.n)
		loop_timer_set(&sv->loop, t, LEFT_MS, sweep_links);
}

static void unpublish(struct unit *u)
{
	struct record *r = u->rec;
	AUTO_FREE struct nft_port *ports = xcalloc(r->n_ports, sizeof(*ports));
	struct nft_change change = { .del_ports = ports };
	struct err err = {0};
	for (size_t i = 0; i < r->n_ports; i++) {
		struct nft_port *p = &ports[change.n_del_ports];
		*p = (struct nft_port){ .host_port = r->ports[i].host_port, .protocol = r->ports[i].protocol };
		if (net_ip_parse(r->ports[i].host_ip, &p->host_ip))
			change.n_del_ports++;
	}
	if (change.n_del_ports && nft_apply(&u->sv->net, &change, &err) < 0)
		log_warn("%s: %s", r->name, err.msg);
}

void unit_release(struct unit *u, bool keep_ports)
{
	struct record *r = u->rec;
	AUTO_FREE char *group = record_cgroup(r, u->sv->rootid);
	unpublish(u);
	failpoint("release.ports");
	dns_control_names_remove(&u->sv->dns, r->id);
	shared_withdraw(u);
	dns_control_client_remove(&u->sv->dns, r->id);
	if (u->n_relay_fds && keep_ports)
		dns_control_relay_remove(&u->sv->dns, r->id);
	util_close(&u->dns_udp);
	util_close(&u->dns_tcp);
	util_close(&u->console_fd);
	if (keep_ports) {
		drop(u, "dns/*");
		drop(u, "fifo/*");
		drop(u, "tty/*");
		drop(u, "pid/*");
	} else {
		drop(u, "*");
		r->n_ports = 0;
		unit_end_relay(u);
		u->ports_held = false;
	}
	failpoint("release.dropped");
	for (size_t i = 0; i < r->n_endpoints; i++) {
		struct netw *n = nets_find(u->sv, r->endpoints[i].network_name);
		if (n && r->endpoints[i].address[0])
			shared_give_back(u->sv, n, r->id, r->endpoints[i].address);
		r->endpoints[i].address[0] = '\0';
	}
	if (r->n_endpoints) {
		strv_push(&u->sv->left, r->id);
		if (!u->sv->left_timer.loop)
			loop_timer_set(&u->sv->loop, &u->sv->left_timer, LEFT_MS, sweep_links);
	}
	u->cgroup = cgroup_free(u->cgroup);
	unit_bury(u->sv, group);
	failpoint("release.cgroup");
	container_proc_done(&u->proc);
}
