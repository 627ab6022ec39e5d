/* SPDX-License-Identifier: Apache-2.0 */
/* What others do to our networks behind our back, mended: a deleted bridge, a flushed ruleset, a firewall that starts to drop what it does not know
 * (dockerd sets FORWARD to drop when it starts, and removes DOCKER-USER when it goes), ip_forward turned off, another resolver of the host.
 *
 * The kernel tells by netlink, and inotify about resolv.conf. Nothing is derived from an event but that it is time to look: everything that is to be there is
 * compared with what is there, once for a burst of events, after LOOK_MS; while an operation is under way (its own changes come back as events) and when
 * looking again and again finds nothing, after at most SLOW_MS. What was mended, or cannot be, is said in muster.log and to everybody who follows.
 *
 * Not seen here: rules of the old ip_tables, which tells nobody; the next `up` looks at them. */
#include "compose/supervisor.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/log.h"
#include "network/forward.h"
#include "network/scan.h"

enum { LOOK_MS = 100, SLOW_MS = 1000 };

static const char resolv_path[] = "/etc/resolv.conf";

struct repair {
	struct supervisor *sv;
	struct loop_source links, rules, files;
	struct loop_timer timer;
	uint64_t delay_ms;
	bool failed;        /* something of this round could not be mended: look again without an event */
	struct err told;    /* the last failure, so that it is said once */
	struct str drops;   /* what forward_admit() last said */
};

static void say(struct repair *r, const char *text)
{
	log_warn("%s", text);
	server_notice(r->sv, text);
}

static void say_failure(struct repair *r, const struct err *err)
{
	r->failed = true;
	if (strcmp(r->told.msg, err->msg) == 0)
		return;
	r->told = *err;
	say(r, err->msg);
}

/* ---- networks ---- */

/* 1: it was mended. One of others that they are just removing is left alone, here and below: nobody would take away what is made again. */
static int mend_bridge(struct repair *r, struct netw *n, const struct bridge *there, size_t n_there, struct err *err)
{
	struct supervisor *sv = r->sv;
	struct bridge_spec spec = { .project = n->owner ? n->owner : sv->project, .network = n->owner ? n->owner_key : n->key,
				    .subnet = n->bridge.subnet, .gateway = n->bridge.gateway, .mtu = n->bridge.mtu };
	AUTO_FREE char *text = NULL;
	int fd, rc;
	for (size_t i = 0; i < n_there; i++)
		if (strcmp(there[i].name, n->bridge.name) == 0 && there[i].ifindex == n->bridge.ifindex && there[i].up &&
		    there[i].subnet.ip == n->bridge.subnet.ip && there[i].subnet.prefix_len == n->bridge.subnet.prefix_len)
			return 0;
	rc = nets_hold(sv, n, &fd, err);
	if (rc != 0)
		return MIN(rc, 0);
	rc = bridge_ensure(&sv->net, &spec, &n->bridge, err);
	nets_unlock(&sv->paths, n->bridge.name, &fd);
	if (rc < 0)
		return -1;
	text = xasprintf("network %s: its bridge %s was deleted or changed: made again", n->name, n->bridge.name);
	say(r, text);
	return 1;
}

static bool has_network(const struct nft_state *s, const struct netw *n)
{
	for (size_t i = 0; i < s->n_networks; i++)
		if (strcmp(s->networks[i].bridge, n->bridge.name) == 0)
			return s->networks[i].subnet.ip == n->bridge.subnet.ip && s->networks[i].internal == n->internal &&
			       s->networks[i].subnet.prefix_len == n->bridge.subnet.prefix_len;
	return false;
}

static bool has_port(const struct nft_state *s, const struct nft_port *p)
{
	for (size_t i = 0; i < s->n_ports; i++) {
		const struct nft_port *q = &s->ports[i];
		if (q->host_ip == p->host_ip && q->host_port == p->host_port && q->protocol == p->protocol)
			return q->ip == p->ip && q->port == p->port;
	}
	return false;
}

static bool has_ports(const struct nft_state *s, const struct unit *u)
{
	AUTO_FREE struct nft_port *ports = xcalloc(u->rec->n_ports, sizeof(*ports));
	size_t n = unit_ports(u, ports);
	for (size_t i = 0; i < n; i++)
		if (!has_port(s, &ports[i]))
			return false;
	return true;
}

/* Running, and not just about to be noticed as dead. */
static bool lives(const struct unit *u)
{
	struct pollfd p = { .fd = u->proc.pidfd, .events = POLLIN };
	return u->phase == UNIT_RUNNING && u->proc.pidfd >= 0 && poll(&p, 1, 0) == 0;
}

static int mend_network(struct supervisor *sv, const struct netw *n, struct err *err)
{
	int fd, rc = nets_hold(sv, n, &fd, err);
	if (rc != 0)
		return MIN(rc, 0);
	rc = nets_rules(sv, n, true, err);
	nets_unlock(&sv->paths, n->bridge.name, &fd);
	return rc < 0 ? -1 : 1;
}

/* Elements of the table. Returns how many networks and containers got theirs back; -1 + err. */
static int mend_rules(struct supervisor *sv, struct err *err)
{
	CLEANUP(nft_state_done) struct nft_state s = {0};
	bool others = false;
	int mended = 0, rc;
	for (size_t i = 0; i < sv->n_nets; i++)
		others |= sv->nets[i]->owner != NULL;
	if (nft_ensure(&sv->net, err) < 0 || nft_list(&sv->net, others ? NULL : sv->project, &s, err) < 0)
		return -1;
	for (size_t i = 0; i < sv->n_nets; i++) {
		if (sv->nets[i]->removing || has_network(&s, sv->nets[i]))
			continue;
		rc = mend_network(sv, sv->nets[i], err);
		if (rc < 0)
			return -1;
		mended += rc;
	}
	for (size_t i = 0; i < sv->n_units; i++) {
		if (!lives(sv->units[i]) || has_ports(&s, sv->units[i]))
			continue;
		if (unit_publish(sv->units[i], err) < 0)
			return -1;
		mended++;
	}
	return mended;
}

/* The near ends of the running containers' links. Returns how many were put back; -1 + err. */
static int mend_links(struct supervisor *sv, struct err *err)
{
	AUTO_FREE struct scan_link *veths = NULL;
	size_t n_veths;
	int mended = 0;
	if (scan_links(&sv->net, "veth", &veths, &n_veths, err) < 0)
		return -1;
	for (size_t i = 0; i < sv->n_units; i++) {
		const struct unit *u = sv->units[i];
		struct attach_link links[ATTACH_MAX_LINKS];
		int rc = lives(u) ? attach_repair(&sv->net, u->rec->pid, u->rec->id, links, unit_links(u, links), veths, n_veths, err) : 0;
		if (rc < 0 && lives(u))
			return err_wrap(err, "container %s", u->rec->name);
		mended += MAX(rc, 0);
	}
	return mended;
}

static void mend_forwarding(struct repair *r, struct err *err)
{
	AUTO_STR struct str message = {0};
	if (forward_enable(&r->sv->net, err) < 0 || forward_admit(&r->sv->net, &message, err) < 0) {
		say_failure(r, err);
		return;
	}
	if (strcmp(str_get(&message), str_get(&r->drops)) == 0)
		return;
	say(r, message.len ? str_get(&message) : "nothing drops forwarded packets any more");
	str_clear(&r->drops);
	str_add(&r->drops, str_get(&message));
}

/* Without a network there is nothing to mend, and a table or a rule that was made now would have nobody who takes it away. */
static bool uses_networks(const struct supervisor *sv)
{
	for (size_t i = 0; i < sv->n_nets; i++)
		if (!sv->nets[i]->removing)
			return true;
	return false;
}

/* Returns whether anything was mended. */
static bool look_at_networks(struct repair *r)
{
	struct supervisor *sv = r->sv;
	AUTO_FREE struct bridge *there = NULL;
	AUTO_FREE char *text = NULL;
	struct err err = {0};
	size_t n_there = 0;
	int bridges = 0, rules, links;
	if (bridge_list(&sv->net, NULL, &there, &n_there, &err) < 0)
		say_failure(r, &err);
	for (size_t i = sv->n_nets; i-- > 0;) /* one that its owner has removed is not made again */
		nets_still(sv, sv->nets[i]);
	if (!uses_networks(sv))
		return false;
	for (size_t i = 0; !r->failed && i < sv->n_nets; i++) {
		int rc = sv->nets[i]->removing ? 0 : mend_bridge(r, sv->nets[i], there, n_there, &err);
		if (rc < 0)
			say_failure(r, &err);
		bridges += MAX(rc, 0);
	}
	rules = mend_rules(sv, &err);
	if (rules < 0)
		say_failure(r, &err);
	links = mend_links(sv, &err);
	if (links < 0)
		say_failure(r, &err);
	mend_forwarding(r, &err);
	if (rules > 0) {
		text = xasprintf("packet rules were removed: those of %d networks and containers made again", rules);
		say(r, text);
	}
	if (links > 0) {
		free(text);
		text = xasprintf("links of containers were removed: %d attached again", links);
		say(r, text);
	}
	return bridges || rules > 0 || links > 0;
}

/* ---- the host's resolver ---- */

static bool same_servers(const struct resolv *a, const struct resolv *b)
{
	bool same = a->n_servers == b->n_servers && a->search.n == b->search.n;
	for (size_t i = 0; same && i < a->n_servers; i++)
		same = a->servers[i].family == b->servers[i].family && a->servers[i].scope_id == b->servers[i].scope_id &&
		       memcmp(a->servers[i].address, b->servers[i].address, a->servers[i].family == AF_INET ? 4 : 16) == 0;
	for (size_t i = 0; same && i < a->search.n; i++)
		same = strcmp(a->search.v[i], b->search.v[i]) == 0;
	return same;
}

/* The file itself (at a symbolic link's end) tells of writes and of its own end, the folder of its replacement. */
static void watch_files(struct repair *r)
{
	inotify_add_watch(r->files.fd, "/etc", IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
	inotify_add_watch(r->files.fd, resolv_path, IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB); /* it may be absent */
}

static void look_at_resolver(struct repair *r)
{
	struct supervisor *sv = r->sv;
	struct resolv now = {0};
	struct err err = {0};
	watch_files(r); /* perhaps another file by now */
	if (resolv_read(resolv_path, &now, &err) < 0) {
		say_failure(r, &err);
		return;
	}
	if (same_servers(&now, &sv->resolv)) {
		resolv_done(&now);
		return;
	}
	resolv_done(&sv->resolv);
	sv->resolv = now;
	dns_control_upstreams_set(&sv->dns, now.servers, now.n_servers, now.search.n > 0);
	say(r, "the host's resolver has changed: DNS asks the new one; search domains are for containers started from now on");
}

/* ---- when to look ---- */

static void look(struct loop_timer *t);

/* Events wait in their sockets until the timer has fired: one wake-up for all of them. */
static void event(struct repair *r)
{
	loop_remove(&r->links);
	loop_remove(&r->rules);
	loop_remove(&r->files);
	if (!r->timer.loop)
		loop_timer_set(&r->sv->loop, &r->timer, r->sv->current ? SLOW_MS : r->delay_ms, look);
}

static void links_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	event(CONTAINER_OF(s, struct repair, links));
}

static void rules_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	event(CONTAINER_OF(s, struct repair, rules));
}

static void files_event(struct loop_source *s, uint32_t events)
{
	(void)events;
	event(CONTAINER_OF(s, struct repair, files));
}

static int listen_again(struct repair *r, struct err *err)
{
	struct loop *l = &r->sv->loop;
	if (loop_add(l, &r->links, r->links.fd, EPOLLIN, links_event, err) < 0 || loop_add(l, &r->rules, r->rules.fd, EPOLLIN, rules_event, err) < 0)
		return -1;
	return loop_add(l, &r->files, r->files.fd, EPOLLIN, files_event, err);
}

static void look(struct loop_timer *t)
{
	struct repair *r = CONTAINER_OF(t, struct repair, timer);
	struct supervisor *sv = r->sv;
	struct err err = {0};
	_Alignas(struct inotify_event) char buf[4096];
	bool files = false, mended = false, networks = r->failed;
	networks |= net_watch_drain(&sv->net, r->links.fd) > 0;
	networks |= net_watch_drain(&sv->net, r->rules.fd) > 0;
	while (read(r->files.fd, buf, sizeof(buf)) > 0)
		files = true;
	r->failed = false;
	if (files)
		look_at_resolver(r);
	if (networks && sv->n_nets)
		mended = look_at_networks(r);
	if (!r->failed)
		r->told.msg[0] = '\0';
	if (listen_again(r, &err) < 0)
		log_warn("networks are not watched any more: %s", err.msg);
	r->delay_ms = !networks || mended ? LOOK_MS : MIN(r->delay_ms * 2, (uint64_t)SLOW_MS);
	if (r->failed)
		loop_timer_set(&sv->loop, t, SLOW_MS, look);
}

int repair_open(struct supervisor *sv, struct err *err)
{
	struct repair *r = sv->repair = xcalloc(1, sizeof(*r));
	r->sv = sv;
	r->delay_ms = LOOK_MS;
	if (net_watch_open(&r->links.fd, &r->rules.fd, err) < 0)
		return -1;
	r->files.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->files.fd < 0)
		return err_sys(err, errno, "watch %s", resolv_path);
	watch_files(r);
	r->failed = true; /* what has happened while nobody watched */
	loop_timer_set(&sv->loop, &r->timer, LOOK_MS, look);
	repair_cgroups_open(sv);
	return 0;
}
