/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports of a container: reserved before it starts, so that a conflict is an honest error; on IPv4 the packet rules then lead to it, on IPv6,
 * which the networks of containers do not have, the DNS process carries connections on (network/relay.h). A port without an address is both,
 * under one number. The sockets are the anchor's, "port/N" and "relay/N" of the container; those on IPv6 are ours, too, for a DNS
 * process that starts anew. */
#include "compose/supervisor.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "network/ports.h"

enum { EPHEMERAL_TRIES = 16, HOLD_TRIES = 20, HOLD_MS = 5 };

struct holder_scan {
	int run_fd;                /* <run>/<project> */
	uint16_t port;
	enum port_protocol protocol;
	char *id;                  /* found: 12 digits */
};

static int holder_of_container(void *arg, const char *id)
{
	struct holder_scan *h = arg;
	AUTO_FREE char *path = xasprintf("c/%s/state.json", id);
	AUTO_JSON json_t *state = NULL;
	json_t *p;
	size_t i;
	if (json_read_file(h->run_fd, path, &state, NULL) != 0)
		return 0;
	json_array_foreach(json_object_get(state, "ports"), i, p)
		if (json_get_int(p, "host_port", 0) == h->port && json_get_int(p, "protocol", 0) == (int64_t)h->protocol)
			h->id = xstrdup(id);
	return h->id != NULL;
}

static int holder_of_project(void *arg, const char *project)
{
	struct holder_scan *h = arg;
	AUTO_FREE char *records = xasprintf("projects/%s", project);
	AUTO_CLOSE int project_fd = -1;
	struct record *r = NULL;
	char *name;
	h->run_fd = openat(ANCHOR_FD_RUN, project, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->run_fd >= 0)
		fs_each(h->run_fd, "c", holder_of_container, h, NULL);
	util_close(&h->run_fd);
	if (!h->id)
		return 0;
	project_fd = openat(ANCHOR_FD_ROOT, records, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (project_fd < 0 || record_load(project_fd, -1, h->id, &r, NULL) < 0)
		return 1;
	name = xstrdup(r->name);
	free(h->id);
	h->id = name;
	record_free(r);
	return 1;
}

/* A port that another container of ours holds: say which, rather than that our anchor has it bound. Returns -1. */
static int name_holder(const struct model_port *p, struct err *err)
{
	struct holder_scan h = { .run_fd = -1, .port = p->published_lo, .protocol = p->protocol };
	if (p->published_lo == p->published_hi && fs_each(ANCHOR_FD_RUN, ".", holder_of_project, &h, NULL) == 1)
		err_set(err, ERR_CONFLICT, strchr(p->host_ip, ':') ? "[%s]:%u/%s: port is already allocated by container %s" :
			"%s:%u/%s: port is already allocated by container %s", p->host_ip[0] ? p->host_ip : "0.0.0.0", p->published_lo,
			ports_protocol_name(p->protocol), h.id);
	free(h.id);
	return -1;
}

/* Where ports lead: the first network that has a way out. 0: none. */
static uint32_t published_address(const struct unit *u)
{
	const struct record *r = u->rec;
	uint32_t ip = 0;
	for (size_t i = 0; i < r->n_endpoints && !ip; i++) {
		const struct netw *n = nets_find(u->sv, r->endpoints[i].network_name);
		if (n && !n->internal)
			net_ip_parse(r->endpoints[i].address, &ip);
	}
	return ip;
}

size_t unit_ports(const struct unit *u, struct nft_port *ports)
{
	const struct record *r = u->rec;
	uint32_t ip = published_address(u);
	size_t n = 0;
	for (size_t i = 0; ip && i < r->n_ports; i++) {
		struct nft_port *p = &ports[n];
		if (strchr(r->ports[i].host_ip, ':'))
			continue;
		*p = (struct nft_port){ .host_port = r->ports[i].host_port, .protocol = r->ports[i].protocol, .ip = ip, .port = r->ports[i].target };
		net_ip_parse(r->ports[i].host_ip, &p->host_ip);
		snprintf(p->owner, sizeof(p->owner), "%s/%.*s", r->project, SHORT_ID, r->id);
		n++;
	}
	return n;
}

int unit_publish(struct unit *u, struct err *err)
{
	AUTO_FREE struct nft_port *ports = xcalloc(u->rec->n_ports, sizeof(*ports));
	struct nft_change change = { .add_ports = ports, .n_add_ports = unit_ports(u, ports) };
	if (change.n_add_ports && nft_apply(&u->sv->net, &change, err) < 0)
		return -1;
	for (size_t i = 0; i < change.n_add_ports; i++)
		if (ports[i].protocol == PORT_UDP)
			ports_flush_udp(&u->sv->net, ports[i].host_ip, ports[i].host_port, NULL);
	return 0;
}

/* ---- reservation ---- */

/* A socket that was shut down listens no more, whoever else still has it open: the number is free at once. */
void unit_end_relay(struct unit *u)
{
	if (u->n_relay_fds)
		dns_control_relay_remove(&u->sv->dns, u->rec->id);
	for (size_t i = 0; i < u->n_relay_fds; i++)
		if (u->relay_fds[i] >= 0)
			shutdown(u->relay_fds[i], SHUT_RDWR);
	unit_close_relay(u);
}

void unit_close_relay(struct unit *u)
{
	for (size_t i = 0; i < u->n_relay_fds; i++)
		util_close(&u->relay_fds[i]);
	free(u->relay_fds);
	u->relay_fds = NULL;
	u->n_relay_fds = 0;
}

void unit_take_relay(struct unit *u, size_t port, int fd)
{
	while (u->n_relay_fds <= port) {
		u->relay_fds = xrealloc(u->relay_fds, u->n_relay_fds + 1, sizeof(*u->relay_fds));
		u->relay_fds[u->n_relay_fds++] = -1;
	}
	util_close(&u->relay_fds[port]);
	u->relay_fds[port] = fd;
}

void unit_tell_relay(struct unit *u)
{
	const struct record *r = u->rec;
	struct in_addr address = { htonl(published_address(u)) };
	for (size_t i = 0; i < u->n_relay_fds && i < r->n_ports && address.s_addr; i++) {
		char key[96];
		snprintf(key, sizeof(key), "%s/%zu", r->id, i);
		if (u->relay_fds[i] >= 0)
			dns_control_relay_set(&u->sv->dns, key, u->relay_fds[i], address, r->ports[i].target);
	}
}

static void keep(struct unit *u, const char *kind, size_t port, int fd)
{
	char key[ANCHOR_KEY_BYTES], what[32];
	snprintf(what, sizeof(what), "%s/%zu", kind, port);
	unit_key(u, what, key);
	supervisor_anchor_put(u->sv, key, fd);
}

/* One number on both protocols, or on the one that is asked for. fds: IPv4, IPv6; -1 = not used. 0, or -1 + err. */
static int reserve_number(const char *host_ip, uint16_t lo, uint16_t hi, enum port_protocol protocol, int fds[2], uint16_t *ret_port, struct err *err)
{
	struct in6_addr six = in6addr_any;
	uint32_t ip = 0;
	uint16_t ignored;
	int rc;
	fds[0] = fds[1] = -1;
	if (strchr(host_ip, ':')) {
		if (inet_pton(AF_INET6, host_ip, &six) != 1)
			return err_set(err, ERR_INVALID, "publish on address %.64s: that is none", host_ip);
		rc = ports_listen6(&six, lo, hi, protocol, &fds[1], ret_port, err);
		return rc > 0 ? err_set(err, ERR_UNSUPPORTED, "publish on address %s: this machine has no IPv6", host_ip) : rc;
	}
	if (*host_ip && !net_ip_parse(host_ip, &ip))
		return err_set(err, ERR_INVALID, "publish on address %.64s: that is none", host_ip);
	for (int tries = 1;; tries++) {
		if (ports_reserve(ip, lo, hi, protocol, &fds[0], ret_port, err) < 0)
			return -1;
		rc = *host_ip ? 1 : ports_listen6(&six, *ret_port, *ret_port, protocol, &fds[1], &ignored, err);
		if (rc >= 0)
			return 0;
		util_close(&fds[0]);
		if (err->code != ERR_CONFLICT || (lo && *ret_port >= hi) || (!lo && tries == EPHEMERAL_TRIES))
			return -1;
		if (lo)
			lo = *ret_port + 1; /* free on IPv4 only: the next one of the range */
		*err = (struct err){0};
	}
}

/* The anchor may not have seen yet that somebody has just given the port back, nor the DNS process. */
static int reserve_port(struct supervisor *sv, const struct model_port *p, int fds[2], uint16_t *ret_port, struct err *err)
{
	if (reserve_number(p->host_ip, p->published_lo, p->published_hi, p->protocol, fds, ret_port, err) == 0)
		return 0;
	if (err->code != ERR_CONFLICT || !supervisor_anchor_sync(sv))
		return -1;
	for (int tries = 0; tries < HOLD_TRIES; tries++) {
		struct timespec wait = { .tv_nsec = HOLD_MS * 1000000L };
		if (reserve_number(p->host_ip, p->published_lo, p->published_hi, p->protocol, fds, ret_port, err) == 0)
			return 0;
		if (err->code != ERR_CONFLICT || !strchr(err->msg, '['))
			return -1; /* on IPv4: nobody but the anchor has had it */
		nanosleep(&wait, NULL);
	}
	return -1;
}

int unit_reserve_ports(struct unit *u, const struct model_service *m, struct err *err)
{
	struct record *r = u->rec;
	if (u->ports_held && r->n_ports == m->n_ports)
		return 0;
	unit_close_relay(u);
	free(r->ports);
	r->n_ports = 0;
	r->ports = xcalloc(m->n_ports, sizeof(*r->ports));
	for (size_t i = 0; i < m->n_ports; i++) {
		const struct model_port *p = &m->ports[i];
		struct published *out = &r->ports[r->n_ports];
		int fds[2];
		if (reserve_port(u->sv, p, fds, &out->host_port, err) < 0)
			return err->code == ERR_CONFLICT ? name_holder(p, err) : -1;
		if (fds[0] >= 0)
			keep(u, "port", i, fds[0]);
		if (fds[1] >= 0) {
			keep(u, "relay", i, fds[1]);
			unit_take_relay(u, i, fds[1]);
		}
		util_close(&fds[0]);
		snprintf(out->host_ip, sizeof(out->host_ip), "%s", p->host_ip[0] ? p->host_ip : "0.0.0.0");
		out->target = p->target;
		out->protocol = p->protocol;
		out->v6 = fds[1] >= 0;
		r->n_ports++;
	}
	u->ports_held = true;
	return 0;
}

/* One that runs and whose reservations went with the anchor. The packet rules are still there, so the ports have answered all the time on IPv4;
 * on IPv6 the last DNS process may only just be going. */
void unit_hold_ports(struct unit *u)
{
	struct err err = {0};
	u->ports_held = true;
	for (size_t i = 0; i < u->rec->n_ports; i++) {
		const struct published *p = &u->rec->ports[i];
		AUTO_CLOSE int fd = -1;
		struct in6_addr six = in6addr_any;
		uint32_t ip = 0;
		uint16_t port;
		if (!strchr(p->host_ip, ':')) {
			net_ip_parse(p->host_ip, &ip);
			if (ports_reserve(ip, p->host_port, p->host_port, p->protocol, &fd, &port, &err) == 0) {
				keep(u, "port", i, fd);
			} else {
				u->ports_held = false;
				log_warn("%s: %s", u->rec->name, err.msg);
			}
		} else {
			inet_pton(AF_INET6, p->host_ip, &six);
		}
		for (int tries = 0; p->v6 && (i >= u->n_relay_fds || u->relay_fds[i] < 0); tries++) {
			struct timespec wait = { .tv_nsec = HOLD_MS * 1000000L };
			int listening;
			if (ports_listen6(&six, p->host_port, p->host_port, p->protocol, &listening, &port, &err) == 0) {
				keep(u, "relay", i, listening);
				unit_take_relay(u, i, listening);
			} else if (err.code != ERR_CONFLICT || tries == HOLD_TRIES) {
				log_warn("%s: %s", u->rec->name, err.msg);
				break;
			} else {
				nanosleep(&wait, NULL);
			}
		}
	}
}
