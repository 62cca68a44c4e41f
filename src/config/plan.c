/*
 * The limits plan: whether what the file promises fits what the machine allows, with the arithmetic.
 *
 *     open files:   reserve + workers + pipes + listeners + clients + pools + logs     <= RLIMIT_NOFILE
 *     local ports:  what all pools together may open to one address            <= ip_local_port_range
 *     memory:       the keys of all rate limits                                <= half of the machine's
 *     backlog:      what a listening socket asks for, against net.core.somaxconn: it is cut, which is said but works
 *     shedding:     at which numbers new work is refused; nothing is compared
 *
 * Each sum is the worst case: every client connected, every pool full. A gateway whose worst case fits never learns at
 * peak hour that it does not.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/complain.h"
#include "base/units.h"
#include "config/read.h"
#include "io/io.h"

/* Standard streams, the administration's connections, libraries, and room to look around with. */
#define FILES_RESERVE 64
/* Of each loop: epoll, its wake-up, and the descriptor kept back for shedding. */
#define FILES_PER_WORKER 3
/* Both ends of what large content may be in. Opened only while half of the files are left; those that are lent stay when the others come. */
#define PIPE_FILES_PER_WORKER (2 * IO_PIPES_MAX)

#define PATH_MAX_BYTES 64

/* --- the machine ------------------------------------------------------------------------------------------------ */

/* Reads up to two numbers from a file of /proc/sys; what is not there is left as it is. */
static void proc_read(const char *path, unsigned *first, unsigned *second)
{
	FILE *f = fopen(path, "re");
	char line[64] = "";

	if (f == NULL)
		return;
	if (fgets(line, sizeof(line), f) != NULL) {
		char *end = line;
		unsigned long a = strtoul(line, &end, 10), b = strtoul(end, NULL, 10);
		if (a > 0 && a < UINT32_MAX)
			*first = (unsigned)a;
		if (second != NULL && b > 0 && b < UINT32_MAX)
			*second = (unsigned)b;
	}
	fclose(f);
}

void config_machine_read(struct config_machine *machine)
{
	struct rlimit files = {0};
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned ignored;

	/* Linux's own defaults, for where /proc is not mounted. */
	*machine = (struct config_machine){.backlog_max = 4096, .ports_from = 32768, .ports_to = 60999};
	machine->processors = processors > 0 ? (unsigned)processors : 1;
	getrlimit(RLIMIT_NOFILE, &files);
	machine->files_max = files.rlim_max == RLIM_INFINITY ? UINT64_MAX : files.rlim_max;
	machine->memory_max = config_memory_max();
	proc_read("/proc/sys/net/core/somaxconn", &machine->backlog_max, &ignored);
	proc_read("/proc/sys/net/ipv4/ip_local_port_range", &machine->ports_from, &machine->ports_to);
}

/* --- the table -------------------------------------------------------------------------------------------------- */

struct plan {
	const struct config *config;
	const struct config_machine *machine;
	struct config_complaints *complaints;
	FILE *to;
	unsigned workers;
	uint64_t files;
};

__attribute__((format(printf, 3, 4))) static void row(FILE *to, const char *label, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(to, "  %-10s %-44s", label, text);
}

static void verdict(FILE *to, uint64_t needed, uint64_t max)
{
	fprintf(to, " %10" PRIu64 "  of %" PRIu64 ": %s\n", needed, max, needed <= max ? "fits" : "TOO MANY");
}

static void files_add(struct plan *p, uint64_t n)
{
	fprintf(p->to, " %10" PRIu64 "\n", n);
	p->files += n;
}

/*
 * What may be open to one endpoint beside max_connections. With HTTP/2 the workers share streams, and each may have a
 * connection that is not full while the others make use of all of theirs.
 */
static uint64_t pool_unfilled(const struct plan *p, const struct config_upstream *upstream)
{
	return upstream->protocol == CONFIG_PROTOCOL_H2 ? p->workers - 1 : 0;
}

static uint64_t pool_extra(const struct plan *p, const struct config_upstream *upstream)
{
	return upstream->pool.max_overflow + pool_unfilled(p, upstream) + upstream->health.enabled;
}

/* What may be open to one endpoint. */
static uint64_t pool_connections(const struct plan *p, const struct config_upstream *upstream)
{
	return upstream->pool.max_connections + pool_extra(p, upstream);
}

static uint64_t pool_files(const struct plan *p, const struct config_upstream *upstream)
{
	return upstream->endpoint_count * pool_connections(p, upstream);
}

/* What max_connections has to be for `connections` to one endpoint, all others among them; 0: it alone cannot do it. */
static uint64_t pool_lowered(const struct plan *p, const struct config_upstream *upstream, uint64_t connections)
{
	uint64_t extra = pool_extra(p, upstream);

	return connections > extra ? connections - extra : 0;
}

/* The same for both numbers together, when lowering the one is not enough. */
static uint64_t pool_together(const struct plan *p, const struct config_upstream *upstream, uint64_t connections)
{
	uint64_t others = pool_extra(p, upstream) - upstream->pool.max_overflow;

	return connections > others ? connections - others : 1;
}

/* --- open files ------------------------------------------------------------------------------------------------- */

/* A unix socket's path can be bound once only: the first worker has it alone. */
static void files_of_listeners(struct plan *p)
{
	size_t local = 0, count = p->config->listener_count;

	for (size_t i = 0; i < count; i++)
		local += p->config->listeners[i].address.u.any.sa_family == AF_UNIX;
	if (count > local) {
		row(p->to, "listeners", "%zu x %u workers", count - local, p->workers);
		files_add(p, (uint64_t)(count - local) * p->workers);
	}
	if (local > 0) {
		row(p->to, "listeners", "%zu unix, of one worker", local);
		files_add(p, local);
	}
	for (size_t i = 0; i < count; i++) {
		const struct config_listener *l = &p->config->listeners[i];
		row(p->to, "clients", "%.*s", (int)l->name.n, l->name.p);
		files_add(p, l->limits.connections);
	}
}

/* " + n what"; nothing for 0. Returns how long it is. */
static size_t addend(char *to, size_t room, uint64_t n, const char *what)
{
	return n == 0 ? 0 : (size_t)snprintf(to, room, " + %" PRIu64 " %s", n, what);
}

static void files_of_pools(struct plan *p)
{
	for (size_t i = 0; i < p->config->upstream_count; i++) {
		const struct config_upstream *u = &p->config->upstreams[i];
		bool alone = pool_extra(p, u) == 0;
		char extra[96] = "";
		size_t n = addend(extra, sizeof(extra), u->pool.max_overflow, "overflow");

		n += addend(extra + n, sizeof(extra) - n, pool_unfilled(p, u), "not full");
		addend(extra + n, sizeof(extra) - n, u->health.enabled, "check");
		row(p->to, "pool", "%.*s: %zu x %s%u%s%s", (int)u->name.n, u->name.p, u->endpoint_count,
			alone ? "" : "(", u->pool.max_connections, extra, alone ? "" : ")");
		files_add(p, pool_files(p, u));
	}
}

/* The administration has 32 connections in it, unless it is given more. */
static uint64_t files_reserve(const struct config *config)
{
	bool more = config->admin.enabled && config->admin.connections > 32;

	return FILES_RESERVE + (more ? config->admin.connections - 32 : 0);
}

static void files_count(struct plan *p)
{
	bool access = p->config->log.access;
	const char *path = p->config->log.access_path;

	row(p->to, "reserve", "%s", "");
	files_add(p, files_reserve(p->config));
	row(p->to, "workers", "%u x %u", p->workers, FILES_PER_WORKER);
	files_add(p, (uint64_t)p->workers * FILES_PER_WORKER);
	row(p->to, "pipes", "%u x %u", p->workers, PIPE_FILES_PER_WORKER);
	files_add(p, (uint64_t)p->workers * PIPE_FILES_PER_WORKER);
	files_of_listeners(p);
	files_of_pools(p);
	row(p->to, "logs", "%s", access ? path : "");
	files_add(p, access && strcmp(path, "-") != 0);
}

/* Which number, lowered alone, makes it fit: the largest one. Returns what to lower it to; 0 when it alone cannot. */
static uint64_t files_culprit(const struct plan *p, uint64_t over, char path[PATH_MAX_BYTES])
{
	const struct config_upstream *pool = NULL;
	uint64_t largest = 0;

	for (size_t i = 0; i < p->config->listener_count; i++) {
		uint64_t n = p->config->listeners[i].limits.connections;
		if (n > largest) {
			largest = n;
			snprintf(path, PATH_MAX_BYTES, "listeners[%zu].limits.connections", i);
		}
	}
	for (size_t i = 0; i < p->config->upstream_count; i++) {
		uint64_t n = pool_files(p, &p->config->upstreams[i]);
		if (n > largest) {
			largest = n;
			pool = &p->config->upstreams[i];
			snprintf(path, PATH_MAX_BYTES, "upstreams[%zu].pool.max_connections", i);
		}
	}
	uint64_t left = largest > over ? largest - over : 0;

	return pool == NULL ? left : pool_lowered(p, pool, left / pool->endpoint_count);
}

static void files_plan(struct plan *p)
{
	uint64_t max = p->machine->files_max;
	char path[PATH_MAX_BYTES] = "", choice[64] = "";

	fprintf(p->to, "open files\n");
	files_count(p);
	row(p->to, "together", "%s", "");
	if (max == UINT64_MAX)
		fprintf(p->to, " %10" PRIu64 "  without a limit: fits\n", p->files);
	else
		verdict(p->to, p->files, max);
	if (p->files <= max)
		return;
	uint64_t lower = files_culprit(p, p->files - max, path);
	if (lower > 0)
		snprintf(choice, sizeof(choice), ", or lower this number to %" PRIu64, lower);
	complain_whole(p->complaints, path,
		"%" PRIu64 " open files may be needed and %" PRIu64 " are allowed; raise that limit "
		"to %" PRIu64 " (ulimit -Hn, systemd's LimitNOFILE=)%s",
		p->files, max, p->files, choice);
}

/* --- local ports ------------------------------------------------------------------------------------------------ */

/* One endpoint, by the address that its connections go to. */
struct target_use {
	char address[ADDRESS_TEXT_MAX];
	const struct config_upstream *upstream;
};

static int target_compare(const void *x, const void *y)
{
	const struct target_use *a = x, *b = y;
	int order = strcmp(a->address, b->address);

	if (order != 0)
		return order;
	return a->upstream->index < b->upstream->index ? -1 : a->upstream->index > b->upstream->index;
}

/* All endpoints that need local ports, sorted. NULL when memory is out, which ends as a complaint. */
static struct target_use *targets_collect(const struct config *c, size_t *count)
{
	struct target_use *uses = calloc(config_endpoint_count(c) + 1, sizeof(*uses));

	*count = 0;
	if (uses == NULL)
		return NULL;
	for (size_t i = 0; i < c->upstream_count; i++) {
		for (size_t k = 0; k < c->upstreams[i].endpoint_count; k++) {
			const struct config_endpoint *e = &c->upstreams[i].endpoints[k];
			if (address_port(&e->address) == 0)
				continue;
			address_format(&e->address, uses[*count].address);
			uses[(*count)++].upstream = &c->upstreams[i];
		}
	}
	qsort(uses, *count, sizeof(*uses), target_compare);
	return uses;
}

/* `uses`: `count` endpoints of one address. */
static void target_plan(struct plan *p, const struct target_use *uses, size_t count)
{
	const struct config_machine *m = p->machine;
	uint64_t ports = m->ports_to >= m->ports_from ? m->ports_to - m->ports_from + 1u : 0;
	const struct config_upstream *largest = uses[0].upstream;
	char path[PATH_MAX_BYTES], choice[64] = "";
	uint64_t needed = 0;

	for (size_t i = 0; i < count; i++) {
		needed += pool_connections(p, uses[i].upstream);
		if (pool_connections(p, uses[i].upstream) > pool_connections(p, largest))
			largest = uses[i].upstream;
	}
	row(p->to, "to", "%s", uses[0].address);
	verdict(p->to, needed, ports);
	if (needed <= ports)
		return;
	uint64_t lower = pool_lowered(p, largest, ports / count);
	if (lower > 0)
		snprintf(choice, sizeof(choice), "lower this number to %" PRIu64, lower);
	else
		snprintf(choice, sizeof(choice), "lower this number and max_overflow to %" PRIu64 " together",
			pool_together(p, largest, ports / count));
	snprintf(path, sizeof(path), "upstreams[%u].pool.max_connections", largest->index);
	complain_whole(p->complaints, path,
		"%" PRIu64 " connections to %s may be open and there are %" PRIu64 " local ports; %s%s, or widen "
		"net.ipv4.ip_local_port_range (now %u to %u)",
		needed, uses[0].address, ports, choice,
		count > 1 ? ", and that of the other upstreams with this endpoint" : "", m->ports_from, m->ports_to);
}

static void ports_plan(struct plan *p)
{
	size_t count;
	struct target_use *uses = targets_collect(p->config, &count);

	if (uses == NULL) {
		complain_whole(p->complaints, "", "there is not enough memory to count local ports");
		return;
	}
	if (count > 0)
		fprintf(p->to, "local ports\n");
	for (size_t first = 0, i = 1; i <= count; i++) {
		if (i < count && strcmp(uses[first].address, uses[i].address) == 0)
			continue;
		target_plan(p, &uses[first], i - first);
		first = i;
	}
	free(uses);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* `path`: whose `keys` take the most. */
static void memory_complain(struct plan *p, uint64_t needed, uint32_t keys, const char *path)
{
	uint64_t max = p->machine->memory_max / 2, others = needed - limit_store_bytes(keys);

	while (keys > 1 && others + limit_store_bytes(keys) > max)
		keys -= keys / 16 + 1;
	complain_whole(p->complaints, path,
		"the keys of all rate limits may take %" PRIu64 " MiB, and half of the machine's memory are %" PRIu64
		" MiB; lower this number to %u",
		(uint64_t)(needed / MIB), (uint64_t)(max / MIB), keys);
}

/* What its keys may take; 0 for a filter of another kind. */
static uint64_t limit_plan(struct plan *p, const struct config_filter *filter, bool is_first)
{
	const struct config_rate_limit *limit = &filter->u.rate_limit;
	uint64_t bytes;

	if (filter->kind != CONFIG_FILTER_RATE_LIMIT)
		return 0;
	if (is_first)
		fprintf(p->to, "memory, in KiB\n");
	bytes = limit_store_bytes(limit->keys_max);
	row(p->to, "rate limit", "%.*s: %u keys", (int)limit->name.n, limit->name.p, limit->keys_max);
	fprintf(p->to, " %10" PRIu64 "\n", (uint64_t)(bytes / KIB));
	return bytes;
}

static void memory_plan(struct plan *p)
{
	uint64_t needed = 0, max = p->machine->memory_max / 2;
	uint32_t most = 0;
	char path[2 * PATH_MAX_BYTES] = "";

	for (size_t i = 0; i < p->config->route_count; i++)
		for (size_t j = 0; j < p->config->routes[i].filter_count; j++) {
			const struct config_filter *filter = &p->config->routes[i].filters[j];
			uint64_t bytes = limit_plan(p, filter, needed == 0);

			needed += bytes;
			if (bytes == 0 || filter->u.rate_limit.keys_max <= most)
				continue;
			most = filter->u.rate_limit.keys_max;
			snprintf(path, sizeof(path), "routes[%zu].filters[%zu].rate_limit.keys", i, j);
		}
	if (needed == 0 || max == 0)
		return;
	row(p->to, "together", "%s", "");
	verdict(p->to, needed / KIB, max / KIB);
	if (needed > max)
		memory_complain(p, needed, most, path);
}

/* --- what is kept ready ------------------------------------------------------------------------------------------- */

static unsigned plan_workers(const struct config *config, const struct config_machine *machine)
{
	if (config->workers != 0)
		return config->workers;
	return machine->processors < CONFIG_WORKERS_MAX ? machine->processors : CONFIG_WORKERS_MAX;
}

/* Each worker keeps min_idle ready, all of them together max_connections at most. */
static uint64_t idle_files(const struct config_upstream *upstream, unsigned workers)
{
	uint64_t each = (uint64_t)upstream->pool.min_idle * workers;

	if (each > upstream->pool.max_connections)
		each = upstream->pool.max_connections;
	return upstream->endpoint_count * each;
}

bool config_plan_idle(
	const struct config *config, const struct config_machine *machine, struct config_complaints *complaints)
{
	unsigned workers = plan_workers(config, machine);
	uint64_t ready = 0, largest = 0;
	uint64_t others = files_reserve(config) + (uint64_t)workers * (FILES_PER_WORKER + config->listener_count);
	char path[PATH_MAX_BYTES] = "";

	*complaints = (struct config_complaints){0};
	for (size_t i = 0; i < config->upstream_count; i++) {
		uint64_t n = idle_files(&config->upstreams[i], workers);
		ready += n;
		if (n <= largest)
			continue;
		largest = n;
		snprintf(path, sizeof(path), "upstreams[%zu].pool.min_idle", i);
	}
	if (ready == 0 || others + ready <= machine->files_max)
		return true;
	complain_whole(complaints, path,
		"%" PRIu64 " connections are to be kept ready, which leaves no open files for clients (%" PRIu64
		" are allowed); lower this number, or raise that limit to %" PRIu64 " at least (ulimit -Hn, systemd's LimitNOFILE=)",
		ready, machine->files_max, others + ready);
	return false;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static void backlog_plan(struct plan *p)
{
	unsigned max = p->machine->backlog_max;

	fprintf(p->to, "backlog\n");
	row(p->to, "each", "%u workers have one of their own", p->workers);
	fprintf(p->to, " %10u  of %u: %s\n", CONFIG_BACKLOG, max,
		CONFIG_BACKLOG <= max ? "fits" : "cut to that; to have it whole, raise net.core.somaxconn");
}

/* A mark, and of what it is a share. */
static void mark_row(struct plan *p, const char *label, unsigned percent, const char *of, const char *mark)
{
	char text[64] = "";

	if (percent > 0)
		snprintf(text, sizeof(text), "%u%% of %s", percent, of);
	row(p->to, label, "%s", text);
	fprintf(p->to, " %10s\n", mark);
}

static const char *bytes_format(uint64_t bytes, char text[SCALAR_TEXT_MAX])
{
	return bytes == 0 ? "none" : scalar_format(UNIT_BYTES, bytes >= MIB ? bytes / MIB * MIB : bytes, text);
}

/* From which numbers on new work is refused. */
static void shedding_plan(struct plan *p)
{
	const struct config_shedding *s = &p->config->shedding;
	struct config_shedding_marks marks = config_shedding_marks(s, p->machine);
	unsigned backlog = CONFIG_BACKLOG < p->machine->backlog_max ? CONFIG_BACKLOG : p->machine->backlog_max;
	char of[SCALAR_TEXT_MAX], mark[SCALAR_TEXT_MAX];

	if (!s->enabled)
		return;
	fprintf(p->to, "shedding begins at\n");
	snprintf(of, sizeof(of), "%" PRIu64, p->machine->files_max);
	snprintf(mark, sizeof(mark), "%" PRIu64, marks.files);
	mark_row(p, "files", marks.files > 0 ? s->files_percent : 0, of, marks.files > 0 ? mark : "none");
	mark_row(p, "memory", marks.memory_bytes > 0 ? s->memory_percent : 0, bytes_format(p->machine->memory_max, of),
		bytes_format(marks.memory_bytes, mark));
	snprintf(of, sizeof(of), "%u", backlog);
	snprintf(mark, sizeof(mark), "%u", backlog * marks.accept_queue_permille / 1000);
	mark_row(p, "accepting", s->accept_queue_percent, of, marks.accept_queue_permille > 0 ? mark : "none");
	mark_row(p, "loop lag", 0, "", marks.loop_lag_us > 0 ? scalar_format(UNIT_TIME, marks.loop_lag_us, mark) : "none");
}

bool config_plan(const struct config *config, const struct config_machine *machine, FILE *to,
	struct config_complaints *complaints)
{
	struct plan p = {config, machine, complaints, to, plan_workers(config, machine), 0};

	*complaints = (struct config_complaints){0};
	files_plan(&p);
	ports_plan(&p);
	memory_plan(&p);
	backlog_plan(&p);
	shedding_plan(&p);
	return !complained(complaints);
}
