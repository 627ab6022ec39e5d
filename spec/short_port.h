/* SPDX-License-Identifier: Apache-2.0 */
/* The short form of a port: [[IP:][HOST[-HOST]]:]CONTAINER[-CONTAINER][/PROTOCOL]. */
#ifndef SPEC_SHORT_PORT_H
#define SPEC_SHORT_PORT_H

#include "base/arena.h"
#include "base/err.h"

struct short_port {
	const char *host_ip;        /* "" = none given; brackets removed */
	uint16_t target;
	const char *published;      /* "" = ephemeral, "8080", "8000-8010" */
	const char *protocol;       /* "tcp", "udp", "sctp" */
};

/* Parses s into one entry per container port, in the reference's order (text order of the port number). At most 65536. *ret is in the arena.
 * -1 + ERR_INVALID. */
int short_port_parse(const char *s, struct arena *a, struct short_port **ret, size_t *ret_n, struct err *err);

#endif
