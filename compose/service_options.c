/* SPDX-License-Identifier: Apache-2.0 */
/* The rules are docker's: cap_drop ALL leaves what cap_add names, cap_add ALL all but what cap_drop names; tmpfs is noexec unless it says exec; only
 * sysctls that a namespace of the container has may be set. */
#include "compose/service_options.h"

#include <linux/capability.h>
#include <stdio.h>
#include <strings.h>
#include <sys/resource.h>

#include "spec/bytes.h"

struct reader {
	const json_t *config;
	struct arena *arena;
	struct service_options *o;
	const char **key;
	struct err *err;
};

static const char *const capabilities[] = {
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
	"SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
};
static_assert(ARRAY_SIZE(capabilities) == CAP_CHECKPOINT_RESTORE + 1, "a name for every capability");
#define EVERY_CAPABILITY ((1ull << ARRAY_SIZE(capabilities)) - 1)

static int wrong(const struct reader *r, const char *key, size_t index, const char *fmt, const char *value)
{
	char quoted[80];
	*r->key = index == SIZE_MAX ? key : arena_printf(r->arena, "%s[%zu]", key, index);
	return err_set(r->err, ERR_INVALID, fmt, err_quote(quoted, sizeof(quoted), value));
}

/* A list of capability names as a set; *ret_all: ALL is among them. */
static int read_caps(const struct reader *r, const char *key, uint64_t *ret, bool *ret_all)
{
	json_t *list = json_object_get(r->config, key), *v;
	size_t i;
	json_array_foreach(list, i, v) {
		const char *name = json_is_string(v) ? json_string_value(v) : "";
		size_t k = 0;
		if (strcasecmp(name, "ALL") == 0) {
			*ret_all = true;
			continue;
		}
		if (strncasecmp(name, "CAP_", 4) == 0)
			name += 4;
		while (k < ARRAY_SIZE(capabilities) && strcasecmp(capabilities[k], name) != 0)
			k++;
		if (k == ARRAY_SIZE(capabilities))
			return wrong(r, key, i, "there is no capability \"%s\"", name);
		*ret |= 1ull << k;
	}
	return 0;
}

static int read_capabilities(const struct reader *r)
{
	uint64_t add = 0, drop = 0;
	bool add_all = false, drop_all = false;
	if (read_caps(r, "cap_add", &add, &add_all) < 0 || read_caps(r, "cap_drop", &drop, &drop_all) < 0)
		return -1;
	if (r->o->privileged)
		r->o->caps = EVERY_CAPABILITY;
	else if (add_all)
		r->o->caps = EVERY_CAPABILITY & ~drop;
	else
		r->o->caps = ((drop_all ? 0 : CONTAINER_DEFAULT_CAPS) & ~drop) | add;
	return 0;
}

static int read_ulimits(const struct reader *r)
{
	static const struct {
		const char *name;
		int resource;
	} names[SERVICE_MAX_RLIMITS] = {
		{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "data", RLIMIT_DATA }, { "fsize", RLIMIT_FSIZE },
		{ "locks", RLIMIT_LOCKS }, { "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "rss", RLIMIT_RSS }, { "rtprio", RLIMIT_RTPRIO },
		{ "rttime", RLIMIT_RTTIME }, { "sigpending", RLIMIT_SIGPENDING }, { "stack", RLIMIT_STACK },
	};
	const char *name;
	json_t *v;
	json_object_foreach(json_object_get(r->config, "ulimits"), name, v) {
		int64_t both = json_is_integer(v) ? json_integer_value(v) : 0, soft = json_get_int(v, "soft", both), hard = json_get_int(v, "hard", both);
		size_t i = 0;
		while (i < ARRAY_SIZE(names) && strcmp(names[i].name, name) != 0)
			i++;
		if (i == ARRAY_SIZE(names))
			return wrong(r, arena_printf(r->arena, "ulimits.%s", name), SIZE_MAX, "there is no limit \"%s\"", name);
		if (hard >= 0 && (soft < 0 || soft > hard))
			return wrong(r, arena_printf(r->arena, "ulimits.%s", name), SIZE_MAX, "ulimit \"%s\": soft is above hard", name);
		r->o->rlimits[r->o->n_rlimits++] = (struct container_rlimit){ names[i].resource, soft < 0 ? RLIM_INFINITY : (uint64_t)soft,
									      hard < 0 ? RLIM_INFINITY : (uint64_t)hard };
	}
	return 0;
}

/* One word of "size=64m,mode=1777,exec"; of two that contradict each other the last one counts. */
static bool read_tmpfs_option(const char *word, struct container_mount *m)
{
	static const char *const defaults[] = { "nosuid", "nodev", "relatime", "" };
	int64_t bytes;
	char *end;
	if (str_starts(word, "size=")) {
		if (!bytes_parse(word + 5, &bytes) || bytes < 0)
			return false;
		m->size_bytes = (uint64_t)bytes;
		return true;
	}
	if (str_starts(word, "mode=")) {
		m->mode = (unsigned)strtoul(word + 5, &end, 8);
		return end != word + 5 && !*end && m->mode <= 07777;
	}
	if (strcmp(word, "ro") == 0 || strcmp(word, "rw") == 0) {
		m->read_only = word[1] == 'o';
		return true;
	}
	if (strcmp(word, "exec") == 0 || strcmp(word, "noexec") == 0) {
		m->exec = word[0] == 'e';
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (strcmp(word, defaults[i]) == 0)
			return true;
	return false;
}

/* tmpfs: "/path[:options]"; volumes: those of type tmpfs. */
static int read_tmpfs(const struct reader *r)
{
	json_t *list = json_object_get(r->config, "tmpfs"), *volumes = json_object_get(r->config, "volumes"), *v;
	size_t i;
	r->o->tmpfs = arena_alloc(r->arena, (json_array_size(list) + json_array_size(volumes) + 1) * sizeof(*r->o->tmpfs));
	json_array_foreach(list, i, v) {
		struct container_mount m = { .kind = CONTAINER_MOUNT_TMPFS, .source_fd = -1, .fill_fd = -1 };
		char *text = arena_strdup(r->arena, json_is_string(v) ? json_string_value(v) : ""), *options = strchr(text, ':'), *save = NULL;
		if (options)
			*options++ = '\0';
		m.target = text;
		if (*text != '/')
			return wrong(r, "tmpfs", i, "the path \"%s\" is not absolute", text);
		for (char *word = options ? strtok_r(options, ",", &save) : NULL; word; word = strtok_r(NULL, ",", &save))
			if (!read_tmpfs_option(word, &m))
				return wrong(r, "tmpfs", i, "the option \"%s\" is not supported", word);
		r->o->tmpfs[r->o->n_tmpfs++] = m;
	}
	json_array_foreach(volumes, i, v) {
		const json_t *options = json_object_get(v, "tmpfs");
		int64_t bytes = 0;
		if (strcmp(json_get_str(v, "type", ""), "tmpfs") != 0)
			continue;
		if (json_get_str(options, "size", NULL) && !bytes_parse(json_get_str(options, "size", ""), &bytes))
			return wrong(r, "volumes", i, "the size \"%s\" is none", json_get_str(options, "size", ""));
		r->o->tmpfs[r->o->n_tmpfs++] = (struct container_mount){
			.kind = CONTAINER_MOUNT_TMPFS, .source_fd = -1, .fill_fd = -1, .target = json_get_str(v, "target", "/"),
			.size_bytes = (uint64_t)MAX(bytes, (int64_t)0), .mode = (unsigned)json_get_int(options, "mode", 0),
			.read_only = json_get_bool(v, "read_only", false),
		};
	}
	return 0;
}

static int read_security(const struct reader *r)
{
	json_t *list = json_object_get(r->config, "security_opt"), *v;
	size_t i;
	json_array_foreach(list, i, v) {
		AUTO_FREE char *text = xstrdup(json_is_string(v) ? json_string_value(v) : "");
		char *separator = strchr(text, strchr(text, '=') ? '=' : ':');
		if (separator)
			*separator = '=';
		if (strcmp(text, "no-new-privileges") == 0 || strcmp(text, "no-new-privileges=true") == 0)
			r->o->no_new_privs = true;
		else if (strcmp(text, "seccomp=unconfined") == 0)
			r->o->unconfined = true;
		else if (strcmp(text, "no-new-privileges=false") != 0 && strcmp(text, "apparmor=unconfined") != 0 && strcmp(text, "label=disable") != 0 &&
			 strcmp(text, "seccomp=builtin") != 0)
			return wrong(r, "security_opt", i, "\"%s\" is not supported yet", text);
	}
	return 0;
}

/* What belongs to a namespace that every container has of its own. */
static bool is_namespaced(const char *name, bool host_network)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
					   "kernel.shmmni", "kernel.shm_rmid_forced" };
	for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
		if (strcmp(name, ipc[i]) == 0)
			return true;
	return str_starts(name, "fs.mqueue.") || (str_starts(name, "net.") && !host_network);
}

static int read_sysctls(const struct reader *r)
{
	json_t *all = json_object_get(r->config, "sysctls"), *v;
	struct container_sysctl *list = arena_alloc(r->arena, (json_object_size(all) + 1) * sizeof(*list));
	const char *name;
	r->o->sysctls = list;
	json_object_foreach(all, name, v) {
		AUTO_FREE char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY);
		if (strchr(name, '/') || strstr(name, "..") || !is_namespaced(name, r->o->host_network))
			return wrong(r, arena_printf(r->arena, "sysctls.%s", name), SIZE_MAX,
				     "sysctl \"%s\" is not one of the container's own namespaces", name);
		list[r->o->n_sysctls++] = (struct container_sysctl){
			name, arena_strdup(r->arena, json_is_string(v) ? json_string_value(v) : text ? text : "") };
	}
	return 0;
}

static int read_hosts(const struct reader *r)
{
	json_t *v;
	size_t i;
	r->o->extra_hosts = json_object_get(r->config, "extra_hosts");
	json_array_foreach(json_object_get(r->config, "extra_hosts"), i, v) {
		const char *text = json_is_string(v) ? json_string_value(v) : "", *eq = strchr(text, '=');
		if (!eq || eq == text || !eq[1])
			return wrong(r, "extra_hosts", i, "\"%s\" is not HOST=ADDRESS", text);
	}
	return 0;
}

int service_options_read(const json_t *config, struct arena *a, struct service_options *ret, const char **ret_key, struct err *err)
{
	struct reader r = { config, a, ret, ret_key, err };
	int64_t shm = 0;
	const char *size = json_get_str(config, "shm_size", NULL);
	*ret = (struct service_options){
		.read_only = json_get_bool(config, "read_only", false), .privileged = json_get_bool(config, "privileged", false),
		.host_network = strcmp(json_get_str(config, "network_mode", ""), "host") == 0, .domainname = json_get_str(config, "domainname", NULL),
		.dns_search = json_object_get(config, "dns_search"), .dns_opt = json_object_get(config, "dns_opt"),
	};
	ret->unconfined = ret->privileged;
	if (size && (!bytes_parse(size, &shm) || shm < 0))
		return wrong(&r, "shm_size", SIZE_MAX, "\"%s\" is no size", size);
	ret->shm_bytes = (uint64_t)shm;
	if (read_capabilities(&r) < 0 || read_ulimits(&r) < 0 || read_tmpfs(&r) < 0 || read_security(&r) < 0 || read_sysctls(&r) < 0)
		return -1;
	return read_hosts(&r);
}
