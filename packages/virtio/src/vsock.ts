/**
 * Stream sockets between guest and host: an entry point of its own, so that machines without them do not carry them.
 *
 * @packageDocumentation
 */
export { VirtioVsock } from './devices/vsock/virtio-vsock.ts'
export type { VsockBackend, VsockClient, VsockEnd, VsockStream } from './devices/vsock/vsock-backend.ts'
export { VsockPorts } from './devices/vsock/vsock-ports.ts'
