/**
 * Networks for emulated machines.
 *
 * @packageDocumentation
 */
export { translateAddress } from './address-translation.ts'
export { capturePackets, type CaptureOptions } from './capture.ts'
export { ChannelNetwork, type ChannelNetworkOptions, type FrameChannel } from './channel-network.ts'
export { HOST_CLOCK, type NetworkClock } from './clock.ts'
export { NetworkError, type NetworkErrorCode } from './errors.ts'
export type { FetchedResponse, FetchFunction, FetchRequest } from './fetch/fetch-connection.ts'
export { fetchSockets, type FetchSocketsOptions, type RefusedConnection } from './fetch/fetch-sockets.ts'
export { FrameStream, type FramePipe } from './frame-stream.ts'
export { Hub, type HubOptions } from './hub.ts'
export type {
  OpenSocket,
  SocketAddress,
  Sockets,
  TcpSocket,
  TcpSocketClient,
  TcpSocketEnd,
  UdpReceiver,
  UdpSocket,
} from './sockets.ts'
export type { GuestForward, HostForward, UserNetworkOptions } from './user/options.ts'
export type { ReadBootFile } from './user/tftp.ts'
export { UserNetwork } from './user/user-network.ts'
export { WispSockets, type WispSocketsOptions } from './wisp/wisp-sockets.ts'
export { type FrameSocket, WebSocketNetwork, type WebSocketNetworkOptions } from './web-socket-network.ts'
