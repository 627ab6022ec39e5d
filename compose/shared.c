/* SPDX-License-Identifier: Apache-2.0 */
/* What projects share of a network that several of them use. Each has a supervisor and a DNS process of its own and any of them may be dead, so
 * nobody is asked: what others must know lies in files of the run directory, which die with the boot as bridges do.
 *
 * <run>/.leases/<bridge>/<address> is a link to PROJECT/ID: that container has the address. Making the link is the lease, so that two projects never
 * give out the same one; it is made on every network, as others may come to one at any time. A project clears away its own stale ones when it
 * loads the network; those of the dead of other projects, who may never come back, when it finds an address taken. On another's network a lease
 * is made under the lock of the bridge (compose/networks.h), while the network is on record.
 *
 * <run>/.shared/<bridge>/ exists once a second project uses the network. From then on whoever runs a container there puts <id12> in it: address, names,
 * and the process, so that the file of a dead one means nothing. inotify tells the others, whose DNS then answers these names. A project that
 * uses a network alone writes and reads none of this. */
#include "compose/supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"

enum { MAX_LEASES = 1 << 16, LINK_BYTES = 512 };

/* A name file that is in force. */
struct told {
	char bridge[NET_IFNAME_SIZE];
	char id[SHORT_ID + 1];
	char *network;
	char *text;
	bool seen;
};

struct shared {
	struct supervisor *sv;
	struct loop_source files;
	struct told **told;
	size_t n_told, cap_told;
};

/* ---- addresses ---- */

static char *lease_path(const struct netw *n, const char *address)
{
	return xasprintf(".leases/%s/%s", n->bridge.name, address);
}

/* 0; 1: it is somebody's; -1 + err. */
static int take(struct supervisor *sv, const struct netw *n, const char *id, uint32_t ip, struct err *err)
{
	char address[16], to[LINK_BYTES];
	AUTO_FREE char *path = lease_path(n, net_ip_text(ip, address));
	AUTO_FREE char *dir = xasprintf(".leases/%s", n->bridge.name);
	AUTO_FREE char *target = xasprintf("%s/%.*s", sv->project, SHORT_ID, id);
	ssize_t len;
	for (int tries = 0; tries < 10; tries++) { /* who looks at an empty directory removes it */
		if (symlinkat(target, sv->paths.run_fd, path) == 0)
			return 0;
		if (errno == EEXIST)
			break;
		if (errno != ENOENT || (mkdirat(sv->paths.run_fd, ".leases", 0700) < 0 && errno != EEXIST) ||
		    (mkdirat(sv->paths.run_fd, dir, 0700) < 0 && errno != EEXIST && errno != ENOENT))
			return err_sys(err, errno, "lease address %s", address);
	}
	len = readlinkat(sv->paths.run_fd, path, to, sizeof(to) - 1);
	return len == (ssize_t)strlen(target) && memcmp(to, target, (size_t)len) == 0 ? 0 : 1;
}

/* The same, on a network that its owner may just be removing. */
static int lease(struct supervisor *sv, const struct netw *n, const char *id, uint32_t ip, struct err *err)
{
	int fd, rc = nets_hold(sv, n, &fd, err);
	if (rc == 0)
		rc = take(sv, n, id, ip, err);
	else if (rc > 0)
		rc = nets_missing(n->name, err);
	nets_unlock(&sv->paths, n->bridge.name, &fd);
	return rc;
}

/* The bitmap knows our own leases; what turns out to be another's is marked only while this looks for a free one. */
static int lease_any(struct supervisor *sv, struct netw *n, const char *id, const char *fixed, uint32_t *ret_ip, struct err *err)
{
	AUTO_FREE uint32_t *others = NULL;
	size_t n_others = 0, cap = 0;
	uint32_t ip;
	int rc;
	if (fixed) {
		rc = net_ip_parse(fixed, &ip) ? ipam_take(&n->ipam, ip, err) : err_set(err, ERR_INVALID, "address \"%.40s\" is none", fixed);
		if (rc == 0 && (rc = lease(sv, n, id, ip, err)) != 0)
			ipam_release(&n->ipam, ip);
		*ret_ip = ip;
		return rc > 0 ? err_set(err, ERR_CONFLICT, "address %s is already in use", fixed) : rc;
	}
	do {
		rc = ipam_alloc(&n->ipam, &ip, err);
		if (rc == 0 && (rc = lease(sv, n, id, ip, err)) != 0) {
			others = vec_grow(others, n_others, &cap, sizeof(*others));
			others[n_others++] = ip;
		}
	} while (rc > 0 && n_others < MAX_LEASES);
	for (size_t i = 0; i < n_others; i++)
		ipam_release(&n->ipam, others[i]);
	*ret_ip = ip;
	return rc > 0 ? err_set(err, ERR_CONFLICT, "no free address left") : rc;
}

int shared_lease(struct supervisor *sv, struct netw *n, const char *id, const char *fixed, uint32_t *ret_ip, struct err *err)
{
	struct err first = {0};
	int rc = lease_any(sv, n, id, fixed, ret_ip, &first);
	if (rc < 0 && first.code == ERR_CONFLICT && shared_sweep(sv, n->bridge.name))
		return lease_any(sv, n, id, fixed, ret_ip, err);
	if (rc < 0 && err)
		*err = first;
	return rc;
}

void shared_give_back(struct supervisor *sv, struct netw *n, const char *id, const char *address)
{
	AUTO_FREE char *path = lease_path(n, address);
	AUTO_FREE char *target = xasprintf("%s/%.*s", sv->project, SHORT_ID, id);
	char to[LINK_BYTES];
	ssize_t len = readlinkat(sv->paths.run_fd, path, to, sizeof(to) - 1);
	uint32_t ip;
	if (len == (ssize_t)strlen(target) && memcmp(to, target, (size_t)len) == 0)
		unlinkat(sv->paths.run_fd, path, 0);
	if (net_ip_parse(address, &ip))
		ipam_release(&n->ipam, ip);
}

struct sweep {
	struct supervisor *sv;
	int dir_fd;
	unsigned removed;
};

static bool has_address(const struct unit *u, const char *address)
{
	for (size_t i = 0; i < u->rec->n_endpoints; i++)
		if (strcmp(u->rec->endpoints[i].address, address) == 0)
			return true;
	return false;
}

static int sweep_lease(void *arg, const char *address)
{
	struct sweep *s = arg;
	char to[LINK_BYTES];
	ssize_t len = readlinkat(s->dir_fd, address, to, sizeof(to) - 1);
	size_t n = strlen(s->sv->project);
	bool ours;
	if (len <= 0)
		return 0;
	to[len] = '\0';
	ours = strncmp(to, s->sv->project, n) == 0 && to[n] == '/';
	if (!ours && !shared_dead(&s->sv->paths, to, s->dir_fd, address))
		return 0;
	for (size_t i = 0; ours && i < s->sv->n_units; i++)
		if (strncmp(s->sv->units[i]->rec->id, to + n + 1, SHORT_ID) == 0 && has_address(s->sv->units[i], address))
			return 0;
	s->removed += unlinkat(s->dir_fd, address, 0) == 0;
	return 0;
}

bool shared_sweep(struct supervisor *sv, const char *bridge)
{
	AUTO_FREE char *path = xasprintf(".leases/%s", bridge);
	struct sweep s = { .sv = sv };
	struct err err = {0};
	if (faccessat(sv->paths.run_fd, path, F_OK, 0) < 0)
		return false;
	s.dir_fd = nets_lock(&sv->paths, bridge, &err); /* so that a lease which is found dead is the one that is removed */
	if (s.dir_fd < 0)
		log_warn("%s", err.msg);
	else
		fs_each(s.dir_fd, ".", sweep_lease, &s, NULL);
	nets_unlock(&sv->paths, bridge, &s.dir_fd);
	return s.removed > 0;
}

/* ---- names ---- */

void shared_publish(struct unit *u, const struct netw *n, const char *address, const char *const *names, size_t n_names)
{
	AUTO_FREE char *path = n->shared ? xasprintf(".shared/%s", n->bridge.name) : NULL;
	AUTO_CLOSE int fd = path ? openat(u->sv->paths.run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	AUTO_JSON json_t *j = json_object();
	json_t *list = json_array();
	char name[SHORT_ID + 1];
	struct err err = {0};
	json_put_str(j, "project", u->sv->project);
	json_put_str(j, "address", address);
	json_put_int(j, "pid", u->rec->pid);
	json_put_int(j, "ticks", (int64_t)u->rec->pid_ticks);
	for (size_t i = 0; i < n_names; i++)
		json_array_append_new(list, json_text(names[i]));
	json_object_set_new(j, "names", list);
	snprintf(name, sizeof(name), "%.*s", SHORT_ID, u->rec->id);
	if (fd >= 0 && json_write_file(fd, name, j, false, &err) < 0)
		log_warn("%s: names on network %s: %s", u->rec->name, n->name, err.msg);
}

void shared_withdraw(struct unit *u)
{
	for (size_t i = 0; i < u->rec->n_endpoints; i++) {
		const struct netw *n = nets_find(u->sv, u->rec->endpoints[i].network_name);
		AUTO_FREE char *path = n && n->shared ? xasprintf(".shared/%s/%.*s", n->bridge.name, SHORT_ID, u->rec->id) : NULL;
		if (path)
			unlinkat(u->sv->paths.run_fd, path, 0);
	}
}

/* On this network only: it may have names on others that we use. */
static void untell(struct shared *s, size_t i)
{
	dns_control_names_set(&s->sv->dns, s->told[i]->id, s->told[i]->network, (struct in_addr){0}, NULL, 0);
	free(s->told[i]->network);
	free(s->told[i]->text);
	free(s->told[i]);
	s->told[i] = s->told[--s->n_told];
}

static void tell(struct shared *s, const struct netw *n, const char *id, const json_t *j)
{
	AUTO_STRV struct strv names = {0};
	struct in_addr address;
	char owner[SHORT_ID + 1];
	snprintf(owner, sizeof(owner), "%.*s", SHORT_ID, id);
	json_get_strv(j, "names", &names);
	if (inet_pton(AF_INET, json_get_str(j, "address", ""), &address) == 1)
		dns_control_names_set(&s->sv->dns, owner, n->name, address, (const char *const *)names.v, names.n);
}

struct name_scan {
	struct shared *shared;
	const struct netw *n;
	int dir_fd;
};

static bool lives(const json_t *j)
{
	return proc_is((pid_t)json_get_int(j, "pid", 0), (uint64_t)json_get_int(j, "ticks", 0));
}

static bool runs_here(const struct supervisor *sv, const char *id)
{
	for (size_t i = 0; i < sv->n_units; i++)
		if (strncmp(sv->units[i]->rec->id, id, SHORT_ID) == 0)
			return sv->units[i]->phase != UNIT_IDLE && sv->units[i]->phase != UNIT_BACKOFF;
	return false;
}

static int look_at_name(void *arg, const char *id)
{
	struct name_scan *c = arg;
	struct shared *s = c->shared;
	AUTO_JSON json_t *j = NULL;
	AUTO_FREE char *text = NULL;
	struct told *t = NULL;
	if (strlen(id) != SHORT_ID || json_read_file(c->dir_fd, id, &j, NULL) != 0)
		return 0; /* one that is being written, or has just gone */
	if (str_eq(json_get_str(j, "project", ""), s->sv->project)) {
		if (!runs_here(s->sv, id)) /* our predecessor's */
			unlinkat(c->dir_fd, id, 0);
		return 0;
	}
	if (!lives(j))
		return 0;
	text = json_canonical(j);
	for (size_t i = 0; i < s->n_told && !t; i++)
		if (strcmp(s->told[i]->id, id) == 0 && strcmp(s->told[i]->bridge, c->n->bridge.name) == 0)
			t = s->told[i];
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		snprintf(t->id, sizeof(t->id), "%s", id);
		snprintf(t->bridge, sizeof(t->bridge), "%s", c->n->bridge.name);
		t->network = xstrdup(c->n->name);
		s->told = vec_grow(s->told, s->n_told, &s->cap_told, sizeof(*s->told));
		s->told[s->n_told++] = t;
	}
	t->seen = true;
	if (str_eq(t->text, text))
		return 0;
	free(t->text);
	t->text = TAKE_PTR(text);
	tell(s, c->n, id, j);
	return 0;
}

/* What is in the directory of a shared network, and what is no more. */
static void look_at_network(struct shared *s, const struct netw *n)
{
	AUTO_FREE char *path = xasprintf(".shared/%s", n->bridge.name);
	AUTO_CLOSE int fd = openat(s->sv->paths.run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct name_scan c = { s, n, fd };
	for (size_t i = 0; i < s->n_told; i++)
		s->told[i]->seen = false;
	if (fd >= 0)
		fs_each(fd, ".", look_at_name, &c, NULL);
	for (size_t i = s->n_told; i-- > 0;)
		if (!s->told[i]->seen && strcmp(s->told[i]->bridge, n->bridge.name) == 0)
			untell(s, i);
}

static void watch(const struct shared *s, const char *path)
{
	char link[32];
	AUTO_FREE char *full = xasprintf("%s/%s", fs_fd_path(s->sv->paths.run_fd, link), path);
	inotify_add_watch(s->files.fd, full, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
}

/* Has a network become shared? Then our own containers on it are to be known, too. */
static void notice(struct shared *s, struct netw *n)
{
	AUTO_FREE char *path = xasprintf(".shared/%s", n->bridge.name);
	if (!n->shared && faccessat(s->sv->paths.run_fd, path, F_OK, 0) < 0)
		return;
	if (!n->watched) {
		n->shared = n->watched = true;
		watch(s, path);
		for (size_t i = 0; i < s->sv->n_units; i++)
			if (s->sv->units[i]->phase == UNIT_RUNNING)
				unit_tell_dns(s->sv->units[i]);
	}
	look_at_network(s, n);
}

static void files_event(struct loop_source *source, uint32_t events)
{
	struct shared *s = CONTAINER_OF(source, struct shared, files);
	_Alignas(struct inotify_event) char buf[4096];
	bool gone = false;
	ssize_t n;
	(void)events;
	while ((n = read(source->fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(const void *)(buf + at);
			gone |= (e->mask & IN_IGNORED) != 0;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	if (gone) { /* somebody who went as the last one, he thought, has removed .shared */
		mkdirat(s->sv->paths.run_fd, ".shared", 0700);
		watch(s, ".shared");
	}
	for (size_t i = 0; i < s->sv->n_nets; i++)
		notice(s, s->sv->nets[i]);
}

static int start_watching(struct supervisor *sv, struct err *err)
{
	struct shared *s = sv->shared;
	if (s)
		return 0;
	s = xcalloc(1, sizeof(*s));
	s->sv = sv;
	s->files.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->files.fd < 0 || loop_add(&sv->loop, &s->files, s->files.fd, EPOLLIN, files_event, err) < 0) {
		int rc = s->files.fd < 0 ? err_sys(err, errno, "watch shared networks") : -1;
		util_close(&s->files.fd);
		free(s);
		return rc;
	}
	sv->shared = s;
	if (mkdirat(sv->paths.run_fd, ".shared", 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make the directory of shared networks");
	watch(s, ".shared");
	return 0;
}

int shared_watch(struct supervisor *sv, struct netw *n, bool mark, struct err *err)
{
	AUTO_FREE char *path = xasprintf(".shared/%s", n->bridge.name);
	if (start_watching(sv, err) < 0)
		return -1;
	for (int tries = 0; mark && mkdirat(sv->paths.run_fd, path, 0700) < 0 && errno != EEXIST; tries++) {
		if (errno != ENOENT || tries == 3)
			return err_sys(err, errno, "share network %s", n->name);
		mkdirat(sv->paths.run_fd, ".shared", 0700);
		watch(sv->shared, ".shared");
	}
	notice(sv->shared, n);
	return 0;
}

void shared_tell_dns(struct supervisor *sv)
{
	for (size_t i = 0; sv->shared && i < sv->shared->n_told; i++) {
		free(sv->shared->told[i]->text); /* the DNS process has forgotten it */
		sv->shared->told[i]->text = NULL;
	}
	for (size_t i = 0; sv->shared && i < sv->n_nets; i++)
		if (sv->nets[i]->shared)
			look_at_network(sv->shared, sv->nets[i]);
}

void shared_forget(struct supervisor *sv, const struct netw *n, bool gone)
{
	for (size_t i = sv->shared ? sv->shared->n_told : 0; i-- > 0;)
		if (strcmp(sv->shared->told[i]->bridge, n->bridge.name) == 0)
			untell(sv->shared, i);
	if (gone)
		shared_gone(sv, n->bridge.name);
}

void shared_gone(struct supervisor *sv, const char *bridge)
{
	static const char *const kinds[] = { ".leases", ".shared" };
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", kinds[i], bridge);
		if (unlinkat(sv->paths.run_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
			fs_remove_tree(sv->paths.run_fd, path, NULL);
	}
}

void shared_done(struct supervisor *sv)
{
	unlinkat(sv->paths.run_fd, ".leases", AT_REMOVEDIR);
	unlinkat(sv->paths.run_fd, ".shared", AT_REMOVEDIR);
}
