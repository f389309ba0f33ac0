/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1 << 20)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_LANG "C.UTF-8"

struct vector {
    char **items; /* NULL-terminated, with room for capacity entries */
    size_t count, capacity;
    int failed;
};

/* Takes entry ("NAME=value", allocated); a NULL one is a failed allocation. */
static void put(struct vector *vector, char *entry)
{
    size_t name_size;

    if (!entry || vector->count + 1 >= vector->capacity) {
        vector->failed = 1;
        free(entry);
        return;
    }
    name_size = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < vector->count; i++) {
        if (strncmp(vector->items[i], entry, name_size) == 0) {
            free(vector->items[i]);
            vector->items[i] = entry;
            return;
        }
    }
    vector->items[vector->count++] = entry;
}

static void put_pair(struct vector *vector, const char *name, const char *value)
{
    char *entry = NULL;

    if (asprintf(&entry, "%s=%s", name, value) < 0)
        entry = NULL;
    put(vector, entry);
}

static const char *find(char *const *env, const char *name)
{
    size_t size = strlen(name);

    for (; *env; env++)
        if (strncmp(*env, name, size) == 0 && (*env)[size] == '=')
            return *env + size + 1;
    return NULL;
}

static void put_base(struct vector *vector, const struct pyd_spec *spec, char *const *parent)
{
    const char *path = find(parent, "PATH"), *tz = find(parent, "TZ"), *lang = find(parent, "LANG");

    put_pair(vector, "PATH", path ? path : DEFAULT_PATH);
    if (tz)
        put_pair(vector, "TZ", tz);
    put_pair(vector, "HOME", spec->home_dir ? spec->home_dir : "/");
    if (spec->user_name) {
        put_pair(vector, "USER", spec->user_name);
        put_pair(vector, "LOGNAME", spec->user_name);
    }
    /* httpd is often started with LANG=C, which nobody chose for their application. */
    if (spec->lang)
        lang = spec->lang;
    else if (!lang || strcmp(lang, "C") == 0 || strcmp(lang, "POSIX") == 0)
        lang = DEFAULT_LANG;
    put_pair(vector, "LANG", lang);
    if (spec->locale)
        put_pair(vector, "LC_ALL", spec->locale);
}

static int is_name(const char *name, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

    return size > 0 && strspn(name, letters) >= size && (name[0] < '0' || name[0] > '9');
}

/* One line of an env-file: empty, "# comment", or [export ]NAME=value, quotes around the value being dropped. */
static int put_line(struct vector *vector, const char *line, size_t size)
{
    const char *equals, *value;
    size_t name_size, value_size;
    char *entry = NULL;

    while (size > 0 && strchr(" \t\r", line[size - 1]))
        size--;
    while (size > 0 && strchr(" \t", line[0]))
        line++, size--;
    if (size == 0 || line[0] == '#')
        return 0;
    if (size > 7 && strncmp(line, "export ", 7) == 0)
        line += 7, size -= 7;
    equals = memchr(line, '=', size);
    if (!equals || !is_name(line, (size_t)(equals - line)))
        return EINVAL;
    name_size = (size_t)(equals - line);
    value = equals + 1;
    value_size = size - name_size - 1;
    if (value_size >= 2 && (value[0] == '"' || value[0] == '\'') && value[value_size - 1] == value[0])
        value++, value_size -= 2;
    if (asprintf(&entry, "%.*s=%.*s", (int)name_size, line, (int)value_size, value) < 0)
        entry = NULL;
    put(vector, entry);
    return 0;
}

static int put_file(struct vector *vector, const char *text, char *error, size_t size)
{
    for (unsigned number = 1; *text; number++) {
        size_t line_size = strcspn(text, "\n");

        if (put_line(vector, text, line_size)) {
            snprintf(error, size, "line %u is not NAME=value", number);
            return EINVAL;
        }
        text += line_size + (text[line_size] == '\n');
    }
    return 0;
}

static size_t count_lines(const char *text)
{
    size_t count = 1;

    for (; text && *text; text++)
        count += *text == '\n';
    return count;
}

int pyd_env_create(const struct pyd_spec *spec, char *const *parent, const char *file_text, char *error, size_t size,
                   char ***ret_env)
{
    struct vector vector = {.capacity = 16 + count_lines(file_text) + spec->env.count};
    int rv = 0;

    vector.items = calloc(vector.capacity, sizeof *vector.items);
    if (!vector.items)
        return ENOMEM;
    put_base(&vector, spec, parent);
    if (file_text)
        rv = put_file(&vector, file_text, error, size);
    for (size_t i = 0; i < spec->env.count; i++)
        put(&vector, strdup(spec->env.items[i]));
    if (!rv && vector.failed)
        rv = ENOMEM;
    if (rv) {
        pyd_env_destroy(vector.items);
        return rv;
    }
    *ret_env = vector.items;
    return 0;
}

void pyd_env_destroy(char **env)
{
    for (char **item = env; item && *item; item++)
        free(*item);
    free(env);
}

static int open_file(const struct pyd_spec *spec, int *ret_fd)
{
    char *path = NULL;
    int fd, rv = 0;

    if (spec->env_file[0] != '/' && spec->server_root) {
        if (asprintf(&path, "%s/%s", spec->server_root, spec->env_file) < 0)
            return ENOMEM;
    }
    fd = open(path ? path : spec->env_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        rv = errno;
    else
        *ret_fd = fd;
    free(path);
    return rv;
}

static int read_fd(int fd, char **ret_text)
{
    struct stat info;
    size_t used = 0, room;
    ssize_t n;
    char *text;

    if (fstat(fd, &info) != 0)
        return errno;
    if (!S_ISREG(info.st_mode))
        return EINVAL;
    if (info.st_size > FILE_BYTES_MAX)
        return EFBIG;
    room = (size_t)info.st_size;
    text = malloc(room + 1);
    if (!text)
        return ENOMEM;
    while (used < room && (n = read(fd, text + used, room - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    *ret_text = text;
    return 0;
}

int pyd_env_read_file(const struct pyd_spec *spec, char **ret_text)
{
    int fd = -1, rv;

    *ret_text = NULL;
    if (!spec->env_file)
        return 0;
    rv = open_file(spec, &fd);
    if (rv)
        return rv;
    rv = read_fd(fd, ret_text);
    close(fd);
    return rv;
}
