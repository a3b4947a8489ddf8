import type { Domain } from '@retrap/hvm'
import { type MovedControllers, splitControllers } from './controllers-worker/split.ts'
import type { startControllers } from './controllers-worker/start-controllers.ts'
import type { MachineDevices } from './machine/board.ts'
import type { PcOptions } from './options/pc-options.ts'
import { loadDeviceKinds, placeDevices } from './devices/device-kinds.ts'
import type { DeviceSite, PlaceDevices } from './devices/placed-devices.ts'

/** The kinds of a machine's devices, which may be in two threads. */
export interface DividedKinds {
  /** Kinds of the devices in this thread. */
  readonly local: readonly PlaceDevices[]
  /** Kinds of the controllers in a thread of their own, and the function that starts them; undefined: there are none. */
  readonly elsewhere: { readonly kinds: readonly PlaceDevices[]; readonly start: typeof startControllers } | undefined
}

/** Loads the kinds of device that a machine has, and no others. */
export async function loadDividedKinds(options: PcOptions): Promise<DividedKinds> {
  const { moved, local } = divide(options)
  const [here, kinds, starting] = await Promise.all([
    loadDeviceKinds(local),
    moved && loadDeviceKinds(moved),
    moved && import('./controllers-worker/start-controllers.ts'),
  ])
  return { local: here, elsewhere: kinds && starting && { kinds, start: starting.startControllers } }
}

/**
 * Makes all devices. Controllers in a thread of their own become part of the domain; the models of this thread are not
 * attached yet, since the board comes first.
 *
 * @param whole - a site with the options of local and moved devices
 * @throws MachineError `ERR_OPTION`
 */
export function placeDividedDevices(
  domain: Pick<Domain, 'addServer' | 'dispatch' | 'platform'>,
  { local: kinds, elsewhere }: DividedKinds,
  whole: DeviceSite,
): MachineDevices {
  const { moved, local } = divide(whole.options)
  const site: DeviceSite = { ...whole, options: local }
  const started =
    moved && elsewhere?.start(whole.options.controllerPlacement!, domain, { moved, kinds: elsewhere.kinds, site })
  if (started) domain.addServer(started.server)
  const devices = placeDevices(kinds, site)
  return {
    ...devices,
    bootPaths: [...(started?.bootPaths ?? []), ...devices.bootPaths],
    site,
    ready: started ? [started.server.remote.ready] : [],
  }
}

/** Splits the options into the controllers of another thread and the devices of this thread. */
function divide(options: PcOptions): { readonly moved?: MovedControllers; readonly local: PcOptions } {
  return options.controllerPlacement === undefined ? { local: options } : splitControllers(options)
}
