import type { DeviceHost } from '@retrap/device-hosting'
import { WebError } from '../errors.ts'
import type { DeviceView, Impairment } from '../inspection.ts'

/** The device models of a machine, as they are made slow and dead. */
export type ImpairableDevices = Pick<DeviceHost, 'impair' | 'models'>

/** The impairments of a machine's device models. It stays when the machine starts anew. */
export class Impairments {
  readonly #given = new Map<string, Required<Impairment>>()
  /** Start times of the accesses that wait, by device. */
  readonly #waiting = new Map<string, Set<number>>()

  /** @throws WebError `ERR_OPTION` for a device that does not exist */
  set(devices: ImpairableDevices, name: string, { delayMs = 0, dead = false }: Impairment): void {
    if (this.#apply(devices, name, { delayMs, dead })) return void this.#given.set(name, { delayMs, dead })
    const names = devices.models().map((model) => model.name)
    throw new WebError('ERR_OPTION', `there is no device '${name}'; there are ${names.join(', ')}`)
  }

  /** Applies all impairments to the devices of a restarted machine. */
  applyAll(devices: ImpairableDevices): void {
    for (const [name, impairment] of this.#given) this.#apply(devices, name, impairment)
  }

  #apply(devices: ImpairableDevices, name: string, { delayMs, dead }: Required<Impairment>): boolean {
    if (delayMs === 0 && !dead) return devices.impair(name, null)
    return devices.impair(name, { dead, ...(delayMs > 0 && { wait: () => this.#wait(name) }) })
  }

  async #wait(name: string): Promise<void> {
    const waiting = this.#waiting.get(name) ?? new Set()
    this.#waiting.set(name, waiting)
    // Make the start times unique.
    let since = performance.now()
    while (waiting.has(since)) since += 1e-3
    waiting.add(since)
    await new Promise<void>((resolve) => setTimeout(resolve, this.#given.get(name)?.delayMs ?? 0))
    waiting.delete(since)
  }

  list(devices: ImpairableDevices): DeviceView[] {
    const now = performance.now()
    return devices.models().map(({ name }) => ({
      name,
      delayMs: this.#given.get(name)?.delayMs ?? 0,
      dead: this.#given.get(name)?.dead ?? false,
      waitingMs: [...(this.#waiting.get(name) ?? [])].map((since) => now - since),
    }))
  }
}
