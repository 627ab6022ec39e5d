/* SPDX-License-Identifier: Apache-2.0 */
/* Git repositories as build contexts and as sources of ADD are named by one text: a URL or host:path, then "?query" or "#ref:subdir", as BuildKit
 * reads them: https://docs.docker.com/build/concepts/context/#url-fragments and #url-queries. Pure text; nothing is looked up. */
#ifndef SPEC_GITURL_H
#define SPEC_GITURL_H

#include "base/err.h"

enum giturl_scheme { GITURL_HTTP, GITURL_HTTPS, GITURL_GIT, GITURL_SSH };

struct giturl {
	enum giturl_scheme scheme;
	char *remote;          /* without query and fragment; http and https: a URL, user info taken out */
	char *user, *password; /* of the URL; "" */
	char *host;            /* without brackets */
	unsigned port;         /* the scheme's unless given */
	char *path;            /* as the server gets it: "/o/r.git", of host:path without a slash in front; "~/" stays */
	char *ref;             /* branch, tag, refs/…, commit; "" = the remote's HEAD */
	char *subdir;          /* clean, relative; "" = all */
	char *checksum;        /* digits that the commit's name begins with; "" */
	bool keep_git_dir;
	bool submodules;       /* true unless the query says no */
};

/* Does the text name a git repository: git://, ssh://, user@host:path, http(s)://….git? In ADD, where "a@b:c" may be a file, too. */
bool giturl_is(const char *text);
/* Reads it. 0 with *ret, giturl_done() it; -1 + ERR_INVALID. */
int giturl_parse(const char *text, struct giturl *ret, struct err *err);
/* A submodule's URL, which may be relative to the parent's. 0 or -1 + err (also: a scheme that is none of the four). */
int giturl_join(const struct giturl *parent, const char *url, struct giturl *ret, struct err *err);
void giturl_done(struct giturl *u); /* takes a zeroed one, may be called twice */
#define AUTO_GITURL CLEANUP(giturl_done)
/* True for 40 hexadecimal digits. */
bool giturl_is_commit(const char *ref);

#endif
