/*
 * The second body of io.h: the loops of all workers in one thread, on simulated connections.
 *
 * The driver gives each loop a tick; in between the world moves bytes. Events are edge-triggered exactly as the header
 * says: a change sets bits in file->pending and puts the file on the loop's ready list, the tick hands them over once,
 * and if the owner does not drain then nobody reminds it. Where a fault makes a call give less than was there, the
 * matching change follows a moment later (file->nudge), as if the rest had only then arrived. Reading and writing is in
 * sim_bytes.c, pipes are in sim_pipes.c.
 *
 * Descriptors are reused lowest first, as the kernel does, so that an owner which mixes up an old and a new socket
 * meets the wrong one.
 */
#include "sim_io.h"

#include <errno.h>

#include "sim_faults.h"
#include "sim_file.h"
#include "sim_memory.h"
#include "sim_model.h"
#include "sim_ports.h"
#include "sim_refusals.h"
#include "sim_run.h"
#include "sim_tap.h"
#include "sim_wall.h"

#define NUDGE_MAX_US 2000
#define NUDGES_MAX 500  /* of one connection: beyond it large content would take for ever */

static struct {
	struct sim_file files[FILES_MAX];
	unsigned ios;
} host;

void sim_io_begin(void)
{
	for (int i = 0; i < FILES_MAX; i++)
		SIM_CHECK(host.files[i].kind == FILE_FREE);
	sim_ports_begin();
	host.ios = 0;
}

unsigned sim_sockets_open(void)
{
	unsigned open = 0;

	for (int i = 0; i < FILES_MAX; i++)
		open += host.files[i].kind != FILE_FREE;
	return open;
}

unsigned sim_listening(const struct io *io, unsigned port)
{
	return io->listening[port - CLIENT_PORT];
}

unsigned sim_bound(const struct io *io)
{
	return io->bound;
}

/* --- loop --------------------------------------------------------------------------------------------------------- */

struct io *io_create(void)
{
	struct io *io = sim_alloc(sizeof(*io));

	*io = (struct io){.number = ++host.ios, .now_us = world_now_us()};
	wheel_init(&io->wheel, io->now_us);
	list_init(&io->ready);
	list_init(&io->tasks);
	io->mail_last = &io->mail_first;
	return io;
}

void io_free(struct io *io)
{
	if (io->files != 0 || !list_empty(&io->tasks))
		world_violation("8: nothing is left behind", "io_free with %u sockets, or with tasks", io->files);
	if (sim_pipes_lent(io) > 0)
		world_violation("8: nothing is left behind", "io_free with %u pipes", sim_pipes_lent(io));
	wheel_release(&io->wheel);
	sim_free(io);
}

void io_run(struct io *io)
{
	io->stopped = false;
	while (!io->stopped) {
		world_happen();
		if (!sim_io_tick(io))
			world_advance(deadline_min(world_next_us(), sim_io_next_us(io)));
	}
}

void io_stop(struct io *io)
{
	io->stopped = true;
}

uint64_t io_now_us(const struct io *io)
{
	return io->now_us;
}

/* Work takes no time here. */
uint64_t io_lag_us(const struct io *io, uint64_t since_us)
{
	return 0;
}

void io_pause_begin(struct io *io, struct io_pause *pause)
{
	*pause = (struct io_pause){0};
}

void io_pause_end(struct io *io)
{
}

uint64_t io_wall_us(const struct io *io)
{
	return wall_us(io->now_us);
}

uint64_t io_random(struct io *io)
{
	return world_random();
}

/* While faults are on, of those runs that shed: in one half of a second out of four it is far behind. */
uint64_t io_letter_us(struct io *io)
{
	bool presses = plan.sheds && faults_are_on();

	return presses && (io->now_us / 500000 + io->number) % 4 == 0 ? 2 * US_PER_S : 0;
}

/* Now and then, whatever there is. */
bool io_is_crowded(const struct io *io)
{
	return io->stats.turns % 8 == 0;
}

/* As far as anybody is to be refused for it. */
size_t io_files_open(const struct io *io)
{
	return faults_are_on() ? io->files : 0;
}

const struct io_loop_stats *io_loop_stats(const struct io *io)
{
	return &io->stats;
}

uint64_t io_resident_bytes(struct io *io)
{
	return 0;
}

void io_defer(struct io *io, struct io_task *task)
{
	SIM_CHECK(task->on_run != NULL);
	if (!list_linked(&task->node))
		list_push_back(&io->tasks, &task->node);
}

void io_defer_cancel(struct io *io, struct io_task *task)
{
	list_remove(&task->node);
}

void io_post(struct io *io, struct io_message *message)
{
	message->next = NULL;
	*io->mail_last = message;
	io->mail_last = &message->next;
}

void io_timer_set(struct io *io, struct io_timer *timer, uint64_t deadline_us)
{
	wheel_set(&io->wheel, timer, deadline_us);
}

void io_timer_cancel(struct io *io, struct io_timer *timer)
{
	wheel_cancel(&io->wheel, timer);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

struct sim_file *file_of(const struct io_source *source)
{
	SIM_CHECK(source->fd >= 3 && source->fd < FILES_MAX + 3);
	struct sim_file *file = &host.files[source->fd - 3];

	SIM_CHECK(file->kind != FILE_FREE && file->source == source);
	return file;
}

static void file_change(struct sim_file *file, unsigned events)
{
	if (!file->watched || events == 0)
		return;
	file->pending |= events;
	if (!list_linked(&file->ready))
		list_push_back(&file->io->ready, &file->ready);
}

static void file_nudged(struct sim_event *event)
{
	struct sim_file *file = container_of(event, struct sim_file, nudge);
	unsigned events = file->nudge_events;

	file->nudge_events = 0;
	file_change(file, events);
}

void file_nudge_later(struct sim_file *file, unsigned events)
{
	file->nudge_events |= events;
	file->nudges++;
	if (file->nudge.heap_at == 0)
		world_schedule(&file->nudge, world_now_us() + world_below(NUDGE_MAX_US));
}

bool file_stints(const struct sim_file *file, unsigned permille)
{
	return file->nudges < NUDGES_MAX && world_chance(permille);
}

_Static_assert((int)END_READABLE == (int)IO_READABLE && (int)END_WRITABLE == (int)IO_WRITABLE &&
	(int)END_PEER_CLOSED == (int)IO_PEER_CLOSED && (int)END_BROKEN == (int)IO_BROKEN, "an end's changes are told as they are");

static void end_changed(struct sim_end *end, unsigned changes)
{
	file_change(end->owner, changes);
}

static void file_tell(struct sim_file *file)
{
	unsigned events = file->pending;

	file->pending = 0;
	file->source->due = 0;
	if (file->end != NULL)
		file->end->told_turn = world_turn();
	if (file->kind == FILE_STREAM && world_chance(faults.level_events))
		events |= end_level(file->end);
	file->io->stats.events++;
	world_note(NOTE_EVENT, file->io->number, events, file->end != NULL ? file->end->conn->number : 0);
	struct io_source *source = file->source;

	source->on_event(source, events);
	/* A listener is told as long as somebody waits. */
	if (file->kind == FILE_LISTENER && file->source == source && file->waiting_count > 0)
		file_change(file, IO_READABLE);
}

/* Takes a drawn one of the files that are ready: epoll promises no order. */
static struct sim_file *ready_take(struct list *ready)
{
	struct list_node *node = list_first(ready);
	uint64_t count = 0;

	for (struct list_node *n = node; n != &ready->head; n = n->next)
		count++;
	for (uint64_t skip = world_below(count); skip > 0; skip--)
		node = node->next;
	list_remove(node);
	return container_of(node, struct sim_file, ready);
}

/* A file that is closed meanwhile leaves the batch by itself. */
static void io_tell_events(struct io *io)
{
	struct list batch;

	list_init(&batch);
	list_splice_back(&batch, &io->ready);
	list_each_safe(&batch, node, next) {
		struct sim_file *file = container_of(node, struct sim_file, ready);

		if (world_chance(faults.partial_batch)) {
			list_remove(node);
			list_push_back(&io->ready, node);
		} else {
			file->source->due = file->pending;
		}
	}
	while (!list_empty(&batch))
		file_tell(ready_take(&batch));
}

static void io_take_mail(struct io *io)
{
	struct io_message *message = io->mail_first;

	io->mail_first = NULL;
	io->mail_last = &io->mail_first;
	while (message != NULL) {
		struct io_message *next = message->next;

		message->on_receive(message);
		message = next;
	}
}

/* io.h: after io_close() the memory stays valid until the end of the tick. A sanitizer tells when it is not. */
static void io_touch_closed(struct io *io)
{
	for (unsigned i = 0; i < io->closed_count; i++)
		(void)*(volatile int *)&io->closed[i]->fd;
	io->closed_count = 0;
}

/* What these post waits for the next tick. */
static void io_run_tasks(struct io *io)
{
	struct list posted;

	list_init(&posted);
	list_splice_back(&posted, &io->tasks);
	while (!list_empty(&posted)) {
		struct io_task *task = container_of(list_pop_front(&posted), struct io_task, node);

		task->on_run(task);
	}
}

bool sim_io_tick(struct io *io)
{
	if (sim_io_next_us(io) > world_now_us())
		return false;
	io->in_tick = true;
	io->stats.turns++;
	io->now_us = world_now_us();
	io_tell_events(io);
	io_take_mail(io);
	wheel_advance(&io->wheel, io->now_us);
	io_touch_closed(io);
	io_run_tasks(io);
	io->closed_count = 0;
	io->in_tick = false;
	return true;
}

uint64_t sim_io_next_us(const struct io *io)
{
	if (!list_empty(&io->ready) || !list_empty(&io->tasks) || io->mail_first != NULL)
		return world_now_us();
	return wheel_next_due_us(&io->wheel);
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

/* NULL: too many open files. */
static struct sim_file *file_open(struct io *io, struct io_source *source, enum file_kind kind)
{
	for (int i = 0; i < FILES_MAX; i++) {
		struct sim_file *file = &host.files[i];

		if (file->kind != FILE_FREE)
			continue;
		*file = (struct sim_file){.kind = kind, .io = io, .source = source};
		file->nudge.on_due = file_nudged;
		source->fd = i + 3;
		io->files++;
		return file;
	}
	return NULL;
}

static struct sim_end *listener_take(struct sim_file *listener)
{
	listener->waiting_count--;
	return listener->waiting[listener->waiting_first++ % BACKLOG_MAX];
}

static void listener_add(struct sim_file *listener, struct sim_end *end)
{
	listener->waiting[(listener->waiting_first + listener->waiting_count++) % BACKLOG_MAX] = end;
	file_change(listener, IO_READABLE);
}

/* The kernel spreads connections over all listeners of an address. */
static struct sim_file *listener_draw(unsigned port)
{
	struct sim_file *drawn = NULL;
	unsigned found = 0;

	for (int i = 0; i < FILES_MAX; i++) {
		struct sim_file *file = &host.files[i];

		if (file->kind == FILE_LISTENER && file->listens && file->port == port && file->waiting_count < BACKLOG_MAX &&
			(drawn == NULL || faults.uneven_accept == 0) && world_below(++found) == 0)
			drawn = file;
	}
	return drawn;
}

/* Whoever waits still is lost, as nothing hands them to another one of the address unless the system is told to (tcp_migrate_req). */
static void listener_closes(struct sim_file *file)
{
	file->io->bound--;
	if (!file->listens)
		return;
	file->io->listening[file->port - CLIENT_PORT]--;
	doors_check_close(file->port, file->waiting_count);
	while (file->waiting_count > 0)
		end_reset(listener_take(file), RESET_AFTER_BYTES);
}

/* Takes the file away from its end, which is returned to be closed; NULL when it has none. */
static struct sim_end *file_close(struct sim_file *file)
{
	struct sim_end *end = file->end;
	struct io *io = file->io;

	list_remove(&file->ready);
	if (file->source != NULL)
		file->source->due = 0;
	world_cancel(&file->nudge);
	world_cancel(&file->attempt);
	if (file->kind == FILE_LISTENER)
		listener_closes(file);
	if (end != NULL)
		end->on_change = NULL;
	if (file->checks)
		sim_port_find(file->port)->checks--;
	/* It may have been told so by an event alone. */
	if (file->tap != NULL && end != NULL && (end->reset || end->fin_arrived))
		tap_failed(file->tap);
	if (file->tap != NULL)
		tap_free(file->tap);
	file->tap = NULL;
	/* What was accepted has no port. */
	if (file->kind != FILE_LISTENER && file->port != 0)
		sim_port_find(file->port)->held--;
	/* No event can be on its way to one that was never watched. */
	if (io->in_tick && file->watched && io->closed_count < FILES_MAX)
		io->closed[io->closed_count++] = file->source;
	io->files--;
	file->source->fd = -1;
	file->kind = FILE_FREE;
	file->source = NULL;
	return end;
}

static void file_set_end(struct sim_file *file, struct sim_end *end)
{
	file->kind = FILE_STREAM;
	file->end = end;
	end->owner = file;
	end->on_change = end_changed;
	if (world_chance(faults.reset))
		file->breaks_at = 1 + (world_chance(500) ? world_below(400) : world_below(20000));
}

void io_close(struct io *io, struct io_source *source)
{
	if (source->fd < 0)
		return;
	struct sim_end *end = file_close(file_of(source));

	if (end != NULL)
		end_close(end);
}

void io_abort(struct io *io, struct io_source *source)
{
	if (source->fd < 0)
		return;
	struct sim_end *end = file_close(file_of(source));

	if (end != NULL)
		end_reset(end, world_chance(500) ? RESET_HARD : RESET_AFTER_BYTES);
}

int io_watch(struct io *io, struct io_source *source)
{
	struct sim_file *file = file_of(source);

	SIM_CHECK(!file->watched && file->io == io);
	if (world_chance(faults.watch_fails)) {
		world_note(NOTE_FAULT, FAULT_WATCH, 0, 0);
		return -ENOMEM;
	}
	file->watched = true;
	if (file->kind == FILE_STREAM)
		file_change(file, end_level(file->end));
	else if (file->waiting_count > 0)
		file_change(file, IO_READABLE);
	return 0;
}

void io_unwatch(struct io *io, struct io_source *source)
{
	struct sim_file *file = file_of(source);

	SIM_CHECK(file->kind == FILE_LISTENER && file->watched && file->io == io);
	file->watched = false;
	file->pending = 0;
	file->source->due = 0;
	list_remove(&file->ready);
}

/* --- listening ---------------------------------------------------------------------------------------------------- */

int io_bind(
	struct io *io, struct io_source *source, const struct address *address, const struct io_bind_options *options)
{
	struct sim_file *file;

	if (refusals_bind())
		return -EADDRINUSE;
	for (int i = 0; i < FILES_MAX; i++)
		if (host.files[i].kind == FILE_LISTENER && host.files[i].port == address_port(address) &&
			!options->reuse_port)
			return -EADDRINUSE;
	file = file_open(io, source, FILE_LISTENER);
	if (file == NULL)
		return -EMFILE;
	file->port = address_port(address);
	io->bound++;
	return 0;
}

struct io_file io_bound_file(struct io *io, const struct io_source *source)
{
	return (struct io_file){0};
}

/* What is in the way is met by io_listen(). */
int io_listen_check(struct io *io, const struct io_source *source, const struct io_file *bound)
{
	SIM_CHECK(file_of(source)->kind == FILE_LISTENER);
	return 0;
}

int io_listen(struct io *io, struct io_source *source, int backlog)
{
	struct sim_file *file = file_of(source);

	SIM_CHECK(file->kind == FILE_LISTENER);
	if (refusals_listen(io))
		return -EADDRINUSE;
	if (file->listens)
		return 0;
	file->listens = true;
	io->listening[file->port - CLIENT_PORT]++;
	world_note(NOTE_LISTEN, io->number, file->port, 0);
	return 0;
}

struct sim_conn *sim_connect(unsigned port)
{
	struct sim_file *listener = listener_draw(port);

	if (listener == NULL)
		return NULL;
	struct sim_conn *conn = conn_open(port);

	listener_add(listener, &conn->end[1]);
	return conn;
}

int io_accept_queue(struct io *io, const struct io_source *listener, unsigned *waiting, unsigned *max)
{
	*waiting = file_of(listener)->waiting_count;
	*max = BACKLOG_MAX;
	return 0;
}

bool io_peer_read(struct io *io, const struct io_source *source, struct io_peer *peer)
{
	return false;
}

uint32_t io_accept_drops(struct io *io, const struct io_source *listener)
{
	return 0;
}

int io_accept(struct io *io, struct io_source *listener, struct io_source *source, struct address *peer)
{
	struct sim_file *from = file_of(listener), *file;
	int error = 0;

	if (from->waiting_count == 0)
		return -EAGAIN;
	if (world_chance(faults.accept_emfile))
		error = world_chance(500) ? -EMFILE : -ENFILE;
	else if (world_chance(faults.accept_aborted))
		error = -ECONNABORTED;
	if (error != 0)
		world_note(NOTE_FAULT, FAULT_ACCEPT, 0, (uint64_t)-error);
	if (error == -ECONNABORTED) {
		conn_break(from->waiting[from->waiting_first % BACKLOG_MAX]->conn);
		end_close(listener_take(from));
	}
	if (error != 0)
		return error;
	file = file_open(io, source, FILE_STREAM);
	if (file == NULL)
		return -EMFILE;
	file_set_end(file, listener_take(from));
	world_note(NOTE_ACCEPT, io->number, file->end->conn->number, 0);
	if (!address_parse(peer, "192.0.2.7:4711"))
		world_violation("simulator bug", "the peer's address is not understood");
	return 0;
}

bool io_is_waited_for(const struct io_source *listener)
{
	return file_of(listener)->waiting_count > 0;
}

int io_accept_shed(struct io *io, struct io_source *listener)
{
	struct sim_file *from = file_of(listener);

	if (from->waiting_count == 0)
		return -EAGAIN;
	from->waiting[from->waiting_first % BACKLOG_MAX]->conn->faulted = true;
	end_close(listener_take(from));
	return 0;
}

int io_local_address(struct io *io, const struct io_source *source, struct address *address)
{
	char text[32] = "127.0.0.1:8080";

	SIM_CHECK(file_of(source)->kind == FILE_LISTENER || file_of(source)->kind == FILE_STREAM);
	return address_parse(address, text) ? 0 : -EINVAL;
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static int attempt_finish(struct sim_file *file)
{
	struct sim_port *port = sim_port_find(file->port);

	if (port == NULL || port->refuses || world_chance(faults.connect_refused))
		return -ECONNREFUSED;
	struct sim_conn *conn = conn_open(file->port);

	file_set_end(file, &conn->end[0]);
	file->tap = port->aside ? NULL : tap_new(conn->number, file->port);
	port->on_accept(port, &conn->end[1]);
	return 0;
}

static void attempt_due(struct sim_event *event)
{
	struct sim_file *file = container_of(event, struct sim_file, attempt);
	const struct sim_port *port = sim_port_find(file->port);

	if (port != NULL && port->hangs) {
		world_schedule(&file->attempt, world_now_us() + world_between(1000, 50000));
		return;
	}
	file->result = attempt_finish(file);
	if (file->result != 0)
		world_note(NOTE_FAULT, FAULT_CONNECT, 0, (uint64_t)-file->result);
	file_change(file, file->result == 0 ? IO_WRITABLE : IO_WRITABLE | IO_READABLE | IO_PEER_CLOSED | IO_BROKEN);
}

/* 0, or the error with which io_connect() fails at once. */
static int connect_fault(void)
{
	static const int errors[] = {EMFILE, ENFILE, EADDRNOTAVAIL, ENETUNREACH, ECONNREFUSED};

	/* A health check fails for the others, and for these it must not. */
	return world_chance(faults.connect_fails) ? -errors[world_below(plan.health ? 3 : 5)] : 0;
}

/* Of all workers one checks a server, and one check at a time. */
static void check_begins(struct sim_file *file, struct sim_port *port)
{
	file->checks = true;
	if (++port->checks > 1)
		world_violation("7: one health check at a time", "port %u: %u", port->port, port->checks);
}

/* A check does not wait for the end of a back-off, which is the pool's, and ends none. */
static bool goes_by_back_off(bool checks)
{
	return !checks || plan.servers_h2;
}

static void tell_port(const struct sim_file *file)
{
	if (goes_by_back_off(file->checks))
		port_told(sim_port_find(file->port), file->io->number, file->io->now_us, file->result);
}

int io_connect(struct io *io, struct io_source *source, const struct address *address)
{
	int error = connect_fault();
	struct sim_port *port = sim_port_find(address_port(address));
	bool checks = run_is_check(source);

	SIM_CHECK(port != NULL);
	port->held++;
	port_check_held(port);
	if (goes_by_back_off(checks))
		port_check_connect(port, io->number, io->now_us);

	struct sim_file *file = error == 0 ? file_open(io, source, FILE_CONNECTING) : NULL;

	if (file == NULL) {
		port->held--;
		error = error != 0 ? error : -EMFILE;
		if (goes_by_back_off(checks))
			port_told(port, io->number, io->now_us, error);
		source->fd = -1;
		return error;
	}
	file->port = port->port;
	file->watched = true;
	if (checks)
		check_begins(file, port);
	file->attempt.on_due = attempt_due;
	file->result = -EINPROGRESS;
	if (world_chance(faults.connect_at_once)) {
		file->result = attempt_finish(file);
		tell_port(file);
		if (file->result == 0) {
			if (file->tap != NULL)
				tap_opened(file->tap);
			return 0;
		}
		file->watched = false;
		file_close(file);
		return -ECONNREFUSED;
	}
	if (world_chance(faults.connect_hangs))
		world_note(NOTE_FAULT, FAULT_CONNECT, 0, ETIMEDOUT);
	else
		world_schedule(&file->attempt, world_now_us() + world_below(3000));
	return -EINPROGRESS;
}

int io_connect_result(struct io *io, struct io_source *source)
{
	struct sim_file *file = file_of(source);

	if (file->result != -EINPROGRESS && !file->told) {
		file->told = true;
		if (file->result == 0 && file->tap != NULL)
			tap_opened(file->tap);
		tell_port(file);
	}
	return file->result;
}
