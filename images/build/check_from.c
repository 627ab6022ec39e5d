/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of a FROM line's words: which arguments they name, and what its --platform says. Platforms are read as containerd reads them. */
#include "images/build/check_impl.h"

static void report_names(struct checker *c, const struct instruction_stage *s, const struct expand_names *names)
{
	for (size_t i = 0; i < names->unset.n; i++) {
		if (strv_has(&c->global_names, names->unset.v[i]))
			continue;
		check_add_node(c, CHECK_UNDEFINED_ARG_IN_FROM, s->node, "FROM argument '%s' is not declared%s", names->unset.v[i],
			       check_suggest(c, names->unset.v[i], &c->global_names, ""));
	}
}

static bool is_among(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		if (str_eq(list[i], word))
			return true;
	}
	return false;
}

/* "aarch64" → "arm64", "macOS" → "darwin". */
static const char *normal_name(struct arena *a, const char *word, size_t n)
{
	static const char *const aliases[][2] = {
		{ "x86_64", "amd64" }, { "x86-64", "amd64" }, { "aarch64", "arm64" }, { "i386", "386" }, { "armhf", "arm" }, { "armel", "arm" },
		{ "macos", "darwin" },
	};
	char *low = arena_strndup(a, word, n);
	for (char *p = low; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (str_eq(low, aliases[i][0]))
			return aliases[i][1];
	}
	return low;
}

/* OS, OS/ARCH, OS/ARCH/VARIANT or ARCH. False: it is no platform. */
static bool read_platform(struct checker *c, const char *text, const char **ret_os, const char **ret_arch)
{
	static const char *const systems[] = {
		"aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9",
		"solaris", "windows", "zos",
	}, *const archs[] = {
		"386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64", "mips", "mipsle", "mips64", "mips64le",
		"mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm",
	};
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	size_t first = strcspn(text, "/"), word = strcspn(text, "/("), n;
	const char *rest = text + first, *known = normal_name(c->arena, text, word);
	int slashes = 0;
	/* behind the system its version may stand: windows(10.0.17763) */
	if (!word || strspn(text, plain) < word || memchr(text, '.', word) || (word < first && text[first - 1] != ')'))
		return false;
	for (const char *p = rest; *p; p += n) {
		n = 1 + strspn(p + 1, plain);
		if (n == 1 || ++slashes > 2 || (p[n] && p[n] != '/'))
			return false;
	}
	*ret_os = *rest ? known : c->opt->expand.build.os;
	*ret_arch = *rest ? normal_name(c->arena, rest + 1, strcspn(rest + 1, "/")) : known;
	if (*rest)
		return true;
	if (is_among(systems, ARRAY_SIZE(systems), known)) {
		*ret_os = known;
		*ret_arch = c->opt->expand.build.arch;
		return true;
	}
	return word == first && is_among(archs, ARRAY_SIZE(archs), known);
}

static void check_platform(struct checker *c, const struct instruction_stage *s)
{
	struct expand_names names = { 0 };
	const char *value = expand_scope_from(c->arena, s, s->platform, &c->global, &names, c->ds), *os, *arch;
	bool constant = !names.set.n && !names.unset.n;
	report_names(c, s, &names);
	if (value && names.set.n == 1 && !names.unset.n && str_eq(names.set.v[0], "TARGETPLATFORM") &&
	    str_eq(value, expand_env_get(&c->global, "TARGETPLATFORM")))
		check_add_node(c, CHECK_REDUNDANT_TARGET_PLATFORM, s->node,
			       "Setting platform to predefined %s in FROM is redundant as this is the default behavior", s->platform);
	if (value && !read_platform(c, value, &os, &arch))
		diag_error(c->ds, s->pos, "", "FROM: \"%s\" is no platform", diag_quote(c->ds, value));
	else if (value && constant && !strstr(s->name, os) && !strstr(s->name, arch))
		check_add_node(c, CHECK_FROM_PLATFORM_FLAG_CONST_DISALLOWED, s->node, "FROM --platform flag should not use constant value \"%s\"", value);
	expand_names_done(&names);
}

const char *check_from_words(struct checker *c, const struct instruction_stage *s)
{
	struct expand_names names = { 0 };
	const char *base = expand_scope_from(c->arena, s, s->base, &c->global, &names, c->ds);
	report_names(c, s, &names);
	expand_names_done(&names);
	if (*s->platform)
		check_platform(c, s);
	return base ? base : "scratch";
}
