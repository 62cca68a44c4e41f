/* See admin_client.h. */
#include "app/admin_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/fetch.h"

#define SHOW(v) (int)(v).n, (v).p

enum { ASK_S = FETCH_PATIENCE_S, ORDER_S = 75, EVENT = 0 };

/* --- the command line ------------------------------------------------------------------------------------------------- */

/* What is wrong, as far as it concerns who asks. */
static enum exit_code config_take(
	struct admin_call *call, enum config_status status, struct config_complaints *complaints, const char *name)
{
	config_complaints_print(complaints, name, stderr);
	config_complaints_release(complaints);
	if (status == CONFIG_OK)
		return EXIT_FINE;
	if (call->path != NULL)
		command_complain("%s does not say where the administration is; ask with '--at PLACE' instead of '-c FILE'", call->path);
	return status == CONFIG_UNREADABLE ? EXIT_TROUBLE : EXIT_WRONG;
}

static enum exit_code by_file(struct admin_call *call)
{
	struct config_complaints complaints;
	enum config_status status = config_load_admin(call->path, &call->config, &complaints);

	return config_take(call, status, &complaints, call->path);
}

/* As a file with nothing but `admin` would say it: JSON is YAML. */
static enum exit_code by_place(struct admin_call *call, const char *place, const char *token_file)
{
	json_t *said = json_pack("{s:{s:s, s:s*}}", "admin", "address", place, "token_file", token_file);
	char *text = said != NULL ? json_dumps(said, JSON_COMPACT) : NULL;
	struct config_complaints complaints;
	enum config_status status = CONFIG_BAD;

	json_decref(said);
	if (text == NULL) {
		command_complain("--at: what is said is not UTF-8, or memory is out");
		return EXIT_WRONG;
	}
	status = config_load_admin_bytes("--at", view_str(text), &call->config, &complaints);
	free(text);
	for (size_t i = 0; i < complaints.count; i++)
		complaints.items[i].line = 0;
	return config_take(call, status, &complaints, "--at");
}

enum exit_code admin_call_begin(struct admin_call *call, int argc, char **argv, int words_max)
{
	const char *place = NULL, *token_file = NULL;

	*call = (struct admin_call){.as_json = command_take_flag(&argc, argv, "--json")};
	if (!command_take_option(&argc, argv, "--at", &place) || !command_take_option(&argc, argv, "--token-file", &token_file) ||
		!command_take_config(&argc, argv, &call->path))
		return EXIT_WRONG;
	if ((place != NULL) == (call->path != NULL))
		return command_refuse(argv[0], "%s: say where to ask, with '-c FILE' or with '--at PLACE'%s", argv[0],
			place != NULL ? ", not with both" : "");
	if (token_file != NULL && place == NULL)
		return command_refuse(argv[0], "%s: --token-file belongs to '--at PLACE'; the configuration says its own", argv[0]);
	call->words = argv + 1;
	call->count = argc - 1;
	if (call->count > words_max)
		return command_refuse(argv[0], "%s: '%s' is too much", argv[0], call->words[words_max]);
	return place != NULL ? by_place(call, place, token_file) : by_file(call);
}

void admin_call_end(struct admin_call *call)
{
	config_free(call->config);
}

/* --- asking ----------------------------------------------------------------------------------------------------------- */

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

/* NULL, or why there is no answer. */
static const char *exchange(
	const struct config_admin *admin, const char *request, struct view content, unsigned patience_s, struct fetch *f)
{
	const struct address *to = admin->unix_text.n > 0 ? &admin->unix_address : &admin->address;
	char *text = request_write(admin, request, content);
	const char *why = "out of memory";

	if (text != NULL && f != NULL && patience_s == EVENT)
		why = fetch_begin(f, to, view_str(text));
	else if (text != NULL && f != NULL)
		why = fetch_within(f, to, view_str(text), patience_s);
	free(text);
	return why;
}

static enum exit_code complain_of_silence(const struct config *config, const char *why)
{
	command_complain("the administration at %.*s did not answer: %s; does the gateway run with it there?",
		SHOW(place_of(&config->admin)), why);
	return EXIT_TROUBLE;
}

/* The answer, whatever its status; free() it. NULL: there is none, which was complained of. */
static struct fetch *answer_fetch(
	const struct config *config, const char *request, struct view content, unsigned patience_s, enum exit_code *code)
{
	if (!config->admin.enabled) {
		command_complain("%.*s: `admin` is off, so the gateway cannot be asked; give it an address, such as "
				 "`admin: {address: 127.0.0.1:9180}`, and send it SIGHUP",
			SHOW(config->file));
		*code = EXIT_WRONG;
		return NULL;
	}
	struct fetch *f = malloc(sizeof(*f));
	const char *why = exchange(&config->admin, request, content, patience_s, f);

	*code = EXIT_FINE;
	if (why == NULL)
		return f;
	*code = complain_of_silence(config, why);
	free(f);
	return NULL;
}

/* --- answers ---------------------------------------------------------------------------------------------------------- */

/* The JSON of the answer, or of the event that has come; NULL: it is none. */
static json_t *answer_read(const struct fetch *f)
{
	static const char begin[] = "data: ";
	struct view text = f->is_event ? view_of(f->content.p, f->event_n) : f->content;
	const char *data = f->is_event && text.n > 0 ? memmem(text.p, text.n, begin, sizeof(begin) - 1) : NULL;

	if (data != NULL)
		text = view_from(text, (size_t)(data - text.p) + sizeof(begin) - 1);
	return json_loadb(text.n > 0 ? text.p : "", text.n, data != NULL ? JSON_DISABLE_EOF_CHECK : 0, NULL);
}

/* Owns `said`, which may be NULL. */
static void complain_of(const struct config *config, unsigned status, json_t *said)
{
	const char *message = text_or(said, "message", NULL);
	struct view place = place_of(&config->admin);

	if (message != NULL)
		command_complain("the administration at %.*s refuses: %s", SHOW(place), message);
	else
		command_complain("the administration at %.*s answered %u without JSON: is it a gateway of this version?",
			SHOW(place), status);
	json_decref(said);
}

static json_t *ask(
	const struct admin_call *call, const char *request, struct view content, unsigned patience_s, enum exit_code *code)
{
	struct fetch *f = answer_fetch(call->config, request, content, patience_s, code);

	if (f == NULL)
		return NULL;
	json_t *said = answer_read(f);
	unsigned status = (unsigned)f->head.status;

	free(f);
	if (said != NULL && status / 100 == 2)
		return said;
	complain_of(call->config, status, said);
	*code = EXIT_TROUBLE;
	return NULL;
}

json_t *admin_call_ask(const struct admin_call *call, const char *request, enum exit_code *code)
{
	return ask(call, request, VIEW(""), ASK_S, code);
}

json_t *admin_call_tell(const struct admin_call *call, const char *request, json_t *content, enum exit_code *code)
{
	char *text = content != NULL ? json_dumps(content, JSON_COMPACT) : NULL;
	json_t *said = NULL;

	json_decref(content);
	if (text != NULL) {
		said = ask(call, request, view_str(text), ASK_S, code);
	} else {
		command_complain("what is to be said is not UTF-8, or memory is out");
		*code = EXIT_TROUBLE;
	}
	free(text);
	return said;
}

enum exit_code admin_events_open(struct admin_events *events, const struct admin_call *call, const char *request)
{
	enum exit_code code;
	struct fetch *f = answer_fetch(call->config, request, VIEW(""), EVENT, &code);

	*events = (struct admin_events){.call = call, .fetch = f};
	if (f == NULL || f->head.status / 100 == 2)
		return code;
	complain_of(call->config, (unsigned)f->head.status, answer_read(f));
	admin_events_close(events);
	return EXIT_TROUBLE;
}

json_t *admin_events_next(struct admin_events *events, enum exit_code *code)
{
	const char *why = fetch_next(events->fetch);
	json_t *said = why == NULL ? answer_read(events->fetch) : NULL;

	*code = EXIT_FINE;
	if (said == NULL && events->told == 0)
		*code = complain_of_silence(events->call->config, why != NULL ? why : "its event is no JSON");
	events->told += said != NULL;
	return said;
}

void admin_events_close(struct admin_events *events)
{
	fetch_end(events->fetch);
	free(events->fetch);
}

json_t *admin_call_order(const struct admin_call *call, const char *path, unsigned *status, enum exit_code *code)
{
	char request[64];

	snprintf(request, sizeof(request), "POST %s", path);
	struct fetch *f = answer_fetch(call->config, request, VIEW("{}"), ORDER_S, code);

	if (f == NULL)
		return NULL;
	json_t *said = answer_read(f);

	*status = (unsigned)f->head.status;
	free(f);
	if (said == NULL) {
		complain_of(call->config, *status, NULL);
		*code = EXIT_TROUBLE;
	}
	return said;
}

void answer_print(const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(12) | JSON_ENSURE_ASCII);

	if (text == NULL) {
		command_complain("out of memory");
		return;
	}
	/* DEL is ASCII, and stands as it is. */
	for (const char *p = text; *p != '\0'; p++)
		if (*p == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(*p);
	putchar('\n');
	free(text);
}
