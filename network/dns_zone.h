/* SPDX-License-Identifier: Apache-2.0 */
/* What the DNS process knows: networks with names on them, clients with the networks that they are on, and what follows for
 * one question of one client. Pure: no system calls, no clock; randomness comes in. Only the supervisor's messages change it,
 * so its size is trusted. */
#ifndef NETWORK_DNS_ZONE_H
#define NETWORK_DNS_ZONE_H

#include "network/dns_wire.h"

enum { DNS_TTL_S = 5, DNS_MAX_ADDRESSES = 4095 };

struct dns_zone;
struct dns_client; /* owned by the zone; valid until removed, set again, or the zone is freed */

struct dns_zone *dns_zone_new(void);
struct dns_zone *dns_zone_free(struct dns_zone *z); /* takes NULL; returns NULL */

/* The setters do what the functions of the same name in network/dns_control.h say. Names and networks are matched without
 * regard to case. */
void dns_zone_search_set(struct dns_zone *z, bool has_search);
void dns_zone_network_set(struct dns_zone *z, const char *network, struct in_addr subnet, unsigned prefix_len);
/* add: keep what the owner already has on the network. */
void dns_zone_names_set(struct dns_zone *z, const char *owner, const char *network, struct in_addr address, const char *const *names,
			size_t n_names, bool add);
void dns_zone_names_remove(struct dns_zone *z, const char *owner);
void dns_zone_client_set(struct dns_zone *z, const char *id, const char *const *networks, size_t n_networks, bool forward);
void dns_zone_client_remove(struct dns_zone *z, const char *id);
const struct dns_client *dns_zone_client(const struct dns_zone *z, const char *id); /* NULL when unknown */

enum dns_verdict {
	DNS_SAY_ADDRESSES, /* n_addresses > 0 */
	DNS_SAY_NAME,      /* a reverse question: name */
	DNS_SAY_NODATA,    /* the name exists, with other types */
	DNS_SAY_NXDOMAIN,
	DNS_SAY_NOTIMP,    /* zone transfers */
	DNS_SAY_FORWARD,   /* ask upstream; `local`: a single label, so that a failure there means NXDOMAIN, never SERVFAIL */
};

struct dns_answer {
	bool local;
	size_t n_addresses;
	struct in_addr addresses[DNS_MAX_ADDRESSES];
	char name[512];
};

/* Decides about one question. random: 64 random bits (the order of several addresses comes from them). */
enum dns_verdict dns_zone_lookup(const struct dns_zone *z, const struct dns_client *c, const struct dns_query *q, uint64_t random,
				 struct dns_answer *ret);

#endif
