/* SPDX-License-Identifier: Apache-2.0 */
#include "pyd_symbol.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pyd_buf.h"
#include "pyd_fd.h"

/* Tables beyond that are debugging ones, or nonsense: reading them would take too long. */
#define TABLE_BYTES_MAX (16u << 20)
#define HEADERS_MAX 4096u
#define MODULES_MAX 2048u
#define KNOWN_MAX 512u /* answers that are kept: the stacks of idle threads are all alike */

/* What is mapped executable. */
struct module {
    uint64_t start, end, offset; /* offset: of start in the file */
    char *path;                  /* borrowed from maps */
    int fd;                      /* of the file; -1: not opened yet, -2: it has no names */
    uint64_t slide;              /* file offset of code minus its address in the file's own numbering */
    ElfW(Shdr) table, strings;
};

struct known {
    const void *address;
    int is_return;
    struct pyd_symbol symbol;
};

struct pyd_symbols {
    struct pyd_buf maps; /* text of /proc/self/maps */
    size_t count;
    struct module *modules;
    size_t known_count;
    struct known known[KNOWN_MAX];
};

/* ---- What is mapped ---- */

static int read_maps(struct pyd_buf *maps)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), rv = 0;

    if (fd < 0)
        return errno;
    for (;;) {
        unsigned char *room = pyd_buf_reserve(maps, 16384);
        ssize_t got = room ? read(fd, room, 16384) : 0;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rv = errno;
        if (got <= 0)
            break;
        maps->size += (size_t)got;
    }
    pyd_fd_close(&fd);
    pyd_buf_append(maps, "", 1);
    return maps->failed ? ENOMEM : rv;
}

/* proc(5): "55d0c6a4e000-55d0c6a7b000 r-xp 00002000 08:02 173521      /usr/bin/dbus-daemon"; ends the line with NUL.
 * @return what follows it */
static char *take_map(char *line, struct pyd_symbols *symbols)
{
    char *newline = strchr(line, '\n'), permissions[8];
    struct module module = {.fd = -1};
    int path_at = 0;

    if (newline)
        *newline = '\0';
    if (symbols->count < MODULES_MAX &&
        sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n", &module.start, &module.end, permissions,
               &module.offset, &path_at) >= 4 &&
        strchr(permissions, 'x')) {
        module.path = path_at ? line + path_at : line + strlen(line);
        symbols->modules[symbols->count++] = module;
    }
    return newline ? newline + 1 : NULL;
}

int pyd_symbols_create(struct pyd_symbols **ret_symbols)
{
    struct pyd_symbols *symbols = calloc(1, sizeof(*symbols));
    char *line;
    int rv = ENOMEM;

    if (!symbols)
        return ENOMEM;
    symbols->modules = calloc(MODULES_MAX, sizeof(*symbols->modules));
    if (symbols->modules)
        rv = read_maps(&symbols->maps);
    if (rv) {
        pyd_symbols_destroy(symbols);
        return rv;
    }
    for (line = (char *)symbols->maps.data; line && *line;)
        line = take_map(line, symbols);
    *ret_symbols = symbols;
    return 0;
}

void pyd_symbols_destroy(struct pyd_symbols *symbols)
{
    if (!symbols)
        return;
    for (size_t i = 0; i < symbols->count; i++)
        pyd_fd_close(&symbols->modules[i].fd);
    free(symbols->modules);
    pyd_buf_done(&symbols->maps);
    free(symbols);
}

static struct module *find_module(struct pyd_symbols *symbols, uint64_t address)
{
    for (size_t i = 0; symbols && i < symbols->count; i++) {
        if (address >= symbols->modules[i].start && address < symbols->modules[i].end)
            return &symbols->modules[i];
    }
    return NULL;
}

/* ---- The tables of a file (elf(5)); nothing in it is believed ---- */

static int read_at(int fd, uint64_t offset, void *data, size_t size)
{
    ssize_t got;

    if (offset > INT64_MAX)
        return EINVAL;
    do
        got = pread(fd, data, size, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    return (size_t)got == size ? 0 : EINVAL;
}

static int is_table(const ElfW(Shdr) *section, ElfW(Word) type)
{
    return section->sh_type == type && section->sh_size && section->sh_size <= TABLE_BYTES_MAX &&
           (type != SHT_DYNSYM || section->sh_entsize == sizeof(ElfW(Sym)));
}

/* The symbols for debugging, which have static functions too, or else those for the dynamic linker. */
static int find_tables(struct module *module, const ElfW(Ehdr) *head)
{
    size_t bytes = (size_t)head->e_shnum * sizeof(ElfW(Shdr));
    ElfW(Shdr) *sections = bytes ? malloc(bytes) : NULL;
    const ElfW(Shdr) *best = NULL;
    int rv = EINVAL;

    if (!sections)
        return bytes ? ENOMEM : EINVAL;
    if (read_at(module->fd, head->e_shoff, sections, bytes))
        goto leave;
    for (size_t i = 0; i < head->e_shnum; i++) {
        const ElfW(Shdr) *section = &sections[i];

        if (section->sh_link >= head->e_shnum || !is_table(&sections[section->sh_link], SHT_STRTAB))
            continue;
        if (is_table(section, SHT_SYMTAB) || (!best && is_table(section, SHT_DYNSYM)))
            best = section;
    }
    if (best) {
        module->table = *best;
        module->strings = sections[best->sh_link];
        rv = 0;
    }

leave:
    free(sections);
    return rv;
}

/* Symbols have addresses of the file's own numbering: find by how much they differ from the place in the file. */
static int find_slide(struct module *module, const ElfW(Ehdr) *head)
{
    for (size_t i = 0; i < head->e_phnum; i++) {
        ElfW(Phdr) part;

        if (read_at(module->fd, head->e_phoff + i * sizeof(part), &part, sizeof(part)))
            return EINVAL;
        if (part.p_type == PT_LOAD && (part.p_flags & PF_X) && module->offset < part.p_offset + part.p_filesz &&
            part.p_offset < module->offset + (module->end - module->start)) {
            module->slide = part.p_vaddr - part.p_offset;
            return 0;
        }
    }
    return EINVAL;
}

static int open_file(struct module *module)
{
    static const unsigned char native[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
                                           sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32};
    size_t size = strlen(module->path);
    struct stat info;
    ElfW(Ehdr) head;

    /* Replaced since: another file is there now, or none. */
    if (module->path[0] != '/' || (size > 10 && !strcmp(module->path + size - 10, " (deleted)")))
        return ENOENT;
    if (stat(module->path, &info) || !S_ISREG(info.st_mode))
        return ENOENT;
    module->fd = open(module->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (module->fd < 0)
        return errno;
    if (read_at(module->fd, 0, &head, sizeof(head)) || memcmp(head.e_ident, native, sizeof(native)) ||
        head.e_shentsize != sizeof(ElfW(Shdr)) || head.e_phentsize != sizeof(ElfW(Phdr)) ||
        head.e_shnum > HEADERS_MAX || head.e_phnum > HEADERS_MAX)
        return EINVAL;
    return find_slide(module, &head) || find_tables(module, &head) ? EINVAL : 0;
}

/* ---- Names ---- */

static int covers(const ElfW(Sym) *symbol, uint64_t address)
{
    return (symbol->st_info & 0xf) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && address >= symbol->st_value &&
           address - symbol->st_value < (symbol->st_size ? symbol->st_size : 1);
}

/* @return 0 if there is one */
static int find_entry(const struct module *module, uint64_t address, ElfW(Sym) *ret_symbol)
{
    ElfW(Sym) part[512];
    uint64_t left = module->table.sh_size / sizeof(*part), at = module->table.sh_offset;

    while (left) {
        size_t count = left < 512 ? (size_t)left : 512;

        if (read_at(module->fd, at, part, count * sizeof(*part)))
            return EINVAL;
        for (size_t i = 0; i < count; i++) {
            if (covers(&part[i], address)) {
                *ret_symbol = part[i];
                return 0;
            }
        }
        at += count * sizeof(*part);
        left -= count;
    }
    return ENOENT;
}

static void find_name(const struct module *module, uint64_t address, uint64_t call, struct pyd_symbol *symbol)
{
    size_t size = sizeof(symbol->name) - 1;
    ElfW(Sym) entry;

    if (find_entry(module, call, &entry) || entry.st_name >= module->strings.sh_size)
        return;
    if (size > module->strings.sh_size - entry.st_name)
        size = module->strings.sh_size - entry.st_name;
    if (read_at(module->fd, module->strings.sh_offset + entry.st_name, symbol->name, size)) {
        symbol->name[0] = '\0';
        return;
    }
    symbol->name[size] = '\0';
    if (symbol->name[0])
        symbol->offset = address - entry.st_value;
}

static void look_up(struct module *module, uint64_t address, int is_return, int with_name, struct pyd_symbol *symbol)
{
    const char *slash = strrchr(module->path, '/');
    uint64_t place;

    if (module->path[0])
        symbol->module = slash ? slash + 1 : module->path;
    symbol->offset = address - module->start + module->offset;
    if (!with_name)
        return;
    if (module->fd == -1 && open_file(module)) {
        pyd_fd_close(&module->fd);
        module->fd = -2;
    }
    if (module->fd < 0)
        return;
    place = symbol->offset + module->slide;
    symbol->offset = place;
    find_name(module, place, place - (is_return ? 1 : 0), symbol);
}

void pyd_symbols_find(struct pyd_symbols *symbols, const void *address, int is_return, int with_name,
                      struct pyd_symbol *ret_symbol)
{
    uint64_t number = (uint64_t)(uintptr_t)address;
    struct module *module = find_module(symbols, number);
    struct pyd_symbol symbol = {.module = "?", .offset = number};

    for (size_t i = 0; with_name && symbols && i < symbols->known_count; i++) {
        if (symbols->known[i].address == address && symbols->known[i].is_return == is_return) {
            *ret_symbol = symbols->known[i].symbol;
            return;
        }
    }
    if (module)
        look_up(module, number, is_return, with_name, &symbol);
    if (with_name && symbols && symbols->known_count < KNOWN_MAX)
        symbols->known[symbols->known_count++] = (struct known){address, is_return, symbol};
    *ret_symbol = symbol;
}
