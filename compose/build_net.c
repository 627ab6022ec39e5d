/* SPDX-License-Identifier: Apache-2.0 */
/* See build_net.h. Addresses are leased by byte locks of an open file description: they are gone with the process, and steps of several
 * executors never meet. Locks are taken by the executor, whose children close everything that they inherit. */
#include "compose/build_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "network/attach.h"
#include "network/forward.h"
#include "network/nft.h"
#include "network/resolv.h"

enum { FIRST_HOST = 2, LAST_HOST = 254, LEFT_MS = 200 };

#define PROJECT ".build"
#define NETWORK "default"

void build_net_init(struct build_net *n, int dir_fd, const char *rootid)
{
	*n = (struct build_net){ .dir_fd = dir_fd, .net_fd = -1, .leases_fd = -1 };
	snprintf(n->rootid, sizeof(n->rootid), "%s", rootid);
}

static int open_sockets(struct build_net *n, struct err *err)
{
	if (n->open)
		return 0;
	if (net_open(&n->net, n->rootid, err) < 0)
		return -1;
	n->open = true;
	return 0;
}

static int open_file(const struct build_net *n, const char *name, struct err *err)
{
	int fd = openat(n->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, errno, "open %s of the builds' run directory", name) : fd;
}

/* The mutex, held; close it to give it back. Another one may have removed the file with the last build meanwhile. */
static int lock_mutex(const struct build_net *n, struct err *err)
{
	for (;;) {
		AUTO_CLOSE int fd = open_file(n, "mutex", err);
		struct stat st;
		int rc;
		if (fd < 0)
			return -1;
		while ((rc = flock(fd, LOCK_EX)) < 0 && errno == EINTR)
			;
		if (rc < 0 || fstat(fd, &st) < 0)
			return err_sys(err, errno, "lock the builds' network");
		if (st.st_nlink > 0)
			return TAKE_FD(fd);
	}
}

static int change_rules(struct build_net *n, bool add, struct err *err)
{
	struct nft_network e = { .subnet = n->bridge.subnet, .owner = PROJECT };
	struct nft_change change = { .add_networks = &e, .n_add_networks = add, .del_networks = &e, .n_del_networks = !add };
	snprintf(e.bridge, sizeof(e.bridge), "%s", n->bridge.name);
	return nft_apply(&n->net, &change, err);
}

/* Addresses of nameservers, which the bridge's subnet must not hold. */
static size_t servers(uint32_t out[RESOLV_MAX_SERVERS])
{
	struct resolv r = { 0 };
	size_t n = 0;
	if (resolv_read("/etc/resolv.conf", &r, NULL) < 0)
		return 0;
	for (size_t i = 0; i < r.n_servers; i++)
		if (r.servers[i].family == AF_INET) {
			uint32_t be;
			memcpy(&be, r.servers[i].address, sizeof(be));
			out[n++] = ntohl(be);
		}
	resolv_done(&r);
	return n;
}

static int make_bridge(struct build_net *n, struct err *err)
{
	uint32_t avoid[RESOLV_MAX_SERVERS];
	struct bridge_spec spec = { .project = PROJECT, .network = NETWORK, .avoid = avoid, .n_avoid = servers(avoid) };
	AUTO_STR struct str message = { 0 };
	if (nft_ensure(&n->net, err) < 0 || bridge_ensure(&n->net, &spec, &n->bridge, err) < 0 || forward_enable(&n->net, err) < 0 ||
		failpoint_err("executor.net.bridge", err) < 0 || change_rules(n, true, err) < 0)
		return -1;
	if (forward_admit(&n->net, &message, NULL) == 1)
		snprintf(n->warning, sizeof(n->warning), "%s", str_get(&message));
	return 0;
}

static int use(struct build_net *n, struct err *err)
{
	AUTO_CLOSE int mutex = -1;
	if (n->used)
		return 0;
	if (open_sockets(n, err) < 0 || (mutex = lock_mutex(n, err)) < 0)
		return -1;
	n->net_fd = open_file(n, "net", err);
	n->leases_fd = n->net_fd < 0 ? -1 : open_file(n, "leases", err);
	if (n->leases_fd < 0)
		return -1;
	n->used = true; /* also when it fails from here on: then it is removed again */
	if (flock(n->net_fd, LOCK_SH | LOCK_NB) < 0)
		return err_sys(err, errno, "share the builds' network");
	if (failpoint_err("executor.net.shared", err) < 0)
		return -1;
	return make_bridge(n, err) < 0 ? err_wrap(err, "the network of build steps") : 0;
}

int build_net_none(struct build_net *n, int netns_fd, struct err *err)
{
	struct netns ns;
	int rc;
	if (open_sockets(n, err) < 0 || netns_open(&ns, &n->net, netns_fd, 0, err) < 0)
		return -1;
	rc = netns_lo_up(&ns, err);
	netns_close(&ns);
	return rc;
}

static bool lease(const struct build_net *n, unsigned host, bool take)
{
	struct flock l = { .l_type = take ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = host, .l_len = 1 };
	return fcntl(n->leases_fd, F_OFD_SETLK, &l) == 0;
}

/* Locks of our own open file description do not exclude each other: which ones we have, `held` tells. */
static int take_lease(struct build_net *n, const uint64_t held[4], unsigned *ret, struct err *err)
{
	if (!n->next && getrandom(&n->next, sizeof(n->next), GRND_NONBLOCK) < 0)
		n->next = (unsigned)getpid();
	for (unsigned i = 0; i < LAST_HOST - FIRST_HOST + 1; i++) {
		unsigned host = FIRST_HOST + n->next++ % (LAST_HOST - FIRST_HOST + 1);
		if ((held[host / 64] >> (host % 64) & 1) || !lease(n, host, true))
			continue;
		*ret = host;
		return 0;
	}
	return err_set(err, ERR_CONFLICT, "all addresses of the builds' network are in use");
}

int build_net_join(struct build_net *n, int netns_fd, const char *id, unsigned *ret_host, struct err *err)
{
	struct attach_link link = { .ifname = "eth0" };
	struct netns ns;
	unsigned host = 0;
	int rc;
	if (use(n, err) < 0 || take_lease(n, n->held, &host, err) < 0)
		return -1;
	n->held[host / 64] |= 1ULL << (host % 64);
	link.bridge = n->bridge.name;
	link.ip = n->bridge.subnet.ip + host;
	link.prefix_len = n->bridge.subnet.prefix_len;
	link.gateway = n->bridge.gateway;
	link.mtu = n->bridge.mtu;
	rc = netns_open(&ns, &n->net, netns_fd, 0, err);
	if (rc == 0) {
		rc = attach_links(&n->net, &ns, id, &link, 1, err);
		netns_close(&ns);
	}
	if (rc < 0) {
		build_net_release(n, host);
		return -1;
	}
	strv_push(&n->ids, id);
	*ret_host = host;
	return 0;
}

void build_net_left(struct build_net *n, const char *id)
{
	strv_push(&n->ids, id);
}

int build_net_gateway(struct build_net *n, uint32_t *ret_ip, struct err *err)
{
	if (use(n, err) < 0)
		return -1;
	*ret_ip = n->bridge.gateway;
	return 0;
}

void build_net_release(struct build_net *n, unsigned host)
{
	if (!host)
		return;
	n->held[host / 64] &= ~(1ULL << (host % 64));
	lease(n, host, false);
}

/* Under the mutex. Removes the bridge and what only it needed, when nobody else uses it, and then the files too. */
static void remove_if_last(struct build_net *n)
{
	struct err ignored;
	bridge_name(n->rootid, PROJECT, NETWORK, n->bridge.name);
	if (flock(n->net_fd, LOCK_EX | LOCK_NB) < 0)
		return;
	change_rules(n, false, &ignored);
	failpoint("executor.net.rules.gone");
	if (bridge_delete(&n->net, n->bridge.name, &ignored) == 0 && nft_release(&n->net, &ignored) == 0)
		forward_withdraw(&n->net, &ignored);
	unlinkat(n->dir_fd, "leases", 0);
	unlinkat(n->dir_fd, "net", 0);
	unlinkat(n->dir_fd, "mutex", 0);
}

void build_net_done(struct build_net *n)
{
	struct err err;
	if (n->used) {
		AUTO_CLOSE int mutex = lock_mutex(n, &err);
		if (mutex >= 0)
			remove_if_last(n);
	}
	util_close(&n->net_fd);
	util_close(&n->leases_fd);
	if (n->ids.n && open_sockets(n, &err) == 0 && attach_await(&n->net, n->ids.v, n->ids.n, LEFT_MS, &err) < 0)
		log_warn("%s", err.msg);
	strv_done(&n->ids);
	if (n->open)
		net_close(&n->net);
	n->open = n->used = false;
}

void build_net_sweep(struct build_net *n)
{
	struct err ignored;
	AUTO_CLOSE int mutex = -1;
	if (n->used || faccessat(n->dir_fd, "net", F_OK, 0) < 0 || open_sockets(n, &ignored) < 0)
		return;
	mutex = lock_mutex(n, &ignored);
	n->net_fd = mutex < 0 ? -1 : openat(n->dir_fd, "net", O_RDWR | O_CLOEXEC);
	if (n->net_fd >= 0)
		remove_if_last(n);
	util_close(&n->net_fd);
}

/* 127.0.0.0/8 and ::1 */
static bool on_loopback(const struct resolv_server *s)
{
	static const uint8_t one[16] = { [15] = 1 };
	return s->family == AF_INET ? s->address[0] == 127 : memcmp(s->address, one, sizeof(one)) == 0;
}

/* Adds the servers that can be reached; false when there are none. */
static bool add_servers(const struct resolv *r, struct str *ret)
{
	char text[INET6_ADDRSTRLEN];
	bool any = false;
	for (size_t i = 0; i < r->n_servers; i++) {
		const struct resolv_server *s = &r->servers[i];
		if (on_loopback(s) || s->scope_id || !inet_ntop(s->family, s->address, text, sizeof(text)))
			continue;
		str_addf(ret, "nameserver %s\n", text);
		any = true;
	}
	return any;
}

/* Lines of the host's file that are not about servers: search, options. */
static void add_rest(const char *text, struct str *ret)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		if (str_starts(text, "search") || str_starts(text, "domain") || str_starts(text, "options")) {
			str_addn(ret, text, n);
			str_addc(ret, '\n');
		}
		text += n + (text[n] == '\n');
	}
}

void build_net_resolv(bool own_net, struct str *ret)
{
	static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };
	AUTO_STR struct str text = { 0 };
	struct err ignored;
	if (fs_read(AT_FDCWD, files[0], RESOLV_MAX_BYTES, &text, &ignored) != 0)
		str_clear(&text);
	if (!own_net) {
		str_add(ret, str_get(&text));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct resolv r = { 0 };
		bool any = resolv_read(files[i], &r, &ignored) == 0 && add_servers(&r, ret);
		resolv_done(&r);
		if (any)
			break;
		if (i == ARRAY_SIZE(files) - 1)
			str_add(ret, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
	}
	add_rest(str_get(&text), ret);
}
