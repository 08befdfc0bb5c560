export { type LogConformanceOptions, logConformance } from "./conformance/log.ts";
export type { HandheldClock, LogPowers, LogSubject } from "./conformance/log-subject.ts";
