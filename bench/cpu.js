import { readdirSync, readFileSync } from "node:fs";

/** The columns of /proc/stat in which a core does something: user, nice, system, irq, softirq. In hundredths of a second. */
const BUSY = [0, 1, 2, 5, 6];

/** Seconds that a core was busy until now, whoever kept it so. */
export function coreSeconds(core) {
  const columns = new RegExp(`^cpu${core} (.*)$`, "m").exec(readFileSync("/proc/stat", "utf8"))[1].split(" ");
  return BUSY.reduce((sum, column) => sum + Number(columns[column]), 0) / 100;
}

/** Seconds that these processes have been on a core until now, with all their threads, by the kernel's count of nanoseconds: /proc/<pid>/stat counts hundredths of a second. */
export function cpuSeconds(pids) {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
      } catch (error) {
        // a thread that has just ended
        if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error;
      }
    }
  }
  return nanoseconds / 1e9;
}
