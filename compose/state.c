/* SPDX-License-Identifier: Apache-2.0 */
/* Records to and from JSON. Unknown members are dropped, missing ones get their zero value; a file that is no object or
 * has no id is torn. state.json counts only when its boot id is the running kernel's. */
#include "compose/state.h"

#include <stdio.h>

#include "base/fs.h"
#include "base/proc.h"

const char *const want_names[WANT_N_] = { [WANT_RUNNING] = "running", [WANT_STOPPED] = "stopped", [WANT_REMOVED] = "removed" };
const char *const status_names[STATUS_N_] = {
	[STATUS_CREATED] = "created", [STATUS_RUNNING] = "running", [STATUS_RESTARTING] = "restarting", [STATUS_EXITED] = "exited",
};
static_assert(ARRAY_SIZE(want_names) == WANT_N_ && ARRAY_SIZE(status_names) == STATUS_N_, "a name for each");

struct record *record_new(void)
{
	struct record *r = xcalloc(1, sizeof(*r));
	r->exit_code = 0;
	return r;
}

void record_new_id(char id[static 65])
{
	do
		random_hex(id, 64);
	while (strspn(id, "0123456789") >= SHORT_ID);
}

int record_exit(int exit_code)
{
	return exit_code < 0 ? 255 : exit_code;
}

struct record *record_free(struct record *r)
{
	if (!r)
		return NULL;
	free(r->name);
	free(r->project);
	free(r->service);
	free(r->hash);
	free(r->error);
	json_decref(r->config);
	json_decref(r->image);
	json_decref(r->labels);
	for (size_t i = 0; i < r->n_mounts; i++) {
		free(r->mounts[i].source);
		free(r->mounts[i].target);
	}
	free(r->mounts);
	for (size_t i = 0; i < r->n_endpoints; i++) {
		free(r->endpoints[i].network);
		free(r->endpoints[i].network_name);
		free(r->endpoints[i].bridge);
	}
	free(r->endpoints);
	free(r->ports);
	free(r);
	return NULL;
}

static json_t *mounts_to_json(const struct record *r)
{
	json_t *list = json_array();
	for (size_t i = 0; i < r->n_mounts; i++) {
		const struct record_mount *m = &r->mounts[i];
		json_array_append_new(list, json_pack("{s:i,s:s?,s:s,s:b,s:b,s:b,s:b}", "kind", (int)m->kind, "source", m->source, "target", m->target,
						      "read_only", m->read_only, "anonymous", m->anonymous, "nocopy", m->nocopy,
						      "create_host_path", m->create_host_path));
	}
	return list;
}

static json_t *record_to_json(const struct record *r)
{
	json_t *j = json_object();
	json_put_int(j, "schema", RECORD_SCHEMA);
	json_put_str(j, "id", r->id);
	json_put_str(j, "name", r->name);
	json_put_str(j, "project", r->project);
	json_put_str(j, "service", r->service);
	json_put_int(j, "number", r->number);
	json_object_set_new(j, "oneoff", json_boolean(r->oneoff));
	json_object_set_new(j, "remove_on_exit", json_boolean(r->remove_on_exit));
	if (r->use_aliases)
		json_object_set_new(j, "use_aliases", json_true());
	json_put_str(j, "hash", r->hash);
	json_put_str(j, "want", want_names[r->want]);
	json_put_int(j, "generation", (int64_t)r->generation);
	json_put_int(j, "started_generation", (int64_t)r->started_generation);
	json_put_int(j, "created_ns", (int64_t)r->created_ns);
	json_put_int(j, "started_ns", (int64_t)r->started_ns);
	json_put_int(j, "finished_ns", (int64_t)r->finished_ns);
	json_put_int(j, "exit_code", r->exit_code);
	json_object_set_new(j, "oom", json_boolean(r->oom));
	json_put_str(j, "error", r->error);
	json_put_int(j, "restarts", r->restarts);
	json_object_set_new(j, "mounts", mounts_to_json(r));
	json_object_set(j, "config", r->config);
	json_object_set(j, "image", r->image);
	json_object_set(j, "labels", r->labels);
	return j;
}

/* Opens <base>/c/<id12>, made when absent. */
static int open_container_dir(int base_fd, const char *id, struct err *err)
{
	char rel[SHORT_ID + 8];
	snprintf(rel, sizeof(rel), "c/%.*s", SHORT_ID, id);
	return fs_make_dir(base_fd, rel, 0700, err);
}

int record_save(const struct record *r, int project_fd, bool durable, struct err *err)
{
	AUTO_CLOSE int fd = open_container_dir(project_fd, r->id, err);
	AUTO_JSON json_t *j = NULL;
	if (fd < 0)
		return -1;
	j = record_to_json(r);
	return json_write_file(fd, "record.json", j, durable, err);
}

int record_save_state(const struct record *r, int run_fd, struct err *err)
{
	AUTO_CLOSE int fd = open_container_dir(run_fd, r->id, err);
	AUTO_JSON json_t *j = json_object();
	json_t *ends = json_array(), *ports = json_array();
	char boot[40];
	if (fd < 0) {
		json_decref(ends);
		json_decref(ports);
		return -1;
	}
	proc_boot_id(boot);
	json_put_str(j, "boot_id", boot);
	json_put_str(j, "status", status_names[r->status]);
	json_put_str(j, "want", want_names[r->want]);
	json_put_int(j, "pid", r->pid);
	json_put_int(j, "pid_ticks", (int64_t)r->pid_ticks);
	json_put_int(j, "started_ns", (int64_t)r->started_ns);
	json_put_int(j, "started_generation", (int64_t)r->started_generation);
	json_put_int(j, "restarts", r->restarts);
	json_put_int(j, "finished_ns", (int64_t)r->finished_ns); /* also here: record.json may be on a full disk */
	json_put_int(j, "exit_code", r->exit_code);
	json_object_set_new(j, "oom", json_boolean(r->oom));
	for (size_t i = 0; i < r->n_endpoints; i++) {
		const struct endpoint *e = &r->endpoints[i];
		json_array_append_new(ends, json_pack("{s:s,s:s,s:s,s:s,s:s}", "network", e->network, "name", e->network_name, "bridge", e->bridge,
						      "address", e->address, "mac", e->mac));
	}
	for (size_t i = 0; i < r->n_ports; i++) {
		const struct published *p = &r->ports[i];
		json_array_append_new(ports, json_pack("{s:s,s:i,s:i,s:i,s:b}", "host_ip", p->host_ip, "host_port", (int)p->host_port, "target",
						       (int)p->target, "protocol", (int)p->protocol, "v6", p->v6));
	}
	json_object_set_new(j, "endpoints", ends);
	json_object_set_new(j, "ports", ports);
	return json_write_file(fd, "state.json", j, false, err);
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static int name_index(const char *const *names, int n, const char *s)
{
	for (int i = 0; i < n; i++)
		if (str_eq(names[i], s))
			return i;
	return 0;
}

static void read_mounts(const json_t *j, struct record *r)
{
	json_t *list = json_object_get(j, "mounts"), *m;
	size_t i;
	r->mounts = xcalloc(json_array_size(list), sizeof(*r->mounts));
	json_array_foreach(list, i, m) {
		int64_t kind = json_get_int(m, "kind", 0);
		if (kind < 0 || kind >= MOUNT_KIND_N_)
			continue;
		r->mounts[r->n_mounts++] = (struct record_mount){
			.kind = (enum mount_kind)kind,
			.source = dup_or_null(json_get_str(m, "source", NULL)),
			.target = xstrdup(json_get_str(m, "target", "/")),
			.read_only = json_get_bool(m, "read_only", false), .anonymous = json_get_bool(m, "anonymous", false),
			.nocopy = json_get_bool(m, "nocopy", false), .create_host_path = json_get_bool(m, "create_host_path", false),
		};
	}
}

static int record_from_json(const json_t *j, const char *id12, struct record *r, struct err *err)
{
	const char *id = json_get_str(j, "id", "");
	if (strlen(id) != 64 || strncmp(id, id12, SHORT_ID) != 0 || json_get_int(j, "schema", 0) != RECORD_SCHEMA ||
	    !json_is_object(json_object_get(j, "config")))
		return err_set(err, ERR_CORRUPT, "record of container %s: not of schema %d", id12, RECORD_SCHEMA);
	memcpy(r->id, id, sizeof(r->id));
	r->name = xstrdup(json_get_str(j, "name", ""));
	r->project = xstrdup(json_get_str(j, "project", ""));
	r->service = xstrdup(json_get_str(j, "service", ""));
	r->number = (unsigned)json_get_int(j, "number", 1);
	r->oneoff = json_get_bool(j, "oneoff", false);
	r->remove_on_exit = json_get_bool(j, "remove_on_exit", false);
	r->use_aliases = json_get_bool(j, "use_aliases", false);
	r->hash = xstrdup(json_get_str(j, "hash", ""));
	r->want = (enum want)name_index(want_names, WANT_N_, json_get_str(j, "want", ""));
	r->generation = (uint64_t)json_get_int(j, "generation", 0);
	r->started_generation = (uint64_t)json_get_int(j, "started_generation", 0);
	r->created_ns = (uint64_t)json_get_int(j, "created_ns", 0);
	r->started_ns = (uint64_t)json_get_int(j, "started_ns", 0);
	r->finished_ns = (uint64_t)json_get_int(j, "finished_ns", 0);
	r->exit_code = (int)json_get_int(j, "exit_code", 0);
	r->oom = json_get_bool(j, "oom", false);
	r->error = dup_or_null(json_get_str(j, "error", NULL));
	r->restarts = (unsigned)json_get_int(j, "restarts", 0);
	read_mounts(j, r);
	r->config = json_incref(json_object_get(j, "config"));
	r->image = json_incref(json_object_get(j, "image"));
	r->labels = json_incref(json_object_get(j, "labels"));
	r->status = r->finished_ns || r->started_ns ? STATUS_EXITED : STATUS_CREATED;
	return 0;
}

static void read_runtime(const json_t *j, struct record *r)
{
	json_t *ends = json_object_get(j, "endpoints"), *ports = json_object_get(j, "ports"), *e;
	uint64_t finished_ns = (uint64_t)json_get_int(j, "finished_ns", 0);
	size_t i;
	char boot[40];
	proc_boot_id(boot);
	snprintf(r->boot_id, sizeof(r->boot_id), "%s", json_get_str(j, "boot_id", ""));
	if (strcmp(boot, r->boot_id) != 0)
		return;
	r->status = (enum status)name_index(status_names, STATUS_N_, json_get_str(j, "status", ""));
	r->pid = (pid_t)json_get_int(j, "pid", 0);
	r->pid_ticks = (uint64_t)json_get_int(j, "pid_ticks", 0);
	r->no_state = false;
	r->started_ns = (uint64_t)json_get_int(j, "started_ns", 0);
	r->started_generation = MAX(r->started_generation, (uint64_t)json_get_int(j, "started_generation", 0));
	r->restarts = (unsigned)json_get_int(j, "restarts", 0);
	if (str_eq(json_get_str(j, "want", NULL), want_names[WANT_REMOVED])) /* the record on disk is not told of that any more */
		r->want = WANT_REMOVED;
	if (finished_ns > r->finished_ns) {
		r->finished_ns = finished_ns;
		r->exit_code = (int)json_get_int(j, "exit_code", -1);
		r->oom = json_get_bool(j, "oom", false);
	}
	r->endpoints = xcalloc(json_array_size(ends), sizeof(*r->endpoints));
	json_array_foreach(ends, i, e) {
		struct endpoint *out = &r->endpoints[r->n_endpoints++];
		out->network = xstrdup(json_get_str(e, "network", ""));
		out->network_name = xstrdup(json_get_str(e, "name", ""));
		out->bridge = xstrdup(json_get_str(e, "bridge", ""));
		snprintf(out->address, sizeof(out->address), "%s", json_get_str(e, "address", ""));
		snprintf(out->mac, sizeof(out->mac), "%s", json_get_str(e, "mac", ""));
	}
	r->ports = xcalloc(json_array_size(ports), sizeof(*r->ports));
	json_array_foreach(ports, i, e) {
		struct published *p = &r->ports[r->n_ports++];
		snprintf(p->host_ip, sizeof(p->host_ip), "%s", json_get_str(e, "host_ip", ""));
		p->host_port = (uint16_t)json_get_int(e, "host_port", 0);
		p->target = (uint16_t)json_get_int(e, "target", 0);
		p->v6 = json_get_bool(e, "v6", false);
		p->protocol = json_get_int(e, "protocol", 0) == PORT_UDP ? PORT_UDP : PORT_TCP;
	}
}

int record_load(int project_fd, int run_fd, const char *id12, struct record **ret, struct err *err)
{
	AUTO_FREE char *path = xasprintf("c/%s/record.json", id12);
	AUTO_FREE char *run_path = xasprintf("c/%s/state.json", id12);
	AUTO_JSON json_t *j = NULL, *state = NULL;
	struct record *r;
	int rc, has_state = run_fd >= 0 ? json_read_file(run_fd, run_path, &state, NULL) : 1;
	rc = json_read_file(project_fd, path, &j, err); /* after the state: an end that this tells of is never without its exit code */
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_CORRUPT, "record of container %s: absent", id12);
	r = record_new();
	if (record_from_json(j, id12, r, err) < 0) {
		record_free(r);
		return -1;
	}
	r->no_state = true;
	if (has_state == 0)
		read_runtime(state, r);
	*ret = r;
	return 0;
}

/* The list at `key` of the service, else that of the image; *ret_set tells whether the service has it. */
static void argv_part(const struct record *r, const char *service_key, const char *image_key, bool *ret_set, struct strv *ret)
{
	*ret_set = json_is_array(json_object_get(r->config, service_key));
	json_get_strv(*ret_set ? r->config : r->image, *ret_set ? service_key : image_key, ret);
}

void record_argv(const struct record *r, struct strv *ret)
{
	bool has_entrypoint, has_command = json_is_array(json_object_get(r->config, "command"));
	argv_part(r, "entrypoint", "entrypoint", &has_entrypoint, ret);
	/* an entrypoint of the service drops the image's CMD, as docker does */
	if (has_command)
		json_get_strv(r->config, "command", ret);
	else if (!has_entrypoint)
		json_get_strv(r->image, "cmd", ret);
}

char *record_command(const struct record *r)
{
	AUTO_STRV struct strv argv = {0};
	struct str s = {0};
	record_argv(r, &argv);
	for (size_t i = 0; i < argv.n; i++) {
		bool quote = strpbrk(argv.v[i], " \t\n'\"") || !argv.v[i][0];
		if (i)
			str_addc(&s, ' ');
		str_addf(&s, quote ? "'%s'" : "%s", argv.v[i]);
	}
	return str_take(&s);
}

/* Adds K=V, replacing an earlier K. */
static void environment_put(struct strv *env, const char *key, size_t key_len, const char *value)
{
	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->v[i], key, key_len) == 0 && env->v[i][key_len] == '=') {
			free(env->v[i]);
			env->v[i] = xasprintf("%.*s=%s", (int)key_len, key, value);
			return;
		}
	strv_pushf(env, "%.*s=%s", (int)key_len, key, value);
}

void record_environment(const struct record *r, struct strv *ret)
{
	json_t *list = json_object_get(r->image, "env"), *map = json_object_get(r->config, "environment"), *v;
	const char *key;
	size_t i;
	json_array_foreach(list, i, v) {
		const char *s = json_is_string(v) ? json_string_value(v) : "", *eq = strchr(s, '=');
		if (eq)
			environment_put(ret, s, (size_t)(eq - s), eq + 1);
	}
	json_object_foreach(map, key, v)
		if (json_is_string(v))
			environment_put(ret, key, strlen(key), json_string_value(v));
}

char *record_cgroup(const struct record *r, const char *rootid)
{
	return xasprintf("muster-%s/%s/c/%.*s", rootid, r->project, SHORT_ID, r->id);
}
