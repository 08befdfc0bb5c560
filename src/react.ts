export type { ChannelOptions, ChannelSnapshot } from "./react/channel-store.ts";
export { ThroughlineProvider, useClient } from "./react/provider.ts";
export { type ChannelView, useChannel } from "./react/use-channel.ts";
export { type ConnectionView, useConnection } from "./react/use-connection.ts";
export { usePresence } from "./react/use-presence.ts";
