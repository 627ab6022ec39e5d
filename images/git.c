/* SPDX-License-Identifier: Apache-2.0 */
/* See git.h. Which commit a ref means, as BuildKit has it: 40 digits are a commit; else a branch before a tag before whatever refs/REF is. Submodules
 * are fetched at the commits that the tree names, each from the URL that .gitmodules gives for its path; that is all that is read of it. */
#include "images/git.h"

#include <stdio.h>

#include "base/fs.h"
#include "images/confine.h"
#include "images/git_impl.h"
#include "images/registry.h"

enum { MAX_CONF = 16 << 20, MAX_NESTING = 10, PAGE = 4096 };

struct job {
	struct git_access access;
	struct git_archive archive;
	int spool_fd;
	uint64_t max_bytes;
	size_t n_submodules;
	bool submodules, keep;
	const char *commit; /* that was found out before; "" */
};

/* ---- refs ---- */

static const struct git_ref *find_ref(const struct git_refs *refs, const char *name)
{
	for (size_t i = 0; i < refs->n; i++)
		if (strcmp(refs->v[i].name, name) == 0)
			return &refs->v[i];
	return NULL;
}

struct meaning {
	char commit[GIT_HEX + 1], want[GIT_HEX + 1]; /* want: an annotated tag, or the commit */
	char ref[1100];                              /* "refs/…"; "" = a commit was named */
};

static void mean(struct meaning *m, const struct git_ref *r)
{
	snprintf(m->commit, sizeof(m->commit), "%s", *r->peeled ? r->peeled : r->oid);
	snprintf(m->want, sizeof(m->want), "%s", r->oid);
	snprintf(m->ref, sizeof(m->ref), "%s", r->target ? r->target : strcmp(r->name, "HEAD") == 0 ? "" : r->name);
}

static int resolve_ref(struct git_remote *remote, const char *ref, struct meaning *m, struct err *err)
{
	const char *bare = str_starts(ref, "refs/") ? ref + 5 : ref;
	AUTO_FREE char *head = xasprintf("refs/heads/%s", bare), *tag = xasprintf("refs/tags/%s", bare), *other = xasprintf("refs/%s", bare);
	const char *const names[] = { head, tag, other }, *const only_head[] = { "HEAD" };
	struct git_refs refs = {0};
	const struct git_ref *found = NULL;
	char quoted[200];
	int rc;
	*m = (struct meaning){0};
	if (giturl_is_commit(ref)) {
		for (size_t i = 0; i < GIT_HEX; i++)
			m->commit[i] = m->want[i] = (char)(ref[i] >= 'A' && ref[i] <= 'F' ? ref[i] | 0x20 : ref[i]);
		return 0;
	}
	rc = *ref && strcmp(ref, "HEAD") != 0 ? git_remote_refs(remote, names, 3, &refs, err) : git_remote_refs(remote, only_head, 1, &refs, err);
	if (rc == 0 && (!*ref || strcmp(ref, "HEAD") == 0))
		found = find_ref(&refs, "HEAD");
	for (size_t i = 0; rc == 0 && !found && i < ARRAY_SIZE(names); i++)
		found = find_ref(&refs, names[i]);
	if (found)
		mean(m, found);
	else if (rc == 0)
		rc = *ref ? err_set(err, ERR_NOT_FOUND, "the repository has no ref \"%s\"", err_quote(quoted, sizeof(quoted), ref)) :
			    err_set(err, ERR_NOT_FOUND, "the repository is empty");
	git_refs_done(&refs);
	return rc;
}

/* ---- .gitmodules ---- */

/* "key = value" with quotes and comments as git reads them. NULL: another key. free() it. */
static char *config_value(const char *line, const char *key)
{
	struct str out = {0};
	bool quoted = false;
	size_t n = strlen(key), keep = 0;
	line += strspn(line, " \t");
	if (strncasecmp(line, key, n) != 0 || !strchr(" \t=", line[n]))
		return NULL;
	line += n + strspn(line + n, " \t");
	if (*line++ != '=')
		return NULL;
	for (line += strspn(line, " \t"); *line && (quoted || (*line != '#' && *line != ';')); line++) {
		if (*line == '"') {
			quoted = !quoted;
			continue;
		}
		if (*line == '\\' && line[1])
			line++;
		if (*line == '\r' && !line[1])
			break;
		str_addc(&out, *line);
		if (quoted || (*line != ' ' && *line != '\t'))
			keep = out.len;
	}
	if (out.len)
		out.p[keep] = '\0';
	out.len = keep;
	return str_take(&out);
}

/* The URL that .gitmodules gives for a path; free() it. NULL: none. */
static char *module_url(const char *text, const char *path)
{
	AUTO_FREE char *copy = xstrdup(text ? text : ""), *found_path = NULL, *url = NULL;
	for (char *line = copy, *next; line; line = next) {
		char *v;
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line += strspn(line, " \t");
		if (*line == '[') {
			if (found_path && url && strcmp(found_path, path) == 0)
				return TAKE_PTR(url);
			free(TAKE_PTR(found_path));
			free(TAKE_PTR(url));
		} else if ((v = config_value(line, "path"))) {
			free(found_path);
			found_path = v;
		} else if ((v = config_value(line, "url"))) {
			free(url);
			url = v;
		}
	}
	return found_path && url && strcmp(found_path, path) == 0 ? TAKE_PTR(url) : NULL;
}

/* ---- one repository ---- */

static int fetch(struct job *j, struct git_remote *remote, const char *want, struct git_pack *ret, struct err *err)
{
	static const char zeros[PAGE];
	off_t at = lseek(j->spool_fd, 0, SEEK_END);
	const size_t pad = (size_t)(-at & (PAGE - 1));
	if (at < 0)
		return err_sys(err, errno, "the file for the pack");
	if (pad && fs_write_all(j->spool_fd, zeros, pad, err) < 0)
		return -1;
	if (git_remote_fetch(remote, want, j->spool_fd, j->max_bytes, err) < 0)
		return -1;
	if (git_pack_open(j->spool_fd, (uint64_t)at + pad, GIT_MAX_HELD_BYTES, ret, err) < 0)
		return -1;
	/* the same tree a thousand times in a tree, and that in another …: a pack of a kilobyte fills any disk */
	j->archive.max_bytes = MIN(j->max_bytes, GIT_FREE_BYTES + ((uint64_t)at + pad + ret->len) * GIT_MAX_RATIO);
	return 0;
}

static int one_repository(struct job *j, const struct giturl *u, struct git_remote *remote, const struct meaning *m, const char *subdir,
	const char *prefix, int depth, struct err *err);

static int one_submodule(struct job *j, const struct giturl *parent, const char *gitmodules, const struct git_submodule *s, int depth, struct err *err)
{
	AUTO_FREE char *url = module_url(gitmodules, s->path), *prefix = xasprintf("%s/", s->out);
	AUTO_GITURL struct giturl u = {0};
	struct git_remote *remote = NULL;
	struct meaning m = {0};
	int rc;
	if (!url) /* git leaves an empty directory, too */
		return 0;
	if (depth >= MAX_NESTING || ++j->n_submodules > GIT_MAX_SUBMODULES)
		return err_set(err, ERR_INVALID, "more than %d submodules, or more than %d of them within each other", GIT_MAX_SUBMODULES, MAX_NESTING);
	if (giturl_join(parent, url, &u, err) < 0)
		return -1;
	if ((parent->scheme == GITURL_HTTPS || parent->scheme == GITURL_SSH) && (u.scheme == GITURL_HTTP || u.scheme == GITURL_GIT))
		return err_set(err, ERR_DENIED, "it leads from a protected connection to one that is not");
	git_hex(s->oid, m.commit);
	git_hex(s->oid, m.want);
	rc = git_remote_open(&j->access, &u, &remote, err);
	if (rc == 0)
		rc = one_repository(j, &u, remote, &m, "", prefix, depth, err);
	git_remote_close(remote);
	return rc;
}

static int one_repository(struct job *j, const struct giturl *u, struct git_remote *remote, const struct meaning *m, const char *subdir,
	const char *prefix, int depth, struct err *err)
{
	struct git_pack pack = {0};
	struct git_checkout c = { .pack = &pack, .archive = &j->archive, .prefix = prefix, .keep = j->keep && !*subdir };
	char quoted[200];
	int rc = fetch(j, remote, j->keep ? m->want : m->commit, &pack, err);
	if (rc == 0)
		rc = git_checkout_open(&c, m->commit, err);
	if (rc == 0 && depth == 0)
		j->archive.mtime_s = c.time_s;
	if (rc == 0)
		rc = git_checkout_write(&c, subdir, err);
	if (rc == 0 && c.keep)
		rc = git_dir_write(&c, m->commit, m->ref, m->want, u->remote, err);
	git_pack_done(&pack);
	for (const struct git_submodule *s = rc == 0 && j->submodules ? c.submodules : NULL; rc == 0 && s; s = s->next) {
		rc = one_submodule(j, u, c.gitmodules, s, depth + 1, err);
		if (rc < 0)
			err_wrap(err, "submodule \"%s\"", err_quote(quoted, sizeof(quoted), s->path));
	}
	git_checkout_done(&c);
	return rc;
}

/* ---- the process ---- */

static int check_commit(const struct giturl *u, const struct meaning *m, struct err *err)
{
	if (*u->checksum && strncmp(m->commit, u->checksum, strlen(u->checksum)) != 0)
		return err_set(err, ERR_CORRUPT, "expected checksum to match %s, got %s", u->checksum, m->commit);
	return 0;
}

static int work(struct job *j, const struct giturl *u, bool resolve, json_t **ret, struct err *err)
{
	/* a whole commit alone names what is meant */
	const char *ref = !*u->ref && giturl_is_commit(u->checksum) ? u->checksum : u->ref;
	struct git_remote *remote = NULL;
	struct meaning m = {0};
	int rc = resolve && giturl_is_commit(ref) ? 0 : git_remote_open(&j->access, u, &remote, err);
	if (rc == 0)
		rc = resolve_ref(remote, ref, &m, err);
	if (rc == 0 && *j->commit && strcmp(m.commit, j->commit) != 0) { /* the ref has moved meanwhile */
		m = (struct meaning){0};
		snprintf(m.commit, sizeof(m.commit), "%s", j->commit);
		snprintf(m.want, sizeof(m.want), "%s", j->commit);
	}
	if (rc == 0)
		rc = check_commit(u, &m, err);
	if (rc == 0 && !resolve)
		rc = one_repository(j, u, remote, &m, u->subdir, "", 0, err);
	if (rc == 0 && !resolve)
		rc = git_archive_end(&j->archive, err);
	git_remote_close(remote);
	if (rc == 0)
		*ret = json_pack("{s:s,s:I,s:I}", "commit", m.commit, "lfs_pointers", (json_int_t)j->archive.n_pointers, "encoded",
			(json_int_t)j->archive.n_encoded);
	return rc;
}

int git_run(int conf_fd, int out_fd, int spool_fd, int agent_fd, json_t **ret, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *conf = NULL;
	AUTO_GITURL struct giturl u = {0};
	struct registry registry;
	struct job j = { .spool_fd = spool_fd, .archive = { .fd = out_fd } };
	int rc;
	if (fs_read_fd(conf_fd, MAX_CONF, &text, err) < 0)
		return -1;
	conf = json_loadb(str_get(&text), text.len, 0, NULL);
	explicit_bzero(text.p, text.len);
	if (giturl_parse(json_get_str(conf, "url", ""), &u, err) < 0)
		return -1;
	j.commit = json_get_str(conf, "commit", "");
	if (*json_get_str(conf, "checksum", "")) {
		free(u.checksum);
		u.checksum = xstrdup(json_get_str(conf, "checksum", ""));
	}
	j.max_bytes = j.archive.max_bytes = (uint64_t)MAX(json_get_int(conf, "max_bytes", 0), 0);
	j.submodules = json_get_bool(conf, "submodules", true);
	j.keep = json_get_bool(conf, "keep_dir", false);
	if (registry_open(json_array_get(json_object_get(conf, "endpoints"), 0), &registry, err) < 0 || http_prepare(err) < 0 ||
	    git_ssh_prepare(err) < 0 || confine_enter_net(err) < 0)
		return -1;
	j.access = (struct git_access){
		.http = http_new(&registry.http), .authorization = json_get_str(conf, "authorization", NULL), .auth_origin = u.remote,
		.known_hosts = json_get_str(conf, "known_hosts", ""), .agent_fd = agent_fd,
	};
	rc = work(&j, &u, json_get_bool(conf, "resolve", false), ret, err);
	http_free(j.access.http);
	registry_done(&registry);
	return rc;
}
