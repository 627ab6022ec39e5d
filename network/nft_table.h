/* SPDX-License-Identifier: Apache-2.0 */
/* The constant part of the table: sets, chains and rules. Internal to network/. */
#ifndef NETWORK_NFT_TABLE_H
#define NETWORK_NFT_TABLE_H

#include "network/net.h"

enum { NFT_TABLE_NAME_SIZE = 24 };

/* `muster_<rootid>` */
void nft_table_name(const struct net *n, char ret[static NFT_TABLE_NAME_SIZE]);
/* The names of the sets whose elements come and go with networks and ports; NULL-terminated. */
extern const char *const nft_table_sets[];
/* Makes the table as it should be, in one transaction, unless it is already. */
int nft_table_ensure(struct net *n, struct err *err);

#endif
