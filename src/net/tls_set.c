/*
 * All contexts of a configuration: one of each for each worker, made with that worker's own OpenSSL (tls_library.c), so
 * that no two threads ever touch the same one. Keys and certificates are parsed anew for each, for the same reason.
 */
#include <stdlib.h>

#include "net/tls_state.h"

struct tls_set {
	atomic_uint references;
	const struct config *config; /* one reference */
	unsigned workers;
	struct tls_server **servers; /* [worker * listener_count + listener] */
	struct tls_client **clients; /* [worker * upstream_count + upstream] */
};

bool tls_is_used(const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].tls.enabled)
			return true;
	for (size_t i = 0; i < config->upstream_count; i++)
		if (config->upstreams[i].tls.enabled)
			return true;
	return false;
}

static bool needs_system(const struct config_upstream *upstream)
{
	return upstream->tls.enabled && upstream->tls.verify && upstream->tls.ca.path.n == 0;
}

static const struct config_upstream *needs_system_first(const struct config *config)
{
	for (size_t i = 0; i < config->upstream_count; i++)
		if (needs_system(&config->upstreams[i]))
			return &config->upstreams[i];
	return NULL;
}

/* --- the check ---------------------------------------------------------------------------------------------------------- */

static bool clients_check(const struct config *config, const struct tls_making *making)
{
	const struct config_upstream *first = needs_system_first(config);
	const char *path;
	X509_STORE *system = first != NULL ? tls_system_store(making->library, &path) : NULL;
	bool good = first == NULL || system != NULL;

	if (!good && making->complaints != NULL)
		config_complain(making->complaints, &first->tls.place,
			"the system has no CAs in %s to verify the upstream with; install them (ca-certificates), or write `ca`",
			path);
	for (size_t i = 0; i < config->upstream_count; i++) {
		struct tls_client *client;

		if (!config->upstreams[i].tls.enabled || (needs_system(&config->upstreams[i]) && system == NULL))
			continue;
		client = tls_client_create(&config->upstreams[i], system, making);
		good = client != NULL && good;
		tls_client_unref(client);
	}
	X509_STORE_free(system);
	return good;
}

bool tls_check(const struct config *config, struct config_complaints *complaints, struct config_complaints *warnings)
{
	const struct tls_making making = {&tls_library_usual, complaints, warnings};
	bool good = true;

	for (size_t i = 0; i < config->listener_count; i++) {
		struct tls_server *server;

		if (!config->listeners[i].tls.enabled)
			continue;
		server = tls_server_create(config, &config->listeners[i], NULL, &making);
		good = server != NULL && good;
		tls_server_unref(server);
	}
	good = clients_check(config, &making) && good;
	if (!good && complaints->count + complaints->more == 0)
		config_complain(
			complaints, &(struct config_place){0}, "there is not enough memory to read the certificates");
	config_complaints_sort(complaints);
	config_complaints_sort(warnings);
	return good;
}

/* --- the set -------------------------------------------------------------------------------------------------------------- */

static bool worker_create_servers(
	struct tls_set *set, unsigned worker, struct tls_tickets *tickets, const struct tls_making *making)
{
	const struct config *config = set->config;

	for (size_t i = 0; i < config->listener_count; i++) {
		struct tls_server **place = &set->servers[worker * config->listener_count + i];

		if (!config->listeners[i].tls.enabled)
			continue;
		*place = tls_server_create(config, &config->listeners[i], tickets, making);
		if (*place == NULL)
			return false;
	}
	return true;
}

static bool worker_create_clients(struct tls_set *set, unsigned worker, const struct tls_making *making)
{
	const struct config *config = set->config;
	const char *path;
	X509_STORE *system = needs_system_first(config) != NULL ? tls_system_store(making->library, &path) : NULL;
	bool good = true;

	for (size_t i = 0; good && i < config->upstream_count; i++) {
		struct tls_client **place = &set->clients[worker * config->upstream_count + i];

		if (!config->upstreams[i].tls.enabled)
			continue;
		*place = tls_client_create(&config->upstreams[i], system, making);
		good = *place != NULL;
	}
	X509_STORE_free(system);
	return good;
}

static bool worker_create(
	struct tls_set *set, unsigned worker, const struct tls_libraries *libraries, struct tls_tickets *tickets)
{
	const struct tls_making making = {.library = tls_libraries_of(libraries, worker)};

	return worker_create_servers(set, worker, tickets, &making) && worker_create_clients(set, worker, &making);
}

struct tls_set *tls_set_create(
	const struct config *config, const struct tls_libraries *libraries, struct tls_tickets *tickets)
{
	unsigned workers = tls_libraries_count(libraries);
	struct tls_set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return NULL;
	atomic_init(&set->references, 1);
	set->config = config_ref(config);
	set->workers = workers;
	set->servers = calloc(workers * config->listener_count + 1, sizeof(*set->servers));
	set->clients = calloc(workers * config->upstream_count + 1, sizeof(*set->clients));
	bool good = set->servers != NULL && set->clients != NULL;

	for (unsigned i = 0; good && i < workers; i++)
		good = worker_create(set, i, libraries, tickets);
	if (good)
		return set;
	tls_set_unref(set);
	return NULL;
}

struct tls_set *tls_set_ref(struct tls_set *set)
{
	if (set != NULL)
		atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void tls_set_unref(struct tls_set *set)
{
	if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; set->servers != NULL && i < set->workers * set->config->listener_count; i++)
		tls_server_unref(set->servers[i]);
	for (size_t i = 0; set->clients != NULL && i < set->workers * set->config->upstream_count; i++)
		tls_client_unref(set->clients[i]);
	free(set->servers);
	free(set->clients);
	config_free(set->config);
	free(set);
}

/* What is expanded from one file has the listeners of its model (config/expand.c), and our reference keeps those where they are. */
bool tls_set_serves(const struct tls_set *set, const struct config *config)
{
	return set->config->listeners == config->listeners;
}

struct tls_server *tls_set_server(const struct tls_set *set, unsigned worker, size_t listener)
{
	return worker < set->workers ? set->servers[worker * set->config->listener_count + listener] : NULL;
}

struct tls_client *tls_set_client(const struct tls_set *set, unsigned worker, size_t upstream)
{
	return worker < set->workers ? set->clients[worker * set->config->upstream_count + upstream] : NULL;
}
