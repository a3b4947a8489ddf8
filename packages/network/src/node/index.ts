/**
 * The host's network and files, under Node.
 *
 * @packageDocumentation
 */
export { captureToFile } from './capture-file.ts'
export { nodeSockets } from './node-sockets.ts'
export { StreamNetwork } from './stream-network.ts'
export { listenWebSocket } from './web-socket-relay.ts'
