/**
 * Device models in Workers and in other processes, under Node.
 *
 * @packageDocumentation
 */
export { connectDevices, DeviceClient, type DeviceClientOptions } from './client.ts'
export { DeviceListener, SocketTransport, type DeviceListenerOptions, type SocketAddress } from './listener.ts'
export { attachModules, importModels } from './modules.ts'
export { startDeviceProcess, type DeviceProcessOptions } from './process.ts'
export { startDeviceWorker, type DeviceWorkerOptions } from './process.ts'
