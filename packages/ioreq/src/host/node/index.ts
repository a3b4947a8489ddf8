/**
 * Device models in Workers, in other processes and on other hosts, under Node.
 *
 * @packageDocumentation
 */
export { connectDevices, DeviceClient, type DeviceClientOptions } from './client.ts'
export {
  connectDeviceServer,
  connectDiscovered,
  type DeviceServerConnection,
  type DiscoveredConnection,
} from './connect.ts'
export type { DialOptions } from './dialer.ts'
export type { DeviceAnnouncement, NatsClient } from './discovery/announcement.ts'
export { announceDevices, type AnnounceOptions, DeviceAnnouncer } from './discovery/announcer.ts'
export { DeviceDirectory } from './discovery/directory.ts'
export {
  connectDeviceProgram,
  type DeviceAddressOptions,
  type DeviceProgramOptions,
  type DeviceProgramPlace,
  deviceProgramPlace,
  openDeviceProgram,
  type DeviceModelOptions,
  openDeviceModel,
  startDeviceProgram,
} from './device-program.ts'
export { DeviceListener, type DeviceListenerOptions } from './listener.ts'
export { attachModules, importModels } from './modules.ts'
export type { ListenOptions } from './packet-listener.ts'
export type { SocketAddress } from './packet-socket.ts'
export { startDeviceProcess, type DeviceProcessOptions } from './process.ts'
export { startDeviceWorker, type DeviceWorkerOptions } from './process.ts'
export { DeviceService, serveDeviceModules, serveDevices, type DeviceServiceOptions } from './service.ts'
export { SocketTransport } from './socket-transport.ts'
export { readTlsFiles, type TlsFiles, type TlsIdentity } from './tls.ts'
export { type TlsWatchOptions, WatchedTlsFiles } from './watched-tls.ts'
