/*
 * Wrong routes: what they match, what they do, their filters, and those that nothing reaches.
 */
#include "load.h"

static const struct mistake mistakes[] = {
	/* match */
	{MATCH("host: api.example.com:80"),
		"f:4:51: routes[0].match.host: found \"api.example.com:80\"; allowed: a host such as "
		"api.example.com, *.example.com or [::1], without a port, or * for any; requests to every port "
		"match\n"},
	{MATCH("host: \"*example.com\""),
		"f:4:51: routes[0].match.host: found \"*example.com\"; allowed: a host such as api.example.com, "
		"*.example.com or [::1], without a port, or * for any; the host has a character that no host may "
		"have\n"},
	{MATCH("host: \"a.*.com\""),
		"f:4:51: routes[0].match.host: found \"a.*.com\"; allowed: a host such as api.example.com, "
		"*.example.com or [::1], without a port, or * for any; the host has a character that no host may "
		"have\n"},
	{MATCH("host: \"*.[::1]\""),
		"f:4:51: routes[0].match.host: found \"*.[::1]\"; allowed: a host such as api.example.com, "
		"*.example.com or [::1], without a port, or * for any; an IPv6 address has no suffix\n"},
	{MATCH("host: \"[::1\""),
		"f:4:51: routes[0].match.host: found \"[::1\"; allowed: a host such as api.example.com, "
		"*.example.com or [::1], without a port, or * for any; the IPv6 address of the host has no closing "
		"bracket\n"},
	{MATCH("host: a..b"), "f:4:51: routes[0].match.host: found \"a..b\"; allowed: a host such as api.example.com, "
			      "*.example.com or [::1], without a port, or * for any; the host has an empty label\n"},
	{MATCH("host: \"b\303\274cher.example\""),
		"f:4:51: routes[0].match.host: found \"b\303\274cher.example\"; allowed: a host such as "
		"api.example.com, *.example.com or [::1], without a port, or * for any; the host has a character "
		"that no host may have\n"},
	{MATCH("host: \"\""),
		"f:4:51: routes[0].match.host: found \"\"; allowed: a host such as api.example.com, *.example.com "
		"or [::1], without a port, or * for any; the host is empty\n"},
	{MATCH("host: \"user@example.com\""),
		"f:4:51: routes[0].match.host: found \"user@example.com\"; allowed: a host such as api.example.com, "
		"*.example.com or [::1], without a port, or * for any; the host has a character that no host may "
		"have\n"},
	{MATCH("host: [a, b]"),
		"f:4:51: routes[0].match.host: found a list; allowed: a host such as api.example.com, *.example.com "
		"or [::1], without a port, or * for any\n"},
	{MATCH("path: v1"),
		"f:4:51: routes[0].match.path: found \"v1\"; allowed: a path such as /a/b or /a/b/*; a path begins "
		"with \"/\"\n"},
	{MATCH("path: \"\""),
		"f:4:51: routes[0].match.path: found \"\"; allowed: a path such as /a/b or /a/b/*; a path begins "
		"with \"/\"\n"},
	{MATCH("path: /a/*/b"),
		"f:4:51: routes[0].match.path: found \"/a/*/b\"; allowed: '*' only as the last segment, where it "
		"stands for everything below (/a/b/*)\n"},
	{MATCH("path: \"*\""),
		"f:4:51: routes[0].match.path: found \"*\"; allowed: '*' only as the last segment, where it stands "
		"for everything below (/a/b/*)\n"},
	{MATCH("path: /a*"),
		"f:4:51: routes[0].match.path: found \"/a*\"; allowed: '*' only as the last segment, where it "
		"stands for everything below (/a/b/*)\n"},
	{MATCH("path: \"/a/**\""),
		"f:4:51: routes[0].match.path: found \"/a/**\"; allowed: '*' only as the last segment, where it "
		"stands for everything below (/a/b/*)\n"},
	{MATCH("path: /a?b=c"),
		"f:4:51: routes[0].match.path: found \"/a?b=c\"; allowed: a path such as /a/b or /a/b/*; a path has "
		"no query\n"},
	{MATCH("path: \"/a#b\""),
		"f:4:51: routes[0].match.path: found \"/a#b\"; allowed: a path such as /a/b or /a/b/*; the request "
		"target has a fragment\n"},
	{MATCH("path: /../a"),
		"f:4:51: routes[0].match.path: found \"/../a\"; allowed: a path such as /a/b or /a/b/*; the path "
		"climbs above the root\n"},
	{MATCH("path: /a%2fb"),
		"f:4:51: routes[0].match.path: found \"/a%2fb\"; allowed: a path such as /a/b or /a/b/*; the path "
		"has an encoded slash or backslash\n"},
	{MATCH("path: /a%00"),
		"f:4:51: routes[0].match.path: found \"/a%00\"; allowed: a path such as /a/b or /a/b/*; the path "
		"has an encoded control character\n"},
	{MATCH("path: /a%zz"),
		"f:4:51: routes[0].match.path: found \"/a%zz\"; allowed: a path such as /a/b or /a/b/*; the path "
		"has a malformed percent-encoding\n"},
	{MATCH("path: \"/a b\""),
		"f:4:51: routes[0].match.path: found \"/a b\"; allowed: a path such as /a/b or /a/b/*; the path has "
		"a character that is not allowed\n"},
	{MATCH("path: \"/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/"
	       "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/*\""),
		"f:4:51: routes[0].match.path: found a prefix of 65 segments; allowed: at most 64\n"},
	{MATCH("methods: GET"),
		"f:4:54: routes[0].match.methods: found \"GET\"; allowed: a list of 1 to 32 methods, such as [GET, "
		"POST]; without the key every method matches\n"},
	{MATCH("methods: []"),
		"f:4:54: routes[0].match.methods: found a list; allowed: a list of 1 to 32 methods, such as [GET, "
		"POST]; without the key every method matches\n"},
	{MATCH("methods: [get]"),
		"f:4:55: routes[0].match.methods[0]: found \"get\" (did you mean `GET`?); methods are told apart by "
		"case\n"},
	{MATCH("methods: [GET, GET]"),
		"f:4:60: routes[0].match.methods[1]: the method \"GET\" is used already at line 4; each must be "
		"different\n"},
	{MATCH("methods: [CONNECT]"),
		"f:4:55: routes[0].match.methods[0]: found \"CONNECT\", which this gateway refuses; take it out\n"},
	{MATCH("methods: [\"G T\"]"),
		"f:4:55: routes[0].match.methods[0]: found \"G T\"; allowed: a method such as GET\n"},
	{MATCH("methods: [[GET]]"),
		"f:4:55: routes[0].match.methods[0]: found a list; allowed: a method such as GET\n"},
	{MATCH("methods: [M0, M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11, M12, M13, M14, M15, M16, M17, "
	       "M18, M19, M20, M21, M22, M23, M24, M25, M26, M27, M28, M29, M30, M31, M32]"),
		"f:4:54: routes[0].match.methods: found a list; allowed: a list of 1 to 32 methods, such as [GET, "
		"POST]; without the key every method matches\n"},
	/* actions */
	{ROUTE("match: {path: /a}"),
		"f:4:10: routes[0]: found no action; allowed: one of upstream, respond, redirect\n"},
	{FORWARD("respond: {}"), "f:4:10: routes[0]: found 2 actions; allowed: one of upstream, respond, redirect\n"},
	{FORWARD("respond: {}, redirect: {location: /}"),
		"f:4:10: routes[0]: found 3 actions; allowed: one of upstream, respond, redirect\n"},
	{ROUTE("upstream: user"),
		"f:4:30: routes[0].upstream: no upstream is named \"user\" (did you mean `users`?); write the name "
		"of one under `upstreams`\n"},
	{ROUTE("upstream: [users]"), "f:4:30: routes[0].upstream: found a list; allowed: the name of an upstream\n"},
	{ROUTE("upstream: "), "f:4:30: routes[0].upstream: found nothing; allowed: the name of an upstream\n"},
	{VERSION LISTENERS ROUTES,
		"f:3:30: routes[0].upstream: no upstream is named \"users\"; write the name of one under "
		"`upstreams`\n"},
	{ROUTE("upstream: users, grpc_web: true"),
		"f:4:37: routes[0].grpc_web: it becomes gRPC, which needs an upstream with `protocol: h2`; "
		"write that there, or take this out\n"},
	{ROUTE("respond: {}, grpc_web: true"),
		"f:4:33: routes[0].grpc_web: it becomes gRPC for an upstream, and this route has none; take it out\n"},
	{ROUTE("upstream: users, priority: urgent"),
		"f:4:47: routes[0].priority: found \"urgent\"; allowed: high, normal, low, background (default normal)\n"},
	{ROUTE("upstream: users, priority_header: \"a b\""),
		"f:4:54: routes[0].priority_header: found \"a b\"; allowed: the name of a request header, such as Priority\n"},
	{ROUTE("respond: {}, priority: high"),
		"f:4:33: routes[0].priority: only what waits for an upstream has a priority, and this route has none; take it "
		"out\n"},
	{ROUTE("upstream: users, grpc_web: 1"),
		"f:4:47: routes[0].grpc_web: found \"1\"; allowed: false, true (default false)\n"},
	{ROUTE("respond: 200"),
		"f:4:29: routes[0].respond: found \"200\"; allowed: a mapping with these keys: status, body, "
		"content_type\n"},
	{ROUTE("respond: {status: 199}"),
		"f:4:38: routes[0].respond.status: found \"199\"; allowed: a whole number from 200 to 599 (default "
		"200)\n"},
	{ROUTE("respond: {status: 600}"),
		"f:4:38: routes[0].respond.status: found \"600\"; allowed: a whole number from 200 to 599 (default "
		"200)\n"},
	{ROUTE("respond: {status: 204, body: x}"),
		"f:4:49: routes[0].respond.body: an answer 204 has no body; take it out, or take another status\n"},
	{ROUTE("respond: {body: [x]}"), "f:4:36: routes[0].respond.body: found a list; allowed: a text\n"},
	{ROUTE("respond: {content_type: text}"),
		"f:4:44: routes[0].respond.content_type: found \"text\"; allowed: a media type such as "
		"application/json\n"},
	{ROUTE("respond: {content_type: \"text/html\\r\\nX: y\"}"),
		"f:4:44: routes[0].respond.content_type: found \"text/html\\x0d\\x0aX: y\"; allowed: a media type "
		"such as application/json\n"},
	{ROUTE("redirect: {}"), "f:4:30: routes[0].redirect.location: this key is missing\n"},
	{ROUTE("redirect: {location: \"\"}"),
		"f:4:41: routes[0].redirect.location: found \"\"; allowed: https://host/path, http://host/path or "
		"/path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: \"//evil.example/\"}"),
		"f:4:41: routes[0].redirect.location: found \"//evil.example/\"; allowed: https://host/path, "
		"http://host/path or /path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: \"https:///a\"}"),
		"f:4:41: routes[0].redirect.location: found \"https:///a\"; allowed: https://host/path, "
		"http://host/path or /path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: \"ftp://a/\"}"),
		"f:4:41: routes[0].redirect.location: found \"ftp://a/\"; allowed: https://host/path, "
		"http://host/path or /path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: \"/a b\"}"),
		"f:4:41: routes[0].redirect.location: found \"/a b\"; allowed: https://host/path, http://host/path "
		"or /path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: \"/a\\nb\"}"),
		"f:4:41: routes[0].redirect.location: found \"/a\\x0ab\"; allowed: https://host/path, "
		"http://host/path or /path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: \"/*/a\"}"),
		"f:4:41: routes[0].redirect.location: found \"/*/a\"; allowed: '*' only as the last segment, where "
		"it stands for everything below (/a/b/*)\n"},
	{ROUTE("redirect: {location: \"/?q=/*\"}"),
		"f:4:41: routes[0].redirect.location: found \"/?q=/*\"; allowed: https://host/path, "
		"http://host/path or /path; a last segment '*' keeps the rest\n"},
	{ROUTE("redirect: {location: /b/*}, match: {path: /a}"),
		"f:4:41: routes[0].redirect.location: found '*', but `match.path` is exact; let that end in /*, or "
		"write the path out here\n"},
	/* rewrite */
	{FORWARD("rewrite: {path: b}"),
		"f:4:53: routes[0].rewrite.path: found \"b\"; allowed: a path such as /a/b or /a/b/*; a path begins "
		"with \"/\"\n"},
	{FORWARD("rewrite: {path: /b/*/c}"),
		"f:4:53: routes[0].rewrite.path: found \"/b/*/c\"; allowed: '*' only as the last segment, where it "
		"stands for everything below (/a/b/*)\n"},
	{MATCH("path: /a}, rewrite: {path: /b/*"),
		"f:4:72: routes[0].rewrite.path: found '*', but `match.path` is exact; let that end in /*, or write "
		"the path out here\n"},
	{FORWARD("rewrite: {host: \"a b\"}"),
		"f:4:53: routes[0].rewrite.host: found \"a b\"; allowed: a host with or without a port, such as "
		"users.internal:8080; the host has a character that no host may have\n"},
	{FORWARD("rewrite: {host: \"a:0\"}"),
		"f:4:53: routes[0].rewrite.host: found \"a:0\"; allowed: a host with or without a port, such as "
		"users.internal:8080; the port of the host is not a number from 1 to 65535\n"},
	{FORWARD("rewrite: {host: \"a:70000\"}"),
		"f:4:53: routes[0].rewrite.host: found \"a:70000\"; allowed: a host with or without a port, such as "
		"users.internal:8080; the port of the host is not a number from 1 to 65535\n"},
	{ROUTE("respond: {}, rewrite: {host: a}"),
		"f:4:33: routes[0].rewrite: a rewrite changes what goes to an upstream, and this route has none; "
		"take it out\n"},
	/* filters */
	{FORWARD("filters: {}"),
		"f:4:46: routes[0].filters: found a mapping; allowed: a list of 1 to 32 items; each is a mapping "
		"with one key, the kind of the filter\n"},
	{FORWARD("filters: []"),
		"f:4:46: routes[0].filters: found a list without items; allowed: a list of 1 to 32 items; each is a "
		"mapping with one key, the kind of the filter\n"},
	{FORWARD("filters: [headers]"),
		"f:4:47: routes[0].filters[0]: found \"headers\"; allowed: a mapping with these keys: headers, "
		"rate_limit, access, api_key\n"},
	{FORWARD("filters: [{}]"),
		"f:4:47: routes[0].filters[0]: found 0 keys; allowed: one, the kind of the filter; begin each "
		"filter with its own '-'\n"},
	{FORWARD("filters: [{header: {}}]"),
		"f:4:48: routes[0].filters[0].header: unknown key \"header\" (did you mean `headers`?); allowed "
		"here: headers, rate_limit, access, api_key\n"},
	{HEADERS("requests: {}"),
		"f:4:58: routes[0].filters[0].headers.requests: unknown key \"requests\" (did you mean `request`?); "
		"allowed here: request, response\n"},
	{HEADERS("request: {set: [A]}"),
		"f:4:73: routes[0].filters[0].headers.request.set: found a list; allowed: a mapping of field names "
		"to values\n"},
	{HEADERS("request: {set: {\"A B\": c}}"),
		"f:4:74: routes[0].filters[0].headers.request.set.A B: found \"A B\"; allowed: a field name, of "
		"letters, digits and !#$%&'*+-.^_`|~\n"},
	{HEADERS("request: {set: {Host: c}}"),
		"f:4:74: routes[0].filters[0].headers.request.set.Host: found \"Host\"; the gateway itself decides "
		"on this field, see `rewrite: {host: ...}`\n"},
	{HEADERS("response: {add: {transfer-encoding: chunked}}"),
		"f:4:75: routes[0].filters[0].headers.response.add.transfer-encoding: found \"transfer-encoding\"; "
		"the gateway itself decides on this field\n"},
	{HEADERS("response: {set: {A: \"b\\r\\nC: d\"}}"),
		"f:4:78: routes[0].filters[0].headers.response.set.A: found \"b\\x0d\\x0aC: d\"; allowed: a field "
		"value on one line, of at most 4096 bytes, without blanks around it\n"},
	{HEADERS("response: {set: {A: \" b\"}}"),
		"f:4:78: routes[0].filters[0].headers.response.set.A: found \" b\"; allowed: a field value on one "
		"line, of at most 4096 bytes, without blanks around it\n"},
	/* What may be a credential is not said, whatever is wrong with it. */
	{HEADERS("request: {set: {Authorization: \"Bearer xyzzy \"}}"),
		"f:4:89: routes[0].filters[0].headers.request.set.Authorization: found a text; allowed: a field value on "
		"one line, of at most 4096 bytes, without blanks around it\n"},
	{HEADERS("request: {add: {X-Vault-Token: \"a\\nb\"}}"),
		"f:4:89: routes[0].filters[0].headers.request.add.X-Vault-Token: found a text; allowed: a field value on "
		"one line, of at most 4096 bytes, without blanks around it\n"},
	{HEADERS("response: {set: {A: }}"),
		"f:4:78: routes[0].filters[0].headers.response.set.A: found nothing; allowed: a field value on one "
		"line, of at most 4096 bytes, without blanks around it\n"},
	{HEADERS("response: {set: {A: b, a: c}}"),
		"f:4:84: routes[0].filters[0].headers.response.set.a: the field \"a\" is used already at line 4; "
		"each must be different\n"},
	{HEADERS("response: {remove: Server}"),
		"f:4:77: routes[0].filters[0].headers.response.remove: found \"Server\"; allowed: a list of 1 to "
		"100 items; each is a field name\n"},
	{HEADERS("response: {remove: [Connection, \"a:\"]}"),
		"f:4:78: routes[0].filters[0].headers.response.remove[0]: found \"Connection\"; the gateway itself "
		"decides on this field\n"
		"f:4:90: routes[0].filters[0].headers.response.remove[1]: found \"a:\"; allowed: a field name, of "
		"letters, digits and !#$%&'*+-.^_`|~\n"},
	/* routes that cannot be reached */
	{VERSION LISTENERS UPSTREAMS "routes:\n"
				     "  - {name: a, upstream: users}\n"
				     "  - {name: b, match: {host: \"*\", path: /*}, upstream: users}\n",
		"f:6:5: routes[1]: no request can reach this route: \"a\" at line 5 has the same host and path, and "
		"takes all its methods; take one of them out\n"},
	{VERSION LISTENERS UPSTREAMS "routes:\n"
				     "  - {name: a, match: {host: a.example, path: /%61/*}, upstream: users}\n"
				     "  - {name: b, match: {host: A.Example, path: /b}, upstream: users}\n"
				     "  - {name: c, match: {host: A.EXAMPLE, path: //a/*}, upstream: users}\n",
		"f:7:5: routes[2]: no request can reach this route: \"a\" at line 5 has the same host and path, and "
		"takes all its methods; take one of them out\n"},
	{VERSION LISTENERS UPSTREAMS "routes:\n"
				     "  - {name: a, match: {methods: [GET, POST, PURGE]}, upstream: users}\n"
				     "  - {name: b, match: {methods: [PURGE, GET]}, upstream: users}\n",
		"f:6:5: routes[1]: no request can reach this route: \"a\" at line 5 has the same host and path, and "
		"takes all its methods; take one of them out\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
