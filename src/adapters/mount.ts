/** Where in a server's paths this library stands. */
export interface MountOptions {
  /** The mount point, such as `/realtime`. Default: the root. */
  readonly path?: string;
}

export function mountOf({ path = "/" }: MountOptions): string {
  const mount = path.replace(/\/+$/, "");
  return mount === "" || mount.startsWith("/") ? mount : `/${mount}`;
}

/** What stands below the mount point, or null. */
export function below(mount: string, target: string): string | null {
  const url = originForm(target);
  if (mount === "") return url;
  if (!url.startsWith(mount)) return null;
  const rest = url.slice(mount.length);
  return rest.startsWith("/") ? rest : rest === "" || rest.startsWith("?") ? `/${rest}` : null;
}

/** RFC 9112 §3.2.2: a server takes the absolute form too, `GET http://host/path`. */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  try {
    const { pathname, search } = new URL(target);
    return `${pathname}${search}`;
  } catch {
    return target;
  }
}
