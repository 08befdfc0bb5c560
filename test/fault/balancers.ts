/** A proxy in front of several nodes. */
export interface Balancer {
  readonly name: string;
  readonly program: "haproxy" | "nginx";
  /** Its configuration, for a port of its own and those of the nodes. `home` is a directory for what it writes. */
  configuration(port: number, nodes: readonly number[], home: string): string;
  /** How it is started with the file of it: one process, which ends with the signal that it is sent. */
  words(path: string): readonly string[];
}

/** It gives each connection to the next node, and sees bytes. */
const HAPROXY: Balancer = {
  name: "HAProxy",
  program: "haproxy",
  words: (path) => ["-db", "-f", path],
  configuration: (port, nodes) => `
global
  hard-stop-after 1s
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  retries 3
  option redispatch 1
listen nodes
  bind 127.0.0.1:${port}
  balance roundrobin
${nodes.map((node, index) => `  server n${index + 1} 127.0.0.1:${node}`).join("\n")}
`,
};

/** It gives each request to the next node, over connections of its own. */
const NGINX: Balancer = {
  name: "nginx",
  program: "nginx",
  words: (path) => ["-c", path],
  configuration: (port, nodes, home) => `
daemon off;
master_process off;
pid ${home}/nginx.pid;
error_log ${home}/nginx.log;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${home}/nginx-temporary;`).join("\n  ")}
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  upstream nodes {
${nodes.map((node) => `    server 127.0.0.1:${node} max_fails=0;`).join("\n")}
  }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 8m;
    location / {
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_connect_timeout 1s;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      proxy_pass http://nodes;
    }
  }
}
`,
};

export const BALANCERS: readonly Balancer[] = [HAPROXY, NGINX];
