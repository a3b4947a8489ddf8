/**
 * Device models in Workers, in other processes and on other hosts, under Node.
 *
 * @packageDocumentation
 */
export {
  connectDeviceServer,
  connectDiscovered,
  type DeviceServerConnection,
  type DiscoveredConnection,
} from './connect.ts'
export type { DialOptions } from './dialer.ts'
export type { DeviceAnnouncement } from './discovery/announcement.ts'
export { announceDevices } from './discovery/announcer.ts'
export { DeviceDirectory } from './discovery/directory.ts'
export {
  connectDeviceProgram,
  type DeviceProgramPlace,
  deviceProgramPlace,
  openDeviceProgram,
  type DeviceModelOptions,
  openDeviceModel,
  startDeviceProgram,
} from './device-program.ts'
export { importModels } from './modules.ts'
export type { ListenOptions } from './frame-listener.ts'
export type { SocketAddress } from './frame-socket.ts'
export { startDeviceProcess, startDeviceWorker } from './process.ts'
export { type ProgramEnd, ProgramGroup } from './program-group.ts'
export { DeviceService, serveDeviceModules, serveDevices, type DeviceServiceOptions } from './service.ts'
export { SocketTransport } from './socket-transport.ts'
export { readTlsFiles, type TlsFiles } from './tls.ts'
export { WatchedTlsFiles } from './watched-tls.ts'
