/*
 * Preloaded into the gateway, which knows nothing of it (test_every_cause.py): a bug that libnghttp2 does not have. The session on
 * which a request for /break was sent cannot go on with what it receives next.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

static nghttp2_session *broken;

static int is_trigger(const nghttp2_nv *field)
{
	return field->namelen == 5 && memcmp(field->name, ":path", 5) == 0 && field->valuelen == 6 &&
	       memcmp(field->value, "/break", 6) == 0;
}

int32_t nghttp2_submit_request(nghttp2_session *session, const nghttp2_priority_spec *priority, const nghttp2_nv *fields, size_t count,
	const nghttp2_data_provider *content, void *user)
{
	int32_t (*real)(nghttp2_session *, const nghttp2_priority_spec *, const nghttp2_nv *, size_t, const nghttp2_data_provider *,
		void *) = dlsym(RTLD_NEXT, "nghttp2_submit_request");

	for (size_t i = 0; i < count; i++)
		if (is_trigger(&fields[i]))
			broken = session;
	return real(session, priority, fields, count, content, user);
}

ssize_t nghttp2_session_mem_recv(nghttp2_session *session, const uint8_t *bytes, size_t n)
{
	ssize_t (*real)(nghttp2_session *, const uint8_t *, size_t) = dlsym(RTLD_NEXT, "nghttp2_session_mem_recv");

	return session == broken ? NGHTTP2_ERR_CALLBACK_FAILURE : real(session, bytes, n);
}
