/* SPDX-License-Identifier: Apache-2.0 */
/* Networks on record: who has one of a name. A network of a project exists from its record's making to its removal, whether its bridge is in the
 * kernel (before a reboot) or not (after it): whoever needs it then makes the bridge again. A name that somebody else's network has is looked for
 * only where it can be meant: an external network, or one with a name of its own; `<project>_<key>` is the project's. */
#include "compose/networks.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/json.h"
#include "compose/supervisor.h"

static int read_record(int dir_fd, const char *file, json_t **ret, struct err *err)
{
	int rc = json_read_file(dir_fd, file, ret, err);
	if (rc < 0 && err->code == ERR_CORRUPT) { /* torn by a power cut: the network is made again, so it is no record */
		*err = (struct err){0};
		return 1;
	}
	return rc;
}

/* A network of a project by its name. 0, 1: none. */
static int in_project(const struct paths *p, const char *project, const char *name, json_t **ret, struct err *err)
{
	AUTO_CLOSE int fd = paths_project(p, project, false, NULL);
	AUTO_JSON json_t *all = NULL;
	json_t *one;
	int rc = fd < 0 ? 1 : read_record(fd, "networks.json", &all, err);
	if (rc != 0)
		return rc;
	one = json_object_get(all, name);
	if (!one || json_object_get(one, "owner") || json_get_bool(one, "removing", false))
		return 1;
	*ret = json_incref(one);
	return 0;
}

int nets_lookup(const struct paths *p, const char *project, const char *name, char **ret_owner, json_t **ret_record, struct err *err)
{
	AUTO_FREE char *file = xasprintf("networks/%s.json", name);
	AUTO_STRV struct strv projects = {0};
	int rc;
	if (p->root_fd < 0 || strchr(name, '/') || name[0] == '.')
		return 1;
	rc = read_record(p->root_fd, file, ret_record, err);
	if (rc <= 0) {
		*ret_owner = rc == 0 ? xstrdup(NETS_NOBODY) : NULL;
		return rc;
	}
	if (observe_projects(p, &projects, err) < 0)
		return -1;
	for (size_t i = 0; i < projects.n; i++) {
		if (project && strcmp(projects.v[i], project) == 0)
			continue;
		rc = in_project(p, projects.v[i], name, ret_record, err);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			*ret_owner = xstrdup(projects.v[i]);
			return 0;
		}
	}
	return 1;
}

int nets_shared(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *existing, struct err *err)
{
	for (size_t i = 0; d && i < d->n_networks; i++) {
		const struct desired_network *n = &d->networks[i];
		AUTO_FREE char *own = xasprintf("%s_%s", project, n->key);
		AUTO_FREE char *owner = NULL;
		AUTO_JSON json_t *record = NULL;
		int rc;
		if (strv_has(&existing->networks, n->name) || (!n->external && strcmp(n->name, own) == 0))
			continue;
		rc = nets_lookup(p, project, n->name, &owner, &record, err);
		if (rc < 0)
			return -1;
		if (rc == 0)
			strv_push(&existing->shared, n->name);
		if (rc == 0 && strcmp(owner, NETS_NOBODY) == 0)
			strv_push(&existing->bare, n->name);
	}
	return 0;
}

int nets_existing(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *ret, struct err *err)
{
	AUTO_CLOSE int fd = paths_project(p, project, false, NULL);
	AUTO_JSON json_t *all = NULL;
	const char *name;
	json_t *j;
	if (fd >= 0 && read_record(fd, "networks.json", &all, err) < 0)
		return -1;
	json_object_foreach(all, name, j) {
		const char *bridge = json_get_str(j, "bridge", "-");
		if (json_object_get(j, "owner") || !if_nametoindex(bridge))
			continue;
		strv_push(&ret->networks, name);
		if (shared_busy(p, bridge, project))
			strv_push(&ret->busy, name);
	}
	return nets_shared(p, project, d, ret, err);
}

struct busy {
	const struct paths *paths;
	int dir_fd;
	const char *project;
};

/* A lease is the link ADDRESS -> PROJECT/ID (compose/shared.c). One whose container has no record any more counts for nothing. */
static int is_busy(void *arg, const char *address)
{
	struct busy *b = arg;
	char to[512];
	ssize_t n = readlinkat(b->dir_fd, address, to, sizeof(to) - 1);
	AUTO_FREE char *record = NULL;
	char *slash;
	if (n <= 0)
		return 0;
	to[n] = '\0';
	slash = strchr(to, '/');
	if (!slash || strlen(slash) <= SHORT_ID)
		return 0;
	*slash = '\0';
	if (b->project && strcmp(to, b->project) == 0)
		return 0;
	record = xasprintf("projects/%s/c/%.*s", to, SHORT_ID, slash + 1);
	return faccessat(b->paths->root_fd, record, F_OK, 0) == 0;
}

bool shared_busy(const struct paths *p, const char *bridge, const char *project)
{
	AUTO_FREE char *path = xasprintf(".leases/%s", bridge);
	struct busy b = { .paths = p, .project = project };
	AUTO_CLOSE int fd = p->run_fd < 0 ? -1 : openat(p->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b.dir_fd = fd;
	return fd >= 0 && fs_each(fd, ".", is_busy, &b, NULL) > 0;
}
