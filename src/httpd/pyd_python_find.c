/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_python_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLDEST_MINOR 9
#define LINKS_MAX 40 /* as the kernel's */
#define WORKER_PREFIX "pydaemon-worker-"

struct message {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct message *message, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(message->text, message->size, format, args);
    va_end(args);
    return EINVAL;
}

/* False if it does not fit: no real path is that long. */
__attribute__((format(printf, 2, 3))) static int print_path(char path[PATH_MAX], const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    return size >= 0 && size < PATH_MAX;
}

/* Read "3.11" or "3.13t" at the start of text; what follows must be end, '.', or white space. */
static int read_version(const char *text, char version[16])
{
    size_t major = strspn(text, "0123456789");
    size_t minor = text[major] == '.' ? strspn(text + major + 1, "0123456789") : 0;
    size_t size = major + 1 + minor;

    if (!major || !minor || size > 10)
        return EINVAL;
    size += text[size] == 't';
    if (text[size] && text[size] != '.' && !isspace((unsigned char)text[size]))
        return EINVAL;
    memcpy(version, text, size);
    version[size] = '\0';
    return 0;
}

/* "…/python3.11" -> "3.11" */
static int version_of_name(const char *path, char version[16])
{
    const char *name = strrchr(path, '/');

    name = name ? name + 1 : path;
    if (strncmp(name, "python", 6) != 0 || read_version(name + 6, version))
        return EINVAL;
    /* "python3.11.real" is anything. */
    return name[6 + strlen(version)] ? EINVAL : 0;
}

static int is_directory(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The value of key in a pyvenv.cfg line, or NULL. Cuts white space at the line's end. */
static const char *venv_value(char *line, const char *key)
{
    size_t key_size = strlen(key), end = strlen(line);

    while (end && isspace((unsigned char)line[end - 1]))
        line[--end] = '\0';
    line += strspn(line, " \t");
    if (strncmp(line, key, key_size) != 0)
        return NULL;
    line += key_size;
    line += strspn(line, " \t");
    if (*line != '=')
        return NULL;
    line++;
    return line + strspn(line, " \t");
}

/* What pyvenv.cfg of directory says. venv writes "version = 3.11.2", virtualenv and uv "version_info = 3.11.2…".
 * ENOENT: no virtual environment; EINVAL: it says no version. */
static int version_of_venv(const char *directory, char version[16])
{
    char path[PATH_MAX], line[1024];
    int rv = EINVAL;
    FILE *file;

    if (!print_path(path, "%s/pyvenv.cfg", directory))
        return ENOENT;
    file = fopen(path, "re");
    if (!file)
        return ENOENT;
    while (rv && fgets(line, sizeof(line), file)) {
        const char *value = venv_value(line, "version");

        if (!value)
            value = venv_value(line, "version_info");
        if (value)
            rv = read_version(value, version);
    }
    fclose(file);
    return rv;
}

/* Replace path by what the link it names points to. */
static int follow_link(char path[PATH_MAX])
{
    char target[PATH_MAX], joined[PATH_MAX], *slash;
    ssize_t size = readlink(path, target, sizeof(target) - 1);

    if (size < 0)
        return errno;
    target[size] = '\0';
    slash = strrchr(path, '/');
    if (target[0] == '/' || !slash) {
        memcpy(path, target, (size_t)size + 1);
        return 0;
    }
    *slash = '\0';
    if (!print_path(joined, "%s/%s", path, target))
        return ENAMETOOLONG;
    memcpy(path, joined, strlen(joined) + 1);
    return 0;
}

/* An installation has its library in PREFIX/lib/python3.N; take the version if there is just one. */
static int version_of_library(const char *executable, char version[16])
{
    char prefix[PATH_MAX], landmark[PATH_MAX], found[16];
    int count = 0;
    char *slash;

    if (!print_path(prefix, "%s", executable) || !(slash = strrchr(prefix, '/')))
        return EINVAL;
    *slash = '\0';
    for (int minor = 0; minor < 100; minor++) {
        if (!print_path(landmark, "%s/../lib/python3.%d/os.py", prefix, minor) || !is_file(landmark))
            continue;
        snprintf(found, sizeof(found), "3.%d", minor);
        count++;
    }
    if (count != 1)
        return EINVAL;
    memcpy(version, found, sizeof(found));
    return 0;
}

/* From the names along the chain of links "python -> python3 -> python3.11", else from the library beside the last. */
static int version_of_chain(const char *executable, char version[16])
{
    char path[PATH_MAX];

    if (!print_path(path, "%s", executable))
        return EINVAL;
    for (int i = 0; i < LINKS_MAX; i++) {
        if (version_of_name(path, version) == 0)
            return 0;
        if (follow_link(path))
            break;
    }
    return version_of_library(path, version);
}

/* Copy the directory of the directory of path: DIR/bin/python -> DIR. */
static int grandparent(const char *path, char directory[PATH_MAX])
{
    char *slash;

    if (!print_path(directory, "%s", path))
        return EINVAL;
    for (int i = 0; i < 2; i++) {
        slash = strrchr(directory, '/');
        if (!slash)
            return EINVAL;
        *slash = '\0';
    }
    return 0;
}

/* A script in the interpreter's place: a pyenv or asdf shim, a wrapper. What it starts cannot be known. */
static int check_program(const char *executable, const struct message *message)
{
    char start[80] = "";
    struct stat info;
    ssize_t size;
    int fd;

    if (stat(executable, &info) != 0)
        return fail(message, "%s: %s%s", executable, strerror(errno),
                    errno == ENOENT ? "; the Python it was made with may have been removed" : "");
    if (!S_ISREG(info.st_mode) || !(info.st_mode & 0111))
        return fail(message, "%s is not an executable file", executable);
    fd = open(executable, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(message, "%s cannot be read: %s", executable, strerror(errno));
    size = read(fd, start, sizeof(start) - 1);
    close(fd);
    if (size >= 2 && start[0] == '#' && start[1] == '!') {
        start[strcspn(start, "\r\n")] = '\0';
        return fail(message, "%s is a script that begins '%s', not an interpreter; name the Python it starts "
                    "(a pyenv shim: what `pyenv which python` prints)", executable, start);
    }
    return 0;
}

static int check_version(const char *version, const char *path, const struct message *message)
{
    int major = atoi(version), minor = atoi(strchr(version, '.') + 1);

    if (major != 3 || minor < OLDEST_MINOR)
        return fail(message, "%s is Python %s; 3.%d or newer is needed", path, version, OLDEST_MINOR);
    return 0;
}

/* DIR/bin/python3 or DIR/bin/python; a virtual environment always has both. */
static int find_program(const char *directory, char executable[PATH_MAX], const struct message *message)
{
    static const char *const NAMES[] = {"python3", "python"};

    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct stat info;

        if (print_path(executable, "%s/bin/%s", directory, NAMES[i]) && lstat(executable, &info) == 0)
            return 0;
    }
    return fail(message, "%s is neither a virtual environment nor a Python installation: it has no bin/python3",
                directory);
}

static int examine(const char *executable, struct pyd_python *python, const struct message *message)
{
    char directory[PATH_MAX], version[16];
    int rv;

    rv = check_program(executable, message);
    if (rv)
        return rv;
    rv = grandparent(executable, directory) ? ENOENT : version_of_venv(directory, version);
    if (rv)
        rv = version_of_chain(executable, version);
    if (rv)
        return fail(message, "the version of %s cannot be told from its name, its links, or the lib/python3.* beside "
                    "it; name the python3.N it stands for", executable);
    rv = check_version(version, executable, message);
    if (rv)
        return rv;
    snprintf(python->version, sizeof(python->version), "%s", version);
    snprintf(python->executable, sizeof(python->executable), "%s", executable);
    return 0;
}

int pyd_python_find(const char *path, struct pyd_python *ret_python, char *error, size_t size)
{
    struct message message = {error, size};
    char executable[PATH_MAX], directory[PATH_MAX];
    struct stat info;
    size_t end;
    int rv;

    if (stat(path, &info) != 0 && lstat(path, &info) != 0)
        return fail(&message, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) {
        if (!print_path(executable, "%s", path))
            return fail(&message, "%.80s… is too long", path);
        return examine(executable, ret_python, &message);
    }
    if (!print_path(directory, "%s", path))
        return fail(&message, "%.80s… is too long", path);
    for (end = strlen(directory); end > 1 && directory[end - 1] == '/'; end--)
        directory[end - 1] = '\0';
    rv = find_program(directory, executable, &message);
    return rv ? rv : examine(executable, ret_python, &message);
}

static int compare_versions(const struct dirent **a, const struct dirent **b)
{
    return strverscmp((*a)->d_name, (*b)->d_name);
}

static int is_worker(const struct dirent *entry)
{
    return strncmp(entry->d_name, WORKER_PREFIX, sizeof(WORKER_PREFIX) - 1) == 0;
}

void pyd_python_workers(const char *dir, char *text, size_t size)
{
    struct dirent **entries = NULL;
    int count = is_directory(dir) ? scandir(dir, &entries, is_worker, compare_versions) : 0;
    size_t used = 0;

    snprintf(text, size, "none");
    for (int i = 0; i < count; i++) {
        const char *version = entries[i]->d_name + sizeof(WORKER_PREFIX) - 1;
        int more = snprintf(text + used, size - used, "%s%s", used ? ", " : "", version);

        if (more > 0 && (size_t)more < size - used)
            used += (size_t)more;
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}
