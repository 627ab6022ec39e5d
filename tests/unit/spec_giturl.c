/* SPDX-License-Identifier: Apache-2.0 */
/* How the text that names a git repository is read: which texts do, what their parts are, what is refused, and where a submodule's relative URL
 * leads. A ref or a path that ends a protocol line, and a subdirectory that leads out, never get through. */
#include "spec/giturl.h"

#include <stdio.h>

#include "base/str.h"

static int failures;

static void expect(bool ok, const char *text, const char *what)
{
	if (ok)
		return;
	printf("%s: %s\n", text, what);
	failures++;
}

static void describe(const struct giturl *u, struct str *s)
{
	static const char *const schemes[] = { "http", "https", "git", "ssh" };
	str_addf(s, "%s|%s|%s|%s|%u|%s|%s|%s|%s|%d%d", schemes[u->scheme], u->user, u->password, u->host, u->port, u->path, u->ref, u->subdir, u->checksum,
		u->keep_git_dir, u->submodules);
}

static void test_is(void)
{
	static const char *const yes[] = { "https://h/r.git", "http://h/r.git#a:b", "https://h/r.git?ref=x", "git://h/r", "ssh://h/r",
		"git@h:o/r", "me@h:r.git#x" };
	static const char *const no[] = { "https://h/r", "https://h/r.git/x.tar", "./git@h:r", "dir/a@b:c", "@h:r", "a@b/c:d",
		"https://h/.tar#x.git", "file.git", "" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		expect(giturl_is(yes[i]), yes[i], "is a repository");
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		expect(!giturl_is(no[i]), no[i], "is none");
}

static void test_parse(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "https://h/o/r.git", "https|||h|443|/o/r.git||||01" },
		{ "github.com/o/r#v1:docs", "https|||github.com|443|/o/r|v1|docs||01" },
		{ "http://u:p%40@h:8080/r.git#:/a//./b/", "http|u|p@|h|8080|/r.git||a/b||01" },
		{ "https://h/r.git?branch=main&subdir=x&commit=abcdef012345&keep-git-dir=1&submodules=0",
			"https|||h|443|/r.git|refs/heads/main|x|abcdef012345|10" },
		{ "https://h/r.git?tag=v1&keep-git-dir", "https|||h|443|/r.git|refs/tags/v1|||11" },
		{ "https://h/r.git?ref=a#a:s", "https|||h|443|/r.git|a|s||01" },
		{ "git@github.com:moby/buildkit.git#v0.14.1:docs", "ssh|git||github.com|22|moby/buildkit.git|v0.14.1|docs||01" },
		{ "ssh://git@h:2222/~me/r", "ssh|git||h|2222|~me/r||||01" },
		{ "git://[::1]/r", "git|||::1|9418|/r||||01" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_GITURL struct giturl u = {0};
		AUTO_STR struct str got = {0};
		struct err err = {0};
		if (giturl_parse(cases[i].text, &u, &err) < 0) {
			expect(false, cases[i].text, err.msg);
			continue;
		}
		describe(&u, &got);
		expect(strcmp(got.p, cases[i].want) == 0, cases[i].text, got.p);
	}
}

static void test_refused(void)
{
	static const char *const cases[] = {
		"https://h", "https:///r.git", "file:///r.git", "ext::sh", "https://h/r.git#a\nb", "https://h/r.git#a%0ab",
		"https://h/r.git#a b",
		"https://h/r.git#a:../b", "https://h/r.git#a:b/../../c", "https://h/r.git?subdir=..", "https://h:0/r.git", "https://h:x/r.git",
		"https://-h/r.git",
		"ssh://-oProxyCommand=x/r", "git@-h:r", "git@h:", "https://h/r.git?ref=a#b", "https://h/r.git?x=1",
		"https://h/r.git?ref=", "https://h/r.git?ref=%",
		"https://h/r.git?commit=xyz", "https://h/r.git?commit=abc", "https://h/r .git", "https://h/r.git?tag=a&branch=b",
		"git://h/a%0ahost=x", "https://h/r.git?ref=%00",
		"https://a%0d@h/r.git", "https://h/\001r.git",
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_GITURL struct giturl u = {0};
		struct err err = {0};
		expect(giturl_parse(cases[i], &u, &err) < 0 && err.code == ERR_INVALID && !strchr(err.msg, '\n'), cases[i], "is refused");
	}
}

static void test_join(void)
{
	static const struct {
		const char *parent, *url, *want; /* want NULL: refused */
	} cases[] = {
		{ "https://h/o/r.git", "../x.git", "https://h/o/x.git" }, { "https://h/o/r.git", "./x.git", "https://h/o/r.git/x.git" },
		{ "https://h/o/r.git", "../../x.git", "https://h/x.git" }, { "https://h/o/r.git", "../../../x.git", NULL },
		{ "git@h:o/r.git", "../x.git", "git@h:o/x.git" }, { "https://h/o/r.git", "https://i/y", "https://i/y" },
		{ "https://h/o/r.git", "file:///x", NULL },
		{ "https://h/o/r.git", "-u./x", NULL }, { "https://h/o/r.git", "/etc", NULL }, { "https://h/o/r.git", "ext::sh -c x", NULL },
		{ "https://h/o/r.git", "git@h:-x", "git@h:-x" }, { "https://h/o/r.git", "../x.git#y", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_GITURL struct giturl parent = {0}, u = {0};
		struct err err = {0};
		int rc;
		giturl_parse(cases[i].parent, &parent, &err);
		rc = giturl_join(&parent, cases[i].url, &u, &err);
		expect(cases[i].want ? rc == 0 && strcmp(u.remote, cases[i].want) == 0 : rc < 0, cases[i].url, rc < 0 ? err.msg : u.remote);
	}
}

int main(void)
{
	test_is();
	test_parse();
	test_refused();
	test_join();
	return failures != 0;
}
