/**
 * VNC over TCP and WebSockets, under Node.
 *
 * @packageDocumentation
 */
export { zlibCompressor } from './compressor.ts'
export { listenVnc, type VncListener, type VncListenOptions } from './listen-vnc.ts'
