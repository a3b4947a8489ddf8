import type { DeviceModel } from '@retrap/device'
import { TestError } from '../errors.ts'
import { checkFault, type DeviceFault, type FaultAct } from './fault.ts'
import { FaultyDevice } from './faulty-device.ts'

/** Number of acts of each kind. */
export type ActCounts = Readonly<Record<FaultAct, number>>

/**
 * Wraps the devices of one machine, and injects faults into their acts.
 *
 * Make one for each run from power-on, because it counts acts.
 */
export class FaultStage {
  /** The faults injected so far. */
  readonly happened: DeviceFault[] = []
  readonly #faults: readonly DeviceFault[]
  readonly #devices = new Map<string, FaultyDevice>()

  /** @throws TestError `ERR_OPTION` for a fault that cannot be */
  constructor(faults: readonly DeviceFault[]) {
    for (const fault of faults) checkFault(fault)
    this.#faults = faults
  }

  /**
   * Wraps a device model: the machine uses the result.
   *
   * @param remove - removes the device. Default: its registers read as ones and it does nothing more, but its configuration
   * space stays
   */
  wrap(model: DeviceModel, remove?: () => void): DeviceModel {
    const { name } = model
    const faults = this.#faults.filter(({ device }) => device === name)
    const device = new FaultyDevice(name, faults, (fault) => void this.happened.push(fault), remove)
    this.#devices.set(name, device)
    return device.wrap(model)
  }

  /** The acts of each device by its name. */
  get counts(): ReadonlyMap<string, ActCounts> {
    return new Map([...this.#devices].map(([name, { counts }]) => [name, counts]))
  }

  /** Refuses faults of unknown devices. @throws TestError `ERR_OPTION` */
  requireDevices(): void {
    const missing = this.#faults.find(({ device }) => !this.#devices.has(device))
    if (missing === undefined) return
    const there = [...this.#devices.keys()].join(', ')
    throw new TestError(
      'ERR_OPTION',
      `a fault of ${missing.device}: there is no such device among those of the test: ${there}`,
    )
  }
}
