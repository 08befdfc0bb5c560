/** `1,204 messages of 3 channels` */
export function amountOf(messages: number, channels: number): string {
  return `${counted(messages, "message")} of ${counted(channels, "channel")}`;
}

/** `1 message`, `1,204 messages` */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`;
}
