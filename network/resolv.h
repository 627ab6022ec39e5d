/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf, both ways: what the host's says (whom to ask for names that are not ours), and the text for a container. Rules:
 * resolv.conf(5). */
#ifndef NETWORK_RESOLV_H
#define NETWORK_RESOLV_H

#include <netinet/in.h>

#include "base/err.h"
#include "base/str.h"

enum { RESOLV_MAX_SERVERS = 3, RESOLV_MAX_SEARCH = 32, RESOLV_MAX_BYTES = 64 << 10 };

/* The address that a container's resolver asks. */
#define RESOLV_CONTAINER_ADDRESS "127.0.0.11"

struct resolv_server {
	uint16_t family;         /* AF_INET, AF_INET6 */
	uint16_t port;           /* host byte order; 53 from a file */
	uint32_t scope_id;       /* of a link-local IPv6 address, else 0 */
	uint8_t address[16];     /* network byte order; the first 4 bytes for AF_INET */
};

struct resolv {
	struct resolv_server servers[RESOLV_MAX_SERVERS];
	size_t n_servers;
	struct strv search;      /* `search` or `domain`, the last one in the file; "." is left out */
};

/* Reads the text of a resolv.conf: never fails, ignores what it does not understand, keeps the first RESOLV_MAX_SERVERS
 * servers. Loopback resolvers (127.0.0.53) are kept: they answer whoever asks from the host's namespace. Without any server it is
 * 127.0.0.1, as resolv.conf(5) says. */
void resolv_parse(const char *text, struct resolv *ret);
/* Reads the host's file (path normally /etc/resolv.conf, at most RESOLV_MAX_BYTES). Absent: as an empty one. 0 or -1 + err. */
int resolv_read(const char *path, struct resolv *ret, struct err *err);
void resolv_done(struct resolv *r);

/* Fills *sa with the address; returns its length. */
socklen_t resolv_sockaddr(const struct resolv_server *s, struct sockaddr_storage *sa);

/* Adds the text of a container's /etc/resolv.conf to *ret: our address, the host's search domains (NULL: none), `options
 * ndots:0`. */
void resolv_build(const struct strv *search, struct str *ret);

#endif
