/*
 * Certificates for tests, made when they run: an authority signs what it is asked for, and all of it becomes files in a
 * directory that is gone with the test.
 */
#ifndef WEIR_TESTS_NET_AUTHORITY_H
#define WEIR_TESTS_NET_AUTHORITY_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY_S (24 * 3600)

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

struct authority {
	char directory[32];
	struct identity ca;
	long serial;
	unsigned files;
	char names[32][64];
};

static inline const char *authority_path(struct authority *a, const char *name, const char *suffix, char path[128])
{
	snprintf(path, 128, "%s/%s.%s", a->directory, name, suffix);
	return path;
}

static inline FILE *authority_file(struct authority *a, const char *name, const char *suffix)
{
	char path[128];
	FILE *f = fopen(authority_path(a, name, suffix, path), "w");

	assert_non_null(f);
	assert_true(a->files < 32);
	snprintf(a->names[a->files++], sizeof(a->names[0]), "%s.%s", name, suffix);
	return f;
}

static inline void extension_add(X509 *cert, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* What a certificate is to say. `names` as "DNS:a.test,DNS:*.b.test"; NULL: it is an authority's. */
struct wish {
	const char *common_name;
	const char *names;
	const char *kind;     /* "EC" (NULL) or "RSA" */
	long from_s, until_s; /* from now; both 0: a day around it */
};

static inline struct identity authority_sign(struct authority *a, const struct identity *issuer, const struct wish *w)
{
	bool rsa = w->kind != NULL && strcmp(w->kind, "RSA") == 0;
	struct identity id = {rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), X509_new()};
	bool fixed = w->from_s != 0 || w->until_s != 0;

	assert_non_null(id.key);
	X509_set_version(id.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), ++a->serial);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), fixed ? w->from_s : -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), fixed ? w->until_s : DAY_S);
	X509_set_pubkey(id.cert, id.key);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(id.cert), "CN", MBSTRING_ASC, (const unsigned char *)w->common_name, -1, -1, 0);
	X509_set_issuer_name(id.cert, X509_get_subject_name(issuer != NULL ? issuer->cert : id.cert));
	extension_add(id.cert, NID_basic_constraints, w->names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (w->names != NULL && *w->names != '\0')
		extension_add(id.cert, NID_subject_alt_name, w->names);
	assert_true(X509_sign(id.cert, issuer != NULL ? issuer->key : id.key, EVP_sha256()) > 0);
	return id;
}

static inline void identity_free(struct identity *id)
{
	X509_free(id->cert);
	EVP_PKEY_free(id->key);
}

static inline void identity_write(struct authority *a, const struct identity *id, const char *name)
{
	FILE *f = authority_file(a, name, "pem");

	assert_int_equal(PEM_write_X509(f, id->cert), 1);
	fclose(f);
	f = authority_file(a, name, "key");
	assert_int_equal(PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

/* NAME.pem and NAME.key, signed by the authority. */
static inline void authority_issue(struct authority *a, const char *name, const struct wish *w)
{
	struct identity id = authority_sign(a, &a->ca, w);

	identity_write(a, &id, name);
	identity_free(&id);
}

/* With ca.pem. */
static inline void authority_open(struct authority *a, const char *common_name)
{
	*a = (struct authority){.directory = "/tmp/weir-tls-XXXXXX"};
	assert_non_null(mkdtemp(a->directory));
	a->ca = authority_sign(a, NULL, &(struct wish){.common_name = common_name});
	identity_write(a, &a->ca, "ca");
}

static inline void authority_close(struct authority *a)
{
	char path[128];

	for (unsigned i = 0; i < a->files; i++) {
		snprintf(path, sizeof(path), "%s/%s", a->directory, a->names[i]);
		unlink(path);
	}
	rmdir(a->directory);
	identity_free(&a->ca);
}

#endif
