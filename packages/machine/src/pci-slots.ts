import { MachineError } from './errors.ts'

const SLOTS = 32

/** Hands out PCI device numbers of bus 0. */
export class PciSlots {
  readonly #first: number
  readonly #taken = new Set<number>()
  readonly #wanted: ReadonlySet<number | undefined>

  /**
   * @param first - the lowest one that is not the board's
   * @param wanted - numbers that will be asked for: nobody else gets them
   */
  constructor(first: number, wanted: readonly (number | undefined)[] = []) {
    this.#first = first
    this.#wanted = new Set(wanted)
  }

  /**
   * Takes a device number.
   *
   * @param wanted - default the lowest free one
   * @throws MachineError `ERR_OPTION` for one that is the board's, taken or not there
   */
  take(what: string, wanted?: number): number {
    let slot = wanted ?? this.#first
    if (wanted === undefined) while (this.#taken.has(slot) || this.#wanted.has(slot)) slot++
    if (!Number.isInteger(slot) || slot < this.#first || slot >= SLOTS || this.#taken.has(slot)) {
      const why = this.#taken.has(slot) ? 'two devices have it' : `expected ${this.#first} to ${SLOTS - 1}`
      throw new MachineError('ERR_OPTION', `${what}: PCI device number ${slot}: ${why}`)
    }
    this.#taken.add(slot)
    return slot
  }
}
