/* SPDX-License-Identifier: Apache-2.0 */
/* The tables. The order of fields is the order of output; it and the flags follow the reference's structures, where some
 * objects are pointers (absent or there) and some are values (always there in JSON). */
#include "spec/shape.h"

#define FIELDS(name) { .fields = name, .n = ARRAY_SIZE(name) }

static const struct shape_field weight_device_fields[] = {
	{ "path", "Path", SHAPE_STRING, SHAPE_ALWAYS, NULL },
	{ "weight", "Weight", SHAPE_UINT, SHAPE_ALWAYS, NULL },
};
static const struct shape shape_weight_device = FIELDS(weight_device_fields);

static const struct shape_field throttle_device_fields[] = {
	{ "path", "Path", SHAPE_STRING, SHAPE_ALWAYS, NULL },
	{ "rate", "Rate", SHAPE_BYTES, SHAPE_ALWAYS, NULL },
};
static const struct shape shape_throttle_device = FIELDS(throttle_device_fields);

static const struct shape_field blkio_fields[] = {
	{ "weight", NULL, SHAPE_UINT, 0, NULL },
	{ "weight_device", NULL, SHAPE_LIST, 0, &shape_weight_device },
	{ "device_read_bps", NULL, SHAPE_LIST, 0, &shape_throttle_device },
	{ "device_read_iops", NULL, SHAPE_LIST, 0, &shape_throttle_device },
	{ "device_write_bps", NULL, SHAPE_LIST, 0, &shape_throttle_device },
	{ "device_write_iops", NULL, SHAPE_LIST, 0, &shape_throttle_device },
};
static const struct shape shape_blkio = FIELDS(blkio_fields);

static const struct shape_field file_reference_fields[] = {
	{ "source", NULL, SHAPE_STRING, 0, NULL },
	{ "target", NULL, SHAPE_STRING, 0, NULL },
	{ "uid", NULL, SHAPE_STRING, 0, NULL },
	{ "gid", NULL, SHAPE_STRING, 0, NULL },
	{ "mode", NULL, SHAPE_MODE, SHAPE_KEEP, NULL },
};
static const struct shape shape_file_reference = FIELDS(file_reference_fields);

static const struct shape_field build_fields[] = {
	{ "context", NULL, SHAPE_STRING, 0, NULL },
	{ "dockerfile", NULL, SHAPE_STRING, 0, NULL },
	{ "dockerfile_inline", NULL, SHAPE_STRING, 0, NULL },
	{ "entitlements", NULL, SHAPE_STRINGS, 0, NULL },
	{ "args", NULL, SHAPE_MAPPING_NULL, 0, NULL },
	{ "provenance", NULL, SHAPE_STRING, 0, NULL },
	{ "sbom", NULL, SHAPE_STRING, 0, NULL },
	{ "ssh", NULL, SHAPE_SSH, 0, NULL },
	{ "labels", NULL, SHAPE_LABELS, 0, NULL },
	{ "cache_from", NULL, SHAPE_STRINGS, 0, NULL },
	{ "cache_to", NULL, SHAPE_STRINGS, 0, NULL },
	{ "no_cache", NULL, SHAPE_BOOL, 0, NULL },
	{ "no_cache_filter", NULL, SHAPE_STRINGS, 0, NULL },
	{ "additional_contexts", NULL, SHAPE_MAPPING, 0, NULL },
	{ "pull", NULL, SHAPE_BOOL, 0, NULL },
	{ "extra_hosts", NULL, SHAPE_HOSTS, 0, NULL },
	{ "isolation", NULL, SHAPE_STRING, 0, NULL },
	{ "network", NULL, SHAPE_STRING, 0, NULL },
	{ "target", NULL, SHAPE_STRING, 0, NULL },
	{ "secrets", NULL, SHAPE_LIST, 0, &shape_file_reference },
	{ "shm_size", NULL, SHAPE_BYTES, 0, NULL },
	{ "tags", NULL, SHAPE_STRINGS, 0, NULL },
	{ "ulimits", NULL, SHAPE_ULIMIT, 0, NULL },
	{ "platforms", NULL, SHAPE_STRINGS, 0, NULL },
	{ "privileged", NULL, SHAPE_BOOL, 0, NULL },
};
static const struct shape shape_build = FIELDS(build_fields);

static const struct shape_field hook_fields[] = {
	{ "command", NULL, SHAPE_COMMAND, SHAPE_ALWAYS, NULL },
	{ "image", NULL, SHAPE_STRING, 0, NULL },
	{ "user", NULL, SHAPE_STRING, 0, NULL },
	{ "privileged", NULL, SHAPE_BOOL, 0, NULL },
	{ "working_dir", NULL, SHAPE_STRING, 0, NULL },
	{ "environment", NULL, SHAPE_MAPPING_NULL, 0, NULL },
	{ "per_replica", NULL, SHAPE_BOOL, 0, NULL },
};
static const struct shape shape_hook = FIELDS(hook_fields);

static const struct shape_field watch_fields[] = {
	{ "path", NULL, SHAPE_STRING, SHAPE_ALWAYS, NULL },
	{ "action", NULL, SHAPE_STRING, SHAPE_ALWAYS, NULL },
	{ "target", NULL, SHAPE_STRING, 0, NULL },
	{ "exec", NULL, SHAPE_STRUCT, SHAPE_VALUE, &shape_hook },
	{ "include", NULL, SHAPE_STRINGS, 0, NULL },
	{ "ignore", NULL, SHAPE_STRINGS, 0, NULL },
	{ "initial_sync", NULL, SHAPE_BOOL, 0, NULL },
};
static const struct shape shape_watch = FIELDS(watch_fields);

static const struct shape_field develop_fields[] = {
	{ "watch", NULL, SHAPE_LIST, 0, &shape_watch },
};
static const struct shape shape_develop = FIELDS(develop_fields);

static const struct shape_field credential_fields[] = {
	{ "config", NULL, SHAPE_STRING, 0, NULL },
	{ "file", NULL, SHAPE_STRING, 0, NULL },
	{ "registry", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_credential = FIELDS(credential_fields);

static const struct shape_field depends_fields[] = {
	{ "condition", NULL, SHAPE_STRING, 0, NULL },
	{ "restart", NULL, SHAPE_BOOL, 0, NULL },
	{ "required", NULL, SHAPE_BOOL, SHAPE_ALWAYS, NULL },
};
static const struct shape shape_depends = FIELDS(depends_fields);

static const struct shape_field update_fields[] = {
	{ "parallelism", NULL, SHAPE_UINT, SHAPE_KEEP, NULL },
	{ "delay", NULL, SHAPE_DURATION, 0, NULL },
	{ "failure_action", NULL, SHAPE_STRING, 0, NULL },
	{ "monitor", NULL, SHAPE_DURATION, 0, NULL },
	{ "max_failure_ratio", NULL, SHAPE_FLOAT, 0, NULL },
	{ "order", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_update = FIELDS(update_fields);

static const struct shape_field discrete_fields[] = {
	{ "kind", NULL, SHAPE_STRING, SHAPE_ALWAYS, NULL },
	{ "value", NULL, SHAPE_INT, SHAPE_ALWAYS, NULL },
};
static const struct shape shape_discrete = FIELDS(discrete_fields);

static const struct shape_field generic_fields[] = {
	{ "discrete_resource_spec", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_discrete },
};
static const struct shape shape_generic = FIELDS(generic_fields);

static const struct shape_field device_request_fields[] = {
	{ "capabilities", NULL, SHAPE_STRINGS, 0, NULL },
	{ "driver", NULL, SHAPE_STRING, 0, NULL },
	{ "count", NULL, SHAPE_COUNT, 0, NULL },
	{ "device_ids", NULL, SHAPE_STRINGS, 0, NULL },
	{ "options", NULL, SHAPE_MAPPING, 0, NULL },
};
static const struct shape shape_device_request = FIELDS(device_request_fields);

static const struct shape_field resource_fields[] = {
	{ "cpus", NULL, SHAPE_FLOAT, 0, NULL },
	{ "memory", NULL, SHAPE_BYTES, 0, NULL },
	{ "pids", NULL, SHAPE_INT, 0, NULL },
	{ "devices", NULL, SHAPE_LIST, 0, &shape_device_request },
	{ "generic_resources", NULL, SHAPE_LIST, 0, &shape_generic },
};
static const struct shape shape_resource = FIELDS(resource_fields);

static const struct shape_field resources_fields[] = {
	{ "limits", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_resource },
	{ "reservations", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_resource },
};
static const struct shape shape_resources = FIELDS(resources_fields);

static const struct shape_field restart_policy_fields[] = {
	{ "condition", NULL, SHAPE_STRING, 0, NULL },
	{ "delay", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
	{ "max_attempts", NULL, SHAPE_UINT, SHAPE_KEEP, NULL },
	{ "window", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
};
static const struct shape shape_restart_policy = FIELDS(restart_policy_fields);

static const struct shape_field preference_fields[] = {
	{ "spread", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_preference = FIELDS(preference_fields);

static const struct shape_field placement_fields[] = {
	{ "constraints", NULL, SHAPE_STRINGS, 0, NULL },
	{ "preferences", NULL, SHAPE_LIST, 0, &shape_preference },
	{ "max_replicas_per_node", NULL, SHAPE_UINT, 0, NULL },
};
static const struct shape shape_placement = FIELDS(placement_fields);

static const struct shape_field deploy_fields[] = {
	{ "mode", NULL, SHAPE_STRING, 0, NULL },
	{ "replicas", NULL, SHAPE_INT, SHAPE_KEEP, NULL },
	{ "labels", NULL, SHAPE_LABELS, 0, NULL },
	{ "update_config", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_update },
	{ "rollback_config", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_update },
	{ "resources", NULL, SHAPE_STRUCT, SHAPE_VALUE, &shape_resources },
	{ "restart_policy", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_restart_policy },
	{ "placement", NULL, SHAPE_STRUCT, SHAPE_VALUE, &shape_placement },
	{ "endpoint_mode", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_deploy = FIELDS(deploy_fields);

static const struct shape_field device_fields[] = {
	{ "source", NULL, SHAPE_STRING, 0, NULL },
	{ "target", NULL, SHAPE_STRING, 0, NULL },
	{ "permissions", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_device = FIELDS(device_fields);

static const struct shape_field provider_fields[] = {
	{ "type", NULL, SHAPE_STRING, 0, NULL },
	{ "options", NULL, SHAPE_MULTI, 0, NULL },
};
static const struct shape shape_provider = FIELDS(provider_fields);

static const struct shape_field env_file_fields[] = {
	{ "path", NULL, SHAPE_STRING, 0, NULL },
	{ "required", NULL, SHAPE_OPT_OUT, 0, NULL },
	{ "format", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_env_file = FIELDS(env_file_fields);

static const struct shape_field extends_fields[] = {
	{ "file", NULL, SHAPE_STRING, 0, NULL },
	{ "service", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_extends = FIELDS(extends_fields);

static const struct shape_field healthcheck_fields[] = {
	{ "test", NULL, SHAPE_TEST, 0, NULL },
	{ "timeout", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
	{ "interval", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
	{ "retries", NULL, SHAPE_UINT, SHAPE_KEEP, NULL },
	{ "start_period", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
	{ "start_interval", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
	{ "disable", NULL, SHAPE_BOOL, 0, NULL },
};
static const struct shape shape_healthcheck = FIELDS(healthcheck_fields);

static const struct shape_field logging_fields[] = {
	{ "driver", NULL, SHAPE_STRING, 0, NULL },
	{ "options", NULL, SHAPE_OPTIONS, 0, NULL },
};
static const struct shape shape_logging = FIELDS(logging_fields);

static const struct shape_field service_model_fields[] = {
	{ "endpoint_var", NULL, SHAPE_STRING, 0, NULL },
	{ "model_var", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_service_model = FIELDS(service_model_fields);

static const struct shape_field service_network_fields[] = {
	{ "aliases", NULL, SHAPE_STRINGS, 0, NULL },
	{ "driver_opts", NULL, SHAPE_OPTIONS, 0, NULL },
	{ "gw_priority", NULL, SHAPE_INT, 0, NULL },
	{ "interface_name", NULL, SHAPE_STRING, 0, NULL },
	{ "ipv4_address", NULL, SHAPE_STRING, 0, NULL },
	{ "ipv6_address", NULL, SHAPE_STRING, 0, NULL },
	{ "link_local_ips", NULL, SHAPE_STRINGS, 0, NULL },
	{ "mac_address", NULL, SHAPE_STRING, 0, NULL },
	{ "priority", NULL, SHAPE_INT, 0, NULL },
};
static const struct shape shape_service_network = FIELDS(service_network_fields);

static const struct shape_field port_fields[] = {
	{ "name", NULL, SHAPE_STRING, 0, NULL },
	{ "mode", NULL, SHAPE_STRING, 0, NULL },
	{ "host_ip", NULL, SHAPE_STRING, 0, NULL },
	{ "target", NULL, SHAPE_UINT, 0, NULL },
	{ "published", NULL, SHAPE_STRING, 0, NULL },
	{ "protocol", NULL, SHAPE_STRING, 0, NULL },
	{ "app_protocol", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_port = FIELDS(port_fields);

static const struct shape_field bind_fields[] = {
	{ "selinux", NULL, SHAPE_STRING, 0, NULL },
	{ "propagation", NULL, SHAPE_STRING, 0, NULL },
	{ "create_host_path", NULL, SHAPE_OPT_OUT, 0, NULL },
	{ "recursive", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_bind = FIELDS(bind_fields);

static const struct shape_field volume_options_fields[] = {
	{ "labels", NULL, SHAPE_MAPPING, 0, NULL },
	{ "nocopy", NULL, SHAPE_BOOL, 0, NULL },
	{ "subpath", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_volume_options = FIELDS(volume_options_fields);

static const struct shape_field tmpfs_fields[] = {
	{ "size", NULL, SHAPE_BYTES, 0, NULL },
	{ "mode", NULL, SHAPE_UINT, 0, NULL },
};
static const struct shape shape_tmpfs = FIELDS(tmpfs_fields);

static const struct shape_field image_options_fields[] = {
	{ "subpath", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_image_options = FIELDS(image_options_fields);

static const struct shape_field mount_fields[] = {
	{ "type", NULL, SHAPE_STRING, 0, NULL },
	{ "source", NULL, SHAPE_STRING, 0, NULL },
	{ "target", NULL, SHAPE_STRING, 0, NULL },
	{ "read_only", NULL, SHAPE_BOOL, 0, NULL },
	{ "consistency", NULL, SHAPE_STRING, 0, NULL },
	{ "bind", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_bind },
	{ "volume", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_volume_options },
	{ "tmpfs", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_tmpfs },
	{ "image", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_image_options },
};
static const struct shape shape_mount = FIELDS(mount_fields);

static const struct shape_field service_fields[] = {
	{ "profiles", NULL, SHAPE_STRINGS, 0, NULL },
	{ "annotations", NULL, SHAPE_MAPPING, 0, NULL },
	{ "attach", NULL, SHAPE_BOOL, SHAPE_KEEP, NULL },
	{ "build", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_build },
	{ "develop", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_develop },
	{ "blkio_config", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_blkio },
	{ "cap_add", NULL, SHAPE_STRINGS, 0, NULL },
	{ "cap_drop", NULL, SHAPE_STRINGS, 0, NULL },
	{ "cgroup_parent", NULL, SHAPE_STRING, 0, NULL },
	{ "cgroup", NULL, SHAPE_STRING, 0, NULL },
	{ "cpu_count", NULL, SHAPE_INT, 0, NULL },
	{ "cpu_percent", NULL, SHAPE_FLOAT, 0, NULL },
	{ "cpu_period", NULL, SHAPE_INT, 0, NULL },
	{ "cpu_quota", NULL, SHAPE_INT, 0, NULL },
	{ "cpu_rt_period", NULL, SHAPE_INT, 0, NULL },
	{ "cpu_rt_runtime", NULL, SHAPE_INT, 0, NULL },
	{ "cpus", NULL, SHAPE_FLOAT, 0, NULL },
	{ "cpuset", NULL, SHAPE_STRING, 0, NULL },
	{ "cpu_shares", NULL, SHAPE_INT, 0, NULL },
	{ "command", NULL, SHAPE_COMMAND, SHAPE_ALWAYS, NULL },
	{ "configs", NULL, SHAPE_LIST, 0, &shape_file_reference },
	{ "container_name", NULL, SHAPE_STRING, 0, NULL },
	{ "credential_spec", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_credential },
	{ "depends_on", NULL, SHAPE_MAP, 0, &shape_depends },
	{ "deploy", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_deploy },
	{ "device_cgroup_rules", NULL, SHAPE_STRINGS, 0, NULL },
	{ "devices", NULL, SHAPE_LIST, 0, &shape_device },
	{ "dns", NULL, SHAPE_STRINGS, 0, NULL },
	{ "dns_opt", NULL, SHAPE_STRINGS, 0, NULL },
	{ "dns_search", NULL, SHAPE_STRINGS, 0, NULL },
	{ "domainname", NULL, SHAPE_STRING, 0, NULL },
	{ "entrypoint", NULL, SHAPE_COMMAND, SHAPE_ALWAYS, NULL },
	{ "provider", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_provider },
	{ "environment", NULL, SHAPE_MAPPING_NULL, 0, NULL },
	{ "env_file", NULL, SHAPE_LIST, 0, &shape_env_file },
	{ "expose", NULL, SHAPE_TEXTS, 0, NULL },
	{ "extends", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_extends },
	{ "external_links", NULL, SHAPE_STRINGS, 0, NULL },
	{ "extra_hosts", NULL, SHAPE_HOSTS, 0, NULL },
	{ "group_add", NULL, SHAPE_STRINGS, 0, NULL },
	{ "gpus", NULL, SHAPE_LIST, 0, &shape_device_request },
	{ "hostname", NULL, SHAPE_STRING, 0, NULL },
	{ "healthcheck", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_healthcheck },
	{ "image", NULL, SHAPE_STRING, 0, NULL },
	{ "init", NULL, SHAPE_BOOL, SHAPE_KEEP, NULL },
	{ "ipc", NULL, SHAPE_STRING, 0, NULL },
	{ "isolation", NULL, SHAPE_STRING, 0, NULL },
	{ "labels", NULL, SHAPE_LABELS, 0, NULL },
	{ "label_file", NULL, SHAPE_STRINGS, 0, NULL },
	{ "links", NULL, SHAPE_STRINGS, 0, NULL },
	{ "logging", NULL, SHAPE_STRUCT, SHAPE_KEEP, &shape_logging },
	{ "mem_limit", NULL, SHAPE_BYTES, 0, NULL },
	{ "mem_reservation", NULL, SHAPE_BYTES, 0, NULL },
	{ "memswap_limit", NULL, SHAPE_BYTES, 0, NULL },
	{ "mem_swappiness", NULL, SHAPE_BYTES, 0, NULL },
	{ "mac_address", NULL, SHAPE_STRING, 0, NULL },
	{ "models", NULL, SHAPE_MAP_NULL, 0, &shape_service_model },
	{ "network_mode", NULL, SHAPE_STRING, 0, NULL },
	{ "networks", NULL, SHAPE_MAP_NULL, 0, &shape_service_network },
	{ "oom_kill_disable", NULL, SHAPE_BOOL, 0, NULL },
	{ "oom_score_adj", NULL, SHAPE_INT, 0, NULL },
	{ "pid", NULL, SHAPE_STRING, 0, NULL },
	{ "pids_limit", NULL, SHAPE_INT, 0, NULL },
	{ "platform", NULL, SHAPE_STRING, 0, NULL },
	{ "ports", NULL, SHAPE_LIST, 0, &shape_port },
	{ "privileged", NULL, SHAPE_BOOL, 0, NULL },
	{ "pull_policy", NULL, SHAPE_STRING, 0, NULL },
	{ "pull_refresh_after", NULL, SHAPE_DURATION, 0, NULL },
	{ "read_only", NULL, SHAPE_BOOL, 0, NULL },
	{ "restart", NULL, SHAPE_STRING, 0, NULL },
	{ "runtime", NULL, SHAPE_STRING, 0, NULL },
	{ "scale", NULL, SHAPE_INT, SHAPE_KEEP, NULL },
	{ "secrets", NULL, SHAPE_LIST, 0, &shape_file_reference },
	{ "security_opt", NULL, SHAPE_STRINGS, 0, NULL },
	{ "shm_size", NULL, SHAPE_BYTES, 0, NULL },
	{ "stdin_open", NULL, SHAPE_BOOL, 0, NULL },
	{ "stop_grace_period", NULL, SHAPE_DURATION, SHAPE_KEEP, NULL },
	{ "stop_signal", NULL, SHAPE_STRING, 0, NULL },
	{ "storage_opt", NULL, SHAPE_OPTIONS, SHAPE_STRICT, NULL },
	{ "sysctls", NULL, SHAPE_MAPPING, 0, NULL },
	{ "tmpfs", NULL, SHAPE_STRINGS, 0, NULL },
	{ "tty", NULL, SHAPE_BOOL, 0, NULL },
	{ "ulimits", NULL, SHAPE_ULIMIT, 0, NULL },
	{ "use_api_socket", NULL, SHAPE_BOOL, 0, NULL },
	{ "user", NULL, SHAPE_STRING, 0, NULL },
	{ "userns_mode", NULL, SHAPE_STRING, 0, NULL },
	{ "uts", NULL, SHAPE_STRING, 0, NULL },
	{ "volumes", NULL, SHAPE_LIST, 0, &shape_mount },
	{ "volumes_from", NULL, SHAPE_STRINGS, 0, NULL },
	{ "working_dir", NULL, SHAPE_STRING, 0, NULL },
	{ "pre_start", NULL, SHAPE_LIST, 0, &shape_hook },
	{ "post_start", NULL, SHAPE_LIST, 0, &shape_hook },
	{ "pre_stop", NULL, SHAPE_LIST, 0, &shape_hook },
};
const struct shape shape_service = FIELDS(service_fields);

static const struct shape_field pool_fields[] = {
	{ "subnet", NULL, SHAPE_STRING, 0, NULL },
	{ "gateway", NULL, SHAPE_STRING, 0, NULL },
	{ "ip_range", NULL, SHAPE_STRING, 0, NULL },
	{ "aux_addresses", NULL, SHAPE_MAPPING, 0, NULL },
};
static const struct shape shape_pool = FIELDS(pool_fields);

static const struct shape_field ipam_fields[] = {
	{ "driver", NULL, SHAPE_STRING, 0, NULL },
	{ "config", NULL, SHAPE_LIST, 0, &shape_pool },
	{ "options", NULL, SHAPE_OPTIONS, 0, NULL },
};
static const struct shape shape_ipam = FIELDS(ipam_fields);

static const struct shape_field network_fields[] = {
	{ "name", NULL, SHAPE_STRING, 0, NULL },
	{ "driver", NULL, SHAPE_STRING, 0, NULL },
	{ "driver_opts", NULL, SHAPE_OPTIONS, 0, NULL },
	{ "ipam", NULL, SHAPE_STRUCT, SHAPE_VALUE, &shape_ipam },
	{ "external", NULL, SHAPE_BOOL, 0, NULL },
	{ "internal", NULL, SHAPE_BOOL, 0, NULL },
	{ "attachable", NULL, SHAPE_BOOL, 0, NULL },
	{ "labels", NULL, SHAPE_LABELS, 0, NULL },
	{ "enable_ipv4", NULL, SHAPE_BOOL, SHAPE_KEEP, NULL },
	{ "enable_ipv6", NULL, SHAPE_BOOL, SHAPE_KEEP, NULL },
};
static const struct shape shape_network = FIELDS(network_fields);

static const struct shape_field volume_fields[] = {
	{ "name", NULL, SHAPE_STRING, 0, NULL },
	{ "driver", NULL, SHAPE_STRING, 0, NULL },
	{ "driver_opts", NULL, SHAPE_OPTIONS, 0, NULL },
	{ "external", NULL, SHAPE_BOOL, 0, NULL },
	{ "labels", NULL, SHAPE_LABELS, 0, NULL },
};
static const struct shape shape_volume = FIELDS(volume_fields);

static const struct shape_field file_object_fields[] = {
	{ "name", NULL, SHAPE_STRING, 0, NULL },
	{ "file", NULL, SHAPE_STRING, 0, NULL },
	{ "environment", NULL, SHAPE_STRING, 0, NULL },
	{ "content", NULL, SHAPE_STRING, 0, NULL },
	{ "external", NULL, SHAPE_BOOL, 0, NULL },
	{ "labels", NULL, SHAPE_LABELS, 0, NULL },
	{ "driver", NULL, SHAPE_STRING, 0, NULL },
	{ "driver_opts", NULL, SHAPE_OPTIONS, 0, NULL },
	{ "template_driver", NULL, SHAPE_STRING, 0, NULL },
};
static const struct shape shape_file_object = FIELDS(file_object_fields);

static const struct shape_field model_fields[] = {
	{ "name", NULL, SHAPE_STRING, 0, NULL },
	{ "model", NULL, SHAPE_STRING, 0, NULL },
	{ "context_size", NULL, SHAPE_INT, 0, NULL },
	{ "runtime_flags", NULL, SHAPE_STRINGS, 0, NULL },
};
static const struct shape shape_model = FIELDS(model_fields);

static const struct shape_field project_fields[] = {
	{ "name", NULL, SHAPE_STRING, SHAPE_ALWAYS, NULL },
	{ "services", NULL, SHAPE_MAP, SHAPE_ALWAYS, &shape_service },
	{ "networks", NULL, SHAPE_MAP, 0, &shape_network },
	{ "volumes", NULL, SHAPE_MAP, 0, &shape_volume },
	{ "secrets", NULL, SHAPE_MAP, 0, &shape_file_object },
	{ "configs", NULL, SHAPE_MAP, 0, &shape_file_object },
	{ "models", NULL, SHAPE_MAP, SHAPE_YAML, &shape_model },
};
const struct shape shape_project = FIELDS(project_fields);

/* By entry, not by field: an object has few of the many fields it could have. */
void shape_lookup(const struct shape *shape, const struct node *map, struct node_entry *ret[static SHAPE_MAX_FIELDS])
{
	static_assert(ARRAY_SIZE(service_fields) <= SHAPE_MAX_FIELDS, "the largest object fits");
	size_t f = 0; /* the field after the last hit: a typed map has the order of its fields */
	memset(ret, 0, shape->n * sizeof(*ret));
	for (size_t i = 0; map && i < map->n; i++) {
		const char *key = map->entries[i].key;
		for (size_t k = 0; k < shape->n; k++, f++) {
			f = f < shape->n ? f : 0;
			if (shape->fields[f].key[0] == key[0] && strcmp(shape->fields[f].key, key) == 0) {
				ret[f++] = &map->entries[i];
				break;
			}
		}
	}
}
