/*
 * `weir explain -c FILE [--client ADDRESS] METHOD URL`: which route a request would take, why not the others, and what its filters do.
 *
 * The URL goes through the same canonicalisation and the same router as a request does; nothing is sent.
 */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "base/address.h"
#include "filters/explain.h"

/* Enough for any URL that fits on a command line and could be sent (targets are at most 256 KiB). */
#define EXPLAIN_ARENA_BYTES ((size_t)1024 * 1024)

#define SHOW(v) (int)(v).n, (v).p

static void route_name(const struct config_route *route, char text[128])
{
	if (route->name.n != 0)
		snprintf(text, 128, "%.*s", SHOW(route->name));
	else
		snprintf(text, 128, "routes[%u]", route->index);
}

static void on_route(void *context, const struct config_route *route, bool chosen, const char *verdict)
{
	char name[128];

	route_name(route, name);
	printf("  %s %-24s %s\n", chosen ? "->" : "  ", name, verdict);
}

/* A configured path or place, with what the '*' of the match stands for behind it, and the query. */
static void print_joined(struct view base, struct view rest, const struct target *target, bool with_query)
{
	printf("%.*s%.*s", SHOW(base), SHOW(rest));
	if (with_query && target->query.p != NULL)
		printf("?%.*s", SHOW(target->query));
	putchar('\n');
}

/* What goes behind `base` when it ended in "*". No rest behind no base is the root. */
static struct view kept_rest(const struct route_match *match, struct view base)
{
	return base.n == 0 && match->rest.n == 0 ? VIEW("/") : match->rest;
}

static void print_target(const struct route_match *match, const struct target *target)
{
	const struct config_rewrite *rewrite = &match->route->rewrite;
	struct view rest = rewrite->path_keeps_rest ? kept_rest(match, rewrite->path) : VIEW("");

	if (!rewrite->path_set || target->form == TARGET_ASTERISK)
		printf("%.*s\n", SHOW(target->whole));
	else
		print_joined(rewrite->path, rest, target, true);
}

static void print_forward(const struct route_match *match, const struct target *target)
{
	const struct config_upstream *upstream = match->route->upstream;
	struct view host = match->route->rewrite.host;

	printf("goes to upstream %.*s (", SHOW(upstream->name));
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		printf("%s%.*s", i == 0 ? "" : ", ", SHOW(upstream->endpoints[i].address_text));
	printf(")\n  target  ");
	print_target(match, target);
	printf("  host    %.*s\n", SHOW(host.n != 0 ? host : target->authority));
}

static void print_action(const struct route_match *match, const struct target *target)
{
	const struct config_route *route = match->route;
	struct view location = route->redirect.location;
	bool keeps_rest = route->redirect.location_keeps_rest;

	switch (route->action) {
	case ACTION_UPSTREAM: print_forward(match, target); break;
	case ACTION_RESPOND: printf("is answered by the route itself: %u\n", route->respond.status); break;
	case ACTION_REDIRECT:
		printf("is redirected: %u ", route->redirect.status);
		print_joined(location, keeps_rest ? kept_rest(match, location) : VIEW(""), target, keeps_rest);
		break;
	}
}

static void on_filter(void *context, size_t i, const char *filter, const char *does)
{
	if (i == 0)
		puts("filters, in their order:");
	printf("     %-12s %s\n", filter, does);
}

static enum exit_code print_all(const struct router *router, const struct explain_request *request)
{
	static const struct explain_listener listener = {on_route, on_filter, NULL};
	const struct target *target = &request->target;
	enum cause cause;

	printf("host %.*s, path %.*s\nroutes, in the order of the file:\n", SHOW(target->host.n != 0 ? target->host : VIEW("-")),
		SHOW(target->path));
	struct route_match match = explain(router, request, &listener, &cause);

	printf("%.*s %.*s ", SHOW(request->method), SHOW(target->whole));
	if (cause == CAUSE_NONE) {
		print_action(&match, target);
		return EXIT_FINE;
	}
	const struct cause_info *info = cause_info(cause);

	printf("is refused: %d %s (%s)\n", info->status, info->word, info->text);
	return EXIT_TROUBLE;
}

/* EXIT_FINE, or EXIT_WRONG with the reason told. */
static enum exit_code read_request(struct explain_request *request, const char *url, struct arena *arena)
{
	if (!explain_is_method(request->method))
		return command_refuse("explain", "explain: '%s' is not a method: it would be refused with 400", request->method.p);
	if (method_of(request->method) == METHOD_CONNECT)
		return command_refuse("explain", "explain: CONNECT is never routed");
	const char *why = explain_read(request, view_str(url), arena);

	if (why != NULL)
		return command_refuse("explain", "explain: '%s' would be refused with 400: %s", url, why);
	return EXIT_FINE;
}

static enum exit_code explain_request(const struct config *config, const char *client, const char *method, const char *url)
{
	struct explain_request request = {.method = view_str(method), .client = view_str(client)};
	struct arena arena;
	struct router *router = router_create(config);

	if (router == NULL) {
		command_complain("out of memory");
		return EXIT_TROUBLE;
	}
	arena_init(&arena, NULL, 0, EXPLAIN_ARENA_BYTES);
	enum exit_code code = read_request(&request, url, &arena);

	if (code == EXIT_FINE)
		code = print_all(router, &request);
	arena_release(&arena);
	router_free(router);
	return code;
}

/* NULL: it is no address, or said wrongly, which was complained of; empty: it is not there. */
static const char *client_option(int *argc, char **argv)
{
	unsigned char bytes[16];
	const char *address = NULL;

	if (!command_take_option(argc, argv, "--client", &address))
		return NULL;
	if (address == NULL)
		return "";
	if (address_bytes_parse(view_str(address), bytes))
		return address;
	command_refuse("explain", "explain: --client needs an address such as 203.0.113.7, and found '%s'", address);
	return NULL;
}

static enum exit_code explain_run(int argc, char **argv)
{
	const struct config *config;
	const char *path = command_need_config(&argc, argv);
	const char *client = path != NULL ? client_option(&argc, argv) : NULL;

	if (client == NULL)
		return EXIT_WRONG;
	if (argc != 3)
		return command_refuse("explain", "explain: a METHOD and a URL are needed beside the configuration");
	enum exit_code code = command_load_config(path, &config);

	if (code != EXIT_FINE)
		return code;
	code = explain_request(config, client, argv[1], argv[2]);
	config_free(config);
	return code;
}

const struct command command_explain = {
	.name = "explain",
	.arguments = "-c FILE [--client ADDRESS] METHOD URL",
	.summary = "say which route a request takes, why not the others, and what its filters do",
	.help = "URL is http://HOST/PATH, or only /PATH for a request without a host. Nothing is sent.\n"
		"--client is the address that it comes from, after trusted_proxies: `access` is judged by it.\n"
		"Exit status: 0 a route takes it, 1 none does or it is refused, 2 the configuration or the URL is wrong.\n",
	.run = explain_run,
};
