/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS process: answers the questions of containers on sockets that it is given, forwards the rest. */
#ifndef NETWORK_DNS_SERVER_H
#define NETWORK_DNS_SERVER_H

/* Runs `muster-run dns` until the channel on control_fd (see network/dns_control.h) is closed for good or SIGTERM comes. Must
 * be started in the namespaces from which upstream servers are to be asked (the host's), with default signals. Enters its jail
 * first: no capabilities, no new privileges, a system call filter that knows sockets and memory only. Needs descriptors 0-2
 * and control_fd, nothing else. Returns the exit code: 0, or 1 after one line on descriptor 2. */
int dns_main(int control_fd);

#endif
