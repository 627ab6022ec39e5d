/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor tells the DNS process, and hears from it: packets over a SOCK_SEQPACKET pair whose two ends a third
 * process keeps open, so that either side may die and come back.
 *
 * The DNS process holds no truth: after each start it says HELLO and answers nothing until it has been told everything:
 * 	reset, then upstreams_set, network_set, client_set, names_set … in any order, then sync.
 * What follows a reset is collected aside and comes into force as a whole with the sync, so that no half-known zone ever
 * answers; the old one serves meanwhile. Without a reset each message acts at once. A new supervisor does the same without
 * waiting for a HELLO. All messages are idempotent. Nothing here blocks or fails: what can't be sent now waits in the
 * channel's queue. */
#ifndef NETWORK_DNS_CONTROL_H
#define NETWORK_DNS_CONTROL_H

#include <netinet/in.h>

#include "base/chan.h"
#include "network/resolv.h"

enum { DNS_MAX_STRINGS = 512, DNS_MAX_NAME = 253 };

enum dns_op {
	DNS_OP_NONE,
	DNS_OP_HELLO,         /* server: started, knows nothing */
	DNS_OP_ACK,           /* server: everything up to sync `number` is in force */
	DNS_OP_RESET,
	DNS_OP_SYNC,          /* number */
	DNS_OP_CLIENT_SET,    /* strings: id, networks…; flag forward; fds: udp, tcp */
	DNS_OP_CLIENT_REMOVE, /* strings: id */
	DNS_OP_NETWORK_SET,   /* strings: network; address, number = prefix length */
	DNS_OP_NAMES_SET,     /* strings: owner, network, names…; address */
	DNS_OP_NAMES_ADD,     /* the same, adds to what the last NAMES_SET said */
	DNS_OP_NAMES_REMOVE,  /* strings: owner */
	DNS_OP_UPSTREAMS_SET, /* servers; flag search */
	DNS_OP_RELAY_SET,     /* strings: owner/number; address, number = port; fd: the socket (network/relay.h) */
	DNS_OP_RELAY_REMOVE,  /* strings: owner */
	DNS_OP_N_,
};

/* The supervisor's end. */
struct dns_control {
	struct chan chan;
	uint32_t serial; /* of the last sync */
	/* DNS_OP_HELLO: send everything (reset … sync). DNS_OP_ACK: `serial` is in force. DNS_OP_NONE: the channel is closed. */
	void (*fn)(struct dns_control *c, enum dns_op op, uint32_t serial);
};

/* Starts to use fd (one end of the pair, not owned). 0 or -1 + err. */
int dns_control_open(struct dns_control *c, struct loop *l, int fd, void (*fn)(struct dns_control *, enum dns_op, uint32_t),
		     struct err *err);
/* Leaves the loop, drops what was not sent; takes a zeroed one. */
void dns_control_done(struct dns_control *c);

/* Forgets what was queued here and begins a new full set. */
void dns_control_reset(struct dns_control *c);
/* Ends it (or just asks for a receipt): an ACK with the returned number follows. Numbers rise by one, 0 is never used. */
uint32_t dns_control_sync(struct dns_control *c);

/* Where to ask what is not ours, in order, at most RESOLV_MAX_SERVERS; has_search: the host searches domains, so that a name
 * of one label that is not ours is worth a question upstream (else it does not exist, at once). */
void dns_control_upstreams_set(struct dns_control *c, const struct resolv_server *servers, size_t n, bool has_search);
/* The subnet of a network: reverse questions about it are ours alone. Optional, but they go upstream without it. */
void dns_control_network_set(struct dns_control *c, const char *network, struct in_addr subnet, unsigned prefix_len);

/* A container that may ask: its id, the networks it is on (their names; the first ones win for its view of double names) and
 * its two sockets bound inside its namespace. Known id: replaced. forward false (on internal networks only): what is not ours
 * does not exist. The descriptors stay the caller's (sent as copies). They keep the container's network namespace alive wherever
 * they are open: remove the client, and close every other copy, when the container ends, or its links never go. */
void dns_control_client_set(struct dns_control *c, const char *id, const char *const *networks, size_t n_networks, bool forward,
			    int udp_fd, int tcp_fd);
void dns_control_client_remove(struct dns_control *c, const char *id);

/* The names under which `owner` (a container id, not necessarily a client) is known on one network: service, container name,
 * hostname, short id, aliases; each answers as `<name>.<network>` too. Replaces what owner had on that network. The first name
 * is the one that reverse questions get (`<name>.<network>`). Call it when the replica runs, names_remove when it stops. An
 * address of 0.0.0.0 says: the names are ours but nothing runs there, so they do not exist (NXDOMAIN at once) and are never
 * asked upstream. Names longer than DNS_MAX_NAME are left out. */
void dns_control_names_set(struct dns_control *c, const char *owner, const char *network, struct in_addr address,
			   const char *const *names, size_t n_names);
/* Forgets all names of owner, on all networks. */
void dns_control_names_remove(struct dns_control *c, const char *owner);

/* A published port on IPv6: what comes to fd (copied) goes to address:port. key: "OWNER/N". relay_remove: all of an owner. */
void dns_control_relay_set(struct dns_control *c, const char *key, int fd, struct in_addr address, uint16_t port);
void dns_control_relay_remove(struct dns_control *c, const char *owner);

/* One decoded packet; strings and servers point into the packet. The server's side. */
struct dns_message {
	enum dns_op op;
	bool flag;
	uint32_t number;
	struct in_addr address;
	size_t n_strings;
	const char *strings[DNS_MAX_STRINGS];
	size_t n_servers;
	struct resolv_server servers[RESOLV_MAX_SERVERS];
};

/* Reads one packet. 0, or -1 + err (ERR_CORRUPT) when it is not one of ours, or has fewer strings than its kind needs. */
int dns_control_decode(const void *p, size_t n, struct dns_message *ret, struct err *err);
/* Writes one packet of at most size bytes; returns its length, or 0 when it does not fit. */
size_t dns_control_encode(const struct dns_message *m, void *buf, size_t size);

#endif
