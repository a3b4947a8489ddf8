/**
 * Stream sockets between guest and host: a separate entry point, so that other machines do not load them.
 *
 * @packageDocumentation
 */
export { VirtioVsock } from './devices/vsock/virtio-vsock.ts'
export type { VsockBackend, VsockClient, VsockEnd, VsockStream } from './devices/vsock/vsock-backend.ts'
export { VsockPorts } from './devices/vsock/vsock-ports.ts'
