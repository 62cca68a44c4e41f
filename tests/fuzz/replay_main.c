/*
 * Runs a fuzz target over the files and directories that are named, once each. No file at all is a failure: a corpus
 * that has gone missing must not look like one that passes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_BYTES_MAX (16u * 1024 * 1024)

static unsigned files_run;

static int replay_file(const char *path, size_t n)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(n > 0 ? n : 1);
	int status = 1;

	if (file == NULL || data == NULL || fread(data, 1, n, file) != n) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		goto out;
	}
	/* On standard error and before the run: the last line names the file that aborts. */
	fprintf(stderr, "%s\n", path);
	status = LLVMFuzzerTestOneInput(data, n);
	files_run++;
out:
	free(data);
	if (file != NULL)
		fclose(file);
	return status;
}

static int replay(const char *path);

static int replay_directory(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	int status = count < 0;

	for (int i = 0; i < count; i++) {
		char child[4096];

		/* Dot files keep empty directories under version control. */
		if (entries[i]->d_name[0] != '.') {
			snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
			status |= replay(child);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return status;
}

static int replay(const char *path)
{
	struct stat about;

	if (stat(path, &about) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	if (S_ISDIR(about.st_mode))
		return replay_directory(path);
	if (about.st_size > INPUT_BYTES_MAX) {
		fprintf(stderr, "%s: larger than any input should be\n", path);
		return 1;
	}
	return replay_file(path, (size_t)about.st_size);
}

int main(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++)
		status |= replay(argv[i]);
	fprintf(stderr, "%u inputs\n", files_run);
	return status != 0 || files_run == 0;
}
