/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over the files of its corpus, without libFuzzer, and prints TAP. Part of `make check`:
 * the program replay_NAME reads $srcdir/tests/fuzz/corpus/NAME. Files given as arguments are run instead.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A heap block of exactly the input's size: ASan notices one byte of over-read. */
static int load(const char *path, uint8_t **ret_data, size_t *ret_size)
{
    struct stat info;
    uint8_t *data = NULL;
    FILE *file = fopen(path, "rb");

    if (!file || fstat(fileno(file), &info) != 0)
        goto leave;
    data = malloc((size_t)info.st_size);
    if ((!data && info.st_size > 0) || fread(data, 1, (size_t)info.st_size, file) != (size_t)info.st_size)
        goto leave;
    fclose(file);
    *ret_data = data;
    *ret_size = (size_t)info.st_size;
    return 0;

leave:
    free(data);
    if (file)
        fclose(file);
    return errno ? errno : EIO;
}

static int run_file(unsigned number, const char *path)
{
    uint8_t *data = NULL;
    size_t size = 0;
    int error = load(path, &data, &size);

    if (error) {
        printf("not ok %u - %s: %s\n", number, path, strerror(error));
        return 1;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    printf("ok %u - %s\n", number, path);
    fflush(stdout);
    return 0;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_input, alphasort);
    int failed = 0;

    if (count <= 0) {
        printf("1..1\nnot ok 1 - no corpus in %s\n", folder);
        return 1;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        char path[5000];

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        failed += run_file((unsigned)i + 1, path);
        free(entries[i]);
    }
    free(entries);
    return failed != 0;
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    const char *top = getenv("srcdir");
    char folder[4096];
    int failed = 0;

    if (argc > 1) {
        printf("1..%d\n", argc - 1);
        for (int i = 1; i < argc; i++)
            failed += run_file((unsigned)i, argv[i]);
        return failed != 0;
    }
    name = name ? name + 1 : argv[0];
    if (strncmp(name, "replay_", 7) != 0)
        return 2;
    snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", top ? top : ".", name + 7);
    return run_folder(folder);
}
