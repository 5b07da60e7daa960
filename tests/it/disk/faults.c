/* A disk that fails as it is told: loaded before the C library of a coordinator, it stands between SQLite and the
 * kernel. Knows nothing of what is written.
 *
 * The file named by DISK_FAULTS holds a generation and rules, one a line:
 *
 *     OPERATION SUFFIX ACTION SKIP TIMES
 *
 * OPERATION is write, sync or open (for writing); SUFFIX is how the file's name ends; ACTION is an errno, or 0 to hang
 * until the generation changes; SKIP calls pass first; then TIMES calls are hit (-1: all). A write that is hit still
 * writes its first half. Each hit appends a line to the file's name with ".hits".
 *
 * With DISK_SHADOW the content that a power cut would leave is kept beside each database and log, with ".disk" behind
 * its name: a page gets there by a sync that succeeds. A sync that fails forgets what it should have written, as the
 * kernel does; which pages wait for a sync stands in ".dirty". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RULES_MAX 8
#define PAGE 4096

struct rule {
    char operation[16], suffix[32];
    int action;
    long skip, times, seen;
};

static struct rule rules[RULES_MAX];
static int rules_len;
static long generation = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_open)(const char *, int, ...);

__attribute__((constructor)) static void find_real(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_open = dlsym(RTLD_NEXT, "open64");
}

static int ends_with(const char *text, const char *suffix) {
    size_t a = strlen(text), b = strlen(suffix);
    return a >= b && strcmp(text + a - b, suffix) == 0;
}

/* Whether it is a database or its log; and its name. */
static int is_ours(int fd, char *name, size_t size) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, size - 8);
    if (length < 0) return 0;
    name[length] = 0;
    return ends_with(name, ".db") || ends_with(name, ".db-wal");
}

static void read_rules(void) {
    const char *path = getenv("DISK_FAULTS");
    FILE *file = path ? fopen(path, "re") : NULL;
    long now;
    if (!file) return;
    if (fscanf(file, "%ld", &now) == 1 && now != generation) {
        generation = now;
        rules_len = 0;
        struct rule *r = rules;
        while (rules_len < RULES_MAX && fscanf(file, "%15s %31s %d %ld %ld", r->operation, r->suffix, &r->action, &r->skip, &r->times) == 5) {
            r->seen = 0;
            r = &rules[++rules_len];
        }
    }
    fclose(file);
}

static void note_hit(const char *operation, const char *name) {
    char path[4096], line[4200];
    snprintf(path, sizeof path, "%s.hits", getenv("DISK_FAULTS"));
    int fd = real_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int length = snprintf(line, sizeof line, "%s %s\n", operation, name);
    if (real_write(fd, line, length) != length) abort();
    close(fd);
}

/* What happens to a call: 0, or an errno. Called without the lock. */
static int fate(const char *operation, const char *name) {
    int action = -1;
    pthread_mutex_lock(&lock);
    read_rules();
    for (struct rule *r = rules; r < rules + rules_len && action < 0; r++) {
        if (strcmp(r->operation, operation) || !ends_with(name, r->suffix)) continue;
        long hit = r->seen++ - r->skip;
        if (hit >= 0 && (r->times < 0 || hit < r->times)) action = r->action;
    }
    long hung = generation;
    if (action >= 0) note_hit(operation, name);
    pthread_mutex_unlock(&lock);
    if (action != 0) return action < 0 ? 0 : action;
    for (int waits = 1; waits;) {
        usleep(5000);
        pthread_mutex_lock(&lock);
        read_rules();
        waits = generation == hung;
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

static int beside(const char *name, const char *suffix) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s", name, suffix);
    int fd = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    return fd;
}

static void dirtied(const char *name, off64_t at, ssize_t length) {
    if (!getenv("DISK_SHADOW") || length <= 0) return;
    int fd = beside(name, ".dirty");
    for (off64_t page = at / PAGE; page <= (at + length - 1) / PAGE; page++)
        if (real_pwrite(fd, "x", 1, page) != 1) abort();
    close(fd);
}

static void synced(int fd, const char *name, int succeeded) {
    if (!getenv("DISK_SHADOW")) return;
    pthread_mutex_lock(&lock);
    int dirty = beside(name, ".dirty"), disk = beside(name, ".disk");
    int file = real_open(name, O_RDONLY | O_CLOEXEC);
    struct stat64 there;
    if (file < 0 || fstat64(fd, &there) || ftruncate64(disk, there.st_size)) abort();
    char mark, page[PAGE];
    for (off64_t at = 0; succeeded && pread64(dirty, &mark, 1, at) == 1; at++) {
        ssize_t length = mark == 'x' ? pread64(file, page, PAGE, at * PAGE) : 0;
        if (length > 0 && real_pwrite(disk, page, length, at * PAGE) != length) abort();
    }
    if (ftruncate64(dirty, 0)) abort();
    close(dirty), close(disk), close(file);
    pthread_mutex_unlock(&lock);
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off64_t at, int moves) {
    char name[4096];
    if (!is_ours(fd, name, sizeof name))
        return moves ? real_write(fd, bytes, length) : real_pwrite(fd, bytes, length, at);
    int failure = fate("write", name);
    size_t part = failure ? length / 2 : length;
    ssize_t written = part ? real_pwrite(fd, bytes, part, at) : 0;
    dirtied(name, at, written);
    if (moves && written > 0) lseek64(fd, at + written, SEEK_SET);
    if (!failure) return written;
    errno = failure;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return write_at(fd, bytes, length, lseek64(fd, 0, SEEK_CUR), 1);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return write_at(fd, bytes, length, at, 0);
}

int fsync(int fd) {
    char name[4096];
    if (!is_ours(fd, name, sizeof name)) return real_fsync(fd);
    int failure = fate("sync", name);
    int done = failure ? -1 : real_fsync(fd);
    synced(fd, name, done == 0);
    if (failure) errno = failure;
    return done;
}

int fdatasync(int fd) { return fsync(fd); }

static int open_with(const char *path, int flags, mode_t mode) {
    int failure = (flags & O_ACCMODE) == O_RDONLY ? 0 : fate("open", path);
    if (!failure) return real_open(path, flags, mode);
    errno = failure;
    return -1;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_with(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_with(path, flags, mode);
}
