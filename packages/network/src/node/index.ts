/**
 * The host's network and files, under Node.
 *
 * @packageDocumentation
 */
export { captureToFile, type CaptureFile } from './capture-file.ts'
export { nodeSockets } from './node-sockets.ts'
export { StreamNetwork, type StreamAddress, type StreamConnectOptions } from './stream-network.ts'
export { listenWebSocket, type WebSocketRelayOptions } from './web-socket-relay.ts'
