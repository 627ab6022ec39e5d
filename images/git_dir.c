/* SPDX-License-Identifier: Apache-2.0 */
/* The .git directory that ADD --keep-git-dir and BUILDKIT_CONTEXT_KEEP_GIT_DIR leave: a shallow clone with a detached HEAD, its pack as it was
 * received with an index of ours (gitformat-pack, version 2), and the index of the work tree (gitformat-index, version 2), so that git in
 * the image finds nothing changed. No hooks, nothing in the configuration but where it came from. */
#include <stdio.h>

#include "images/git_impl.h"
#include "images/pack_impl.h"
#include "images/sshwire.h"

static void put_sum(struct str *s)
{
	unsigned char sum[GIT_RAW];
	git_sha1(NULL, str_get(s), s->len, sum);
	str_addn(s, sum, sizeof(sum));
}

static void pack_index(const struct git_pack *k, struct str *s)
{
	AUTO_STR struct str large = {0};
	size_t at = 0;
	str_addn(s, "\377tOc\0\0\0\2", 8);
	for (unsigned byte = 0; byte < 256; byte++) {
		while (at < k->n_sorted && k->objects[k->sorted[at]].oid[0] <= byte)
			at++;
		sshwire_put32(s, at);
	}
	for (size_t i = 0; i < k->n_sorted; i++)
		str_addn(s, k->objects[k->sorted[i]].oid, GIT_RAW);
	for (size_t i = 0; i < k->n_sorted; i++)
		sshwire_put32(s, k->objects[k->sorted[i]].crc);
	for (size_t i = 0; i < k->n_sorted; i++) {
		uint64_t offset = k->objects[k->sorted[i]].offset;
		if (offset < 1ULL << 31) {
			sshwire_put32(s, offset);
			continue;
		}
		sshwire_put32(s, 1ULL << 31 | large.len / 8);
		sshwire_put32(&large, offset >> 32);
		sshwire_put32(&large, offset & 0xffffffff);
	}
	str_addn(s, str_get(&large), large.len);
	str_addn(s, k->p + k->len - GIT_RAW, GIT_RAW);
	put_sum(s);
}

static int compare_path(const void *a, const void *b)
{
	return strcmp(((const struct git_index_entry *)a)->path, ((const struct git_index_entry *)b)->path);
}

static void work_index(struct git_checkout *c, struct str *s)
{
	qsort(c->index, c->n_index, sizeof(*c->index), compare_path);
	str_addn(s, "DIRC\0\0\0\2", 8);
	sshwire_put32(s, c->n_index);
	for (size_t i = 0; i < c->n_index; i++) {
		const struct git_index_entry *e = &c->index[i];
		const size_t n = strlen(e->path), start = s->len;
		const unsigned char flags[2] = { (unsigned char)(MIN(n, (size_t)0xfff) >> 8), (unsigned char)MIN(n, (size_t)0xfff) };
		const uint64_t times[] = { 0, 0, (uint64_t)c->time_s, 0, 0, 0 }; /* changed, modified, device, inode */
		for (size_t k = 0; k < ARRAY_SIZE(times); k++)
			sshwire_put32(s, times[k]);
		sshwire_put32(s, e->mode);
		sshwire_put32(s, 0); /* owner, group */
		sshwire_put32(s, 0);
		sshwire_put32(s, e->size);
		str_addn(s, e->oid, GIT_RAW);
		str_addn(s, flags, sizeof(flags));
		str_addn(s, e->path, n);
		str_addn(s, "\0\0\0\0\0\0\0", 8 - (s->len - start) % 8);
	}
	put_sum(s);
}

/* Does the commit have a parent that did not come along? */
static bool is_shallow(struct git_pack *k, const char *commit)
{
	unsigned char oid[GIT_RAW];
	AUTO_FREE char *text = NULL;
	size_t n;
	if (git_unhex(commit, oid) < 0 || git_pack_read(k, oid, GIT_COMMIT, &text, &n, NULL) < 0)
		return true;
	for (char *line = strchr(text, '\n'); line && str_starts(line + 1, "parent "); line = strchr(line + 1, '\n')) {
		AUTO_FREE char *parent = xstrndup(line + 8, GIT_HEX);
		if (git_unhex(parent, oid) < 0 || !git_pack_find(k, oid))
			return true;
	}
	return false;
}

static int add(struct git_checkout *c, char type, const char *name, const void *p, size_t n, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s.git%s%s", c->prefix, *name ? "/" : "", name);
	return git_archive_add(c->archive, type, path, type == PACK_DIR ? 0755 : 0644, p, n, err);
}

static int add_text(struct git_checkout *c, const char *name, const char *text, struct err *err)
{
	return add(c, PACK_REG, name, text, strlen(text), err);
}

int git_dir_write(struct git_checkout *c, const char *commit, const char *ref, const char *want, const char *remote, struct err *err)
{
	static const char *const dirs[] = { "", "objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags" };
	AUTO_STR struct str idx = {0}, index = {0}, url = {0};
	AUTO_FREE char *head = xasprintf("%s\n", commit), *config = NULL, *refs = NULL, *pack = NULL, *pack_idx = NULL;
	char sum[GIT_HEX + 1];
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (add(c, PACK_DIR, dirs[i], NULL, 0, err) < 0)
			return -1;
	for (const char *p = remote; *p; p++)
		str_addf(&url, "%s%c", *p == '"' || *p == '\\' ? "\\" : "", *p);
	config = xasprintf("[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n[remote \"origin\"]\n\turl = \"%s\"\n"
			   "\tfetch = +refs/heads/*:refs/remotes/origin/*\n", str_get(&url));
	if (str_starts(ref, "refs/heads/"))
		refs = xasprintf("# pack-refs with: peeled fully-peeled sorted \n%s refs/remotes/origin/%s\n", commit, ref + 11);
	else if (str_starts(ref, "refs/tags/"))
		refs = xasprintf("# pack-refs with: peeled fully-peeled sorted \n%s %s\n%s%s%s", want, ref, strcmp(want, commit) != 0 ? "^" : "",
			strcmp(want, commit) != 0 ? commit : "", strcmp(want, commit) != 0 ? "\n" : "");
	git_hex(c->pack->p + c->pack->len - GIT_RAW, sum);
	pack = xasprintf("objects/pack/pack-%s.pack", sum);
	pack_idx = xasprintf("objects/pack/pack-%s.idx", sum);
	pack_index(c->pack, &idx);
	work_index(c, &index);
	if (add_text(c, "HEAD", head, err) < 0 || add_text(c, "config", config, err) < 0 || (refs && add_text(c, "packed-refs", refs, err) < 0) ||
	    (is_shallow(c->pack, commit) && add_text(c, "shallow", head, err) < 0))
		return -1;
	return add(c, PACK_REG, pack, c->pack->p, c->pack->len, err) < 0 || add(c, PACK_REG, pack_idx, idx.p, idx.len, err) < 0 ||
			       add(c, PACK_REG, "index", index.p, index.len, err) < 0 ? -1 : 0;
}
