/*
 * What an engine in C needs to speak ringfence's exec: protocol: frames, a small
 * JSON reader, and a writer. Include it in one file. No library is needed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef RINGFENCE_ENGINE_H
#define RINGFENCE_ENGINE_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RF_PROTOCOL 1
#define RF_MAX_FRAME (16u << 20)

/* ---- text that grows ---------------------------------------------------- */

struct rf_text {
    char *p;
    size_t n, room;
};

static void rf_printf(struct rf_text *t, const char *format, ...)
{
    for (;;) {
        va_list ap;
        va_start(ap, format);
        int n = vsnprintf(t->p ? t->p + t->n : NULL, t->room - t->n, format, ap);
        va_end(ap);
        if (n < 0)
            abort();
        if ((size_t)n < t->room - t->n) {
            t->n += (size_t)n;
            return;
        }
        t->room = 2 * t->room + (size_t)n + 256;
        t->p = realloc(t->p, t->room);
        if (!t->p)
            abort();
    }
}

/* ---- frames: 4 bytes of length, little-endian, then JSON ----------------- */

/* Returns 1 with a frame in t (which a zero byte follows), 0 at the end of the
 * input; ends the program where the input is no frame. */
static int rf_read_frame(struct rf_text *t)
{
    unsigned char head[4];
    size_t got = fread(head, 1, 4, stdin);
    if (got == 0)
        return 0;
    uint32_t n = head[0] | head[1] << 8 | head[2] << 16 | (uint32_t)head[3] << 24;
    if (got != 4 || n == 0 || n > RF_MAX_FRAME) {
        fprintf(stderr, "not a frame\n");
        exit(1);
    }
    if (t->room < n + 1) {
        t->p = realloc(t->p, n + 1);
        if (!t->p)
            abort();
        t->room = n + 1;
    }
    if (fread(t->p, 1, n, stdin) != n) {
        fprintf(stderr, "the input ended within a frame\n");
        exit(1);
    }
    t->p[n] = 0;
    t->n = n;
    return 1;
}

static void rf_write_frame(const struct rf_text *t)
{
    unsigned char head[4] = { t->n, t->n >> 8, t->n >> 16, t->n >> 24 };
    if (fwrite(head, 1, 4, stdout) != 4 || fwrite(t->p, 1, t->n, stdout) != t->n || fflush(stdout))
        exit(1);
}

/* ---- JSON, read in place -------------------------------------------------- */

/*
 * A value is a pointer to its first character. The functions below walk over
 * text that rf_valid has accepted.
 */
static const char *rf_space(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
        p++;
    return p;
}

static const char *rf_value(const char *p, int depth);

static const char *rf_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p == '\\' && !*++p)
            return NULL;
    }
    return p + 1;
}

static const char *rf_items(const char *p, int depth, char close)
{
    p = rf_space(p + 1);
    if (*p == close)
        return p + 1;
    for (;;) {
        if (close == '}') {
            p = rf_string(p);
            if (!p || *(p = rf_space(p)) != ':')
                return NULL;
            p = rf_space(p + 1);
        }
        p = rf_value(p, depth);
        if (!p)
            return NULL;
        p = rf_space(p);
        if (*p == close)
            return p + 1;
        if (*p++ != ',')
            return NULL;
        p = rf_space(p);
    }
}

/* Returns the character after a value, NULL if there is none. */
static const char *rf_value(const char *p, int depth)
{
    static const char *const words[] = { "true", "false", "null" };
    if (depth > 32)
        return NULL;
    switch (*p) {
    case '{':
        return rf_items(p, depth + 1, '}');
    case '[':
        return rf_items(p, depth + 1, ']');
    case '"':
        return rf_string(p);
    }
    for (int i = 0; i < 3; i++)
        if (!strncmp(p, words[i], strlen(words[i])))
            return p + strlen(words[i]);
    size_t n = strspn(p, "+-.0123456789eE");
    return n ? p + n : NULL;
}

static int rf_valid(const char *p)
{
    p = rf_value(rf_space(p), 0);
    return p && !*rf_space(p);
}

/* Walks over an object or a list. Start with it = NULL; in an object, key is set
 * to the key's first character within its quotes. Returns the value, NULL at the
 * end. */
static const char *rf_next(const char *container, const char **it, const char **key)
{
    const char *p = *it ? rf_space(*it) : rf_space(container + 1);
    if (*it && *p == ',')
        p = rf_space(p + 1);
    if (*p == '}' || *p == ']')
        return NULL;
    if (*container == '{') {
        if (key)
            *key = p + 1;
        p = rf_space(rf_space(rf_string(p)) + 1);
    }
    *it = rf_value(p, 0);
    return p;
}

/* Whether a key or a string value (after its quote) is this text. */
static int rf_is(const char *s, const char *text)
{
    size_t n = strlen(text);
    return !strncmp(s, text, n) && s[n] == '"';
}

static int rf_text_is(const char *value, const char *text)
{
    return *value == '"' && rf_is(value + 1, text);
}

/* "0x1f" as a number. Returns 0 if it is none of at most 64 bits. */
static int rf_hex(const char *value, uint64_t *to)
{
    char *end;
    if (strncmp(value, "\"0x", 3))
        return 0;
    *to = strtoull(value + 3, &end, 16);
    return end != value + 3 && *end == '"' && end - value - 3 <= 16;
}

/* "4801d8" as bytes, at most room of them. Returns their number, -1 if it is
 * not hex. */
static long rf_bytes(const char *value, uint8_t *to, size_t room)
{
    size_t n = 0;
    if (*value++ != '"')
        return -1;
    for (; *value != '"'; value += 2, n++) {
        int b = 0;
        for (int i = 0; i < 2; i++) {
            char c = value[i];
            int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
            if (d < 0)
                return -1;
            b = b << 4 | d;
        }
        if (n < room)
            to[n] = (uint8_t)b;
    }
    return (long)(n < room ? n : room);
}

#endif
