/* SPDX-License-Identifier: Apache-2.0 */
/* The loader's front door: compose files → canonical model + diagnostics. It reads files and the environment it is
 * given and nothing else: no daemon, no network, no state. Phases, in the order of the Compose reference loader: discovery → parse →
 * interpolation → include → extends → merge → unicity → schema → canonical form → defaults → paths → normalisation →
 * profiles → consistency → selection → environment. */
#ifndef SPEC_LOAD_H
#define SPEC_LOAD_H

#include "base/json.h"
#include "spec/diag.h"
#include "spec/tree.h"

struct load_options {
	const char *const *files;         /* -f, in order, NULL-terminated; "-" = standard input; NULL or empty: COMPOSE_FILE, else discovery */
	const char *project_directory;    /* --project-directory; NULL: directory of the first file */
	const char *project_name;         /* -p; NULL: COMPOSE_PROJECT_NAME, `name:`, directory */
	const char *const *profiles;      /* --profile; NULL or empty: COMPOSE_PROFILES */
	const char *const *env_files;     /* --env-file; NULL or empty: COMPOSE_ENV_FILES, else .env */
	const char *const *environ;       /* "K=V" strings, NULL-terminated: the process environment */
	const char *working_dir;          /* absolute; NULL: getcwd() */
	const char *const *services;      /* named on the command line: only these and what they depend on; NULL or empty: all */
	bool no_deps;                     /* with services: without what they depend on */
	bool no_interpolate, no_normalize, no_path_resolution, no_consistency, no_env_resolution;
	bool all_resources;               /* keep networks, volumes … that no service uses */
	bool tree_only;                   /* leave config NULL: who prints the tree needs none */
	bool compatibility;               /* names with "_"; else COMPOSE_COMPATIBILITY says */
	bool trace;                       /* keep what spec/explain.h needs */
};

struct load_variable {
	const char *name;
	const char *def;                  /* the default in the file, "" when none */
	const char *alternate;            /* of ${V:+alternate} */
	bool required;
};

struct load_result {
	struct arena *arena;              /* that of the diags: everything here but config and the lists lives in it */
	json_t *config;                   /* the canonical model, `$` not escaped; owned; NULL with tree_only */
	struct node *tree;                /* the same model with positions */
	struct trace *trace;              /* NULL without the option */
	const char *name;                 /* project name */
	const char *name_origin;          /* what gave it: "-p", "COMPOSE_PROJECT_NAME", "name", "the directory" */
	struct pos name_pos;              /* of COMPOSE_PROJECT_NAME in an env file */
	const char *working_dir;          /* project directory, absolute */
	char separator;                   /* in the names of containers and images: '-'; '_' in compatibility mode */
	bool no_interpolate;              /* the variables are still in it */
	struct strv files;                /* compose files, absolute, for the label project.config_files */
	struct strv env_files;            /* that were read */
	struct strv environment;          /* "K=V", sorted: what interpolation sees */
	struct strv profiles;             /* active ones */
	struct strv all_profiles;         /* all that the files name, sorted */
	struct strv disabled;             /* services off by profile, sorted */
	struct load_variable *variables;  /* in the files, sorted by name */
	size_t n_variables;
};

/* Loads a project. ds must have been initialised with the arena that the result shall live in. Returns 0 (ds may hold
 * warnings), or -1 with at least one error in ds and *ret untouched. */
int load_project(const struct load_options *opts, struct load_result *ret, struct diags *ds);
void load_result_done(struct load_result *r); /* NULL and zeroed are fine; the arena stays the caller's */

/* The place of a path of the model ("services.web.ports[0]"): of the key where there is one, else of the value; of the nearest
 * ancestor when nobody wrote it. False when not even that has a place. */
bool load_position(const struct load_result *r, const char *path, struct pos *ret);
/* The service's member of config (borrowed), NULL when absent. */
const json_t *load_service(const struct load_result *r, const char *service);

/* The project's directory, name and files without reading what is in the services: for commands that work on what runs.
 * A missing file is no error when a name is known (-p or COMPOSE_PROJECT_NAME). *ret_name and *ret_dir live in ds' arena. 0 or -1. */
int load_identity(const struct load_options *opts, const char **ret_name, const char **ret_dir, struct diags *ds);

#endif
