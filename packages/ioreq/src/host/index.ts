export { DeviceHost, type DeviceHostOptions } from './device-host.ts'
export { type DeviceHostState } from './device-set.ts'
export type { UnplugOptions } from './hot-plug.ts'
export type { DevicePlatform, MemoryPlacement, PlatformMemory, PlatformMemoryOptions } from './platform.ts'
export type { GatedServer, ServerGate } from './platform.ts'
export { DeviceServer } from './device-server.ts'
export { RemoteServer, type RemoteServerOptions, type ServerLink } from './remote-server.ts'
export { decodeFrame, encodeFrame, FrameReader } from './frame-coding.ts'
export {
  FRAME_VERSION,
  MAX_FRAME_BYTES,
  NO_VCPU,
  type CommandFrame,
  type EventFrame,
  type Frame,
  type MessageFrame,
} from './frames.ts'
export { startLocalServer } from './local-server.ts'
export type { FramePort } from './message-link.ts'
export { MessageTransport, serveMessages } from './message-transport.ts'
export { Doorbell } from './doorbell.ts'
export { serveSharedDevices, type SharedDevicesOptions } from './shared-devices.ts'
export type { SharedDeviceMemory } from './shared-memory.ts'
export { SharedTransport } from './shared-transport.ts'
