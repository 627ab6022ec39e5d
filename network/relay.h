/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports on IPv6: sockets that listen on the host's IPv6 addresses, and what they receive carried to a container's IPv4 address.
 * Part of the DNS process, which is jailed, has a loop, and lives through the supervisor's death as the connections then do. */
#ifndef NETWORK_RELAY_H
#define NETWORK_RELAY_H

#include <netinet/in.h>

#include "base/loop.h"

struct relay;

/* The loop is borrowed. Half of the descriptors that the process may have then are for connections. relay_free() closes everything; takes NULL;
 * returns NULL. */
struct relay *relay_new(struct loop *l);
struct relay *relay_free(struct relay *r);

/* Carries what comes to fd (taken: a listening TCP or a bound UDP socket) to address:port. key: "OWNER/N". The same key with the same socket and
 * target again changes nothing, connections go on; with others the old ones end. */
void relay_set(struct relay *r, const char *key, int fd, struct in_addr address, uint16_t port);
/* Ends all of an owner. */
void relay_remove(struct relay *r, const char *owner);

/* A full set comes: what is not set again between these two ends. */
void relay_begin(struct relay *r);
void relay_commit(struct relay *r);

#endif
