/**
 * Back ends that need Node.
 *
 * @packageDocumentation
 */
export { UnixVsock } from './unix-vsock.ts'
