import { MachineError } from './errors.ts'

const HIGHEST = 31

/** Hands out PCI device numbers of bus 0. */
export class PciSlots {
  readonly #first: number
  readonly #last: number
  readonly #taken = new Set<number>()
  readonly #wanted: ReadonlySet<number | undefined>

  /**
   * @param first - the lowest one that is not the board's
   * @param wanted - numbers that will be asked for: nobody else gets them
   * @param last - the highest one that is not the board's
   */
  constructor(first: number, wanted: readonly (number | undefined)[] = [], last: number = HIGHEST) {
    this.#first = first
    this.#last = last
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
    if (!Number.isInteger(slot) || slot < this.#first || slot > this.#last || this.#taken.has(slot)) {
      const why = this.#taken.has(slot) ? 'two devices have it' : `expected ${this.#first} to ${this.#last}`
      throw new MachineError('ERR_OPTION', `${what}: PCI device number ${slot}: ${why}`)
    }
    this.#taken.add(slot)
    return slot
  }
}
