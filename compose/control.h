/* SPDX-License-Identifier: Apache-2.0 */
/* How commands talk to the project's supervisor: JSON frames on the stream socket <run>/<project>/control.
 *
 * First frame of a connection {"op":"hello","protocol":1,"build":VERSION}, answered {"ok":true,"build":…}. Then requests; each is answered
 * by events and one {"done":true,"exit":0[,"error":"text","error_code":N]}. Requests of one project are carried out one after another
 * ({"event":"queued"} after a second in the queue). The requests are listed below. */
#ifndef COMPOSE_CONTROL_H
#define COMPOSE_CONTROL_H

#include "base/json.h"
#include "compose/paths.h"

enum { CONTROL_PROTOCOL = 1 };

/* Requests:
 *   up       desired, services [names; empty = all], options {recreate: diverged|force|never, always_recreate_deps, no_deps, no_start,
 *            remove_orphans, timeout_s (absent = each service's grace period), renew_anon_volumes, scale {SERVICE: N}, wait,
 *            wait_timeout_s}; create and scale are up with options
 *   start    services, options {wait, wait_timeout_s}
 *   stop     services, timeout_s
 *   restart  services, timeout_s, no_deps
 *   kill     services, signal, remove_orphans (services of the file in "known"); beside an operation under way it does not queue
 *   rm       services, stop, volumes, timeout_s, containers [ids]
 *   down     services, timeout_s, volumes, remove_orphans, known [service names in the file; absent = all]
 *   run      desired, service, run {name, command|null, entrypoint|null, env ["K=V"], user, working_dir, labels, tty, stdin, detach, rm,
 *            service_ports, publish [canonical ports], use_aliases, no_deps, volumes [canonical mounts]}; descriptor 0 of the frame: read
 *            end for stdin (when stdin && !tty). Answers {"event":"attach","id","name"} before the start, with descriptors: the pty's
 *            master when tty, else two read descriptors of stdout.log and stderr.log (read each to its end again whenever it grows,
 *            inotify on /proc/self/fd/N, and once more after "done": then every byte is there); then {"event":"started"}, and done with
 *            exit = the command's (with detach: done right after the start, exit 0).
 *   resize   id, rows, cols (tty)
 *   signal   id, signal (to a `run` container)
 *   renew    origin; descriptor 0 of the frame: a sealed muster-run of another build, which takes over once no operation is under way. No
 *            answer: the connection ends
 *   cancel   ends the wait of the request in progress on this project
 *   follow   [id]: streams events for ever; the first answer is {"event":"following"}, with "exit_code" when the one-off container `id` has ended
 *            and nobody was told so
 * Any request may carry "parallel" (how many containers start or stop at once; absent: any number) and
 * "request_id" (random text): one that comes again with the same id after a crash joins the first or gets its
 * result. A container's log directory (runtime/logs_reader.h) is <root>/projects/<project>/c/<id12>/log.
 * Events: {"event":"container|network|volume|image","name","id","status":TEXT[,"text"]} for progress, TEXT as docker compose prints it
 * (Creating, Created, Starting, Started, Waiting, Healthy, Exited, Running, Recreate, Recreated, Restarting, Stopping, Stopped, Killing,
 * Killed, Removing, Removed, Error); {"event":"warning","text"}; {"event":"queued"}. To followers, of every container:
 * {"event":"state","action":"create|start|exit|restart|stop|remove","id","name","service","number","oneoff","exit_code","oom",
 * "will_restart","time_ns"}; "exit" comes after the last log byte is in the log file. */

/* Connects and says hello. start: brings up anchor and supervisor when nobody listens; otherwise returns -2 when nobody does.
 * Returns a blocking socket or -1 + err. Only root and the owner of the run directory are served. */
int control_connect(const struct paths *p, const char *project, bool start, struct err *err);

/* Sends one request (borrowed) with descriptors (borrowed). */
int control_send(int fd, const json_t *request, const int *fds, size_t n_fds, struct err *err);

/* Receives one frame: 1 and *ret (new reference), 0 when the supervisor went away, -1 + err. fds as sock_recv(). */
int control_recv(int fd, json_t **ret, int *fds, size_t *n_fds, struct err *err);

/* Connects and follows: what happens from its return on comes as an event, what has happened before stands in the records. start and the result as of
 * control_connect(). id (may be NULL): a one-off container, *ret_exit is then its exit code when it has ended and nobody was told so (-1: the status is
 * unknown), else -2. */
int control_follow(const struct paths *p, const char *project, bool start, const char *id, int *ret_exit, struct err *err);

/* Sends a request and hands each event to fn until "done". Returns its exit (>= 0) with *err set when it carried an error; -1 + err when
 * the connection broke for good. When the supervisor dies meanwhile and `again` is true, reconnects and sends the request once more (safe
 * for all but run and kill). fn may be NULL. */
int control_request(const struct paths *p, const char *project, const json_t *request, bool start, bool again,
		    void (*fn)(void *arg, const json_t *event), void *arg, struct err *err);

#endif
