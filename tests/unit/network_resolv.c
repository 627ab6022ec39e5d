/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf and hosts. Invariants: what resolv.conf(5) allows is understood, the rest is skipped, hostile files are bounded;
 * a container's texts are what its C library needs, to the letter. */
#include "network/resolv.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "network/hosts.h"

static int failures;

/* "10.0.0.1#53 fe80::1%1#53 | a.example b" */
static void expect_at(const char *text, const char *expect, int line)
{
	struct resolv r;
	AUTO_STR struct str got = {0};
	resolv_parse(text, &r);
	for (size_t i = 0; i < r.n_servers; i++) {
		char host[INET6_ADDRSTRLEN];
		str_addf(&got, "%s", inet_ntop(r.servers[i].family, r.servers[i].address, host, sizeof(host)));
		if (r.servers[i].scope_id)
			str_addf(&got, "%%%u", r.servers[i].scope_id);
		str_addf(&got, "#%u ", r.servers[i].port);
	}
	str_add(&got, "|");
	for (size_t i = 0; i < r.search.n; i++)
		str_addf(&got, " %s", r.search.v[i]);
	if (!str_eq(str_get(&got), expect)) {
		failures++;
		printf("%s:%d: got \"%s\", expected \"%s\"\n", __FILE__, line, str_get(&got), expect);
	}
	resolv_done(&r);
	resolv_done(&r);
}
#define EXPECT(text, expect) expect_at(text, expect, __LINE__)

static void expect_text(struct str *got, const char *expect, int line)
{
	if (!str_eq(str_get(got), expect)) {
		failures++;
		printf("%s:%d: got \"%s\", expected \"%s\"\n", __FILE__, line, str_get(got), expect);
	}
	str_clear(got);
}

int main(void)
{
	AUTO_STR struct str text = {0};
	struct strv search = {0};
	struct hosts_entry entries[] = { { "10.0.0.2", "web-1 abc" }, { "10.9.9.9", "extra.example" } };
	struct resolv r;
	struct err err;
	struct sockaddr_storage sa;
	EXPECT("", "127.0.0.1#53 |");
	EXPECT("nameserver 10.0.0.1\n", "10.0.0.1#53 |");
	EXPECT("# c\n; c\nnameserver\t10.0.0.1 # c\r\nsearch a.example  b\noptions ndots:3 edns0\nsortlist x\n", "10.0.0.1#53 | a.example b");
	EXPECT("nameserver 127.0.0.53", "127.0.0.53#53 |");
	EXPECT("nameserver 1.1.1.1\nnameserver x\nnameserver 1.1.1\nnameserver\nnameserver 2001:db8::1\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n",
	       "1.1.1.1#53 2001:db8::1#53 3.3.3.3#53 |");
	EXPECT("nameserver fe80::1%lo\nnameserver fe80::2%nosuch0\nnameserver fe80::3%7\n", "fe80::1%1#53 fe80::3%7#53 |");
	EXPECT("search one\ndomain two\nnameserver 1.1.1.1", "1.1.1.1#53 | two");
	EXPECT("domain two\nsearch one .\nnameserver 1.1.1.1", "1.1.1.1#53 | one");
	EXPECT("nameserverx 1.1.1.1\nnameserver 1.1.1.1.1\nnameserver fe80::1%\n", "127.0.0.1#53 |");
	for (int i = 0; i < 100; i++)
		str_addf(&text, "nameserver 10.0.0.%d\n", i);
	str_add(&text, "search");
	for (int i = 0; i < 100; i++)
		str_addf(&text, " d%d", i);
	resolv_parse(str_get(&text), &r);
	failures += r.n_servers != RESOLV_MAX_SERVERS || r.search.n != RESOLV_MAX_SEARCH;
	failures += resolv_sockaddr(&r.servers[0], &sa) != sizeof(struct sockaddr_in) || ntohs(((struct sockaddr_in *)&sa)->sin_port) != 53;
	resolv_done(&r);
	str_clear(&text);
	failures += resolv_read("/nonexistent/resolv.conf", &r, &err) != 0 || r.n_servers != 1;
	resolv_done(&r);

	resolv_build(NULL, &text);
	expect_text(&text, "nameserver 127.0.0.11\noptions ndots:0\n", __LINE__);
	strv_push(&search, "lan");
	strv_push(&search, "corp.example");
	resolv_build(&search, &text);
	expect_text(&text, "nameserver 127.0.0.11\nsearch lan corp.example\noptions ndots:0\n", __LINE__);
	strv_done(&search);
	hosts_build(entries, 2, &text);
	expect_text(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n"
			   "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n10.0.0.2\tweb-1 abc\n10.9.9.9\textra.example\n", __LINE__);
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
