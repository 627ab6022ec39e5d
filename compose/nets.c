/* SPDX-License-Identifier: Apache-2.0 */
/* The project's networks. networks.json beside the records says which exist, with their subnet, so that a network gets the same one again
 * after a boot; whether one is really there, the bridge in the kernel tells. It is not synced: what a power cut can take from it is the
 * wish for the same subnet, and no bridge survives one.
 *
 * A network of somebody else (compose/networks.h) that the project uses is in networks.json, too, with its owner: its bridge has the name, the
 * subnet and the rules that its owner would give it, so whoever comes first makes it. Only its owner takes it down. */
#include "compose/supervisor.h"

#include <net/if.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "network/forward.h"
#include "network/nft.h"

static struct netw *netw_free(struct netw *n)
{
	ipam_done(&n->ipam);
	json_decref(n->labels);
	json_decref(n->fixed);
	free(n->key);
	free(n->owner);
	free(n->owner_key);
	free(n->name);
	free(n);
	return NULL;
}

struct netw *nets_find(struct supervisor *sv, const char *name)
{
	for (size_t i = 0; i < sv->n_nets; i++)
		if (strcmp(sv->nets[i]->name, name) == 0)
			return sv->nets[i];
	return NULL;
}

/* networks.json as it is to be; it keeps entries of networks that are not there, for their subnets. */
static json_t *recorded(struct supervisor *sv)
{
	if (!sv->nets_json && json_read_file(sv->project_fd, "networks.json", &sv->nets_json, NULL) != 0)
		sv->nets_json = json_object();
	return sv->nets_json;
}

/* What was asked for: subnet, gateway, range, aux of a wish or a record; NULL: nothing. */
static json_t *fixed_of(const json_t *j)
{
	static const char *const members[] = { "subnet", "gateway", "range", "aux" };
	json_t *fixed;
	if (!json_get_str(j, "subnet", NULL) || (json_object_get(j, "bridge") && !json_get_bool(j, "fixed", false)))
		return NULL;
	fixed = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (json_object_get(j, members[i]))
			json_object_set(fixed, members[i], json_object_get(j, members[i]));
	return fixed;
}

static struct netw *netw_new(const char *key, const char *name, const json_t *j)
{
	struct netw *n = xcalloc(1, sizeof(*n));
	n->key = xstrdup(key);
	n->name = xstrdup(name);
	n->internal = json_get_bool(j, "internal", false);
	n->labels = json_incref(json_object_get(j, "labels"));
	n->fixed = fixed_of(j);
	n->created_ns = (uint64_t)json_get_int(j, "created_ns", (int64_t)clock_real_ns());
	return n;
}

static int nets_save(struct supervisor *sv, const struct netw *n, struct err *err)
{
	char subnet[20];
	json_t *j = json_pack("{s:s,s:s,s:s,s:b,s:I}", "key", n->key, "bridge", n->bridge.name, "subnet",
			      n->bridge.subnet.prefix_len ? ipam_subnet_text(n->bridge.subnet, subnet) : "", "internal", n->internal,
			      "created_ns", (json_int_t)n->created_ns);
	if (n->labels)
		json_object_set(j, "labels", n->labels);
	if (n->fixed) {
		json_object_update(j, n->fixed);
		json_object_set_new(j, "fixed", json_true());
	}
	json_put_str(j, "owner", n->owner);
	json_put_str(j, "owner_key", n->owner_key);
	if (n->removing)
		json_object_set_new(j, "removing", json_true());
	json_object_set_new(recorded(sv), n->name, j);
	return json_write_file(sv->project_fd, "networks.json", sv->nets_json, false, err);
}

/* Puts a bridge into the table, or takes it out. */
int nets_rules(struct supervisor *sv, const struct netw *n, bool add, struct err *err)
{
	struct nft_network e = { .subnet = n->bridge.subnet, .internal = n->internal };
	struct nft_change change = { .add_networks = &e, .n_add_networks = add, .del_networks = &e, .n_del_networks = !add };
	snprintf(e.bridge, sizeof(e.bridge), "%s", n->bridge.name);
	snprintf(e.owner, sizeof(e.owner), "%s", n->owner ? n->owner : sv->project);
	return nft_apply(&sv->net, &change, err);
}

/* The addresses that it hands out. */
static int init_addresses(struct netw *n, struct err *err)
{
	struct ipam_subnet range = {0};
	const char *text = json_get_str(n->fixed, "range", NULL), *name;
	json_t *aux;
	uint32_t ip;
	if (text && !ipam_subnet_parse(text, &range))
		return err_set(err, ERR_INVALID, "range %s is none", text);
	if (ipam_init(&n->ipam, n->bridge.subnet, err) < 0 || ipam_narrow(&n->ipam, n->bridge.gateway, range, err) < 0)
		return -1;
	json_object_foreach(json_object_get(n->fixed, "aux"), name, aux)
		if (!json_is_string(aux) || !net_ip_parse(json_string_value(aux), &ip) || ipam_take(&n->ipam, ip, err) < 0)
			return err_set(err, ERR_INVALID, "auxiliary address %s is none of the subnet", name);
	return 0;
}

/* Puts a bridge into the table and remembers it. */
static int net_use(struct supervisor *sv, struct netw *n, struct err *err)
{
	if (init_addresses(n, err) < 0 || nets_rules(sv, n, true, err) < 0)
		return -1;
	sv->nets = vec_grow(sv->nets, sv->n_nets, &sv->cap_nets, sizeof(*sv->nets));
	sv->nets[sv->n_nets++] = n;
	return 0;
}

static size_t servers_v4(const struct supervisor *sv, uint32_t out[RESOLV_MAX_SERVERS])
{
	size_t n = 0;
	for (size_t i = 0; i < sv->resolv.n_servers; i++)
		if (sv->resolv.servers[i].family == AF_INET) {
			uint32_t be;
			memcpy(&be, sv->resolv.servers[i].address, sizeof(be));
			out[n++] = ntohl(be);
		}
	return n;
}

/* The subnet that the network had, from networks.json. */
static struct ipam_subnet recorded_subnet(struct supervisor *sv, const char *name)
{
	struct ipam_subnet s = {0};
	if (!ipam_subnet_parse(json_get_str(json_object_get(recorded(sv), name), "subnet", ""), &s))
		s = (struct ipam_subnet){0};
	return s;
}

/* Asked for: exactly that subnet. Else the one that it had, when that is still free; n->bridge.subnet says which. */
static int make_bridge(struct supervisor *sv, struct netw *n, struct err *err)
{
	uint32_t avoid[RESOLV_MAX_SERVERS];
	struct bridge_spec spec = { .project = n->owner ? n->owner : sv->project, .network = n->owner ? n->owner_key : n->key,
				    .avoid = avoid, .n_avoid = servers_v4(sv, avoid), .subnet = n->bridge.subnet };
	const char *gateway = json_get_str(n->fixed, "gateway", NULL);
	struct err first = {0};
	if (n->fixed && !ipam_subnet_parse(json_get_str(n->fixed, "subnet", ""), &spec.subnet))
		return err_set(err, ERR_INVALID, "subnet %s is none", json_get_str(n->fixed, "subnet", ""));
	if (gateway && !net_ip_parse(gateway, &spec.gateway))
		return err_set(err, ERR_INVALID, "gateway %s is none", gateway);
	if (bridge_ensure(&sv->net, &spec, &n->bridge, &first) == 0)
		return 0;
	if (n->fixed || !spec.subnet.prefix_len) {
		*err = first;
		return -1;
	}
	spec.subnet = (struct ipam_subnet){0}; /* taken by somebody else meanwhile */
	return bridge_ensure(&sv->net, &spec, &n->bridge, err);
}

/* With the last network of the root the table and the guests' rules go. */
static int release_rules(struct supervisor *sv, struct err *err)
{
	struct net net;
	int rc;
	if (net_open(&net, sv->rootid, err) < 0)
		return -1;
	rc = nft_release(&net, err);
	if (rc == 0)
		rc = forward_withdraw(&net, err);
	net_close(&net);
	return rc < 0 ? -1 : 0;
}

/* In a worker, as it takes long when there were guests. The elements are gone already; now the link and the rules. Either is mostly waiting for the
 * kernel's grace periods, so they go at the same time: the rules in a process of their own. */
static int remove_link(struct supervisor *sv, const char *text, struct err *err)
{
	struct err rules_err = {0};
	struct net net;
	int rc, pipe_fds[2];
	pid_t pid;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	pid = fork();
	if (pid == 0) {
		bool sent = true;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (release_rules(sv, &rules_err) < 0)
			sent = write(pipe_fds[1], &rules_err, sizeof(rules_err)) == sizeof(rules_err);
		_exit(!sent);
	}
	close(pipe_fds[1]);
	rc = net_open(&net, sv->rootid, err);
	if (rc == 0) {
		rc = failpoint_err("network.delete", err) < 0 ? -1 : bridge_delete(&net, text, err);
		net_close(&net);
	}
	if (pid > 0) {
		if (read(pipe_fds[0], &rules_err, sizeof(rules_err)) == sizeof(rules_err) && rc == 0) {
			*err = rules_err;
			rc = -1;
		}
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	} else if (rc == 0) {
		rc = release_rules(sv, err);
	}
	close(pipe_fds[0]);
	return rc < 0 ? -1 : failpoint_err("network.deleted", err);
}

/* A network that could not be completed: what there is of it goes, before the operation ends: the next one may make it again. */
static void abandon(struct supervisor *sv, struct netw *n)
{
	struct err err = {0};
	if (nets_rules(sv, n, false, &err) < 0 || remove_link(sv, n->bridge.name, &err) < 0)
		log_warn("network %s: %s", n->name, err.msg);
	netw_free(n);
}

/* From the record to a network that works. */
static int bring_up(struct supervisor *sv, struct netw *n, struct err *err)
{
	if (nets_save(sv, n, err) < 0 || nft_ensure(&sv->net, err) < 0 || failpoint_err("network.table", err) < 0 || make_bridge(sv, n, err) < 0 ||
	    failpoint_err("network.bridge", err) < 0 || forward_enable(&sv->net, err) < 0 || shared_watch(sv, n, n->owner != NULL, err) < 0)
		return -1;
	return net_use(sv, n, err);
}

/* What is to be said and written once it works. */
static int announce(struct supervisor *sv, struct netw *n, struct err *err)
{
	struct in_addr a = { htonl(n->bridge.subnet.ip) };
	AUTO_STR struct str message = {0};
	if (forward_admit(&sv->net, &message, err) == 1 && !sv->forward_told && sv->current) {
		sv->forward_told = true;
		server_warn(sv->current, str_get(&message));
	}
	dns_control_network_set(&sv->dns, n->name, a, n->bridge.subnet.prefix_len);
	return failpoint_err("network.used", err) < 0 || nets_save(sv, n, err) < 0 ? -1 : failpoint_err("network.saved", err);
}

static int create(struct supervisor *sv, struct netw *n, struct err *err)
{
	if (!n->bridge.subnet.prefix_len)
		n->bridge.subnet = recorded_subnet(sv, n->name);
	bridge_name(sv->rootid, n->owner ? n->owner : sv->project, n->owner ? n->owner_key : n->key, n->bridge.name);
	if (bring_up(sv, n, err) == 0)
		return announce(sv, n, err);
	err_wrap(err, "network %s", n->name);
	if (n->owner || shared_busy(&sv->paths, n->bridge.name, sv->project))
		netw_free(n);
	else
		abandon(sv, n);
	return -1;
}

int nets_create(struct supervisor *sv, const struct desired_network *d, struct err *err)
{
	return nets_find(sv, d->name) ? 0 : create(sv, netw_new(d->key, d->name, d->json), err);
}

/* Under the lock of the bridge, which is *bridge; another one of this name by now: 1, and its bridge is there. */
static int join_bridge(struct supervisor *sv, const char *key, const char *name, char **bridge, struct err *err)
{
	AUTO_FREE char *owner = NULL;
	AUTO_JSON json_t *record = NULL;
	struct netw *n;
	int rc = nets_lookup(&sv->paths, sv->project, name, &owner, &record, err);
	if (rc != 0)
		return rc < 0 ? -1 : nets_missing(name, err);
	if (!str_eq(json_get_str(record, "bridge", "-"), *bridge)) {
		free(*bridge);
		*bridge = xstrdup(json_get_str(record, "bridge", "-"));
		return 1;
	}
	n = netw_new(key, name, record);
	n->owner = TAKE_PTR(owner);
	n->owner_key = xstrdup(json_get_str(record, "key", name));
	if (!ipam_subnet_parse(json_get_str(record, "subnet", ""), &n->bridge.subnet))
		n->bridge.subnet = (struct ipam_subnet){0};
	return create(sv, n, err);
}

/* Takes part in somebody else's network. */
static int join(struct supervisor *sv, const char *key, const char *name, struct err *err)
{
	struct netw *n = nets_find(sv, name);
	AUTO_FREE char *bridge = NULL;
	int fd = -1, rc = 1;
	if (n && nets_still(sv, n)) {
		if (n->owner && strcmp(n->key, key) != 0) {
			free(n->key);
			n->key = xstrdup(key);
			return nets_save(sv, n, err);
		}
		return 0;
	}
	while (rc > 0) {
		AUTO_FREE char *locked = xstrdup(bridge ? bridge : "-");
		rc = bridge && (fd = nets_lock(&sv->paths, bridge, err)) < 0 ? -1 : join_bridge(sv, key, name, &bridge, err);
		nets_unlock(&sv->paths, locked, &fd);
	}
	return rc;
}

int nets_join_all(struct supervisor *sv, const struct strv *names, const struct desired *d, struct err *err)
{
	for (size_t i = 0; d && i < d->n_networks; i++)
		if (strv_has(names, d->networks[i].name) && join(sv, d->networks[i].key, d->networks[i].name, err) < 0)
			return -1;
	return 0;
}

struct netw *nets_need(struct supervisor *sv, const char *key, struct err *err)
{
	const struct desired_network *d = sv->desired.arena ? desired_network(&sv->desired, key) : NULL;
	const char *name = d ? d->name : NULL;
	struct netw *n = name ? nets_find(sv, name) : NULL;
	json_t *j;
	for (size_t i = 0; i < sv->n_nets && !n; i++)
		if (strcmp(sv->nets[i]->key, key) == 0)
			n = sv->nets[i];
	if (n) {
		AUTO_FREE char *copy = xstrdup(n->name);
		return nets_still(sv, n) ? n : join(sv, key, copy, err) < 0 ? NULL : nets_find(sv, copy);
	}
	json_object_foreach(recorded(sv), name, j) {
		AUTO_FREE char *copy = xstrdup(name); /* the record is written anew */
		if (strcmp(json_get_str(j, "key", ""), key) != 0 || json_get_bool(j, "removing", false))
			continue;
		if ((json_object_get(j, "owner") ? join(sv, key, copy, err) : create(sv, netw_new(key, copy, j), err)) < 0)
			return NULL;
		return nets_find(sv, copy);
	}
	if (d && d->external) { /* it had gone, was forgotten, and may be there again */
		AUTO_FREE char *copy = xstrdup(d->name);
		return join(sv, key, copy, err) < 0 ? NULL : nets_find(sv, copy);
	}
	err_set(err, ERR_NOT_FOUND, "network %s does not exist", key);
	return NULL;
}

/* A container that ran when it was last recorded is on it. */
static bool in_use(const struct supervisor *sv, const char *name)
{
	for (size_t i = 0; i < sv->n_units; i++)
		for (size_t k = 0; sv->units[i]->rec->pid && k < sv->units[i]->rec->n_endpoints; k++)
			if (strcmp(sv->units[i]->rec->endpoints[k].network_name, name) == 0)
				return true;
	return false;
}

static void forget(struct supervisor *sv, struct netw *n)
{
	for (size_t i = 0; i < sv->n_nets; i++)
		if (sv->nets[i] == n)
			sv->nets[i] = sv->nets[--sv->n_nets];
	json_object_del(recorded(sv), n->name);
	netw_free(n);
}

/* What somebody has made anew under the same name is not the same network. */
static bool is_same(const struct netw *n, const char *owner, const json_t *record)
{
	struct ipam_subnet s = {0};
	return str_eq(owner, n->owner) && ipam_subnet_parse(json_get_str(record, "subnet", ""), &s) && s.ip == n->bridge.subnet.ip &&
	       s.prefix_len == n->bridge.subnet.prefix_len &&
	       (strcmp(owner, NETS_NOBODY) != 0 || json_get_int(record, "created_ns", 0) == (int64_t)n->created_ns);
}

bool nets_still(struct supervisor *sv, struct netw *n)
{
	AUTO_FREE char *owner = NULL;
	AUTO_JSON json_t *record = NULL;
	struct err err = {0};
	int rc = n->owner ? nets_lookup(&sv->paths, sv->project, n->name, &owner, &record, &err) : -1;
	if (rc < 0 || (rc == 0 && is_same(n, owner, record)) || in_use(sv, n->name))
		return true;
	shared_forget(sv, n, false);
	forget(sv, n);
	json_write_file(sv->project_fd, "networks.json", sv->nets_json, false, NULL);
	return false;
}

int nets_hold(struct supervisor *sv, const struct netw *n, int *ret_fd, struct err *err)
{
	AUTO_FREE char *owner = NULL;
	AUTO_JSON json_t *record = NULL;
	int rc;
	*ret_fd = n->owner ? nets_lock(&sv->paths, n->bridge.name, err) : -1;
	if (*ret_fd < 0)
		return n->owner ? -1 : 0;
	rc = nets_lookup(&sv->paths, sv->project, n->name, &owner, &record, err);
	if (rc != 0)
		nets_unlock(&sv->paths, n->bridge.name, ret_fd);
	return rc;
}

static bool has_bridge(const struct bridge *there, size_t n_there, const char *name)
{
	for (size_t i = 0; i < n_there; i++)
		if (strcmp(there[i].name, name) == 0)
			return true;
	return false;
}

static bool in_live_use(const struct supervisor *sv, const char *name)
{
	for (size_t i = 0; i < sv->n_units; i++) {
		const struct record *r = sv->units[i]->rec;
		for (size_t k = 0; k < r->n_endpoints; k++)
			if (strcmp(r->endpoints[k].network_name, name) == 0 && r->pid && proc_is(r->pid, r->pid_ticks))
				return true;
	}
	return false;
}

/* A recorded network that is there, or should be. Another's may have gone with the containers that we had on it. */
static int load_one(struct supervisor *sv, struct netw *n, struct err *err)
{
	AUTO_FREE char *owner = NULL;
	AUTO_JSON json_t *record = NULL;
	int fd = -1, rc;
	if (n->owner && (fd = nets_lock(&sv->paths, n->bridge.name, err)) < 0)
		log_warn("network %s: %s", n->name, err->msg);
	if (n->owner && !in_live_use(sv, n->name) && nets_lookup(&sv->paths, sv->project, n->name, &owner, &record, err) != 0)
		rc = nets_missing(n->name, err);
	else
		rc = make_bridge(sv, n, err) < 0 || shared_watch(sv, n, n->owner != NULL, err) < 0 || net_use(sv, n, err) < 0 ? -1 : 0;
	nets_unlock(&sv->paths, n->bridge.name, &fd);
	return rc;
}

/* At start: networks that are recorded and whose bridge lives, or should. */
int nets_load(struct supervisor *sv, struct err *err)
{
	struct bridge *there = NULL;
	size_t n_there = 0;
	const char *name;
	json_t *j;
	if (!json_object_size(recorded(sv)))
		return 0;
	if (bridge_list(&sv->net, sv->project, &there, &n_there, err) < 0)
		return -1;
	json_object_foreach(sv->nets_json, name, j) {
		struct netw *n;
		const char *owner = json_get_str(j, "owner", NULL);
		shared_sweep(sv, json_get_str(j, "bridge", "-"));
		if ((owner || !has_bridge(there, n_there, json_get_str(j, "bridge", ""))) && !in_use(sv, name)) {
			if (!owner && !shared_busy(&sv->paths, json_get_str(j, "bridge", "-"), sv->project))
				/* our predecessor has removed the bridge and got no further */
				shared_gone(sv, json_get_str(j, "bridge", "-"));
			continue;
		}
		n = netw_new(json_get_str(j, "key", name), name, j);
		n->owner = owner ? xstrdup(owner) : NULL;
		n->owner_key = owner ? xstrdup(json_get_str(j, "owner_key", name)) : NULL;
		n->bridge.subnet = recorded_subnet(sv, name);
		snprintf(n->bridge.name, sizeof(n->bridge.name), "%s", json_get_str(j, "bridge", "-"));
		if (load_one(sv, n, err) < 0) {
			log_warn("network %s: %s", name, err->msg);
			netw_free(n);
		}
	}
	free(there);
	for (size_t i = 0; i < sv->n_nets; i++) /* its removal was begun; whether it goes on is not said: until then it is one as before */
		if (json_get_bool(json_object_get(recorded(sv), sv->nets[i]->name), "removing", false) && nets_save(sv, sv->nets[i], err) < 0)
			return -1;
	return 0;
}

static void link_removed(struct supervisor *sv, void *arg, size_t n, const struct err *failure)
{
	struct netw *net = arg;
	struct err err = {0};
	if (failure)
		err = *failure;
	if (failure && if_nametoindex(net->bridge.name)) {
		net->removing = false;
		nets_rules(sv, net, true, NULL);
		nets_save(sv, net, NULL);
	} else { /* what a failure behind the bridge's end leaves, goes with the project */
		failpoint("network.gone");
		shared_forget(sv, net, true);
		forget(sv, net);
		if (json_write_file(sv->project_fd, "networks.json", sv->nets_json, false, failure ? NULL : &err) == 0)
			failpoint_err("network.unsaved", failure ? NULL : &err);
	}
	if (sv->current)
		apply_action_done(sv->current, n, err.msg[0] ? &err : NULL);
}

/* From here on nobody joins it. 0 or -1 + err: somebody has. */
static int mark_removing(struct supervisor *sv, struct netw *n, struct err *err)
{
	int fd = nets_lock(&sv->paths, n->bridge.name, err), rc;
	if (fd < 0)
		return -1;
	n->removing = !shared_busy(&sv->paths, n->bridge.name, sv->project);
	rc = n->removing ? nets_save(sv, n, err) : err_set(err, ERR_CONFLICT, "Resource is still in use");
	if (rc < 0 && n->removing && (err->sys == ENOSPC || err->sys == EDQUOT)) /* a full disk keeps nobody from removing */
		rc = 0;
	nets_unlock(&sv->paths, n->bridge.name, &fd);
	return rc;
}

/* It stays on record until it is gone: whoever comes after a crash in between goes on. */
void nets_remove_start(struct op *op, size_t action, const char *name)
{
	struct supervisor *sv = op->sv;
	struct netw *n = nets_find(sv, name);
	struct err err = {0};
	if (!n || n->owner) {
		apply_action_done(op, action, NULL);
		return;
	}
	if (mark_removing(sv, n, &err) < 0 || nets_rules(sv, n, false, &err) < 0 || failpoint_err("network.unused", &err) < 0 ||
	    worker_run(sv, remove_link, n->bridge.name, link_removed, n, action, &err) < 0) {
		if (n->removing) {
			n->removing = false;
			nets_save(sv, n, NULL);
		}
		apply_action_done(op, action, &err);
	}
}
