/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf: keyword and values on a line, separated by blanks; comments begin with '#' or ';'; the last `search` or
 * `domain` wins. What it does not know it skips, as the C library does. */
#include "network/resolv.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>

#include "base/fs.h"

static bool resolv_server_parse(const char *text, struct resolv_server *ret)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *zone = strchr(text, '%');
	size_t n = zone ? (size_t)(zone - text) : strlen(text);
	uint64_t scope = 0;
	*ret = (struct resolv_server){ .port = 53 };
	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	if (!zone && inet_pton(AF_INET, host, ret->address) == 1) {
		ret->family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, host, ret->address) != 1)
		return false;
	ret->family = AF_INET6;
	if (zone && !parse_u64(zone + 1, 1, UINT32_MAX, &scope))
		scope = if_nametoindex(zone + 1);
	ret->scope_id = (uint32_t)scope;
	return !zone || scope;
}

static void resolv_line(char *line, struct resolv *ret)
{
	char *save = NULL, *word, *key;
	line[strcspn(line, "#;")] = '\0';
	key = strtok_r(line, " \t\r", &save);
	if (!key)
		return;
	if (strcmp(key, "nameserver") == 0) {
		word = strtok_r(NULL, " \t\r", &save);
		if (word && ret->n_servers < RESOLV_MAX_SERVERS && resolv_server_parse(word, &ret->servers[ret->n_servers]))
			ret->n_servers++;
	} else if (strcmp(key, "search") == 0 || strcmp(key, "domain") == 0) {
		strv_done(&ret->search);
		while ((word = strtok_r(NULL, " \t\r", &save)) && ret->search.n < RESOLV_MAX_SEARCH)
			if (strcmp(word, ".") != 0 && strlen(word) <= 253)
				strv_push(&ret->search, word);
	}
}

void resolv_parse(const char *text, struct resolv *ret)
{
	AUTO_FREE char *copy = xstrdup(text);
	char *save = NULL;
	*ret = (struct resolv){0};
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		resolv_line(line, ret);
	if (ret->n_servers == 0)
		resolv_server_parse("127.0.0.1", &ret->servers[ret->n_servers++]);
}

int resolv_read(const char *path, struct resolv *ret, struct err *err)
{
	AUTO_STR struct str text = {0};
	if (fs_read(AT_FDCWD, path, RESOLV_MAX_BYTES, &text, err) < 0)
		return -1;
	resolv_parse(str_get(&text), ret);
	return 0;
}

void resolv_done(struct resolv *r)
{
	strv_done(&r->search);
	*r = (struct resolv){0};
}

socklen_t resolv_sockaddr(const struct resolv_server *s, struct sockaddr_storage *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (s->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)sa;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(s->port);
		in6->sin6_scope_id = s->scope_id;
		memcpy(&in6->sin6_addr, s->address, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	}
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	in->sin_family = AF_INET;
	in->sin_port = htons(s->port);
	memcpy(&in->sin_addr, s->address, sizeof(in->sin_addr));
	return sizeof(*in);
}

void resolv_build(const struct strv *search, struct str *ret)
{
	str_add(ret, "nameserver " RESOLV_CONTAINER_ADDRESS "\n");
	if (search && search->n) {
		str_add(ret, "search");
		for (size_t i = 0; i < search->n; i++)
			str_addf(ret, " %s", search->v[i]);
		str_add(ret, "\n");
	}
	str_add(ret, "options ndots:0\n");
}
