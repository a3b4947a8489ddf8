/**
 * Networks for emulated machines.
 *
 * @packageDocumentation
 */
export { translateAddress } from './address-translation.ts'
export { capturePackets } from './capture.ts'
export { ChannelNetwork, type FrameChannel } from './channel-network.ts'
export { type NetworkClock } from './clock.ts'
export { NetworkError } from './errors.ts'
export type { FetchedResponse } from './fetch/fetch-connection.ts'
export { fetchSockets, type FetchSocketsOptions, type RefusedConnection } from './fetch/fetch-sockets.ts'
export { FrameStream } from './frame-stream.ts'
export { Hub } from './hub.ts'
export type { SocketAddress, Sockets, TcpSocket, TcpSocketClient, UdpReceiver } from './sockets.ts'
export type { GuestForward, HostForward, UserNetworkOptions } from './user/options.ts'
export { UserNetwork } from './user/user-network.ts'
export { WispSockets, type WispSocketsOptions } from './wisp/wisp-sockets.ts'
export { type FrameSocket, WebSocketNetwork } from './web-socket-network.ts'
