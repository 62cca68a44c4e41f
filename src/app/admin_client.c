/* See admin_client.h. */
#include "app/admin_client.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define SHOW(v) (int)(v).n, (v).p

enum { EVENT = 0, ASK_S = 5, WAIT_S = 75 };

static struct view place_of(const struct config_admin *admin)
{
	return admin->unix_text.n > 0 ? admin->unix_text : admin->address_text;
}

/* From malloc; NULL: out of memory. */
static char *request_write(const struct config_admin *admin, const char *request, struct view content)
{
	bool says_token = admin->unix_text.n == 0 && admin->token.n > 0;
	char *text;
	int n = asprintf(&text,
		"%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n%s%.*s%s\r\n%.*s",
		request, content.n, says_token ? "Authorization: Bearer " : "", says_token ? (int)admin->token.n : 0,
		says_token ? admin->token.p : "", says_token ? "\r\n" : "", SHOW(content));

	return n < 0 ? NULL : text;
}

static const char *ask(
	const struct config_admin *admin, const char *request, struct view content, unsigned patience_s, struct fetch *f)
{
	const struct address *to = admin->unix_text.n > 0 ? &admin->unix_address : &admin->address;
	char *text = request_write(admin, request, content);
	const char *why = "out of memory";

	if (text != NULL && f != NULL && patience_s == EVENT)
		why = fetch_event(f, to, view_str(text));
	else if (text != NULL && f != NULL)
		why = fetch_within(f, to, view_str(text), patience_s);

	free(text);
	return why;
}

static struct fetch *ask_within(
	const struct config *config, const char *request, struct view content, unsigned patience_s, enum exit_code *code)
{
	struct view place = place_of(&config->admin);

	if (!config->admin.enabled) {
		command_complain("%.*s: `admin` is off, so the gateway cannot be asked; give it an address, such as "
				 "`admin: {address: 127.0.0.1:9180}`, and restart it",
			SHOW(config->file));
		*code = EXIT_WRONG;
		return NULL;
	}
	struct fetch *f = malloc(sizeof(*f));
	const char *why = ask(&config->admin, request, content, patience_s, f);

	*code = EXIT_FINE;
	if (why == NULL)
		return f;
	command_complain(
		"the administration at %.*s did not answer: %s; does the gateway run with this configuration?", SHOW(place), why);
	*code = EXIT_TROUBLE;
	free(f);
	return NULL;
}

struct fetch *admin_ask(const struct config *config, const char *request, struct view content, enum exit_code *code)
{
	return ask_within(config, request, content, ASK_S, code);
}

struct fetch *admin_wait(const struct config *config, const char *request, enum exit_code *code)
{
	return ask_within(config, request, VIEW("{}"), WAIT_S, code);
}

static struct fetch *insist(const struct config *config, struct fetch *f, enum exit_code *code)
{
	struct view place = place_of(&config->admin);

	if (f == NULL || f->head.status / 100 == 2)
		return f;
	json_t *said = json_loadb(f->content.p, f->content.n, 0, NULL);
	const char *message = json_string_value(json_object_get(said, "message"));

	if (message != NULL)
		command_complain("the administration at %.*s refuses: %s", SHOW(place), message);
	else
		command_complain("the administration at %.*s answered %u: is it a gateway of this version?", SHOW(place),
			(unsigned)f->head.status);
	json_decref(said);
	free(f);
	*code = EXIT_TROUBLE;
	return NULL;
}

struct fetch *admin_get(const struct config *config, const char *request, struct view content, enum exit_code *code)
{
	return insist(config, admin_ask(config, request, content, code), code);
}

struct fetch *admin_event(const struct config *config, const char *request, enum exit_code *code)
{
	return insist(config, ask_within(config, request, VIEW(""), EVENT, code), code);
}
