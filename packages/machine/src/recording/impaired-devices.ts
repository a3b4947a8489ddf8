import type { DeviceImpairment } from '@retrap/ioreq'
import type { DeviceHost } from '@retrap/device-hosting'

/** A device that is slow or dead: plain data, which a recording has. */
export interface ImpairedDevice {
  /** The model's name. */
  readonly device: string
  /** Reads return ones and writes are dropped. */
  readonly dead: boolean
  /** Accesses wait. For how long is a matter of the host's: no time of the guest's passes. */
  readonly waits: boolean
}

const atOnce = (): Promise<void> => Promise.resolve()

/** The devices of a recorded machine that are slow or dead. */
export class ImpairedDevices {
  readonly #devices: Pick<DeviceHost, 'impair'>
  readonly #now = new Map<string, ImpairedDevice>()

  constructor(devices: Pick<DeviceHost, 'impair'>) {
    this.#devices = devices
  }

  /** Makes a device slow or dead, or neither. @param wait - default: accesses that wait have their answer in the same turn of the host */
  set(impaired: ImpairedDevice, wait: DeviceImpairment['wait'] = atOnce): void {
    const { device, dead, waits } = impaired
    const isNone = !dead && !waits
    if (isNone) this.#now.delete(device)
    else this.#now.set(device, impaired)
    this.#devices.impair(device, isNone ? null : { dead, ...(waits && { wait }) })
  }

  /** Returns all slow or dead devices. */
  save(): readonly ImpairedDevice[] {
    return [...this.#now.values()]
  }

  /** Sets these devices slow or dead, and all others normal. The machine is restored afterwards, including the levels of its wires. */
  restore(saved: readonly ImpairedDevice[]): void {
    for (const device of [...this.#now.keys()]) this.set({ device, dead: false, waits: false })
    for (const impaired of saved) this.set(impaired)
  }
}
