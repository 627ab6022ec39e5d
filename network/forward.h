/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding between bridges and uplink: the sysctl, and firewalls of others that drop what they don't know. An accept in our table
 * does not override a drop in theirs, so where dockerd (iptables-nft) has set FORWARD to drop, accept rules for `mu*` go into DOCKER-
 * USER, or to the top of FORWARD, tagged `muster_<rootid>` to be found again. Every other dropping chain is only reported. ip_forward
 * stays on when we go (the one remnant); when we turned it on, links that were there then don't forward to each other as long as our
 * table lives: the host does not become a router by surprise. */
#ifndef NETWORK_FORWARD_H
#define NETWORK_FORWARD_H

#include "base/str.h"
#include "network/net.h"

/* Turns net.ipv4.ip_forward on when it is off and then guards the links that are there. After nft_ensure(). */
int forward_enable(struct net *n, struct err *err);

/* Sees to it that others' forward chains let our bridges pass. Idempotent, cheap enough for every up and every repair (0.1 ms).
 * Returns 0: nothing is in the way; 1: something drops and is not ours to change: *ret_message (a line to show once, lower case) says
 * what; -1 + err. */
int forward_admit(struct net *n, struct str *ret_message, struct err *err);

/* Removes every rule of forward_admit() of this root. Call when nft_release() returned 0. */
int forward_withdraw(struct net *n, struct err *err);

#endif
