/**
 * The host's network and files, under Node.
 *
 * @packageDocumentation
 */
export { nodeSockets } from './node-sockets.ts'
export { StreamNetwork, type StreamAddress, type StreamConnectOptions } from './stream-network.ts'
