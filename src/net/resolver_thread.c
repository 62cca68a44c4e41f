/*
 * One thread around c-ares, which speaks DNS and knows the system's files but neither repeats a question nor keeps an answer.
 *
 *     owner: resolver_follow --next--> thread: table of names --due--> ask (IPv4, IPv6) --both answered--> host_settle
 *     owner: resolver_answers <------------------'  ^                                                          |
 *     owner: on_change <-----------------------------'--------------------- due again -------------------------'
 *
 * The table and c-ares' channel are the thread's. What the owner may look at is written under the lock: which table it is,
 * and what host_settle changes.
 *
 * Some name servers never answer the one question and always the other. So what is found is known at once; the other question
 * then has PATIENCE_US, after which it counts as failed. It is with c-ares still, is not asked a second time meanwhile, and
 * what it may bring late is heard.
 *
 * Bounds: the owner's names; of each answer the 64 lowest addresses are kept; c-ares bounds the time that a question takes,
 * and an answer is at most 64 KiB. QUESTIONED_MAX names are asked for at once, so that a name server gets no burst of a
 * thousand. Who has waited for SLOW_US is not counted: else a few names whose servers are dead would keep all others waiting.
 *
 * A channel belongs to one table and one state of /etc/resolv.conf: with another, another channel is opened.
 */
#include "net/resolver_state.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

enum {
	QUESTIONED_MAX = 16, /* names that are being asked for, but for slow ones */
	POLLED_MAX = ARES_GETSOCK_MAXNUM + 1,
	SLOW_US = 100 * 1000,
	PATIENCE_US = 500 * 1000,   /* for the second answer, from the first on */
	IDLE_US = 60 * 1000 * 1000, /* with nothing to do the thread looks around as often */
};

#define RESOLV_CONF "/etc/resolv.conf"

/* --- answers -------------------------------------------------------------------------------------------------------- */

static const char *status_text(int status)
{
	switch (status) {
	case ARES_ENOTFOUND: return "the name does not exist";
	case ARES_ENODATA: return "the name has no address";
	case ARES_ETIMEOUT: return "no name server answers";
	/* c-ares makes one of them when it has asked every server. */
	case ARES_ESERVFAIL:
	case ARES_EREFUSED:
	case ARES_ENOTIMP:
	case ARES_ECONNREFUSED: return "every name server fails or refuses to answer";
	case ARES_ENOMEM: return "there is not enough memory to resolve it";
	default: return "the name server's answer cannot be understood";
	}
}

/* What has addresses to be read is FOUND only when some are left. */
static enum host_result status_result(int status)
{
	return status == ARES_ENOTFOUND || status == ARES_ENODATA ? HOST_NOTHING : HOST_FAILED;
}

/* Connecting a datagram socket sends nothing: it only looks for a route. IPv4 is taken as it comes. */
static bool has_route(const struct sockaddr *address, socklen_t n)
{
	if (address->sa_family != AF_INET6)
		return true;
	struct sockaddr_in6 to = *(const struct sockaddr_in6 *)address;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno != EAFNOSUPPORT;
	to.sin6_port = htons(53);
	bool found = connect(fd, (const struct sockaddr *)&to, n) == 0;

	close(fd);
	return found;
}

static bool node_bytes(const struct ares_addrinfo_node *node, unsigned char bytes[16])
{
	struct address address = {.len = node->ai_addrlen};

	if (node->ai_addr == NULL || node->ai_addrlen > sizeof(address.u))
		return false;
	memcpy(&address.u, node->ai_addr, node->ai_addrlen);
	return address_bytes(&address, bytes);
}

/* Every record on the way to the addresses limits how long they are good. */
static void ttl_lower(struct host_answer *answer, int ttl_s)
{
	uint32_t ttl = ttl_s > 0 ? (uint32_t)ttl_s : 0;

	if (ttl < answer->ttl_s)
		answer->ttl_s = ttl;
}

static void answer_read(struct host_answer *answer, const struct ares_addrinfo *info)
{
	answer->ttl_s = UINT32_MAX;
	for (const struct ares_addrinfo_cname *alias = info->cnames; alias != NULL; alias = alias->next)
		ttl_lower(answer, alias->ttl);
	for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next) {
		unsigned char bytes[16];

		ttl_lower(answer, node->ai_ttl);
		if (node_bytes(node, bytes) && has_route(node->ai_addr, node->ai_addrlen))
			host_addresses_add(&answer->addresses, bytes);
	}
	answer->result = answer->addresses.count > 0 ? HOST_FOUND : HOST_NOTHING;
	answer->why = "the name has no address that this machine could reach";
}

static uint64_t random_bits(void)
{
	uint64_t bits = 0;

	/* For jitter: without it the retries are only less spread. */
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) < 0)
		bits = 0;
	return bits;
}

static void name_settle(struct resolver_name *name)
{
	struct resolver *r = name->resolver;
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	name->waiting = false;
	r->waiting--;
	pthread_mutex_lock(&r->lock);
	r->changed |= host_settle(&name->host, name->answers, now_us, random_bits());
	if (name->host.attempts == 1)
		pthread_cond_signal(&r->progress);
	pthread_mutex_unlock(&r->lock);
}

static void name_hear(struct resolver_name *name, enum host_family family)
{
	struct resolver *r = name->resolver;

	pthread_mutex_lock(&r->lock);
	r->changed |= host_hear(&name->host, family, &name->answers[family]);
	pthread_mutex_unlock(&r->lock);
}

/* Nothing is learnt from what c-ares answers while its channel is closed: its questions are asked anew. */
static void name_give_up(struct resolver_name *name)
{
	if (!name->waiting)
		return;
	name->waiting = false;
	name->resolver->waiting--;
	name->host.due_us = 0;
}

/* Also from inside ares_getaddrinfo, where no question to a server is needed. */
static void on_answer(void *argument, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolver_question *question = argument;
	struct resolver_name *name = question->name;
	struct host_answer *answer = &name->answers[question->family];
	const struct resolver_question *other = &name->questions[question->family == HOST_V4 ? HOST_V6 : HOST_V4];

	question->asked = false;
	*answer = (struct host_answer){.result = status_result(status), .why = status_text(status)};
	if (info != NULL) {
		answer_read(answer, info);
		ares_freeaddrinfo(info);
	}
	if (name->resolver->closing) {
		name_give_up(name);
	} else if (name->waiting && !other->asked) {
		name_settle(name);
	} else {
		name_hear(name, question->family);
		if (answer->result == HOST_FOUND)
			name->until_us = clock_us(CLOCK_MONOTONIC) + PATIENCE_US;
	}
}

/* Those whose second answer does not come. */
static void settle_impatient(struct resolver *r)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	for (size_t i = 0; r->waiting > 0 && i < r->table->count; i++)
		if (r->table->names[i].waiting && r->table->names[i].until_us <= now_us)
			name_settle(&r->table->names[i]);
}

/* When the next one's patience is over. */
static uint64_t patience_end(const struct resolver *r)
{
	uint64_t end_us = UINT64_MAX;

	for (size_t i = 0; r->waiting > 0 && i < r->table->count; i++)
		if (r->table->names[i].waiting && r->table->names[i].until_us < end_us)
			end_us = r->table->names[i].until_us;
	return end_us;
}

/* --- the channel ---------------------------------------------------------------------------------------------------- */

static struct timespec resolv_conf_changed(void)
{
	struct stat found;

	return stat(RESOLV_CONF, &found) == 0 ? found.st_mtim : (struct timespec){0};
}

static void channel_close(struct resolver *r)
{
	if (r->channel == NULL)
		return;
	r->closing = true;
	ares_destroy(r->channel);
	r->closing = false;
	r->channel = NULL;
	CHECK(r->waiting == 0);
}

static void server_set(struct ares_addr_port_node *node, const struct address *address)
{
	unsigned char bytes[16];

	CHECK(address_bytes(address, bytes));
	node->family = address->u.any.sa_family;
	if (node->family == AF_INET)
		memcpy(&node->addr.addr4, bytes + 12, 4);
	else
		memcpy(&node->addr.addr6, bytes, 16);
	node->udp_port = node->tcp_port = (int)address_port(address);
}

static bool servers_set(ares_channel channel, const struct resolver_table *table)
{
	struct ares_addr_port_node nodes[RESOLVER_SERVERS_MAX] = {0};

	for (size_t i = 0; i < table->server_count; i++) {
		server_set(&nodes[i], &table->servers[i]);
		if (i > 0)
			nodes[i - 1].next = &nodes[i];
	}
	return table->server_count == 0 || ares_set_servers_ports(channel, nodes) == ARES_SUCCESS;
}

static bool channel_open(struct resolver *r)
{
	struct resolver_table *table = r->table;
	char lookups[] = "fb"; /* files, then DNS */
	struct ares_options options = {.timeout = table->timeout_ms, .tries = table->attempts, .lookups = lookups};

	r->resolv_conf = resolv_conf_changed();
	if (ares_init_options(&r->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS) !=
		ARES_SUCCESS) {
		r->channel = NULL;
		return false;
	}
	if (!servers_set(r->channel, table)) {
		channel_close(r);
		return false;
	}
	return true;
}

/* The system's name servers may be others than they were. */
static void channel_refresh(struct resolver *r)
{
	struct timespec changed = resolv_conf_changed();

	if (changed.tv_sec != r->resolv_conf.tv_sec || changed.tv_nsec != r->resolv_conf.tv_nsec)
		channel_close(r);
}

/* --- asking --------------------------------------------------------------------------------------------------------- */

/* A family whose question of before is unanswered counts as failed, unless the answer comes now. */
static void name_ask(struct resolver_name *name)
{
	static const int families[HOST_FAMILIES] = {AF_INET, AF_INET6};
	struct resolver *r = name->resolver;
	bool late[HOST_FAMILIES];

	name->waiting = true;
	name->asked_us = clock_us(CLOCK_MONOTONIC);
	name->until_us = UINT64_MAX;
	r->waiting++;
	/* Both first: the first may be answered at once, and is not the only one then. */
	for (int f = 0; f < HOST_FAMILIES; f++) {
		name->answers[f] = (struct host_answer){.result = HOST_FAILED, .why = status_text(ARES_ETIMEOUT)};
		late[f] = name->questions[f].asked;
		name->questions[f].asked = true;
	}
	for (int f = 0; f < HOST_FAMILIES; f++) {
		const struct ares_addrinfo_hints hints = {.ai_family = families[f], .ai_flags = ARES_AI_NOSORT};

		if (late[f])
			continue;
		if (r->channel != NULL)
			ares_getaddrinfo(r->channel, name->text, NULL, &hints, on_answer, &name->questions[f]);
		else
			on_answer(&name->questions[f], ARES_ENOMEM, 0, NULL);
	}
}

/* Those who wait longest first, so that none is forgotten where there are many. */
static struct resolver_name *name_due(struct resolver_table *table)
{
	struct resolver_name *first = NULL;

	for (size_t i = 0; table != NULL && i < table->count; i++) {
		struct resolver_name *name = &table->names[i];

		if (!name->waiting && (first == NULL || name->host.due_us < first->host.due_us))
			first = name;
	}
	return first;
}

/* When one more name may be asked for: 0 or a time. */
static uint64_t place_free(const struct resolver *r, uint64_t now_us)
{
	uint64_t free_us = UINT64_MAX;
	unsigned count = 0;

	for (size_t i = 0; r->waiting > 0 && i < r->table->count; i++) {
		const struct resolver_name *name = &r->table->names[i];

		if (!name->waiting || name->asked_us + SLOW_US <= now_us)
			continue;
		count++;
		if (name->asked_us + SLOW_US < free_us)
			free_us = name->asked_us + SLOW_US;
	}
	return count < QUESTIONED_MAX ? 0 : free_us;
}

/* Asks for what is due. When there is more to ask for; UINT64_MAX: nobody knows yet. */
static uint64_t ask_due(struct resolver *r)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC), free_us = 0;
	struct resolver_name *name = name_due(r->table);

	if (name == NULL || name->host.due_us > now_us)
		return name != NULL ? name->host.due_us : UINT64_MAX;
	channel_refresh(r);
	if (r->channel == NULL)
		channel_open(r);
	while (name != NULL && name->host.due_us <= now_us && (free_us = place_free(r, now_us)) == 0) {
		name_ask(name);
		name = name_due(r->table);
	}
	if (name == NULL)
		return UINT64_MAX;
	return free_us > name->host.due_us ? free_us : name->host.due_us;
}

/* --- waiting -------------------------------------------------------------------------------------------------------- */

static size_t sockets_collect(const struct resolver *r, struct pollfd fds[POLLED_MAX])
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	unsigned bits = r->channel != NULL ? (unsigned)ares_getsock(r->channel, sockets, ARES_GETSOCK_MAXNUM) : 0;
	size_t n = 0;

	fds[n++] = (struct pollfd){.fd = r->wake, .events = POLLIN};
	for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
		short events = 0;

		if (ARES_GETSOCK_READABLE(bits, i))
			events |= POLLIN;
		if (bits & (1u << (i + ARES_GETSOCK_MAXNUM)))
			events |= POLLOUT;
		if (events != 0)
			fds[n++] = (struct pollfd){.fd = sockets[i], .events = events};
	}
	return n;
}

static int wait_ms(const struct resolver *r, uint64_t due_us)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC), us = IDLE_US;

	if (due_us < now_us + us)
		us = due_us > now_us ? due_us - now_us : 0;
	if (r->channel != NULL) {
		struct timeval most = {.tv_sec = (time_t)(us / US_PER_S), .tv_usec = (suseconds_t)(us % US_PER_S)},
			       room;
		const struct timeval *next = ares_timeout(r->channel, &most, &room);

		us = (uint64_t)next->tv_sec * US_PER_S + (uint64_t)next->tv_usec;
	}
	return (int)((us + US_PER_MS - 1) / US_PER_MS);
}

static void wait_and_process(struct resolver *r, uint64_t due_us)
{
	struct pollfd fds[POLLED_MAX];
	size_t n = sockets_collect(r, fds);
	uint64_t wakes;

	if (poll(fds, n, wait_ms(r, due_us)) < 0)
		return;
	if (fds[0].revents != 0 && read(r->wake, &wakes, sizeof(wakes)) < 0)
		CHECK(errno == EAGAIN);
	for (size_t i = 1; i < n && r->channel != NULL; i++) {
		bool in = (fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0, out = (fds[i].revents & POLLOUT) != 0;

		if (in || out)
			ares_process_fd(
				r->channel, in ? fds[i].fd : ARES_SOCKET_BAD, out ? fds[i].fd : ARES_SOCKET_BAD);
	}
	if (r->channel != NULL)
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* --- the thread ----------------------------------------------------------------------------------------------------- */

/* Both are sorted. */
static void table_inherit(struct resolver_table *to, const struct resolver_table *from)
{
	size_t at = 0;

	for (size_t i = 0; from != NULL && i < to->count; i++) {
		while (at < from->count && strcmp(from->names[at].text, to->names[i].text) < 0)
			at++;
		if (at < from->count && strcmp(from->names[at].text, to->names[i].text) == 0)
			to->names[i].host = from->names[at].host;
	}
}

/* With another table everybody is asked for anew: name servers and files may be others. */
static void table_take(struct resolver *r)
{
	struct resolver_table *before = r->table;

	channel_close(r);
	table_inherit(r->next, before);
	for (size_t i = 0; i < r->next->count; i++)
		r->next->names[i].host.due_us = 0;
	r->table = r->next;
	r->next = NULL;
	free(before);
	pthread_cond_signal(&r->progress);
}

/* False: it is to end. */
static bool take_orders(struct resolver *r)
{
	pthread_mutex_lock(&r->lock);
	bool goes_on = !r->stop;

	if (goes_on && r->next != NULL)
		table_take(r);
	pthread_mutex_unlock(&r->lock);
	return goes_on;
}

void *resolver_run(void *argument)
{
	struct resolver *r = argument;

	while (take_orders(r)) {
		uint64_t due_us, patience_us;

		settle_impatient(r);
		due_us = ask_due(r);
		patience_us = patience_end(r);
		if (r->changed) {
			r->changed = false;
			r->on_change(r->context);
		}
		wait_and_process(r, due_us < patience_us ? due_us : patience_us);
	}
	channel_close(r);
	return NULL;
}
