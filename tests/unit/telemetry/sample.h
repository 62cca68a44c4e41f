/* A record with every field set, for the tests of this room. */
#ifndef WEIR_TESTS_TELEMETRY_SAMPLE_H
#define WEIR_TESTS_TELEMETRY_SAMPLE_H

#include "gateway/record.h"

/* 2026-11-21T03:25:00.123456Z */
#define SAMPLE_WALL_US 1795231500123456ULL

static inline struct exchange_record sample_record(void)
{
	return (struct exchange_record){
		.started_wall_us = SAMPLE_WALL_US,
		.listener = VIEW("public"),
		.client = VIEW("203.0.113.7"),
		.consumer = VIEW("shop"),
		.method = VIEW("GET"),
		.host = VIEW("api.example.com"),
		.target = VIEW("/v1/users?id=7"),
		.protocol = VIEW("HTTP/1.1"),
		.request_id = VIEW("0123abcd"),
		.user_agent = VIEW("curl/8.5"),
		.referer = VIEW("https://example.com/"),
		.route = VIEW("users"),
		.upstream = VIEW("backend"),
		.endpoint = VIEW("127.0.0.1:9001"),
		.reused = true,
		.retries = 1,
		.status = 504,
		.cause = CAUSE_FIRST_BYTE_TIMEOUT,
		.why = "no byte came",
		.upstream_status = false,
		.upgraded = false,
		.bytes_in = 10,
		.bytes_out = 234,
		.queue_us = 0,
		.connect_us = UINT64_MAX,
		.first_byte_us = 1500000,
		.total_us = 1500321,
		.phase_us = {[PHASE_READING] = 300, [PHASE_FIRST_BYTE] = 1500000, [PHASE_CLIENT] = 21},
	};
}

#endif
