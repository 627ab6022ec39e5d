/* SPDX-License-Identifier: Apache-2.0 */
/* The model's networks as the supervisor wants them, and what can be wrong with a subnet that somebody has chosen: told with its place, before
 * anything starts. */
#include "compose/project_networks.h"

#include <stdio.h>

#include "base/json.h"
#include "network/ipam.h"
#include "network/net.h"

struct reader {
	struct project *p;
	const char *key;
	struct ipam_subnet subnet;
};

static void complain(struct reader *r, const char *what, const char *fmt, const char *value)
{
	AUTO_FREE char *path = xasprintf("networks.%s.ipam.config[0]%s", r->key, what);
	struct pos pos = {0};
	char quoted[96];
	load_position(&r->p->load, path, &pos);
	diag_error(&r->p->diags, pos, path, fmt, err_quote(quoted, sizeof(quoted), value));
}

/* One address of the subnet, not its first (the network) or last (broadcast) one. */
static bool is_inside(struct ipam_subnet s, const char *text)
{
	uint32_t ip;
	return net_ip_parse(text, &ip) && (ip & ipam_netmask(s.prefix_len)) == s.ip && ip != s.ip && ip != (s.ip | ~ipam_netmask(s.prefix_len));
}

static void read_subnet(struct reader *r, const json_t *conf, json_t *ret)
{
	const char *subnet = json_get_str(conf, "subnet", NULL), *gateway = json_get_str(conf, "gateway", NULL), *range = json_get_str(conf, "ip_range", NULL);
	json_t *aux = json_object_get(conf, "aux_addresses"), *address;
	struct ipam_subnet part;
	struct ipam m = {0};
	struct err err;
	const char *name;
	if (!subnet) {
		if (gateway || range || json_object_size(aux))
			complain(r, "", "a gateway, ip_range or aux_addresses \"%s\" needs a subnet", gateway ? gateway : range ? range : "");
		return;
	}
	if (strchr(subnet, ':')) {
		complain(r, ".subnet", "subnet \"%s\": IPv6 is not supported yet", subnet);
		return;
	}
	if (!ipam_subnet_parse(subnet, &r->subnet) || ipam_init(&m, r->subnet, &err) < 0) {
		complain(r, ".subnet", "\"%s\" is no IPv4 subnet between /16 and /30 whose host bits are zero", subnet);
		return;
	}
	ipam_done(&m);
	json_put_str(ret, "subnet", subnet);
	if (gateway && !is_inside(r->subnet, gateway))
		complain(r, ".gateway", "gateway \"%s\" is no address of the subnet", gateway);
	if (range && (!ipam_subnet_parse(range, &part) || part.prefix_len < r->subnet.prefix_len || !ipam_overlap(part, r->subnet)))
		complain(r, ".ip_range", "\"%s\" is no part of the subnet", range);
	json_object_foreach(aux, name, address)
		if (!json_is_string(address) || !is_inside(r->subnet, json_string_value(address)))
			complain(r, ".aux_addresses", "auxiliary address \"%s\" is none of the subnet", name);
	json_put_str(ret, "gateway", gateway);
	json_put_str(ret, "range", range);
	if (json_object_size(aux))
		json_object_set(ret, "aux", aux);
}

/* ipv4_address of the services on it. */
static void check_addresses(struct reader *r, bool external)
{
	const char *service;
	json_t *config;
	json_object_foreach(json_object_get(r->p->load.config, "services"), service, config) {
		const char *address = json_get_str(json_object_get(json_object_get(config, "networks"), r->key), "ipv4_address", NULL);
		AUTO_FREE char *path = xasprintf("services.%s.networks.%s.ipv4_address", service, r->key);
		struct pos pos = {0};
		char quoted[96];
		if (!address || !*address || (external && is_inside((struct ipam_subnet){0}, address)))
			continue;
		load_position(&r->p->load, path, &pos);
		if (!r->subnet.prefix_len)
			diag_hint(&r->p->diags, diag_error(&r->p->diags, pos, path, "an address needs a network with a subnet of its own"),
				  "add networks.%s.ipam.config with a subnet", r->key);
		else if (!is_inside(r->subnet, address))
			diag_error(&r->p->diags, pos, path, "\"%s\" is no address of the network's subnet", err_quote(quoted, sizeof(quoted), address));
	}
}

json_t *project_networks(struct project *p)
{
	json_t *out = json_object(), *value;
	const char *key;
	json_object_foreach(json_object_get(p->load.config, "networks"), key, value) {
		AUTO_FREE char *def = xasprintf("%s_%s", p->load.name, key);
		json_t *one = json_object(), *labels = json_object_get(value, "labels"), *config = json_object_get(json_object_get(value, "ipam"), "config");
		struct reader r = { .p = p, .key = key };
		bool external = json_get_bool(value, "external", false);
		json_put_str(one, "name", json_get_str(value, "name", def));
		json_object_set_new(one, "external", json_boolean(external));
		json_object_set_new(one, "internal", json_boolean(json_get_bool(value, "internal", false)));
		json_object_set_new(one, "labels", json_is_object(labels) ? json_incref(labels) : json_object());
		if (json_array_size(config) > 1)
			complain(&r, "", "more than one subnet is not supported yet%s", "");
		else if (json_array_size(config) == 1)
			read_subnet(&r, json_array_get(config, 0), one);
		check_addresses(&r, external);
		json_object_set_new(out, key, one);
	}
	return out;
}
