import { ask } from "../support/http.ts";
import { type Place, type Plan, type RunningProxy, type StartOptions, startProxy } from "./running-proxy.ts";

export interface ProxyPowers {
  /** Lets WebSocket through. */
  readonly webSocket: boolean;
  /** Speaks HTTP/2 to its clients. */
  readonly http2: boolean;
  /** Reads its configuration again without being started anew. */
  readonly reload: boolean;
}

/** A proxy of Debian 12, in a configuration that people run. */
export interface ProxySetup {
  readonly name: string;
  readonly powers: ProxyPowers;
  /** After how many heartbeats at the latest the server sees that a client has left it. */
  readonly departureHeartbeats: 2 | 3;
  /** What it does to an event stream that is chunked and says nothing about buffering: hold it back, delay every event, or neither for sure. */
  readonly naive: "held" | "late" | "passed";
  /** It cuts a WebSocket that is idle, as it does other streams. */
  readonly cutsWebSocket: boolean;
  /** It asks GET where a client asks HEAD, so as to fill its cache, and so the answer has the headers of the page or stream; where it need not cache it does not. */
  readonly headByGet: boolean;
  start(upstreamPort: number, options?: StartOptions): Promise<RunningProxy>;
}

type Configuration = (place: Place) => Plan;

type Traits = Partial<Pick<ProxySetup, "naive" | "departureHeartbeats" | "headByGet" | "cutsWebSocket">>;

const ALL: ProxyPowers = { webSocket: true, http2: true, reload: true };
const NO_WEBSOCKET: ProxyPowers = { ...ALL, webSocket: false };

/** What one lets through that is told to; nginx and Varnish take Upgrade away otherwise, and the server sees a plain GET. */
const NGINX_UPGRADE = `proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;`;
const VARNISH_PIPE = `sub vcl_recv { if (req.http.upgrade ~ "(?i)websocket") { return (pipe); } }
sub vcl_pipe { if (req.http.upgrade) { set bereq.http.upgrade = req.http.upgrade; set bereq.http.connection = req.http.connection; } }`;

export const PROXIES: readonly ProxySetup[] = [
  proxy("nginx as it comes", NO_WEBSOCKET, nginx(), { naive: "held" }),
  proxy("nginx with WebSocket", ALL, nginx(NGINX_UPGRADE)),
  proxy("nginx with gzip", NO_WEBSOCKET, nginx("proxy_http_version 1.1; gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *;"), {
    naive: "held",
  }),
  proxy("nginx with buffering", NO_WEBSOCKET, nginx("proxy_http_version 1.1; proxy_buffering on; proxy_buffers 8 32k;")),
  proxy("nginx that refuses WebSocket", NO_WEBSOCKET, nginx("if ($http_upgrade) { return 400; }"), { naive: "held" }),
  proxy("HAProxy as it comes", ALL, haproxy(), { naive: "late" }),
  proxy("HAProxy that closes to the server", ALL, haproxy("option http-server-close"), { naive: "late" }),
  proxy("HAProxy with compression", ALL, haproxy("compression algo gzip\n  compression type text/event-stream application/json"), {
    naive: "held",
  }),
  proxy("HAProxy that fails WebSocket", NO_WEBSOCKET, haproxy("http-request deny deny_status 502 if { hdr(Upgrade) -i websocket }"), {
    naive: "late",
  }),
  proxy("Caddy as it comes", ALL, caddy()),
  proxy("Caddy with gzip", ALL, caddy("encode gzip")),
  proxy("Apache as it comes", NO_WEBSOCKET, apache()),
  proxy(
    "Apache with mod_proxy_wstunnel",
    ALL,
    apache("", ({ upstreamPort }) => `ProxyPass /socket ws://127.0.0.1:${upstreamPort}/socket`),
    { cutsWebSocket: false },
  ),
  proxy("Apache with mod_deflate", NO_WEBSOCKET, apache("SetOutputFilter DEFLATE")),
  proxy("Varnish as it comes", { ...NO_WEBSOCKET, reload: false }, varnish(), { departureHeartbeats: 3, headByGet: true }),
  proxy("Varnish with pass", { ...NO_WEBSOCKET, reload: false }, varnish("sub vcl_recv { return (pass); }"), { departureHeartbeats: 3 }),
  proxy("Varnish with pipe", { ...ALL, reload: false }, varnish(VARNISH_PIPE), { departureHeartbeats: 3, headByGet: true }),
];

export function proxyNamed(name: string): ProxySetup {
  const found = PROXIES.find((one) => one.name === name);
  if (found === undefined) throw new Error(`There is no proxy named ${name}.`);
  return found;
}

function proxy(name: string, powers: ProxyPowers, configuration: Configuration, traits: Traits = {}): ProxySetup {
  return {
    name,
    powers,
    naive: "passed",
    departureHeartbeats: 2,
    headByGet: false,
    cutsWebSocket: powers.webSocket,
    ...traits,
    start: (port, options) => startProxy(configuration, port, options),
  };
}

const isRoot = process.getuid?.() === 0;

/** `proxy_pass` alone speaks HTTP/1.0 to the server. */
function nginx(lines = ""): Configuration {
  return ({ port, http2Port, upstreamPort, directory, idleSeconds }) => ({
    program: "nginx",
    words: ["-p", directory, "-c", `${directory}/nginx.conf`],
    http2Port,
    reload: "SIGHUP",
    files: {
      "nginx.conf": `daemon off;
${isRoot ? "user root;" : ""}
pid ${directory}/pid;
error_log ${directory}/error.log;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/temporary;`).join("\n  ")}
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server {
    listen 127.0.0.1:${port};
    listen 127.0.0.1:${http2Port} http2;
    ${idleSeconds === null ? "" : `proxy_read_timeout ${idleSeconds}s;`}
    location / {
      ${lines}
      proxy_pass http://127.0.0.1:${upstreamPort};
    }
  }
}
`,
    },
  });
}

/** The timeouts are those of the configuration that Debian installs. */
function haproxy(lines = ""): Configuration {
  return ({ port, upstreamPort, directory, idleSeconds }) => ({
    program: "haproxy",
    words: ["-W", "-db", "-f", `${directory}/haproxy.cfg`],
    http2Port: port,
    reload: "SIGUSR2",
    files: {
      "haproxy.cfg": `defaults
  mode http
  timeout connect 5s
  timeout client ${idleSeconds ?? 50}s
  timeout server ${idleSeconds ?? 50}s
  ${idleSeconds === null ? "" : `timeout tunnel ${idleSeconds}s`}
listen throughline
  bind 127.0.0.1:${port}
  ${lines}
  server one 127.0.0.1:${upstreamPort}
`,
    },
  });
}

function caddy(lines = ""): Configuration {
  return ({ port, adminPort, upstreamPort, directory, idleSeconds }) => {
    const text = `{
  admin 127.0.0.1:${adminPort}
  servers {
    protocols h1 h2 h2c
  }
}
http://:${port} {
  bind 127.0.0.1
  ${lines}
  reverse_proxy 127.0.0.1:${upstreamPort} {
    ${idleSeconds === null ? "" : `transport http {\n      read_timeout ${idleSeconds}s\n    }`}
  }
}
`;
    const headers = { "content-type": "text/caddyfile", "cache-control": "must-revalidate" };
    return {
      program: "caddy",
      words: ["run", "--config", `${directory}/Caddyfile`, "--adapter", "caddyfile"],
      environment: { HOME: directory, XDG_DATA_HOME: `${directory}/state`, XDG_CONFIG_HOME: `${directory}/state` },
      http2Port: port,
      reload: () => ask(`http://127.0.0.1:${adminPort}/load`, { method: "POST", headers, body: text }),
      files: { Caddyfile: text },
    };
  };
}

const APACHE_MODULES = ["mpm_event", "authz_core", "filter", "deflate", "http2", "proxy", "proxy_http", "proxy_wstunnel"];

/** `passes`: what stands before the ProxyPass of everything. */
function apache(lines = "", passes: (place: Place) => string = () => ""): Configuration {
  return (place) => ({
    program: "apache",
    words: ["-DFOREGROUND", "-d", place.directory, "-f", `${place.directory}/apache.conf`],
    http2Port: place.port,
    reload: "SIGUSR1",
    files: {
      "apache.conf": `${APACHE_MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join("\n")}
${isRoot ? "User nobody\nGroup nogroup" : ""}
DefaultRuntimeDir ${place.directory}
PidFile ${place.directory}/pid
ErrorLog ${place.directory}/error.log
ServerName localhost
Listen 127.0.0.1:${place.port}
Protocols h2c http/1.1
${place.idleSeconds === null ? "" : `ProxyTimeout ${place.idleSeconds}`}
${lines}
${passes(place)}
ProxyPass / http://127.0.0.1:${place.upstreamPort}/
`,
    },
  });
}

/** It compiles its configuration with gcc, on which Debian's package depends. */
function varnish(lines = ""): Configuration {
  return ({ port, upstreamPort, directory, idleSeconds }) => ({
    program: "varnish",
    words: [
      ...["-F", "-j", "none", "-n", `${directory}/state`, "-f", `${directory}/default.vcl`, "-a", `127.0.0.1:${port}`],
      ...["-p", "feature=+http2"],
      ...(idleSeconds === null ? [] : ["-p", `pipe_timeout=${idleSeconds}`]),
    ],
    http2Port: port,
    files: {
      "default.vcl": `vcl 4.1;
backend default {
  .host = "127.0.0.1";
  .port = "${upstreamPort}";
  ${idleSeconds === null ? "" : `.first_byte_timeout = ${idleSeconds}s; .between_bytes_timeout = ${idleSeconds}s;`}
}
${lines}
`,
    },
  });
}
