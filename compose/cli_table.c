/* SPDX-License-Identifier: Apache-2.0 */
/* Every command and option there is, with its help text; see cli.h for what the columns mean. Commands and options of docker
 * compose carry its names and words, because people's fingers, scripts and editors know them. A row is all that it takes to
 * add an option: parsing, checks, help and completion follow from here. Sorted by name within each table (a unit test holds that). */
#include "compose/cli.h"

#define FORMAT_HELP \
	"Format output using a custom template:\n" \
	"'table':            Print output in table format with column headers (default)\n" \
	"'table TEMPLATE':   Print output in table format using the given Go template\n" \
	"'json':             Print in JSON format\n" \
	"'TEMPLATE':         Print output using the given Go template."

const struct cli_option cli_dry_run_option[] = {
	{ "dry-run", 0, CLI_BOOL, 0, .help = "Execute command in dry run mode" },
	{ 0 },
};

const struct cli_option cli_global_options[] = {
	{ "all-resources", 0, CLI_BOOL, 0, .help = "Include all resources, even those not used by services" },
	{ "ansi", 0, CLI_STRING, 0,
	  .help = "Control when to print ANSI control characters (\"never\"|\"always\"|\"auto\")",
	  .def = "auto", .choices = "never|always|auto" },
	{ "compatibility", 0, CLI_BOOL, 0, .help = "Run compose in backward compatibility mode" },
	{ "dry-run", 0, CLI_BOOL, 0, .help = "Execute command in dry run mode" },
	{ "env-file", 0, CLI_STRINGS, 0, .help = "Specify an alternate environment file" },
	{ "file", 'f', CLI_STRINGS, 0, .help = "Compose configuration files" },
	{ "insecure-registry", 0, CLI_STRINGS, CLI_HIDDEN | CLI_LATER,
	  .help = "Use insecure registry to pull Compose OCI artifacts. Doesn't apply to images" },
	{ "no-ansi", 0, CLI_BOOL, CLI_HIDDEN, .help = "Do not print ANSI control characters (same as --ansi never)" },
	{ "parallel", 0, CLI_INT, 0, .help = "Control max parallelism, -1 for unlimited", .def = "-1" },
	{ "profile", 0, CLI_STRINGS, 0, .help = "Specify a profile to enable" },
	{ "progress", 0, CLI_STRING, 0,
	  .help = "Set type of progress output (auto, tty, plain, json, quiet)", .choices = "auto|tty|plain|json|quiet" },
	{ "project-directory", 0, CLI_STRING, 0,
	  .help = "Specify an alternate working directory (default: the path of the, first specified, Compose file)" },
	{ "project-name", 'p', CLI_STRING, 0, .help = "Project name" },
	{ "root", 0, CLI_STRING, 0, .help = "Directory of the lasting state (default: $MUSTER_ROOT, else /var/lib/muster)" },
	{ "run-root", 0, CLI_STRING, 0,
	  .help = "Directory of what dies with the boot (default: $MUSTER_RUN_ROOT, else /run/muster)" },
	{ "verbose", 0, CLI_BOOL, CLI_HIDDEN, .help = "Show where in the program an error arose" },
	{ "version", 'v', CLI_BOOL, CLI_HIDDEN, .help = "Show the version" },
	{ "workdir", 0, CLI_STRING, CLI_HIDDEN, .help = "Same as --project-directory" },
	{ 0 },
};

static const struct cli_option alpha_generate_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = "Format to output the generated Compose file. Values: [yaml | json]", .def = "yaml" },
	{ "name", 0, CLI_STRING, 0, .help = "Project name to set in the Compose file" },
	{ "project-dir", 0, CLI_STRING, 0, .help = "Directory to use for the project" },
	{ 0 },
};

static const struct cli_option alpha_publish_options[] = {
	{ "app", 0, CLI_BOOL, 0, .help = "Published compose application (includes referenced images)" },
	{ "insecure-registry", 0, CLI_BOOL, CLI_HIDDEN, .help = "Use insecure registry" },
	{ "oci-version", 0, CLI_STRING, 0, .help = "OCI image/artifact specification version (automatically determined by default)" },
	{ "resolve-image-digests", 0, CLI_BOOL, 0, .help = "Pin image tags to digests" },
	{ "with-env", 0, CLI_BOOL, 0, .help = "Include environment variables in the published OCI artifact" },
	{ "yes", 'y', CLI_BOOL, 0, .help = "Assume \"yes\" as answer to all prompts" },
	{ 0 },
};

static const struct cli_option alpha_scale_options[] = {
	{ "no-deps", 0, CLI_BOOL, 0, .help = "Don't start linked services" },
	{ 0 },
};

static const struct cli_option alpha_viz_options[] = {
	{ "image", 0, CLI_BOOL, 0, .help = "Include service's image name in output graph" },
	{ "indentation-size", 0, CLI_INT, 0, .help = "Number of tabs or spaces to use for indentation", .def = "1" },
	{ "networks", 0, CLI_BOOL, 0, .help = "Include service's attached networks in output graph" },
	{ "ports", 0, CLI_BOOL, 0, .help = "Include service's exposed ports in output graph" },
	{ "spaces", 0, CLI_BOOL, 0,
	  .help = "If given, space character ' ' will be used to indent, otherwise tab character '\\t' will be used" },
	{ 0 },
};

static const struct cli_option alpha_watch_options[] = {
	{ "no-up", 0, CLI_BOOL, 0, .help = "Do not build & start services before watching" },
	{ "quiet", 0, CLI_BOOL, 0, .help = "hide build output" },
	{ 0 },
};

static const struct cli_option attach_options[] = {
	{ "detach-keys", 0, CLI_STRING, 0, .help = "Override the key sequence for detaching from a container." },
	{ "index", 0, CLI_INT, 0, .help = "index of the container if service has multiple replicas." },
	{ "no-stdin", 0, CLI_BOOL, 0, .help = "Do not attach STDIN" },
	{ "sig-proxy", 0, CLI_BOOL, 0, .help = "Proxy all received signals to the process", .def = "true" },
	{ 0 },
};

static const struct cli_option bridge_convert_options[] = {
	{ "output", 'o', CLI_STRING, 0, .help = "The output directory for the Kubernetes resources", .def = "out" },
	{ "templates", 0, CLI_STRING, 0, .help = "Directory containing transformation templates" },
	{ "transformation", 't', CLI_STRINGS, 0,
	  .help = "Transformation to apply to compose model (default: docker/compose-bridge-kubernetes)" },
	{ 0 },
};

static const struct cli_option bridge_transformations_create_options[] = {
	{ "from", 'f', CLI_STRING, 0, .help = "Existing transformation to copy (default: docker/compose-bridge-kubernetes)" },
	{ 0 },
};

static const struct cli_option bridge_transformations_list_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = "Format the output. Values: [table | json]", .def = "table" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display transformer names" },
	{ 0 },
};

static const struct cli_option build_options[] = {
	{ "build-arg", 0, CLI_STRINGS, 0, .help = "Set build-time variables for services" },
	{ "builder", 0, CLI_STRING, 0, .help = "Set builder to use" },
	{ "check", 0, CLI_BOOL, 0, .help = "Check build configuration" },
	{ "compress", 0, CLI_BOOL, CLI_HIDDEN, .help = "Compress the build context using gzip. DEPRECATED", .def = "true" },
	{ "force-rm", 0, CLI_BOOL, CLI_HIDDEN, .help = "Always remove intermediate containers. DEPRECATED", .def = "true" },
	{ "memory", 'm', CLI_STRING, 0, .help = "Set memory limit for the build container. Not supported by BuildKit.", .var = "bytes" },
	{ "no-cache", 0, CLI_BOOL, 0, .help = "Do not use cache when building the image" },
	{ "no-rm", 0, CLI_BOOL, CLI_HIDDEN, .help = "Do not remove intermediate containers after a successful build. DEPRECATED" },
	{ "parallel", 0, CLI_BOOL, CLI_HIDDEN, .help = "Build images in parallel. DEPRECATED", .def = "true" },
	{ "print", 0, CLI_BOOL, 0, .help = "Print equivalent bake file" },
	{ "progress", 0, CLI_STRING, CLI_HIDDEN, .help = "Set type of ui output" },
	{ "provenance", 0, CLI_STRING, 0, .help = "Add a provenance attestation" },
	{ "pull", 0, CLI_BOOL, 0, .help = "Always attempt to pull a newer version of the image" },
	{ "push", 0, CLI_BOOL, 0, .help = "Push service images" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Suppress the build output" },
	{ "sbom", 0, CLI_STRING, 0, .help = "Add a SBOM attestation" },
	{ "ssh", 0, CLI_STRING, 0,
	  .help = "Set SSH authentications used when building service images. (use 'default' for using your default SSH Agent)" },
	{ "with-dependencies", 0, CLI_BOOL, 0, .help = "Also build dependencies (transitively)" },
	{ 0 },
};

static const struct cli_option builder_prune_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Also remove the directories of RUN --mount=type=cache" },
	{ "force", 'f', CLI_BOOL, CLI_HIDDEN, .help = "Do not ask, which is never done" },
	{ "keep-storage", 0, CLI_STRING, 0, .help = "How much may stay; what was used longest ago goes first", .var = "bytes" },
	{ "until", 0, CLI_STRING, 0, .help = "Only what was not used for this long (24h, 10m)", .var = "duration" },
	{ 0 },
};

static const struct cli_option commit_options[] = {
	{ "author", 'a', CLI_STRING, 0, .help = "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")" },
	{ "change", 'c', CLI_STRINGS, 0, .help = "Apply Dockerfile instruction to the created image", .var = "list" },
	{ "index", 0, CLI_INT, 0, .help = "index of the container if service has multiple replicas." },
	{ "message", 'm', CLI_STRING, 0, .help = "Commit message" },
	{ "pause", 'p', CLI_BOOL, 0, .help = "Pause container during commit", .def = "true" },
	{ 0 },
};

static const struct cli_option config_options[] = {
	{ "environment", 0, CLI_BOOL, 0, .help = "Print environment used for interpolation." },
	{ "explain", 0, CLI_STRING, 0, .var = "path",
	  .help = "Print where the values at or below a path of the model come from (services.web.environment.FOO; \".\" is the whole model)" },
	{ "format", 0, CLI_STRING, 0, .choices = "yaml|json",
	  .help = "Format the output. Values: [yaml | json]. With --quiet, json prints what is wrong as a list, for editors" },
	{ "hash", 0, CLI_STRING, 0, .help = "Print the service config hash, one per line." },
	{ "images", 0, CLI_BOOL, 0, .help = "Print the image names, one per line." },
	{ "lock-image-digests", 0, CLI_BOOL, 0, .help = "Produces an override file with image digests" },
	{ "models", 0, CLI_BOOL, 0, .help = "Print the model names, one per line." },
	{ "networks", 0, CLI_BOOL, 0, .help = "Print the network names, one per line." },
	{ "no-consistency", 0, CLI_BOOL, 0, .help = "Don't check model consistency - warning: may produce invalid Compose output" },
	{ "no-env-resolution", 0, CLI_BOOL, 0, .help = "Don't resolve service env files" },
	{ "no-interpolate", 0, CLI_BOOL, 0, .help = "Don't interpolate environment variables" },
	{ "no-normalize", 0, CLI_BOOL, 0, .help = "Don't normalize compose model" },
	{ "no-path-resolution", 0, CLI_BOOL, 0, .help = "Don't resolve file paths" },
	{ "output", 'o', CLI_STRING, 0, .help = "Save to file (default to stdout)" },
	{ "profiles", 0, CLI_BOOL, 0, .help = "Print the profile names, one per line." },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only validate the configuration, don't print anything" },
	{ "resolve-image-digests", 0, CLI_BOOL, 0, .help = "Pin image tags to digests" },
	{ "services", 0, CLI_BOOL, 0, .help = "Print the service names, one per line." },
	{ "variables", 0, CLI_BOOL, 0, .help = "Print model variables and default values." },
	{ "volumes", 0, CLI_BOOL, 0, .help = "Print the volume names, one per line." },
	{ 0 },
};

static const char *const config_conflicts[] = {
	"explain", "quiet", "explain", "hash", "explain", "lock-image-digests", "explain", "resolve-image-digests", NULL
};

static const struct cli_option convert_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = "Format the output. Values: [yaml | json]", .def = "yaml", .choices = "yaml|json" },
	{ "hash", 0, CLI_STRING, 0, .help = "Print the service config hash, one per line." },
	{ "images", 0, CLI_BOOL, 0, .help = "Print the image names, one per line." },
	{ "no-consistency", 0, CLI_BOOL, 0, .help = "Don't check model consistency - warning: may produce invalid Compose output" },
	{ "no-interpolate", 0, CLI_BOOL, 0, .help = "Don't interpolate environment variables" },
	{ "no-normalize", 0, CLI_BOOL, 0, .help = "Don't normalize compose model" },
	{ "output", 'o', CLI_STRING, 0, .help = "Save to file" },
	{ "profiles", 0, CLI_BOOL, 0, .help = "Print the profile names, one per line." },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only validate the configuration, don't print anything" },
	{ "resolve-image-digests", 0, CLI_BOOL, 0, .help = "Pin image tags to digests" },
	{ "services", 0, CLI_BOOL, 0, .help = "Print the service names, one per line." },
	{ "volumes", 0, CLI_BOOL, 0, .help = "Print the volume names, one per line." },
	{ 0 },
};

static const struct cli_option cp_options[] = {
	{ "all", 0, CLI_BOOL, 0, .help = "Include containers created by the run command" },
	{ "archive", 'a', CLI_BOOL, 0, .help = "Archive mode (copy all uid/gid information)" },
	{ "follow-link", 'L', CLI_BOOL, 0, .help = "Always follow symbol link in SRC_PATH" },
	{ "index", 0, CLI_INT, 0, .help = "Index of the container if service has multiple replicas" },
	{ 0 },
};

static const struct cli_option create_options[] = {
	{ "build", 0, CLI_BOOL, 0, .help = "Build images before starting containers" },
	{ "force-recreate", 0, CLI_BOOL, 0, .help = "Recreate containers even if their configuration and image haven't changed" },
	{ "no-build", 0, CLI_BOOL, 0, .help = "Don't build an image, even if it's policy" },
	{ "no-recreate", 0, CLI_BOOL, 0,
	  .help = "If containers already exist, don't recreate them. Incompatible with --force-recreate." },
	{ "pull", 0, CLI_STRING, 0,
	  .help = "Pull image before running (\"always\"|\"missing\"|\"never\"|\"build\")",
	  .def = "policy", .choices = "policy|always|missing|never|build" },
	{ "quiet-pull", 0, CLI_BOOL, 0, .help = "Pull without printing progress information" },
	{ "remove-orphans", 0, CLI_BOOL, 0, .help = "Remove containers for services not defined in the Compose file" },
	{ "scale", 0, CLI_STRINGS, 0,
	  .help = "Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.", .var = "scale" },
	{ "yes", 'y', CLI_BOOL, 0, .help = "Assume \"yes\" as answer to all prompts and run non-interactively" },
	{ 0 },
};

static const struct cli_option down_options[] = {
	{ "remove-orphans", 0, CLI_BOOL, 0, .help = "Remove containers for services not defined in the Compose file" },
	{ "rmi", 0, CLI_STRING, 0,
	  .help = "Remove images used by services. \"local\" remove only images that don't have a custom tag (\"local\"|\"all\")",
	  .choices = "local|all" },
	{ "timeout", 't', CLI_INT, 0, .help = "Specify a shutdown timeout in seconds" },
	{ "volumes", 'v', CLI_BOOL, 0,
	  .help = "Remove named volumes declared in the \"volumes\" section of the Compose file and anonymous volumes "
	          "attached to containers" },
	{ 0 },
};

static const struct cli_option events_options[] = {
	{ "json", 0, CLI_BOOL, 0, .help = "Output events as a stream of json objects" },
	{ "since", 0, CLI_STRING, 0, .help = "Show all events created since timestamp" },
	{ "until", 0, CLI_STRING, 0, .help = "Stream events until this timestamp" },
	{ 0 },
};

static const struct cli_option exec_options[] = {
	{ "detach", 'd', CLI_BOOL, 0, .help = "Detached mode: Run command in the background" },
	{ "env", 'e', CLI_STRINGS, 0, .help = "Set environment variables" },
	{ "index", 0, CLI_INT, 0, .help = "Index of the container if service has multiple replicas" },
	{ "interactive", 'i', CLI_BOOL, CLI_HIDDEN, .help = "Keep STDIN open even if not attached", .def = "true" },
	{ "no-tty", 'T', CLI_BOOL, 0, .help = "Disable pseudo-TTY allocation. By default '{prog} exec' allocates a TTY." },
	{ "privileged", 0, CLI_BOOL, 0, .help = "Give extended privileges to the process" },
	{ "tty", 't', CLI_BOOL, CLI_HIDDEN, .help = "Allocate a pseudo-TTY", .def = "true" },
	{ "user", 'u', CLI_STRING, 0, .help = "Run the command as this user" },
	{ "workdir", 'w', CLI_STRING, 0, .help = "Path to workdir directory for this command" },
	{ 0 },
};

static const struct cli_option export_options[] = {
	{ "index", 0, CLI_INT, 0, .help = "index of the container if service has multiple replicas." },
	{ "output", 'o', CLI_STRING, 0, .help = "Write to a file, instead of STDOUT" },
	{ 0 },
};

static const struct cli_option diff_options[] = {
	{ "index", 0, CLI_INT, 0, .help = "index of the container if service has multiple replicas." },
	{ 0 },
};

static const struct cli_option image_history_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "human", 'H', CLI_BOOL, 0, .help = "Print sizes and dates in human readable format", .def = "true" },
	{ "no-trunc", 0, CLI_BOOL, 0, .help = "Don't truncate output" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only show image IDs" },
	{ 0 },
};

static const struct cli_option image_build_options[] = {
	{ "add-host", 0, CLI_STRINGS, 0, .help = "Add a host to /etc/hosts of the steps (name=address)", .var = "list" },
	{ "allow", 0, CLI_STRINGS, 0, .help = "Allow steps what they ask for (network.host, security.insecure)", .var = "list" },
	{ "build-arg", 0, CLI_STRINGS, 0, .help = "Set build-time variables" },
	{ "build-context", 0, CLI_STRINGS, 0, .help = "Additional build contexts (NAME=DIRECTORY, NAME=docker-image://IMAGE)" },
	{ "cache-from", 0, CLI_STRINGS, 0, .help = "External cache sources (IMAGE, type=local,src=DIRECTORY)" },
	{ "cache-to", 0, CLI_STRINGS, 0, .help = "Cache export destinations (type=inline, type=local,dest=DIRECTORY)" },
	{ "check", 0, CLI_BOOL, 0, .help = "Check the Dockerfile, and build nothing" },
	{ "file", 'f', CLI_STRING, 0, .help = "Name of the Dockerfile (default: \"PATH/Dockerfile\"); - is standard input" },
	{ "iidfile", 0, CLI_STRING, 0, .help = "Write the image ID to a file" },
	{ "label", 0, CLI_STRINGS, 0, .help = "Set metadata for an image" },
	{ "memory", 'm', CLI_STRING, 0, .help = "Memory limit of each step", .var = "bytes" },
	{ "network", 0, CLI_STRING, 0, .help = "Network of the RUN instructions: default, none or host" },
	{ "no-cache", 0, CLI_BOOL, 0, .help = "Do not use cache when building the image" },
	{ "no-cache-filter", 0, CLI_STRINGS, 0, .help = "Do not cache specified stages" },
	{ "platform", 0, CLI_STRING, 0, .help = "Build for this platform (linux/arm64) instead of this machine's" },
	{ "progress", 0, CLI_STRING, 0, .help = "Type of progress output (auto, tty, plain, json, rawjson, quiet)",
	  .choices = "auto|tty|plain|json|rawjson|quiet" },
	{ "pull", 0, CLI_BOOL, 0, .help = "Always attempt to pull a newer version of base images" },
	{ "push", 0, CLI_BOOL, 0, .help = "Push the image to its registry" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Suppress the build output and print the image ID on success" },
	{ "secret", 0, CLI_STRINGS, 0, .help = "Secret to expose to the build (id=ID,src=PATH; id=ID,env=NAME)" },
	{ "shm-size", 0, CLI_STRING, 0, .help = "Size of /dev/shm of the steps", .var = "bytes" },
	{ "ssh", 0, CLI_STRINGS, 0, .help = "SSH agent socket to expose to the build (default, ID=SOCKET)" },
	{ "tag", 't', CLI_STRINGS, 0, .help = "Name and optionally a tag (NAME:TAG)" },
	{ "target", 0, CLI_STRING, 0, .help = "Set the target build stage to build" },
	{ "ulimit", 0, CLI_STRINGS, 0, .help = "Ulimits of the steps (NAME=SOFT[:HARD])" },
	{ 0 },
};

static const struct cli_option image_import_options[] = {
	{ "change", 'c', CLI_STRINGS, 0, .help = "Apply Dockerfile instruction to the created image", .var = "list" },
	{ 0 },
};

static const struct cli_option image_inspect_options[] = {
	{ "format", 'f', CLI_STRING, 0,
	  .help = "Format output using a custom template:\n"
	          "'json':             One object a line\n"
	          "'TEMPLATE':         Print output using the given Go template" },
	{ 0 },
};

static const struct cli_option image_load_options[] = {
	{ "input", 'i', CLI_STRING, 0, .help = "Read from tar archive file, instead of STDIN" },
	{ "platform", 0, CLI_STRING, 0, .help = "Load this platform's image of those that the archive has (linux/arm64)" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Suppress the load output" },
	{ 0 },
};

static const struct cli_option image_ls_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Show all images (intermediate ones, that docker hides, do not exist here)" },
	{ "digests", 0, CLI_BOOL, 0, .help = "Show digests" },
	{ "filter", 'f', CLI_STRINGS, 0, .help = "Filter output based on conditions: before, dangling, label, reference, since, until", .var = "filter" },
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "no-trunc", 0, CLI_BOOL, 0, .help = "Don't truncate output" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display IDs" },
	{ 0 },
};

static const struct cli_option image_prune_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Remove all unused images, not just dangling ones" },
	{ "filter", 0, CLI_STRINGS, 0, .help = "Provide filter values (e.g. \"until=<timestamp>\", \"label=<key>\")", .var = "filter" },
	{ "force", 'f', CLI_BOOL, 0, .help = "Do not prompt for confirmation" },
	{ 0 },
};

static const struct cli_option image_save_options[] = {
	{ "compression", 0, CLI_STRING, 0, .help = "Write every layer like this, instead of as it was pulled (none, gzip, zstd)",
	  .choices = "none|gzip|zstd" },
	{ "format", 0, CLI_STRING, 0, .help = "combined: for docker, podman and skopeo; docker-archive; oci-archive", .def = "combined",
	  .choices = "combined|docker-archive|oci-archive" },
	{ "output", 'o', CLI_STRING, 0, .help = "Write to a file, instead of STDOUT" },
	{ 0 },
};

static const struct cli_option image_verify_options[] = {
	{ "repair", 0, CLI_BOOL, 0, .help = "Remove what is damaged, so that the next pull or load puts it back" },
	{ 0 },
};

static const struct cli_option system_df_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "verbose", 'v', CLI_BOOL, 0, .help = "Show detailed information on space usage" },
	{ 0 },
};

static const struct cli_option system_prune_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Remove all unused images not just dangling ones" },
	{ "filter", 0, CLI_STRINGS, 0, .help = "Provide filter values (e.g. \"label=<key>=<value>\")", .var = "filter" },
	{ "force", 'f', CLI_BOOL, 0, .help = "Do not prompt for confirmation" },
	{ "volumes", 0, CLI_BOOL, 0, .help = "Prune anonymous volumes" },
	{ 0 },
};

static const struct cli_option image_pull_options[] = {
	{ "platform", 0, CLI_STRING, 0, .help = "Pull the image for this platform (linux/arm64) instead of this machine's" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Pull without printing progress information" },
	{ 0 },
};

static const struct cli_option image_push_options[] = {
	{ "all-tags", 'a', CLI_BOOL, 0, .help = "Push all tags of the repository" },
	{ "compression", 0, CLI_STRING, 0, .help = "How layers are compressed that were built or imported here (\"gzip\"|\"zstd\"|\"none\")",
	  .def = "gzip", .choices = "gzip|zstd|none" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Push without printing progress information" },
	{ 0 },
};

static const struct cli_option image_rm_options[] = {
	{ "force", 'f', CLI_BOOL, 0, .help = "Remove all names of an image given by its ID" },
	{ 0 },
};

static const struct cli_option images_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = "Format the output. Values: [table | json]", .def = "table" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display IDs" },
	{ 0 },
};

static const struct cli_option kill_options[] = {
	{ "remove-orphans", 0, CLI_BOOL, 0, .help = "Remove containers for services not defined in the Compose file" },
	{ "signal", 's', CLI_STRING, 0, .help = "SIGNAL to send to the container", .def = "SIGKILL" },
	{ 0 },
};

static const struct cli_option login_options[] = {
	{ "password-stdin", 0, CLI_BOOL, 0, .help = "Take the password from stdin" },
	{ "username", 'u', CLI_STRING, 0, .help = "Username" },
	{ 0 },
};

static const struct cli_option logs_options[] = {
	{ "follow", 'f', CLI_BOOL, 0, .help = "Follow log output" },
	{ "index", 0, CLI_INT, 0, .help = "index of the container if service has multiple replicas" },
	{ "no-color", 0, CLI_BOOL, 0, .help = "Produce monochrome output" },
	{ "no-log-prefix", 0, CLI_BOOL, 0, .help = "Don't print prefix in logs" },
	{ "since", 0, CLI_STRING, 0,
	  .help = "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)" },
	{ "tail", 'n', CLI_STRING, 0, .help = "Number of lines to show from the end of the logs for each container", .def = "all" },
	{ "timestamps", 't', CLI_BOOL, 0, .help = "Show timestamps" },
	{ "until", 0, CLI_STRING, 0,
	  .help = "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)" },
	{ 0 },
};

static const struct cli_option ls_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Show all stopped Compose projects" },
	{ "filter", 0, CLI_STRINGS, 0, .help = "Filter output based on conditions provided", .var = "filter" },
	{ "format", 0, CLI_STRING, 0, .help = "Format the output. Values: [table | json]", .def = "table", .choices = "table|json" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display project names" },
	{ 0 },
};

static const struct cli_option network_create_options[] = {
	{ "attachable", 0, CLI_BOOL, 0, .help = "Enable manual container attachment (always so)" },
	{ "aux-address", 0, CLI_STRINGS, 0, .help = "Address that no container gets, as NAME=ADDRESS" },
	{ "driver", 'd', CLI_STRING, 0, .help = "Driver to manage the Network", .def = "bridge" },
	{ "gateway", 0, CLI_STRING, 0, .help = "IPv4 gateway for the subnet" },
	{ "internal", 0, CLI_BOOL, 0, .help = "Restrict external access to the network" },
	{ "ip-range", 0, CLI_STRING, 0, .help = "Allocate container addresses from a part of the subnet" },
	{ "ipv6", 0, CLI_BOOL, CLI_LATER, .help = "Enable IPv6 address assignment" },
	{ "label", 0, CLI_STRINGS, 0, .help = "Set metadata on a network" },
	{ "opt", 'o', CLI_STRINGS, CLI_LATER, .help = "Set driver specific options" },
	{ "subnet", 0, CLI_STRING, 0, .help = "Subnet in CIDR format" },
	{ 0 },
};

static const struct cli_option network_inspect_options[] = {
	{ "format", 'f', CLI_STRING, 0, .help = FORMAT_HELP },
	{ 0 },
};

static const struct cli_option network_ls_options[] = {
	{ "filter", 'f', CLI_STRINGS, 0, .help = "Provide filter values (e.g. name=web, label=K=V)", .var = "filter" },
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "no-trunc", 0, CLI_BOOL, 0, .help = "Don't truncate the output" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display network names" },
	{ 0 },
};

static const struct cli_option network_prune_options[] = {
	{ "filter", 0, CLI_STRINGS, 0, .help = "Provide filter values (e.g. label=K=V)", .var = "filter" },
	{ "force", 'f', CLI_BOOL, 0, .help = "Do not prompt for confirmation" },
	{ 0 },
};

static const struct cli_option network_rm_options[] = {
	{ "force", 'f', CLI_BOOL, 0, .help = "A network that does not exist is no error" },
	{ 0 },
};

static const struct cli_option plan_options[] = {
	{ "always-recreate-deps", 0, CLI_BOOL, 0, .help = "Recreate dependent containers. Incompatible with --no-recreate." },
	{ "force-recreate", 0, CLI_BOOL, 0, .help = "Recreate containers even if their configuration and image haven't changed" },
	{ "format", 0, CLI_STRING, 0, .help = "Format the output. Values: [text | json]", .def = "text", .choices = "text|json" },
	{ "no-deps", 0, CLI_BOOL, 0, .help = "Don't start linked services" },
	{ "no-recreate", 0, CLI_BOOL, 0,
	  .help = "If containers already exist, don't recreate them. Incompatible with --force-recreate." },
	{ "no-start", 0, CLI_BOOL, 0, .help = "Don't start the services after creating them" },
	{ "remove-orphans", 0, CLI_BOOL, 0, .help = "Remove containers for services not defined in the Compose file" },
	{ "renew-anon-volumes", 'V', CLI_BOOL, 0,
	  .help = "Recreate anonymous volumes instead of retrieving data from the previous containers" },
	{ "scale", 0, CLI_STRINGS, 0,
	  .help = "Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.", .var = "scale" },
	{ 0 },
};

static const struct cli_option port_options[] = {
	{ "index", 0, CLI_INT, 0, .help = "Index of the container if service has multiple replicas" },
	{ "protocol", 0, CLI_STRING, 0, .help = "tcp or udp", .def = "tcp", .choices = "tcp|udp" },
	{ 0 },
};

static const struct cli_option ps_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Show all stopped containers (including those created by the run command)" },
	{ "filter", 0, CLI_STRING, 0, .help = "Filter services by a property (supported filters: status)" },
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "no-trunc", 0, CLI_BOOL, 0, .help = "Don't truncate output" },
	{ "orphans", 0, CLI_BOOL, 0, .help = "Include orphaned services (not declared by project)", .def = "true" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display IDs" },
	{ "services", 0, CLI_BOOL, 0, .help = "Display services" },
	{ "status", 0, CLI_STRINGS, 0,
	  .help = "Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]",
	  .choices = "paused|restarting|removing|running|dead|created|exited" },
	{ 0 },
};

static const struct cli_option publish_options[] = {
	{ "app", 0, CLI_BOOL, 0, .help = "Published compose application (includes referenced images)" },
	{ "insecure-registry", 0, CLI_BOOL, CLI_HIDDEN, .help = "Use insecure registry" },
	{ "oci-version", 0, CLI_STRING, 0, .help = "OCI image/artifact specification version (automatically determined by default)" },
	{ "resolve-image-digests", 0, CLI_BOOL, 0, .help = "Pin image tags to digests" },
	{ "with-env", 0, CLI_BOOL, 0, .help = "Include environment variables in the published OCI artifact" },
	{ "yes", 'y', CLI_BOOL, 0, .help = "Assume \"yes\" as answer to all prompts" },
	{ 0 },
};

static const struct cli_option pull_options[] = {
	{ "ignore-buildable", 0, CLI_BOOL, 0, .help = "Ignore images that can be built" },
	{ "ignore-pull-failures", 0, CLI_BOOL, 0, .help = "Pull what it can and ignores images with pull failures" },
	{ "include-deps", 0, CLI_BOOL, 0, .help = "Also pull services declared as dependencies" },
	{ "no-parallel", 0, CLI_BOOL, CLI_HIDDEN, .help = "DEPRECATED disable parallel pulling", .def = "true" },
	{ "parallel", 0, CLI_BOOL, CLI_HIDDEN, .help = "DEPRECATED pull multiple images in parallel", .def = "true" },
	{ "policy", 0, CLI_STRING, 0, .help = "Apply pull policy (\"missing\"|\"always\")", .choices = "missing|always" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Pull without printing progress information" },
	{ 0 },
};

static const struct cli_option push_options[] = {
	{ "ignore-push-failures", 0, CLI_BOOL, 0, .help = "Push what it can and ignores images with push failures" },
	{ "include-deps", 0, CLI_BOOL, 0, .help = "Also push images of services declared as dependencies" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Push without printing progress information" },
	{ 0 },
};

static const struct cli_option restart_options[] = {
	{ "no-deps", 0, CLI_BOOL, 0, .help = "Don't restart dependent services" },
	{ "timeout", 't', CLI_INT, 0, .help = "Specify a shutdown timeout in seconds" },
	{ 0 },
};

static const struct cli_option rm_options[] = {
	{ "all", 'a', CLI_BOOL, CLI_HIDDEN, .help = "Deprecated - no effect" },
	{ "force", 'f', CLI_BOOL, 0, .help = "Don't ask to confirm removal" },
	{ "stop", 's', CLI_BOOL, 0, .help = "Stop the containers, if required, before removing" },
	{ "volumes", 'v', CLI_BOOL, 0, .help = "Remove any anonymous volumes attached to containers" },
	{ 0 },
};

static const struct cli_option run_options[] = {
	{ "build", 0, CLI_BOOL, 0, .help = "Build image before starting container" },
	{ "cap-add", 0, CLI_STRINGS, 0, .help = "Add Linux capabilities", .var = "list" },
	{ "cap-drop", 0, CLI_STRINGS, 0, .help = "Drop Linux capabilities", .var = "list" },
	{ "detach", 'd', CLI_BOOL, 0, .help = "Run container in background and print container ID" },
	{ "entrypoint", 0, CLI_STRING, 0, .help = "Override the entrypoint of the image" },
	{ "env", 'e', CLI_STRINGS, 0, .help = "Set environment variables" },
	{ "env-from-file", 0, CLI_STRINGS, 0, .help = "Set environment variables from file" },
	{ "interactive", 'i', CLI_BOOL, 0, .help = "Keep STDIN open even if not attached", .def = "true" },
	{ "label", 'l', CLI_STRINGS, 0, .help = "Add or override a label" },
	{ "name", 0, CLI_STRING, 0, .help = "Assign a name to the container" },
	{ "no-TTY", 0, CLI_BOOL, CLI_HIDDEN, .help = "Same as --no-tty" },
	{ "no-deps", 0, CLI_BOOL, 0, .help = "Don't start linked services" },
	{ "no-tty", 'T', CLI_BOOL, 0, .help = "Disable pseudo-TTY allocation (default: auto-detected)" },
	{ "publish", 'p', CLI_STRINGS, 0, .help = "Publish a container's port(s) to the host" },
	{ "pull", 0, CLI_STRING, 0,
	  .help = "Pull image before running (\"always\"|\"missing\"|\"never\")",
	  .def = "policy", .choices = "policy|always|missing|never|build" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Don't print anything to STDOUT" },
	{ "quiet-build", 0, CLI_BOOL, 0, .help = "Suppress progress output from the build process" },
	{ "quiet-pull", 0, CLI_BOOL, 0, .help = "Pull without printing progress information" },
	{ "remove-orphans", 0, CLI_BOOL, 0, .help = "Remove containers for services not defined in the Compose file" },
	{ "rm", 0, CLI_BOOL, 0, .help = "Automatically remove the container when it exits" },
	{ "service-ports", 'P', CLI_BOOL, 0, .help = "Run command with all service's ports enabled and mapped to the host" },
	{ "tty", 't', CLI_BOOL, CLI_HIDDEN, .help = "Allocate a pseudo-TTY", .def = "true" },
	{ "use-aliases", 0, CLI_BOOL, 0, .help = "Use the service's network useAliases in the network(s) the container connects to" },
	{ "user", 'u', CLI_STRING, 0, .help = "Run as specified username or uid" },
	{ "volume", 'v', CLI_STRINGS, 0, .help = "Bind mount a volume" },
	{ "workdir", 'w', CLI_STRING, 0, .help = "Working directory inside the container" },
	{ 0 },
};

static const struct cli_option scale_options[] = {
	{ "no-deps", 0, CLI_BOOL, 0, .help = "Don't start linked services" },
	{ 0 },
};

static const struct cli_option start_options[] = {
	{ "wait", 0, CLI_BOOL, 0, .help = "Wait for services to be running|healthy. Implies detached mode." },
	{ "wait-timeout", 0, CLI_INT, 0, .help = "Maximum duration in seconds to wait for the project to be running|healthy" },
	{ 0 },
};

static const struct cli_option stats_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Show all containers (default shows just running)" },
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "no-stream", 0, CLI_BOOL, 0, .help = "Disable streaming stats and only pull the first result" },
	{ "no-trunc", 0, CLI_BOOL, 0, .help = "Do not truncate output" },
	{ 0 },
};

static const struct cli_option stop_options[] = {
	{ "timeout", 't', CLI_INT, 0, .help = "Specify a shutdown timeout in seconds" },
	{ 0 },
};

static const struct cli_option up_options[] = {
	{ "abort-on-container-exit", 0, CLI_BOOL, 0, .help = "Stops all containers if any container was stopped. Incompatible with -d" },
	{ "abort-on-container-failure", 0, CLI_BOOL, 0,
	  .help = "Stops all containers if any container exited with failure. Incompatible with -d" },
	{ "always-recreate-deps", 0, CLI_BOOL, 0, .help = "Recreate dependent containers. Incompatible with --no-recreate." },
	{ "attach", 0, CLI_STRINGS, 0, .help = "Restrict attaching to the specified services. Incompatible with --attach-dependencies." },
	{ "attach-dependencies", 0, CLI_BOOL, 0, .help = "Automatically attach to log output of dependent services" },
	{ "build", 0, CLI_BOOL, 0, .help = "Build images before starting containers" },
	{ "detach", 'd', CLI_BOOL, 0, .help = "Detached mode: Run containers in the background" },
	{ "exit-code-from", 0, CLI_STRING, 0,
	  .help = "Return the exit code of the selected service container. Implies --abort-on-container-exit" },
	{ "force-recreate", 0, CLI_BOOL, 0, .help = "Recreate containers even if their configuration and image haven't changed" },
	{ "menu", 0, CLI_BOOL, CLI_LATER,
	  .help = "Enable interactive shortcuts when running attached. Incompatible with --detach. Can also be "
	          "enable/disable by setting COMPOSE_MENU environment var." },
	{ "no-attach", 0, CLI_STRINGS, 0, .help = "Do not attach (stream logs) to the specified services" },
	{ "no-build", 0, CLI_BOOL, 0, .help = "Don't build an image, even if it's policy" },
	{ "no-color", 0, CLI_BOOL, 0, .help = "Produce monochrome output" },
	{ "no-deps", 0, CLI_BOOL, 0, .help = "Don't start linked services" },
	{ "no-log-prefix", 0, CLI_BOOL, 0, .help = "Don't print prefix in logs" },
	{ "no-recreate", 0, CLI_BOOL, 0,
	  .help = "If containers already exist, don't recreate them. Incompatible with --force-recreate." },
	{ "no-start", 0, CLI_BOOL, 0, .help = "Don't start the services after creating them" },
	{ "pull", 0, CLI_STRING, 0,
	  .help = "Pull image before running (\"always\"|\"missing\"|\"never\")",
	  .def = "policy", .choices = "policy|always|missing|never|build" },
	{ "quiet-build", 0, CLI_BOOL, 0, .help = "Suppress the build output" },
	{ "quiet-pull", 0, CLI_BOOL, 0, .help = "Pull without printing progress information" },
	{ "remove-orphans", 0, CLI_BOOL, 0, .help = "Remove containers for services not defined in the Compose file" },
	{ "renew-anon-volumes", 'V', CLI_BOOL, 0,
	  .help = "Recreate anonymous volumes instead of retrieving data from the previous containers" },
	{ "scale", 0, CLI_STRINGS, 0,
	  .help = "Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.", .var = "scale" },
	{ "timeout", 't', CLI_INT, 0,
	  .help = "Use this timeout in seconds for container shutdown when attached or when containers are already running" },
	{ "timestamps", 0, CLI_BOOL, 0, .help = "Show timestamps" },
	{ "wait", 0, CLI_BOOL, 0, .help = "Wait for services to be running|healthy. Implies detached mode." },
	{ "wait-timeout", 0, CLI_INT, 0, .help = "Maximum duration in seconds to wait for the project to be running|healthy" },
	{ "watch", 'w', CLI_BOOL, CLI_LATER, .help = "Watch source code and rebuild/refresh containers when files are updated." },
	{ "yes", 'y', CLI_BOOL, 0, .help = "Assume \"yes\" as answer to all prompts and run non-interactively" },
	{ 0 },
};

static const struct cli_option version_options[] = {
	{ "format", 'f', CLI_STRING, 0,
	  .help = "Format the output. Values: [pretty | json]. (Default: pretty)", .choices = "pretty|json" },
	{ "short", 0, CLI_BOOL, 0, .help = "Shows only the version number" },
	{ 0 },
};

static const struct cli_option volume_create_options[] = {
	{ "driver", 'd', CLI_STRING, 0, .help = "Specify volume driver name", .def = "local" },
	{ "label", 0, CLI_STRINGS, 0, .help = "Set metadata for a volume" },
	{ "opt", 'o', CLI_STRINGS, CLI_LATER, .help = "Set driver specific options" },
	{ 0 },
};

static const struct cli_option volume_inspect_options[] = {
	{ "format", 'f', CLI_STRING, 0, .help = FORMAT_HELP },
	{ 0 },
};

static const struct cli_option volume_ls_options[] = {
	{ "filter", 'f', CLI_STRINGS, 0, .help = "Provide filter values (e.g. dangling=true, label=K=V)", .var = "filter" },
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display volume names" },
	{ 0 },
};

static const struct cli_option volume_prune_options[] = {
	{ "all", 'a', CLI_BOOL, 0, .help = "Remove all unused volumes, not just anonymous ones" },
	{ "filter", 0, CLI_STRINGS, 0, .help = "Provide filter values (e.g. label=K=V)", .var = "filter" },
	{ "force", 'f', CLI_BOOL, 0, .help = "Do not prompt for confirmation" },
	{ 0 },
};

static const struct cli_option volume_rm_options[] = {
	{ "force", 'f', CLI_BOOL, 0, .help = "A volume that does not exist is no error" },
	{ 0 },
};

static const struct cli_option volumes_options[] = {
	{ "format", 0, CLI_STRING, 0, .help = FORMAT_HELP, .def = "table" },
	{ "quiet", 'q', CLI_BOOL, 0, .help = "Only display volume names" },
	{ 0 },
};

static const struct cli_option wait_options[] = {
	{ "down-project", 0, CLI_BOOL, 0, .help = "Drops project when the first container stops" },
	{ 0 },
};

static const struct cli_option watch_options[] = {
	{ "no-up", 0, CLI_BOOL, 0, .help = "Do not build & start services before watching" },
	{ "prune", 0, CLI_BOOL, 0, .help = "Prune dangling images on rebuild", .def = "true" },
	{ "quiet", 0, CLI_BOOL, 0, .help = "hide build output" },
	{ 0 },
};

static const char *const up_conflicts[] = {
	"build", "no-build",
	"force-recreate", "no-recreate",
	"always-recreate-deps", "no-recreate",
	"no-recreate", "renew-anon-volumes",
	"attach", "attach-dependencies",
	"wait", "abort-on-container-exit",
	"wait", "abort-on-container-failure",
	"wait", "attach",
	"wait", "attach-dependencies",
	"wait", "watch",
	"detach", "abort-on-container-exit",
	"detach", "abort-on-container-failure",
	"detach", "attach",
	"detach", "attach-dependencies",
	"detach", "watch",
	"no-build", "watch",
	"abort-on-container-failure", "abort-on-container-exit",
	"wait", "exit-code-from",
	"detach", "exit-code-from",
	NULL,
};

static const char *const create_conflicts[] = {
	"build", "no-build",
	"force-recreate", "no-recreate",
	NULL,
};

static const char *const plan_conflicts[] = {
	"force-recreate", "no-recreate",
	"always-recreate-deps", "no-recreate",
	"no-recreate", "renew-anon-volumes",
	NULL,
};

static const char *const run_conflicts[] = {
	"service-ports", "publish",
	"no-tty", "tty",
	NULL,
};

static const char *const exec_conflicts[] = {
	"no-tty", "tty",
	NULL,
};

const struct cli_command cli_commands[] = {
	{ "alpha", "alpha [OPTIONS] COMMAND", "Experimental commands",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP | CLI_HIDDEN, NULL },
	{ "alpha dry-run", "alpha dry-run -- [COMMAND...]",
	  "EXPERIMENTAL - Dry run command allows you to test a command without applying changes",
	  NULL, NULL, NULL, 0, -1, CLI_LATER | CLI_HIDDEN, NULL },
	{ "alpha generate", "alpha generate [OPTIONS] [CONTAINERS...]", "EXPERIMENTAL - Generate a Compose file from existing containers",
	  NULL, alpha_generate_options, NULL, 0, -1, CLI_LATER | CLI_HIDDEN, NULL },
	{ "alpha publish", "alpha publish [OPTIONS] REPOSITORY[:TAG]", "Publish compose application",
	  NULL, alpha_publish_options, NULL, 1, 1, CLI_LATER | CLI_HIDDEN, NULL },
	{ "alpha scale", "alpha scale [SERVICE=REPLICAS...]", "Scale services",
	  NULL, alpha_scale_options, NULL, 1, -1, CLI_LATER | CLI_HIDDEN, "service" },
	{ "alpha viz", "alpha viz [OPTIONS]", "EXPERIMENTAL - Generate a graphviz graph from your compose file",
	  NULL, alpha_viz_options, NULL, 0, 0, CLI_LATER | CLI_HIDDEN, NULL },
	{ "alpha watch", "alpha watch [SERVICE...]",
	  "Watch build context for service and rebuild/refresh containers when files are updated",
	  NULL, alpha_watch_options, NULL, 0, -1, CLI_LATER | CLI_HIDDEN, "service" },
	{ "attach", "attach [OPTIONS] SERVICE", "Attach local standard input, output, and error streams to a service's running container",
	  NULL, attach_options, NULL, 1, 1, CLI_LATER, "service" },
	{ "bridge", "bridge [OPTIONS] COMMAND", "Convert compose files into another model",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "bridge convert", "bridge convert", "Convert compose files to Kubernetes manifests, Helm charts, or another model",
	  NULL, bridge_convert_options, NULL, 0, 0, CLI_LATER, NULL },
	{ "bridge transformations", "bridge transformations [OPTIONS] COMMAND", "Manage transformation images",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "bridge transformations create", "bridge transformations create [OPTION] PATH", "Create a new transformation",
	  NULL, bridge_transformations_create_options, NULL, 1, 1, CLI_LATER, NULL },
	{ "bridge transformations list", "bridge transformations list", "List available transformations",
	  NULL, bridge_transformations_list_options, NULL, 0, 0, CLI_LATER, NULL },
	{ "build", "build [OPTIONS] [SERVICE...]", "Build or rebuild services",
	  NULL, build_options, NULL, 0, -1, 0, "service" },
	{ "builder", "builder COMMAND", "Manage what builds keep",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "builder prune", "builder prune [OPTIONS]", "Remove cached steps of builds that no image needs",
	  NULL, builder_prune_options, NULL, 0, 0, 0, NULL },
	{ "commit", "commit [OPTIONS] SERVICE [REPOSITORY[:TAG]]", "Create a new image from a service container's changes",
	  NULL, commit_options, NULL, 1, 2, 0, "service" },
	{ "completion", "completion SHELL", "Print the completion script for bash or zsh",
	  NULL, NULL, NULL, 1, 1, CLI_PLAIN, NULL },
	{ "config", "config [OPTIONS] [SERVICE...]", "Parse, resolve and render compose file in canonical format",
	  NULL, config_options, config_conflicts, 0, -1, CLI_PLAIN, "service" },
	{ "convert", "convert [OPTIONS] [SERVICE...]", "Parse, resolve and render compose file in canonical format",
	  NULL, convert_options, NULL, 0, -1, CLI_HIDDEN | CLI_PLAIN, "service" },
	{ "cp", "cp [OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\ncp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
	  "Copy files/folders between a service container and the local filesystem",
	  NULL, cp_options, NULL, 2, 2, CLI_LATER, NULL },
	{ "create", "create [OPTIONS] [SERVICE...]", "Creates containers for a service",
	  NULL, create_options, create_conflicts, 0, -1, 0, "service" },
	{ "debug", "debug [OPTIONS] [failpoints [on|off|NAME=ACTION[@N]...]]", "Print what a bug report needs: paths, processes, records",
	  NULL, NULL, NULL, 0, -1, CLI_HIDDEN, NULL },
	{ "diff", "diff [OPTIONS] SERVICE", "Show what a container changed in its filesystem",
	  "Show what a container changed in its filesystem\n\nA: added, C: changed, D: deleted.",
	  diff_options, NULL, 1, 1, 0, "service" },
	{ "down", "down [OPTIONS] [SERVICES]", "Stop and remove containers, networks",
	  NULL, down_options, NULL, 0, -1, 0, "service" },
	{ "events", "events [OPTIONS] [SERVICE...]", "Receive real time events from containers",
	  NULL, events_options, NULL, 0, -1, CLI_LATER, "service" },
	{ "exec", "exec [OPTIONS] SERVICE COMMAND [ARGS...]", "Execute a command in a running container",
	  NULL, exec_options, exec_conflicts, 2, -1, CLI_STOP, "service" },
	{ "export", "export [OPTIONS] SERVICE", "Export a service container's filesystem as a tar archive",
	  NULL, export_options, NULL, 1, 1, 0, "service" },
	{ "image", "image COMMAND", "Manage images",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "image build", "image build [OPTIONS] PATH|-", "Build an image from a Dockerfile",
	  "Build an image from a Dockerfile\n"
	  "\n"
	  "PATH is the build context. With \"-\" it is a tar archive on standard input, or\n"
	  "a Dockerfile that needs no context.\n"
	  "\n"
	  "A cache that --cache-to exports with mode=max has every step of every stage.\n"
	  "One of mode=min (the default), or in an image (type=inline), has the image's own\n"
	  "layers: stages that files are copied from are built again, before it is known\n"
	  "whether what is copied is the same. A registry has 15 seconds to give what\n"
	  "--cache-from asks for, then the steps are run.",
	  image_build_options, NULL, 1, 1, 0, "file" },
	{ "image history", "image history [OPTIONS] IMAGE", "Show the history of an image",
	  NULL, image_history_options, NULL, 1, 1, 0, "image" },
	{ "image import", "image import [OPTIONS] FILE|- NAME[:TAG]",
	  "Make an image of a root file system, a tar archive (plain, gzip, zstd)",
	  NULL, image_import_options, NULL, 2, 2, 0, "file" },
	{ "image inspect", "image inspect [OPTIONS] IMAGE [IMAGE...]", "Show what an image consists of, as JSON",
	  NULL, image_inspect_options, NULL, 1, -1, 0, "image" },
	{ "image load", "image load [OPTIONS]", "Load images from an archive as docker save or skopeo write it",
	  NULL, image_load_options, NULL, 0, 0, 0, NULL },
	{ "image ls", "image ls [OPTIONS] [REPOSITORY[:TAG]]", "List images",
	  NULL, image_ls_options, NULL, 0, 1, 0, "image" },
	{ "image prune", "image prune [OPTIONS]", "Remove unused images",
	  NULL, image_prune_options, NULL, 0, 0, 0, NULL },
	{ "image pull", "image pull [OPTIONS] NAME[:TAG|@DIGEST] [NAME...]", "Pull images from their registries",
	  "Pull images from their registries\n"
	  "\n"
	  "A name without a registry is docker.io's, unless an alias of registries.conf(5)\n"
	  "says otherwise; its mirrors, insecure and blocked registries are honoured, its\n"
	  "search lists are not. Credentials are those of $DOCKER_AUTH_CONFIG, docker's\n"
	  "config.json and containers' auth.json; a credential helper that fails is an\n"
	  "error. A pull that was broken off goes on where it was.",
	  image_pull_options, NULL, 1, -1, 0, NULL },
	{ "image push", "image push [OPTIONS] NAME[:TAG]", "Push an image to its registry",
	  "Push an image to its registry\n"
	  "\n"
	  "An image that was pulled or loaded goes out byte for byte, under its own digest;\n"
	  "one that was built or imported is compressed first. What the registry has is\n"
	  "not sent: neither to this repository nor, when it can be mounted, to another.",
	  image_push_options, NULL, 1, 1, 0, "image" },
	{ "image rm", "image rm [OPTIONS] IMAGE [IMAGE...]", "Remove images",
	  NULL, image_rm_options, NULL, 1, -1, 0, "image" },
	{ "image save", "image save [OPTIONS] IMAGE [IMAGE...]", "Save one or more images to a tar archive (streamed to STDOUT by default)",
	  NULL, image_save_options, NULL, 1, -1, 0, "image" },
	{ "image tag", "image tag IMAGE NAME[:TAG]", "Give an image one more name",
	  NULL, NULL, NULL, 2, 2, 0, "image" },
	{ "image verify", "image verify [OPTIONS]", "Read everything in the image store again and compare it with its digests",
	  NULL, image_verify_options, NULL, 0, 0, 0, NULL },
	{ "images", "images [OPTIONS] [SERVICE...]", "List images used by the created containers",
	  NULL, images_options, NULL, 0, -1, 0, "service" },
	{ "kill", "kill [OPTIONS] [SERVICE...]", "Force stop service containers",
	  NULL, kill_options, NULL, 0, -1, 0, "service" },
	{ "login", "login [OPTIONS] [REGISTRY]", "Check credentials for a registry and keep them",
	  "Check credentials for a registry and keep them\n"
	  "\n"
	  "Without REGISTRY it is docker.io. They are kept where docker keeps them, in\n"
	  "~/.docker/config.json, readable by its owner only, or in the credential\n"
	  "helper that this file names.",
	  login_options, NULL, 0, 1, CLI_PLAIN, NULL },
	{ "logout", "logout [REGISTRY]", "Forget the credentials for a registry",
	  NULL, NULL, NULL, 0, 1, CLI_PLAIN, NULL },
	{ "logs", "logs [OPTIONS] [SERVICE...]", "View output from containers",
	  NULL, logs_options, NULL, 0, -1, 0, "service" },
	{ "ls", "ls [OPTIONS]", "List running compose projects",
	  NULL, ls_options, NULL, 0, 0, 0, NULL },
	{ "network", "network COMMAND", "Manage networks",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "network create", "network create [OPTIONS] NETWORK", "Create a network for several projects",
	  "Create a network for several projects\n"
	  "\n"
	  "A Compose file uses it as an external one (networks.NAME.external: true).",
	  network_create_options, NULL, 1, 1, 0, NULL },
	{ "network inspect", "network inspect [OPTIONS] NETWORK [NETWORK...]", "Show networks and who is on them, as JSON",
	  NULL, network_inspect_options, NULL, 1, -1, 0, "network" },
	{ "network ls", "network ls [OPTIONS]", "List networks",
	  NULL, network_ls_options, NULL, 0, 0, 0, NULL },
	{ "network prune", "network prune [OPTIONS]", "Remove networks of no project that no container uses",
	  NULL, network_prune_options, NULL, 0, 0, 0, NULL },
	{ "network rm", "network rm [OPTIONS] NETWORK [NETWORK...]", "Remove networks of no project",
	  NULL, network_rm_options, NULL, 1, -1, 0, "network" },
	{ "pause", "pause [SERVICE...]", "Pause services",
	  NULL, NULL, NULL, 0, -1, CLI_LATER, "service" },
	{ "plan", "plan [OPTIONS] [SERVICE...]", "Show what up would do, and why",
	  "Show what up would do, and why\n\nExit code 0: nothing to do, 2: there are changes, 1: an error.",
	  plan_options, plan_conflicts, 0, -1, 0, "service" },
	{ "port", "port [OPTIONS] SERVICE PRIVATE_PORT", "Print the public port for a port binding",
	  NULL, port_options, NULL, 2, 2, 0, "service" },
	{ "ps", "ps [OPTIONS] [SERVICE...]", "List containers",
	  NULL, ps_options, NULL, 0, -1, 0, "service" },
	{ "publish", "publish [OPTIONS] REPOSITORY[:TAG]", "Publish compose application",
	  NULL, publish_options, NULL, 1, 1, CLI_LATER, NULL },
	{ "pull", "pull [OPTIONS] [SERVICE...]", "Pull service images",
	  NULL, pull_options, NULL, 0, -1, 0, "service" },
	{ "push", "push [OPTIONS] [SERVICE...]", "Push service images",
	  NULL, push_options, NULL, 0, -1, 0, "service" },
	{ "restart", "restart [OPTIONS] [SERVICE...]", "Restart service containers",
	  NULL, restart_options, NULL, 0, -1, 0, "service" },
	{ "rm", "rm [OPTIONS] [SERVICE...]", "Removes stopped service containers",
	  "Removes stopped service containers\n"
	  "\n"
	  "By default, anonymous volumes attached to containers will not be removed. You\n"
	  "can override this with -v. To list all volumes, use \"{prog} volume ls\".\n"
	  "\n"
	  "Any data which is not in a volume will be lost.",
	  rm_options, NULL, 0, -1, 0, "service" },
	{ "run", "run [OPTIONS] SERVICE [COMMAND] [ARGS...]", "Run a one-off command on a service",
	  NULL, run_options, run_conflicts, 1, -1, CLI_STOP, "service" },
	{ "scale", "scale [SERVICE=REPLICAS...]", "Scale services",
	  NULL, scale_options, NULL, 1, -1, 0, "service" },
	{ "start", "start [SERVICE...]", "Start services",
	  NULL, start_options, NULL, 0, -1, 0, "service" },
	{ "stats", "stats [OPTIONS] [SERVICE]", "Display a live stream of container(s) resource usage statistics",
	  NULL, stats_options, NULL, 0, -1, CLI_LATER, "service" },
	{ "stop", "stop [OPTIONS] [SERVICE...]", "Stop services",
	  NULL, stop_options, NULL, 0, -1, 0, "service" },
	{ "system", "system COMMAND", "Show and free disk space",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "system df", "system df [OPTIONS]", "Show disk usage",
	  NULL, system_df_options, NULL, 0, 0, 0, NULL },
	{ "system prune", "system prune [OPTIONS]", "Remove unused data",
	  NULL, system_prune_options, NULL, 0, 0, 0, NULL },
	{ "top", "top [SERVICES...]", "Display the running processes",
	  NULL, NULL, NULL, 0, -1, CLI_LATER, "service" },
	{ "unpause", "unpause [SERVICE...]", "Unpause services",
	  NULL, NULL, NULL, 0, -1, CLI_LATER, "service" },
	{ "up", "up [OPTIONS] [SERVICE...]", "Create and start containers",
	  NULL, up_options, up_conflicts, 0, -1, 0, "service" },
	{ "version", "version [OPTIONS]", "Show the version information",
	  NULL, version_options, NULL, 0, 0, CLI_PLAIN, NULL },
	{ "volume", "volume COMMAND", "Manage volumes",
	  NULL, NULL, NULL, 0, 0, CLI_GROUP, NULL },
	{ "volume create", "volume create [OPTIONS] [VOLUME]", "Create a volume",
	  NULL, volume_create_options, NULL, 0, 1, 0, NULL },
	{ "volume inspect", "volume inspect [OPTIONS] VOLUME [VOLUME...]", "Show volumes as JSON",
	  NULL, volume_inspect_options, NULL, 1, -1, 0, "volume" },
	{ "volume ls", "volume ls [OPTIONS]", "List volumes",
	  NULL, volume_ls_options, NULL, 0, 0, 0, NULL },
	{ "volume prune", "volume prune [OPTIONS]", "Remove volumes that no container uses",
	  NULL, volume_prune_options, NULL, 0, 0, 0, NULL },
	{ "volume rm", "volume rm [OPTIONS] VOLUME [VOLUME...]", "Remove volumes that no container uses",
	  NULL, volume_rm_options, NULL, 1, -1, 0, "volume" },
	{ "volumes", "volumes [OPTIONS] [SERVICE...]", "List volumes",
	  NULL, volumes_options, NULL, 0, -1, 0, "service" },
	{ "wait", "wait SERVICE [SERVICE...] [OPTIONS]", "Block until containers of all (or specified) services stop.",
	  NULL, wait_options, NULL, 1, -1, 0, "service" },
	{ "watch", "watch [SERVICE...]", "Watch build context for service and rebuild/refresh containers when files are updated",
	  NULL, watch_options, NULL, 0, -1, CLI_LATER, "service" },
	{ 0 },
};
