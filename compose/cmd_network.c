/* SPDX-License-Identifier: Apache-2.0 */
/* network create, ls, rm, inspect, prune. A network that `create` makes belongs to no project: its record is networks/NAME.json below the root, its
 * bridge is in the kernel from the start, so that its subnet is nobody else's, and after a boot again as soon as a project uses it. The record
 * is written first and removed last; in between it says "creating" or "removing". Who has the lock and finds one that says so knows that its
 * maker was killed, and clears it with its bridge: the next `create`, `rm` or `prune`. */
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "compose/networks.h"
#include "compose/prune.h"
#include "compose/supervisor.h"
#include "compose/table_template.h"
#include "network/forward.h"
#include "network/nft.h"

/* A network of any project, or of none. */
struct known {
	char *name, *owner;
	json_t *record;
};

struct known_list {
	struct known *v;
	size_t n, cap;
};

static void known_done(struct known_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].owner);
		json_decref(l->v[i].record);
	}
	free(l->v);
	*l = (struct known_list){0};
}

static void known_add(struct known_list *l, const char *name, const char *owner, json_t *record)
{
	l->v = vec_grow(l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n++] = (struct known){ xstrdup(name), xstrdup(owner), json_incref(record) };
}

struct bare_scan {
	const struct app *app;
	bool partial;
	struct known_list *list;
};

static int add_bare(void *arg, const char *file)
{
	struct bare_scan *s = arg;
	AUTO_FREE char *path = xasprintf("networks/%s", file);
	AUTO_FREE char *name = xstrdup(file);
	AUTO_JSON json_t *record = NULL;
	size_t n = strlen(name);
	if (file[0] == '.' || n <= 5 || strcmp(name + n - 5, ".json") != 0 || json_read_file(s->app->paths.root_fd, path, &record, NULL) != 0 ||
	    (nets_partial(record) && !s->partial))
		return 0;
	name[n - 5] = '\0';
	known_add(s->list, name, NETS_NOBODY, record);
	return 0;
}

static int compare_known(const void *a, const void *b)
{
	const struct known *x = a, *y = b;
	int c = strcmp(x->name, y->name);
	return c ? c : strcmp(x->owner, y->owner);
}

/* Everything there is, sorted by name; partial: also what killed commands have left, for removal. 0 or -1 + err. */
static int known_read(const struct app *app, bool partial, struct known_list *ret, struct err *err)
{
	AUTO_STRV struct strv projects = {0};
	struct bare_scan s = { app, partial, ret };
	if (app->paths.root_fd < 0)
		return 0;
	if (fs_each_if_any(app->paths.root_fd, "networks", add_bare, &s, err) < 0)
		return -1;
	if (observe_projects(&app->paths, &projects, err) < 0)
		return -1;
	for (size_t i = 0; i < projects.n; i++) {
		AUTO_CLOSE int fd = paths_project(&app->paths, projects.v[i], false, NULL);
		AUTO_JSON json_t *all = NULL;
		const char *name;
		json_t *record;
		if (fd < 0 || json_read_file(fd, "networks.json", &all, NULL) != 0)
			continue;
		json_object_foreach(all, name, record)
			if (!json_object_get(record, "owner") && if_nametoindex(json_get_str(record, "bridge", "-")))
				known_add(ret, name, projects.v[i], record);
	}
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_known);
	return 0;
}

static bool is_bare(const struct known *k)
{
	return strcmp(k->owner, NETS_NOBODY) == 0;
}

/* The same network has the same one for life. */
static void network_id(const struct app *app, const struct known *k, char ret[static 65])
{
	AUTO_FREE char *text = xasprintf("network/%s/%s/%s", app->paths.rootid, k->owner, json_get_str(k->record, "key", k->name));
	sha256_hex(text, strlen(text), ret);
}

static const struct known *known_find(const struct app *app, const struct known_list *l, const char *what)
{
	const struct known *found = NULL;
	char id[65];
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, what) == 0)
			return &l->v[i];
	for (size_t i = 0; i < l->n && strlen(what) >= 4; i++) {
		network_id(app, &l->v[i], id);
		if (strncmp(id, what, strlen(what)) == 0)
			found = found ? NULL : &l->v[i];
	}
	return found;
}

/* Labels as docker shows them; a project's network has those that compose gives it. */
static json_t *labels_of(const struct known *k)
{
	json_t *all = json_object_get(k->record, "labels") ? json_deep_copy(json_object_get(k->record, "labels")) : json_object();
	if (!is_bare(k)) {
		json_put_str(all, "com.docker.compose.network", json_get_str(k->record, "key", ""));
		json_put_str(all, "com.docker.compose.project", k->owner);
	}
	return all;
}

/* --filter name=, id=, driver=, label=, type=custom. -1: such a filter does not exist. */
static int matches(const struct app *app, const struct known *k, const struct strv *filters, struct err *err)
{
	AUTO_JSON json_t *labels = labels_of(k);
	bool ok = true, named = false, name_ok = false;
	char id[65];
	network_id(app, k, id);
	for (size_t i = 0; i < filters->n; i++) {
		const char *f = filters->v[i];
		if (str_starts(f, "name=") || str_starts(f, "id=")) {
			named = true;
			name_ok |= f[0] == 'n' ? strstr(k->name, f + 5) != NULL : str_starts(id, f + 3);
		} else if (str_starts(f, "label=")) {
			ok &= cmd_has_label(labels, f + 6);
		} else if (str_starts(f, "label!=")) {
			ok &= !cmd_has_label(labels, f + 7);
		} else if (str_starts(f, "driver=")) {
			ok &= strcmp(f + 7, "bridge") == 0;
		} else if (str_starts(f, "scope=")) {
			ok &= strcmp(f + 6, "local") == 0;
		} else if (str_starts(f, "type=")) {
			ok &= strcmp(f + 5, "custom") == 0;
		} else if (str_starts(f, "dangling=")) {
			bool unused = !shared_busy(&app->paths, json_get_str(k->record, "bridge", "-"), NULL);
			ok &= unused == (strcmp(f + 9, "true") == 0 || strcmp(f + 9, "1") == 0);
		} else {
			return err_set(err, ERR_INVALID, "invalid filter \"%.60s\"", f);
		}
	}
	return ok && (!named || name_ok);
}

int cmd_network_ls(struct app *app)
{
	static const char *const headings[] = { "NETWORK ID", "NAME", "DRIVER", "SCOPE", "PROJECT", "BRIDGE", "SUBNET" };
	static const char *const fields[] = { "ID", "Name", "Driver", "Scope", "Project", "Bridge", "Subnet" };
	CLEANUP(known_done) struct known_list list = {0};
	AUTO_JSON json_t *rows = json_array();
	struct err err = {0};
	if (cmd_paths(app, false))
		return 1;
	if (known_read(app, false, &list, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < list.n; i++) {
		const struct known *k = &list.v[i];
		AUTO_JSON json_t *labels = labels_of(k);
		AUTO_FREE char *text = cmd_labels_text(labels);
		bool internal = json_get_bool(k->record, "internal", false);
		int rc = matches(app, k, cli_list(app->args, "filter"), &err);
		char id[65];
		if (rc < 0)
			return cmd_fail(app, &err);
		if (rc == 0)
			continue;
		network_id(app, k, id);
		json_array_append_new(rows, json_pack("{s:s#, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "ID", id,
			cli_bool(app->args, "no-trunc") ? 64 : 12, "Name", k->name, "Driver", "bridge", "Scope", "local", "Project",
			is_bare(k) ? "" : k->owner, "Bridge", json_get_str(k->record, "bridge", ""), "Subnet", json_get_str(k->record, "subnet", ""),
			"Internal", internal ? "true" : "false", "IPv4", "true", "IPv6", "false", "Labels", text));
	}
	if (cli_bool(app->args, "quiet"))
		return cmd_print_field(app, rows, "Name");
	return cmd_print_rows(app, rows, headings, fields, ARRAY_SIZE(fields), 10);
}

/* ---- create ---- */

static bool is_name(const char *s)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", more[] = "_.-";
	if (!*s || !strchr(first, *s) || strlen(s) > 200)
		return false;
	for (; *s; s++)
		if (!strchr(first, *s) && !strchr(more, *s))
			return false;
	return true;
}

/* What the flags say, checked. */
static int read_wish(const struct app *app, json_t *ret, struct bridge_spec *spec, struct err *err)
{
	const char *subnet = cli_str(app->args, "subnet"), *gateway = cli_str(app->args, "gateway"), *range = cli_str(app->args, "ip-range");
	const struct strv *aux = cli_list(app->args, "aux-address");
	struct ipam_subnet part = {0};
	struct ipam m = {0};
	json_object_set_new(ret, "labels", cmd_given_labels(app));
	json_object_set_new(ret, "internal", json_boolean(cli_bool(app->args, "internal")));
	if (!*subnet)
		return *gateway || *range || aux->n ? err_set(err, ERR_INVALID, "--gateway, --ip-range and --aux-address need --subnet") : 0;
	if (!ipam_subnet_parse(subnet, &spec->subnet))
		return err_set(err, ERR_INVALID, "invalid subnet %.40s: it has to be IPv4, as 10.1.2.0/24, host bits zero", subnet);
	if ((*gateway && !net_ip_parse(gateway, &spec->gateway)) || (*range && !ipam_subnet_parse(range, &part)))
		return err_set(err, ERR_INVALID, "invalid %s", spec->gateway || !*gateway ? "ip-range" : "gateway");
	if (ipam_init(&m, spec->subnet, err) < 0 || ipam_narrow(&m, spec->gateway, part, err) < 0)
		return ipam_done(&m), -1;
	json_put_str(ret, "subnet", subnet);
	json_put_str(ret, "gateway", *gateway ? gateway : NULL);
	json_put_str(ret, "range", *range ? range : NULL);
	json_object_set_new(ret, "fixed", json_true());
	for (size_t i = 0; i < aux->n; i++) {
		const char *eq = strchr(aux->v[i], '=');
		AUTO_FREE char *key = xasprintf("%.*s", (int)(eq ? eq - aux->v[i] : 0), aux->v[i]);
		uint32_t ip;
		if (!eq || !net_ip_parse(eq + 1, &ip) || ipam_take(&m, ip, err) < 0)
			return ipam_done(&m), err_set(err, ERR_INVALID, "invalid aux-address %.60s: it is NAME=ADDRESS inside of the subnet", aux->v[i]);
		if (!json_object_get(ret, "aux"))
			json_object_set_new(ret, "aux", json_object());
		json_put_str(json_object_get(ret, "aux"), key, eq + 1);
	}
	ipam_done(&m);
	return 0;
}

/* One at a time, of all who make or remove such networks. */
static int lock_records(const struct app *app, struct err *err)
{
	for (;;) {
		struct stat st;
		int fd = fs_make_dir(app->paths.root_fd, "networks", 0700, err);
		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0) {
			close(fd);
			return err_sys(err, errno, "lock networks");
		}
		if (st.st_nlink > 0)
			return fd;
		close(fd); /* the last one was just removed, and the directory with it */
	}
}

/* Removes the bridge, its rules and what projects shared of it. */
static int remove_bridge(const struct app *app, const char *bridge, struct err *err)
{
	static const char *const kinds[] = { ".leases", ".shared" };
	struct nft_network e = {0};
	struct nft_change change = { .del_networks = &e, .n_del_networks = 1 };
	struct nft_state state = {0};
	struct net net = {0};
	int rc = net_open(&net, app->paths.rootid, err);
	snprintf(e.bridge, sizeof(e.bridge), "%s", bridge);
	if (rc == 0 && nft_list(&net, NULL, &state, NULL) == 0 && state.n_networks)
		rc = nft_apply(&net, &change, err);
	nft_state_done(&state);
	if (rc == 0 && (rc = bridge_delete(&net, bridge, err)) == 0 && (rc = nft_release(&net, err)) == 0)
		rc = forward_withdraw(&net, err);
	net_close(&net);
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && app->paths.run_fd >= 0; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", kinds[i], bridge);
		fs_remove_tree(app->paths.run_fd, path, NULL);
		unlinkat(app->paths.run_fd, kinds[i], AT_REMOVEDIR);
	}
	return rc < 0 ? -1 : 0;
}

/* Says on record that it goes; from then on nobody joins it or takes an address. 0 or -1 + err: somebody has. */
static int mark_removing(const struct app *app, const char *name, const char *bridge, int dir, json_t *record, struct err *err)
{
	AUTO_FREE char *file = xasprintf("%s.json", name);
	int lock = nets_lock(&app->paths, bridge, err), rc = -1;
	if (lock < 0)
		return -1;
	json_object_set_new(record, "removing", json_true());
	if (shared_busy(&app->paths, bridge, NULL))
		err_set(err, ERR_CONFLICT, "error while removing network: network %s has active endpoints", name);
	else if (!app->dry_run)
		rc = json_write_file(dir, file, record, true, err);
	else
		rc = 0;
	nets_unlock(&app->paths, bridge, &lock);
	return rc;
}

static int remove_marked(const struct app *app, const char *name, const char *bridge, int dir, struct err *err)
{
	AUTO_FREE char *file = xasprintf("%s.json", name);
	if (remove_bridge(app, bridge, err) < 0)
		return -1;
	if (unlinkat(dir, file, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove the record of network %s", name);
	unlinkat(app->paths.root_fd, "networks", AT_REMOVEDIR);
	return 0;
}

/* The lock; and what killed ones have left, goes. One that says so although somebody is on it was made by an older muster: it stays. */
static int lock_networks(const struct app *app, struct err *err)
{
	CLEANUP(known_done) struct known_list list = {0};
	struct bare_scan s = { app, true, &list };
	int dir = lock_records(app, err);
	if (dir < 0 || app->dry_run)
		return dir;
	if (fs_each(dir, ".", add_bare, &s, err) < 0)
		goto fail;
	for (size_t i = 0; i < list.n; i++) {
		const char *bridge = json_get_str(list.v[i].record, "bridge", "-");
		if (nets_partial(list.v[i].record) && !shared_busy(&app->paths, bridge, NULL) &&
		    (mark_removing(app, list.v[i].name, bridge, dir, list.v[i].record, err) < 0 || remove_marked(app, list.v[i].name, bridge, dir, err) < 0))
			goto fail;
	}
	if (faccessat(app->paths.root_fd, "networks", F_OK, 0) == 0)
		return dir;
	close(dir); /* the last one has just gone, and the directory with it */
	return lock_records(app, err);
fail:
	close(dir);
	return -1;
}

static int create(const struct app *app, const char *name, json_t *record, struct bridge_spec *spec, struct err *err)
{
	AUTO_CLOSE int dir = lock_networks(app, err);
	AUTO_FREE char *file = xasprintf("%s.json", name);
	AUTO_FREE char *owner = NULL;
	AUTO_JSON json_t *there = NULL;
	struct bridge b = {0};
	char subnet[20], bridge[NET_IFNAME_SIZE];
	struct net net = {0};
	struct err ignored = {0};
	int rc = dir < 0 ? -1 : nets_lookup(&app->paths, NULL, name, &owner, &there, err);
	bridge_name(app->paths.rootid, NETS_NOBODY, name, bridge);
	if (rc <= 0 || shared_busy(&app->paths, bridge, NULL)) {
		unlinkat(app->paths.root_fd, "networks", AT_REMOVEDIR); /* when the lock has made it */
		return rc < 0 ? -1 : err_set(err, ERR_CONFLICT, "network with name %s already exists", name);
	}
	json_put_str(record, "key", name);
	json_put_str(record, "bridge", bridge);
	json_put_int(record, "created_ns", (int64_t)clock_real_ns());
	if (app->dry_run) {
		unlinkat(app->paths.root_fd, "networks", AT_REMOVEDIR);
		return 0;
	}
	if (net_open(&net, app->paths.rootid, err) < 0)
		return -1;
	bridge_delete(&net, bridge, &ignored); /* of one whose record is lost */
	json_object_set_new(record, "creating", json_true());
	rc = json_write_file(dir, file, record, true, err);
	if (rc == 0 && (rc = bridge_ensure(&net, spec, &b, err)) == 0) {
		json_object_del(record, "creating");
		json_put_str(record, "subnet", ipam_subnet_text(b.subnet, subnet));
		rc = json_write_file(dir, file, record, true, err);
	}
	if (rc < 0) {
		bridge_delete(&net, bridge, &ignored);
		unlinkat(dir, file, 0);
		unlinkat(app->paths.root_fd, "networks", AT_REMOVEDIR);
	}
	net_close(&net);
	return rc;
}

int cmd_network_create(struct app *app)
{
	const char *name = app->args->args.v[0], *driver = cli_str(app->args, "driver");
	AUTO_JSON json_t *record = json_object();
	struct bridge_spec spec = { .project = NETS_NOBODY, .network = name };
	const struct known k = { .name = (char *)(uintptr_t)name, .owner = (char *)(uintptr_t)NETS_NOBODY, .record = record };
	AUTO_STR struct str out = {0};
	char id[65], quoted[128];
	struct err err = {0};
	if (!is_name(name))
		return cmd_failf(app, "invalid network name \"%s\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed", err_quote(quoted, sizeof(quoted), name));
	if (strcmp(driver, "bridge") != 0)
		return cmd_failf(app, "network create: driver \"%s\" is not supported: bridge is", err_quote(quoted, sizeof(quoted), driver));
	if (cmd_paths(app, true))
		return 1;
	if (read_wish(app, record, &spec, &err) < 0 || create(app, name, record, &spec, &err) < 0)
		return cmd_fail(app, &err);
	network_id(app, &k, id);
	str_addf(&out, "%s\n", id);
	return cmd_print(app, &out);
}

/* ---- rm, prune ---- */

/* Under the lock, so that its name is free and it is the one meant. */
static int remove_network(const struct app *app, const struct known *k, struct err *err)
{
	const char *bridge = json_get_str(k->record, "bridge", "-");
	AUTO_CLOSE int dir = lock_networks(app, err);
	AUTO_FREE char *file = xasprintf("%s.json", k->name);
	if (dir < 0)
		return -1;
	if (!is_bare(k)) {
		unlinkat(app->paths.root_fd, "networks", AT_REMOVEDIR);
		return err_set(err, ERR_CONFLICT,
			       shared_busy(&app->paths, bridge, NULL) ? "error while removing network: network %s has active endpoints" :
			       "network %s belongs to project %s: it goes with \"down\" of that project", k->name, k->owner);
	}
	if (faccessat(dir, file, F_OK, 0) < 0) { /* it was one that a killed command had left */
		unlinkat(app->paths.root_fd, "networks", AT_REMOVEDIR);
		return 0;
	}
	if (mark_removing(app, k->name, bridge, dir, k->record, err) < 0)
		return -1;
	return app->dry_run ? 0 : remove_marked(app, k->name, bridge, dir, err);
}

int cmd_network_rm(struct app *app)
{
	const struct strv *names = &app->args->args;
	CLEANUP(known_done) struct known_list list = {0};
	struct err err = {0};
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	if (known_read(app, true, &list, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < names->n; i++) {
		const struct known *k = known_find(app, &list, names->v[i]);
		char quoted[128];
		if (!k && cli_bool(app->args, "force"))
			continue;
		if (!k)
			rc = cmd_failf(app, "network %s not found", err_quote(quoted, sizeof(quoted), names->v[i]));
		else if (remove_network(app, k, &err) < 0)
			rc = cmd_fail(app, &err);
		else
			printf("%s\n", names->v[i]);
	}
	return fflush(stdout) ? 1 : rc;
}

int cmd_network_prune(struct app *app)
{
	CLEANUP(known_done) struct known_list list = {0};
	AUTO_STR struct str out = {0};
	struct err err = {0};
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	if (known_read(app, true, &list, &err) < 0)
		return cmd_fail(app, &err);
	if (!cli_bool(app->args, "force") && !app->dry_run && !prune_confirm("This will remove all custom networks not used by at least one container."))
		return 0;
	for (size_t i = 0; i < list.n; i++) {
		int match = matches(app, &list.v[i], cli_list(app->args, "filter"), &err);
		if (match < 0)
			return cmd_fail(app, &err);
		if (match == 0 || !is_bare(&list.v[i]) || shared_busy(&app->paths, json_get_str(list.v[i].record, "bridge", "-"), NULL))
			continue;
		if (remove_network(app, &list.v[i], &err) < 0)
			rc = cmd_fail(app, &err);
		else
			str_addf(&out, "%s%s\n", out.len ? "" : "Deleted Networks:\n", list.v[i].name);
	}
	if (out.len)
		str_add(&out, "\n");
	return cmd_print(app, &out) || rc;
}

/* ---- inspect ---- */

static json_t *containers_of(const struct app *app, const char *bridge)
{
	AUTO_STRV struct strv projects = {0};
	json_t *out = json_object();
	observe_projects(&app->paths, &projects, NULL);
	for (size_t i = 0; i < projects.n; i++) {
		struct observed o = {0};
		if (observe_project(&app->paths, projects.v[i], &o, NULL) < 0)
			continue;
		for (size_t k = 0; k < o.n; k++)
			for (size_t e = 0; e < o.containers[k]->n_endpoints; e++) {
				const struct endpoint *end = &o.containers[k]->endpoints[e];
				AUTO_FREE char *text = xasprintf("%s/%s", o.containers[k]->id, end->bridge);
				AUTO_FREE char *address = NULL;
				char id[65];
				if (!str_eq(end->bridge, bridge) || !end->address[0])
					continue;
				sha256_hex(text, strlen(text), id);
				address = xasprintf("%s/24", end->address);
				json_object_set_new(out, o.containers[k]->id, json_pack("{s:s, s:s, s:s, s:s, s:s}", "Name", o.containers[k]->name,
					"EndpointID", id, "MacAddress", end->mac, "IPv4Address", address, "IPv6Address", ""));
			}
		observe_done(&o);
	}
	return out;
}

static json_t *describe(const struct app *app, const struct known *k)
{
	const char *subnet = json_get_str(k->record, "subnet", ""), *slash = strchr(subnet, '/');
	json_t *containers = containers_of(app, json_get_str(k->record, "bridge", "-")), *config = json_object(), *one;
	int64_t created = json_get_int(k->record, "created_ns", 0);
	struct ipam_subnet s;
	char id[65], when[40], first[16];
	const char *key;
	network_id(app, k, id);
	json_object_foreach(containers, key, one) { /* with the network's own prefix length */
		AUTO_FREE char *address = xstrdup(json_get_str(one, "IPv4Address", ""));
		address[strcspn(address, "/")] = '\0';
		json_object_set_new(one, "IPv4Address", json_sprintf("%s%s", address, slash ? slash : ""));
	}
	if (ipam_subnet_parse(subnet, &s)) {
		json_put_str(config, "Subnet", subnet);
		json_put_str(config, "IPRange", json_get_str(k->record, "range", NULL));
		json_put_str(config, "Gateway", json_get_str(k->record, "gateway", net_ip_text(s.ip + 1, first)));
		if (json_object_get(k->record, "aux"))
			json_object_set(config, "AuxiliaryAddresses", json_object_get(k->record, "aux"));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:{s:s, s:{}, s:[o]}, s:b, s:b, s:b, s:{s:s}, s:b, s:o, s:{s:s}, s:o}", "Name", k->name, "Id",
			 id, "Created", clock_rfc3339((uint64_t)created, when), "Scope", "local", "Driver", "bridge", "EnableIPv4", 1, "EnableIPv6", 0,
			 "IPAM", "Driver", "default", "Options", "Config", config, "Internal", json_get_bool(k->record, "internal", false), "Attachable", 0,
			 "Ingress", 0, "ConfigFrom", "Network", "", "ConfigOnly", 0, "Containers", containers, "Options",
			 "com.docker.network.bridge.name", json_get_str(k->record, "bridge", ""), "Labels", labels_of(k));
}

int cmd_network_inspect(struct app *app)
{
	const char *format = cli_str(app->args, "format");
	CLEANUP(known_done) struct known_list list = {0};
	AUTO_JSON json_t *rows = json_array();
	AUTO_STR struct str out = {0};
	struct err err = {0};
	int rc = 0;
	if (cmd_paths(app, false))
		return 1;
	if (known_read(app, false, &list, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < app->args->args.n; i++) {
		const struct known *k = known_find(app, &list, app->args->args.v[i]);
		char quoted[128];
		if (k)
			json_array_append_new(rows, describe(app, k));
		else
			rc = cmd_failf(app, "network %s not found", err_quote(quoted, sizeof(quoted), app->args->args.v[i]));
	}
	if (cmd_format_inspect(format, rows, &out, &err) < 0)
		return cmd_fail(app, &err);
	return cmd_print(app, &out) || rc;
}
