import type { DeviceModel } from '@retrap/device'
import { type IoDispatch, IoreqError } from '@retrap/ioreq'
import { NO_VCPU, timeOf } from '../frames.ts'
import { type LocalServer, startLocalServer } from '../local-server.ts'
import type { DevicePlatform } from '../platform.ts'
import type { RemoteServerOptions } from '../remote-server.ts'
import { ProtocolEnd, type ProtocolEndOptions } from './protocol-end.ts'

/** The options of {@link ProtocolDevices}. */
export interface ProtocolDevicesOptions extends RemoteServerOptions, ProtocolEndOptions {
  /** Names the server in sentences about its failure. Default: its name. */
  readonly describedAs?: string
  /**
   * Returns the model that the machine uses in place of a device's, such as a stage that delays it.
   *
   * @param model - the device
   * @param remove - takes it out, as a surprise: its registers and functions read as ones
   */
  wrap?(model: DeviceModel, remove: () => void): DeviceModel
}

/**
 * The machine's end of a device server that speaks the device protocol (`PROTOCOL.md`): a program in any language. Its devices
 * are models of this process, which keep configuration space, split accesses and hold interrupt lines, and ask the program for
 * register values, saved states and work of its own.
 */
export class ProtocolDevices {
  /** The hypervisor's end of the server. */
  readonly remote: LocalServer['remote']
  /** The session with the server. */
  readonly end: ProtocolEnd

  /** @throws IoreqError `ERR_NO_SPACE` where the domain has no room for a server */
  constructor(dispatch: IoDispatch, platform: DevicePlatform, options: ProtocolDevicesOptions) {
    const { describedAs = options.name } = options
    let isReady = false
    const end = new ProtocolEnd(
      {
        now: () => timeOf(platform.clock),
        // A failure of a machine that runs names the server by itself.
        failed: ({ code, message }) =>
          this.remote.failed(new IoreqError(code, isReady ? message : `device server ${describedAs}: ${message}`)),
        faulted: (device, message) =>
          this.remote.take({ kind: 'fault', vcpu: NO_VCPU, device, what: 'between calls', message }),
      },
      options,
    )
    this.end = end
    const { remote } = startLocalServer(
      { dispatch, platform },
      {
        ...options,
        readyMs: Infinity,
        mayOverlap: false,
        onClosed: () => {
          end.close('the machine has ended, or has taken the devices out')
          options.onClosed?.()
        },
      },
      async (server) => {
        for (const device of await end.ready) {
          const make = (): DeviceModel => {
            const model = end.modelOf(device)
            return options.wrap?.(model, () => void this.remote.detach(model.name)) ?? model
          }
          if (device.isOffered) server.offer(device.name, make)
          else server.attach(make())
        }
        end.attached()
        isReady = true
      },
    )
    this.remote = remote
  }

  /** Ends the server. */
  close(): void {
    this.remote.close()
  }
}
