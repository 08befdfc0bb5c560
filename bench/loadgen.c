/*
 * loadgen: the load client of bench/. One thread, one epoll, many readers, one publisher.
 *
 * Opens N readers over WebSocket or SSE, publishes through ONE connection, and counts every delivery exactly.
 * Each payload carries
 *     ~T<sequence number: 10 digits>.<CLOCK_MONOTONIC, ns: 19 digits>~xxxx...
 * so that loss, duplicates, disorder and the time from publish to receipt are known for each delivery, however the
 * server frames it (many messages in one frame, chunk or write). Transport units are counted too: WebSocket data
 * frames by their headers, SSE events by their blank lines.
 *
 * Build: cc -O2 -Wall -o loadgen loadgen.c          (Linux: epoll_pwait2, so kernel >= 5.11 and glibc >= 2.35)
 *
 * Readers
 *   -m ws|sse  -H host (127.0.0.1)  -p port  -u /path  -n readers (1000)  -c concurrent handshakes (128)
 *   -b 127.0.0.2   first source address; every 20,000 readers take the next one
 *   -R bytes       SO_RCVBUF of each reader
 *   -P n           the first n readers stop reading while the window is measured, then read again; and once before, for
 *                  the second third of the warm-up
 * Publisher
 *   -I line:PORT           one line per message: the ingest of prototype.js
 *   -I ws:PORT:/path       one masked text frame per message
 *   -I http:PORT:/path     one POST per message, pipelined on one connection
 *   -I batch:PORT:/path    one POST of newline-delimited JSON per tick, at most 1,000 messages each
 *   -q PREFIX -Q SUFFIX    text around each payload, to make the server's own publish frame; "%n" in PREFIX becomes the
 *                          sequence number    -T content type of http (text/plain)
 *   -r rate, messages a second | -k n: keep n messages outstanding (not yet received by all readers, on average)
 *   -B n           messages per publish tick (1)      -z bytes of a payload (100)
 *   neither -r nor -k: the readers idle
 * Phases, in seconds
 *   -w warm-up (1)  -d measured window (5)  -a publishing goes on after it (0)  -D at most this long for what is still
 *   under way, nothing published (2)  -h hold all connections idle at the end (0)
 * Server
 *   -s PID[,PID]   processes whose CPU and RSS are sampled     -C index of their core, for its /proc/stat
 *   -g             send them SIGUSR2 when the window begins and when it ends
 *
 * Output: one line of JSON; what went wrong on stderr. Exit 1 if a connection failed, 2 if the run is void.
 *
 * Readers are subscribed before the first publish (the run waits until greetings have ceased), so number 1 is
 * expected of everyone. lost = numbers skipped + numbers still missing at the very end; late = came after a later one;
 * duplicate = came twice (told apart by up to 64 open holes a reader; beyond that a late one counts as a duplicate).
 * Latency is taken over the messages published inside the window, whenever they came, from before the publisher's write
 * to after the recv() that held them; readers of -P are kept out of it and counted apart (catching_up_: the others'
 * latency from when those read again until they have caught up). Publisher and readers share
 * the thread: publishing is looked at every 64 events, and a client short of CPU shows as latency of the server.
 * CPU per delivery = user and system time of the server in the window / deliveries in the window.
 * Not checked: Sec-WebSocket-Accept, UTF-8, masking of server frames, chunk sizes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WS, SSE };
enum { CONNECTING, HANDSHAKE, READY, DEAD };
enum { NOBODY, LINE, FRAMES, POSTS, BATCHES };
enum { OTHERS, PAUSERS }; /* readers are counted in two classes */

#define MARKER 33 /* "~T" + 10 + "." + 19 + "~" */
#define HOLES 64
#define BATCH_COUNT_MAX 1000
#define BATCH_BYTES_MAX (4u << 20)
#define QUEUE_BYTES_MAX (4u << 20) /* published, not yet taken by the socket */
#define PUBLISHER 0xfffffffeu      /* the publisher's id in epoll */
#define NEVER UINT64_MAX

typedef struct {
	uint32_t from, to; /* numbers skipped: from <= n < to */
} hole;

typedef struct {
	int fd;
	uint8_t state, class, caught_up;
	/* the WebSocket frame being read */
	uint8_t header[14], header_len, in_frame, opcode;
	uint64_t remaining;
	uint8_t control[125], control_len; /* payload of a control frame, possibly split */
	char lead[200];                    /* how a data frame begins (kept for the publisher only) */
	uint8_t lead_len;
	/* a marker cut by a recv(), and whether the last SSE byte was a line feed */
	uint8_t cut[MARKER], cut_len, line_feed;
	uint32_t expect; /* next sequence number */
	hole *holes;
	int hole_count;
	char *head; /* response head while it comes in */
	uint32_t head_len;
} conn;

typedef struct {
	uint64_t messages, lost, late, duplicates;
} tally;

/* ---- what is asked (see the head of this file) ---- */
static int mode = WS, port = 8080, readers = 1000, concurrent = 128, receive_buffer, pausers;
static const char *host = "127.0.0.1", *path = "/";
static uint32_t source_address;
static int way = NOBODY, publish_port, size = 100, burst = 1, outstanding;
static const char *publish_path = "/", *prefix, *suffix, *content_type = "text/plain";
static double rate;
static int pids[64], pid_count, server_core, signalling;

/* ---- what happens ---- */
static conn *C, publisher;
static int ep, ready, failed, closed, in_flight, next_conn;
static tally T[2];
static uint64_t units, bytes, receives, acked, refused;
static uint64_t window_from = NEVER, window_to = NEVER;
static uint64_t resumed_at, caught_up_at;
static uint32_t resumed_number;
static uint64_t received_at;
static char buf[1 << 18];

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static uint64_t seconds(double s) { return (uint64_t)(s * 1e9); }
static void die(const char *what) {
	perror(what);
	exit(2);
}

/* ---- latency: a log-linear histogram, 64 steps an octave (error <= 1.6 %) ---- */
typedef struct {
	uint64_t steps[64 * 64], max;
} histogram;
/* published in the window; and while the readers of -P catch up */
static histogram window, catching_up;

static inline void record(histogram *h, uint64_t sent_at) {
	uint64_t v = received_at > sent_at ? received_at - sent_at : 0;
	if (v > h->max) h->max = v;
	int octave = v < 64 ? 0 : 63 - __builtin_clzll(v);
	h->steps[v < 64 ? (int)v : (octave - 5) * 64 + (int)((v >> (octave - 6)) & 63)]++;
}
static double percentile_ms(const histogram *h, double q) {
	uint64_t total = 0, seen = 0;
	for (int i = 0; i < 64 * 64; i++) total += h->steps[i];
	uint64_t want = (uint64_t)(q * total);
	for (int i = 0; i < 64 * 64; i++) {
		seen += h->steps[i];
		if (seen <= want) continue;
		if (i < 64) return i / 1e6;
		int octave = i / 64 + 5;
		return ((1ull << octave) + ((uint64_t)(i & 63) << (octave - 6))) / 1e6;
	}
	return h->max / 1e6;
}

/* ---- one delivery ---- */
static void skip(conn *c, uint32_t from, uint32_t to) {
	T[c->class].lost += to - from;
	if (!c->holes) c->holes = malloc(HOLES * sizeof *c->holes);
	if (c->hole_count == HOLES) memmove(c->holes, c->holes + 1, --c->hole_count * sizeof *c->holes);
	c->holes[c->hole_count++] = (hole){from, to};
}
static void behind(conn *c, uint32_t n) {
	for (int i = 0; i < c->hole_count; i++) {
		hole *h = &c->holes[i];
		if (n < h->from || n >= h->to) continue;
		T[c->class].lost--;
		T[c->class].late++;
		hole upper = {n + 1, h->to};
		h->to = n; /* possibly empty now: it matches nothing any more */
		if (upper.from < upper.to && c->hole_count < HOLES) c->holes[c->hole_count++] = upper;
		return;
	}
	T[c->class].duplicates++;
}
static inline void deliver(conn *c, const uint8_t *m) {
	uint32_t n = 0;
	uint64_t sent_at = 0;
	for (int i = 2; i < 12; i++) n = n * 10 + (m[i] - '0');
	for (int i = 13; i < 32; i++) sent_at = sent_at * 10 + (m[i] - '0');
	T[c->class].messages++;
	if (n < c->expect) {
		behind(c, n);
	} else {
		if (n > c->expect) skip(c, c->expect, n);
		c->expect = n + 1;
	}
	if (c->class == OTHERS) {
		if (sent_at >= window_from && sent_at < window_to) record(&window, sent_at);
		else if (resumed_at && sent_at >= resumed_at && !caught_up_at) record(&catching_up, sent_at);
	} else if (resumed_at && !c->caught_up && n >= resumed_number) {
		c->caught_up = 1;
		caught_up_at = received_at;
	}
}

/* ---- finding markers in bytes that may be cut anywhere ---- */
static void scan(conn *c, const uint8_t *p, size_t len) {
	if (c->cut_len) {
		size_t need = MARKER - c->cut_len, take = len < need ? len : need;
		memcpy(c->cut + c->cut_len, p, take);
		c->cut_len += take;
		if (c->cut_len >= 2 && c->cut[1] != 'T') {
			c->cut_len = 0; /* it was another tilde: what came after it is looked at again */
		} else {
			if (c->cut_len < MARKER) return;
			deliver(c, c->cut);
			c->cut_len = 0;
			p += take;
			len -= take;
		}
	}
	const uint8_t *end = p + len;
	while (p < end && (p = memchr(p, '~', end - p))) {
		if (end - p < MARKER) {
			if (end - p == 1 || p[1] == 'T') {
				memcpy(c->cut, p, end - p);
				c->cut_len = end - p;
				return;
			}
			p++;
		} else if (p[1] == 'T' && p[32] == '~') {
			deliver(c, p);
			p += MARKER;
		} else {
			p++;
		}
	}
}

/* ---- SSE ---- */
static void read_sse(conn *c, const uint8_t *p, size_t len) {
	scan(c, p, len);
	const uint8_t *end = p + len;
	if (c->line_feed && len && *p == '\n') {
		units++;
		p++;
	}
	c->line_feed = 0;
	while (p < end && (p = memchr(p, '\n', end - p))) {
		if (p + 1 == end) {
			c->line_feed = 1;
			break;
		}
		if (p[1] == '\n') {
			units++;
			p += 2;
		} else {
			p++;
		}
	}
}

/* ---- WebSocket ---- */
static size_t frame(uint8_t *out, int opcode, const void *data, size_t len) {
	/* Masked with a key that is not zero, as a browser's is: the server has to unmask. */
	static uint32_t key = 0x9e3779b9;
	key ^= key << 13, key ^= key >> 17, key ^= key << 5;
	size_t h = 2;
	out[0] = 0x80 | opcode;
	if (len < 126) {
		out[1] = 0x80 | len;
	} else {
		out[1] = 0x80 | 126, out[2] = len >> 8, out[3] = len;
		h = 4;
	}
	uint8_t mask[4];
	memcpy(mask, &key, 4);
	memcpy(out + h, mask, 4);
	h += 4;
	for (size_t i = 0; i < len; i++) out[h + i] = ((const uint8_t *)data)[i] ^ mask[i & 3];
	return h + len;
}
static void frame_end(conn *c) {
	if (c->opcode == 9) {
		uint8_t pong[140];
		size_t n = frame(pong, 10, c->control, c->control_len);
		if (write(c->fd, pong, n) < 0) return;
	} else if (c->opcode == 8) {
		int code = c->control_len >= 2 ? c->control[0] << 8 | c->control[1] : 0;
		static int told;
		if (!told++) fprintf(stderr, "the server closed a %s with %d\n", c == &publisher ? "publisher" : "reader", code);
	} else if (c == &publisher) {
		c->lead[c->lead_len] = 0;
		if (strstr(c->lead, "\"ack\"")) acked++;
		else if (strstr(c->lead, "\"error\"") && !refused++) fprintf(stderr, "a publish was refused: %s\n", c->lead);
	} else {
		units++;
	}
	c->in_frame = c->header_len = c->cut_len = c->control_len = c->lead_len = 0;
}
static void read_ws(conn *c, const uint8_t *p, size_t len) {
	while (len) {
		if (!c->in_frame) {
			c->header[c->header_len++] = *p++, len--;
			if (c->header_len < 2) continue;
			int l = c->header[1] & 127, need = l == 126 ? 4 : l == 127 ? 10 : 2;
			if (c->header_len < need) continue;
			uint64_t n = l;
			if (l >= 126)
				for (int i = 2 + (n = 0); i < need; i++) n = n << 8 | c->header[i];
			c->opcode = c->header[0] & 15, c->remaining = n, c->in_frame = 1;
		}
		size_t take = c->remaining < len ? c->remaining : len;
		if (c->opcode >= 8) {
			size_t room = sizeof c->control - c->control_len, k = take < room ? take : room;
			memcpy(c->control + c->control_len, p, k);
			c->control_len += k;
		} else if (c == &publisher) {
			size_t room = sizeof c->lead - 1 - c->lead_len, k = take < room ? take : room;
			memcpy(c->lead + c->lead_len, p, k);
			c->lead_len += k;
		} else {
			scan(c, p, take);
		}
		p += take, len -= take, c->remaining -= take;
		if (!c->remaining) frame_end(c);
	}
}

/* ---- readers ---- */
static void feed(conn *c, const uint8_t *p, size_t len) {
	bytes += len;
	if (mode == WS) read_ws(c, p, len);
	else read_sse(c, p, len);
}
static void drop(conn *c) {
	if (c->state == READY) closed++;
	else failed++, in_flight--;
	close(c->fd);
	c->fd = -1, c->state = DEAD;
}
static int handshake_request(char *out, size_t room, int websocket, const char *to, int at) {
	if (!websocket) return snprintf(out, room, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n\r\n", to, host, at);
	return snprintf(out, room,
		"GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", to, host, at);
}
static struct sockaddr_in address(int at) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(at)};
	inet_pton(AF_INET, host, &a.sin_addr);
	return a;
}
static void open_reader(int i) {
	conn *c = &C[i];
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0) die("socket");
	c->class = i < pausers ? PAUSERS : OTHERS;
	c->expect = 1;
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (receive_buffer) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
	if (source_address) {
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		struct sockaddr_in s = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source_address + i / 20000)};
		if (bind(c->fd, (void *)&s, sizeof s)) die("bind");
	}
	struct sockaddr_in a = address(port);
	c->state = CONNECTING, in_flight++;
	if (connect(c->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) {
		drop(c);
		return;
	}
	struct epoll_event ev = {.events = EPOLLOUT, .data.u32 = i};
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}
static void connected(conn *c) {
	int error = 0;
	socklen_t l = sizeof error;
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &l);
	if (error) {
		if (!failed) fprintf(stderr, "connect: %s\n", strerror(error));
		drop(c);
		return;
	}
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = c - C};
	epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
	char request[1024];
	int n = handshake_request(request, sizeof request, mode == WS, path, port);
	c->state = HANDSHAKE;
	if (write(c->fd, request, n) != n) drop(c);
}
static void shake_hands(conn *c, const char *p, size_t len) {
	if (!c->head) c->head = malloc(8192);
	if (c->head_len + len > 8191) len = 8191 - c->head_len;
	memcpy(c->head + c->head_len, p, len);
	c->head_len += len;
	c->head[c->head_len] = 0;
	char *end = strstr(c->head, "\r\n\r\n");
	if (!end) return;
	if (strncmp(c->head, mode == SSE ? "HTTP/1.1 200" : "HTTP/1.1 101", 12)) {
		if (!failed) fprintf(stderr, "handshake refused: %.300s\n", c->head);
		drop(c);
	} else {
		c->state = READY, ready++, in_flight--;
		if (c->head_len > end + 4 - c->head) feed(c, (uint8_t *)end + 4, c->head + c->head_len - (end + 4));
	}
	free(c->head);
	c->head = NULL;
}

/* ---- the publisher ---- */
static uint64_t sent, sent_before, publishing_since, messages_before;
static uint8_t *queue, *batch;
static size_t queue_from, queue_to, batch_len;
static int batch_count;

static void open_publisher(void) {
	conn *c = &publisher;
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = address(publish_port);
	if (connect(c->fd, (void *)&a, sizeof a)) die("publisher");
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (way == FRAMES) {
		char head[8192];
		int n = handshake_request(head, sizeof head, 1, publish_path, publish_port);
		if (write(c->fd, head, n) != n) die("publisher");
		int len = 0; /* byte by byte, so that the first frames stay in the socket */
		while (len < (int)sizeof head - 1 && read(c->fd, head + len, 1) == 1 && (head[++len] = 0, !strstr(head + (len > 4 ? len - 4 : 0), "\r\n\r\n"))) {}
		if (strncmp(head, "HTTP/1.1 101", 12)) {
			fprintf(stderr, "publisher refused: %.300s\n", head);
			exit(2);
		}
	}
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	queue = malloc(2 * QUEUE_BYTES_MAX + BATCH_BYTES_MAX);
	batch = malloc(2 * BATCH_BYTES_MAX);
	c->state = READY;
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = PUBLISHER};
	epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}
/* Statuses of pipelined answers, wherever a recv() cuts them. */
static void read_answers(const char *p, size_t len) {
	static const char line[] = "HTTP/1.1 ";
	static int at;
	for (const char *end = p + len; p < end; p++) {
		if (at == 9) {
			if (*p == '2') acked++;
			else if (!refused++) fprintf(stderr, "a publish was refused: %.*s\n", (int)(end - p < 300 ? end - p : 300), p);
			at = 0;
		} else {
			at = *p == line[at] ? at + 1 : *p == 'H';
		}
	}
}
static void hear_publisher(void) {
	ssize_t n = recv(publisher.fd, buf, sizeof buf, 0);
	if (n < 0 && errno == EAGAIN) return;
	if (n <= 0) {
		fprintf(stderr, "the server closed the publisher\n");
		exit(2);
	}
	if (way == FRAMES) read_ws(&publisher, (uint8_t *)buf, n);
	else if (way == POSTS || way == BATCHES) read_answers(buf, n);
}
static void flush_queue(void) {
	while (queue_from < queue_to) {
		ssize_t n = write(publisher.fd, queue + queue_from, queue_to - queue_from);
		if (n <= 0) break;
		queue_from += n;
	}
	if (queue_from == queue_to) queue_from = queue_to = 0;
	else if (queue_from > QUEUE_BYTES_MAX) {
		memmove(queue, queue + queue_from, queue_to - queue_from);
		queue_to -= queue_from, queue_from = 0;
	}
}
static int queue_has_room(void) { return queue_to - queue_from < QUEUE_BYTES_MAX / 2; }

static void queue_post(const char *type, const void *body, size_t len) {
	queue_to += sprintf((char *)queue + queue_to, "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		publish_path, host, publish_port, type, len);
	memcpy(queue + queue_to, body, len);
	queue_to += len;
}
static void end_batch(void) {
	if (batch_count) queue_post("application/x-ndjson", batch, batch_len);
	batch_count = batch_len = 0;
}
/* PREFIX with the number in place of %n, the marker, filling, SUFFIX. */
static size_t compose(uint8_t *out) {
	size_t len = 0, payload = size < MARKER ? MARKER : size;
	for (const char *q = prefix ? prefix : ""; *q; q++) {
		if (q[0] == '%' && q[1] == 'n') len += sprintf((char *)out + len, "%" PRIu64, sent), q++;
		else out[len++] = *q;
	}
	sprintf((char *)out + len, "~T%010u.%019" PRIu64 "~", (uint32_t)sent, now());
	memset(out + len + MARKER, 'x', payload - MARKER);
	len += payload;
	if (suffix) memcpy(out + len, suffix, strlen(suffix)), len += strlen(suffix);
	return len;
}
static void publish_one(void) {
	static uint8_t body[80000];
	sent++;
	size_t len = compose(body);
	switch (way) {
	case LINE:
		memcpy(queue + queue_to, body, len);
		queue[queue_to + len] = '\n';
		queue_to += len + 1;
		break;
	case FRAMES:
		queue_to += frame(queue + queue_to, 1, body, len);
		break;
	case POSTS:
		queue_post(content_type, body, len);
		break;
	case BATCHES:
		memcpy(batch + batch_len, body, len);
		batch[batch_len + len] = '\n';
		batch_len += len + 1;
		if (++batch_count == BATCH_COUNT_MAX || batch_len > BATCH_BYTES_MAX / 2) end_batch();
		break;
	}
}
static void publish_due(uint64_t t) {
	if (way == NOBODY) return;
	if (publishing_since) {
		uint64_t want = sent;
		if (outstanding) {
			uint64_t live = ready - pausers - closed;
			want = sent_before + (live ? (T[OTHERS].messages - messages_before) / live : 0) + outstanding;
		} else if (rate > 0) {
			want = sent_before + (uint64_t)((t - publishing_since) / 1e9 * rate / burst) * burst;
		}
		for (int most = 4096; sent < want && most && queue_has_room(); most--) publish_one();
		end_batch();
	}
	flush_queue();
}

/* ---- the loop ---- */
static void on_event(struct epoll_event *e) {
	if (e->data.u32 == PUBLISHER) {
		hear_publisher();
		return;
	}
	conn *c = &C[e->data.u32];
	if (c->state == DEAD) return;
	if (c->state == CONNECTING) {
		connected(c);
		return;
	}
	ssize_t n = recv(c->fd, buf, sizeof buf, 0);
	if (n < 0 && errno == EAGAIN) return;
	if (n <= 0) {
		drop(c);
		return;
	}
	receives++;
	received_at = now();
	if (c->state == HANDSHAKE) shake_hands(c, buf, n);
	else feed(c, (uint8_t *)buf, n);
}
static void spin(uint64_t until) {
	for (;;) {
		uint64_t t = now();
		if (t >= until) return;
		publish_due(t);
		uint64_t wait = until - t, tick = 20000000;
		if (publishing_since && outstanding) tick = 1000000;
		else if (publishing_since && rate > 0) tick = seconds(burst / rate / 2);
		if (queue_from < queue_to) tick = 1000000;
		if (tick < 200000) tick = 200000;
		if (wait > tick) wait = tick;
		struct timespec timeout = {wait / 1000000000, wait % 1000000000};
		struct epoll_event ev[64];
		int n = epoll_pwait2(ep, ev, 64, &timeout, NULL);
		for (int i = 0; i < n; i++) on_event(&ev[i]);
	}
}
static void connect_all(void) {
	uint64_t since = now();
	while (ready + failed < readers && now() - since < seconds(60)) {
		while (next_conn < readers && in_flight < concurrent) open_reader(next_conn++);
		struct epoll_event ev[64];
		int n = epoll_wait(ep, ev, 64, 100);
		for (int i = 0; i < n; i++) on_event(&ev[i]);
	}
	if (ready + failed < readers) {
		fprintf(stderr, "only %d of %d connected within 60 s (%d failed)\n", ready, readers, failed);
		exit(2);
	}
}
/* Greetings are over when hardly anyone was sent anything for 300 ms: heartbeats go on, a few readers at a time. */
static void settle(void) {
	uint64_t since = now(), before;
	do {
		before = receives;
		spin(now() + seconds(0.3));
	} while (receives - before > (uint64_t)readers / 20 && now() - since < seconds(10));
}
static void pause_readers(int paused) {
	for (int i = 0; i < pausers; i++) {
		if (C[i].state != READY) continue;
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};
		epoll_ctl(ep, paused ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, C[i].fd, &ev);
	}
}
static void drain(double most) {
	publishing_since = 0;
	for (uint64_t until = now() + seconds(most); now() < until; spin(now() + seconds(0.01))) {
		int missing = queue_from < queue_to;
		for (int i = 0; i < readers && !missing; i++) missing = C[i].state == READY && C[i].expect <= sent;
		if (!missing) return;
	}
}

/* ---- the server, as the kernel sees it ---- */
static double server_cpu(void) {
	double total = 0;
	for (int i = 0; i < pid_count; i++) {
		clockid_t clock;
		struct timespec t;
		if (clock_getcpuclockid(pids[i], &clock) || clock_gettime(clock, &t)) {
			fprintf(stderr, "server %d is gone\n", pids[i]);
			exit(2);
		}
		total += t.tv_sec + t.tv_nsec / 1e9;
	}
	return total;
}
static long server_rss_kb(void) {
	long total = 0, v;
	char name[64], line[256];
	for (int i = 0; i < pid_count; i++) {
		sprintf(name, "/proc/%d/status", pids[i]);
		FILE *f = fopen(name, "r");
		if (!f) continue;
		while (fgets(line, sizeof line, f))
			if (sscanf(line, "VmRSS: %ld", &v) == 1) total += v;
		fclose(f);
	}
	return total;
}
static void core_time(double *busy, double *steal) {
	char line[512], tag[16];
	sprintf(tag, "cpu%d ", server_core);
	*busy = *steal = 0;
	FILE *f = fopen("/proc/stat", "r");
	if (!f) return;
	while (fgets(line, sizeof line, f)) {
		if (strncmp(line, tag, strlen(tag))) continue;
		unsigned long user, nice, sys, idle, io, irq, softirq, stolen;
		if (sscanf(line + strlen(tag), "%lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &sys, &idle, &io, &irq, &softirq, &stolen) < 8) continue;
		double hz = sysconf(_SC_CLK_TCK);
		*busy = (user + nice + sys + irq + softirq) / hz;
		*steal = stolen / hz;
	}
	fclose(f);
}
static long slab_kb(void) {
	char line[256];
	long v = 0;
	FILE *f = fopen("/proc/meminfo", "r");
	if (!f) return 0;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Slab: %ld", &v) == 1) break;
	fclose(f);
	return v;
}
static void signal_servers(void) {
	for (int i = 0; signalling && i < pid_count; i++) kill(pids[i], SIGUSR2);
}
static double own_cpu(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
	double warm = 1, measured = 5, after = 0, drain_most = 2, hold = 0;
	for (int o; (o = getopt(argc, argv, "m:H:p:u:n:c:b:R:P:I:q:Q:T:r:k:B:z:w:d:a:D:h:s:C:g")) > 0;) switch (o) {
	case 'm': mode = strcmp(optarg, "sse") ? WS : SSE; break;
	case 'H': host = optarg; break;
	case 'p': port = atoi(optarg); break;
	case 'u': path = optarg; break;
	case 'n': readers = atoi(optarg); break;
	case 'c': concurrent = atoi(optarg); break;
	case 'b': { struct in_addr a; inet_pton(AF_INET, optarg, &a); source_address = ntohl(a.s_addr); break; }
	case 'R': receive_buffer = atoi(optarg); break;
	case 'P': pausers = atoi(optarg); break;
	case 'I': {
		char *kind = strtok(optarg, ":"), *at = strtok(NULL, ":"), *to = strtok(NULL, "");
		if (!at) { fprintf(stderr, "-I way:PORT[:/path]\n"); return 2; }
		publish_port = atoi(at);
		if (to) publish_path = to;
		way = !strcmp(kind, "line") ? LINE : !strcmp(kind, "ws") ? FRAMES : !strcmp(kind, "http") ? POSTS : BATCHES;
		break;
	}
	case 'q': prefix = optarg; break;
	case 'Q': suffix = optarg; break;
	case 'T': content_type = optarg; break;
	case 'r': rate = atof(optarg); break;
	case 'k': outstanding = atoi(optarg); break;
	case 'B': burst = atoi(optarg); break;
	case 'z': size = atoi(optarg); break;
	case 'w': warm = atof(optarg); break;
	case 'd': measured = atof(optarg); break;
	case 'a': after = atof(optarg); break;
	case 'D': drain_most = atof(optarg); break;
	case 'h': hold = atof(optarg); break;
	case 's': for (char *p = strtok(optarg, ","); p && pid_count < 64; p = strtok(NULL, ",")) pids[pid_count++] = atoi(p); break;
	case 'C': server_core = atoi(optarg); break;
	case 'g': signalling = 1; break;
	default: fprintf(stderr, "see the head of loadgen.c\n"); return 2;
	}
	if (size > 60000 || (prefix && strlen(prefix) > 900) || (suffix && strlen(suffix) > 900)) {
		fprintf(stderr, "a payload has at most 60000 bytes, what is around it 900\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	ep = epoll_create1(0);
	C = calloc(readers, sizeof *C);

	long rss_base = server_rss_kb(), slab_base = slab_kb();
	double cpu_base = server_cpu();
	uint64_t t0 = now();
	connect_all();
	double connect_s = (now() - t0) / 1e9, connect_cpu = server_cpu() - cpu_base;
	if (way != NOBODY) open_publisher();
	settle();
	long rss_idle = server_rss_kb(), slab_idle = slab_kb();

	publishing_since = now(), sent_before = sent, messages_before = T[OTHERS].messages;
	spin(now() + seconds(pausers ? warm / 3 : warm));
	if (pausers) {
		pause_readers(1);
		spin(now() + seconds(warm / 3));
		pause_readers(0);
		spin(now() + seconds(warm / 3));
	}

	signal_servers();
	pause_readers(1);
	uint64_t messages0 = T[OTHERS].messages, units0 = units, bytes0 = bytes, receives0 = receives, sent0 = sent, t1 = now();
	double cpu0 = server_cpu(), own0 = own_cpu(), busy0, steal0, busy1, steal1;
	core_time(&busy0, &steal0);
	window_from = t1;
	spin(t1 + seconds(measured));
	uint64_t t2 = window_to = now(), delivered = T[OTHERS].messages - messages0;
	double cpu = server_cpu() - cpu0, own = own_cpu() - own0, secs = (t2 - t1) / 1e9;
	core_time(&busy1, &steal1);
	signal_servers();
	long rss_end = server_rss_kb();
	double published = (sent - sent0) / secs, units_s = (units - units0) / secs, receives_s = (receives - receives0) / secs;
	double megabytes_s = (bytes - bytes0) / secs / 1e6;

	pause_readers(0);
	resumed_at = now(), resumed_number = sent;
	spin(now() + seconds(after));
	drain(drain_most);
	int connected_ones = ready ? ready : 1;
	if (way != NOBODY)
		for (int i = 0; i < readers; i++)
			if (C[i].state == READY && C[i].expect <= sent) T[C[i].class].lost += sent + 1 - C[i].expect;

	printf("{\"readers\":%d,\"failed\":%d,\"closed\":%d,\"size\":%d,\"rate\":%.0f,\"k\":%d,\"seconds\":%.3f", ready, failed, closed, size, rate, outstanding, secs);
	printf(",\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"published_s\":%.1f,\"delivered\":%" PRIu64 ",\"delivered_s\":%.0f", sent, acked, refused, published, delivered, delivered / secs);
	printf(",\"units_s\":%.0f,\"receives_s\":%.0f,\"megabytes_s\":%.1f", units_s, receives_s, megabytes_s);
	printf(",\"lost\":%" PRIu64 ",\"late\":%" PRIu64 ",\"duplicates\":%" PRIu64, T[OTHERS].lost, T[OTHERS].late, T[OTHERS].duplicates);
	printf(",\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f", percentile_ms(&window, .5), percentile_ms(&window, .9), percentile_ms(&window, .99), percentile_ms(&window, .999), window.max / 1e6);
	printf(",\"cpu_s\":%.3f,\"cpu_us_per_delivery\":%.4f,\"server_percent\":%.1f,\"core_percent\":%.1f,\"steal_percent\":%.1f,\"client_percent\":%.1f", cpu, delivered ? cpu * 1e6 / delivered : 0, cpu / secs * 100, (busy1 - busy0) / secs * 100, (steal1 - steal0) / secs * 100, own / secs * 100);
	printf(",\"rss_base_kb\":%ld,\"rss_idle_kb\":%ld,\"rss_end_kb\":%ld,\"rss_bytes_per_reader\":%.0f,\"slab_bytes_per_reader\":%.0f", rss_base, rss_idle, rss_end, (rss_idle - rss_base) * 1024.0 / connected_ones, (slab_idle - slab_base) * 1024.0 / connected_ones);
	printf(",\"connect_s\":%.2f,\"connect_cpu_us\":%.1f", connect_s, connect_cpu * 1e6 / connected_ones);
	if (pausers) {
		int caught_up = 0;
		for (int i = 0; i < pausers; i++) caught_up += C[i].caught_up;
		printf(",\"pausers\":%d,\"pausers_caught_up\":%d,\"caught_up_s\":%.3f", pausers, caught_up, caught_up ? (caught_up_at - resumed_at) / 1e9 : -1);
		printf(",\"catching_up_p50_ms\":%.3f,\"catching_up_p99_ms\":%.3f", percentile_ms(&catching_up, .5), percentile_ms(&catching_up, .99));
		printf(",\"pausers_received\":%" PRIu64 ",\"pausers_lost\":%" PRIu64 ",\"pausers_late\":%" PRIu64 ",\"pausers_duplicates\":%" PRIu64, T[PAUSERS].messages, T[PAUSERS].lost, T[PAUSERS].late, T[PAUSERS].duplicates);
	}
	printf("}\n");
	fflush(stdout);
	if (hold > 0) spin(now() + seconds(hold));
	return failed ? 1 : 0;
}
