/** Guests of a cluster that are never run: guests that start later are their clones. */
import { timeOf } from '@retrap/cluster'
import type { PcForkOptions } from '@retrap/machine'
import type { MachineOptions } from '../machine/machine-contract.ts'
import type { ForkedMachine, MadeGuest } from './recordings.ts'

/**
 * RAM of an original and RAM that its clones write, in bytes: a machine memory has 4 GiB, in which decoded code and the processors of clones
 * are, too.
 */
const MOST_BYTES = 3 * 2 ** 30
const MOST_CLONES = 8

/** An original, and the number of its clones that are not closed, with clones of clones. */
interface Original {
  readonly machine: ForkedMachine
  clones: number
}

/**
 * Guests of one kind that are never run. To clone one takes a tenth of the time that it takes to read and unpack a kept machine. Its clone
 * executes as a machine that was made does, and has the code that other clones have decoded and compiled.
 */
export class GuestOriginals {
  readonly #all: Original[] = []
  /** Most clones of an original at a time: there is room for all RAM of each. */
  readonly #clones: number
  readonly #forks: NonNullable<MachineOptions['forks']>

  /** @param memoryBytes - size of a guest's RAM */
  constructor(memoryBytes: number) {
    const bytes = MOST_BYTES - memoryBytes
    this.#clones = Math.min(MOST_CLONES, Math.floor(bytes / memoryBytes))
    this.#forks = { clones: Math.max(1, this.#clones), writtenBytes: Math.floor(bytes / (this.#clones + 1)) }
  }

  /**
   * Clones an original. There is another one if all have as many clones as have room.
   *
   * @param make - makes a guest at its first instant, or an original with these options
   * @param devices - a clone's own options
   * @returns the clone; a guest with so much RAM that a clone may have no room is made
   */
  async clone(
    make: (original?: Partial<MachineOptions>) => Promise<MadeGuest>,
    devices: () => Promise<PcForkOptions>,
  ): Promise<MadeGuest> {
    if (this.#clones < 2) return make()
    let original = this.#all.find(({ clones }) => clones < this.#clones)
    if (original === undefined) {
      const { machine } = await make({ generation: { after: 'same' }, forks: this.#forks })
      original = { machine, clones: 0 }
      this.#all.push(original)
    }
    return counted(original, await original.machine.fork(await devices()))
  }

  /** Ends the originals. */
  close(): void {
    for (const { machine } of this.#all.splice(0)) machine.close()
  }
}

/** A machine that is not recorded. */
export const plain = (machine: ForkedMachine): MadeGuest => ({
  machine,
  time: timeOf(machine),
  close: () => machine.close(),
})

/** A clone of an original, or of such a clone. */
function counted(original: Original, clone: ForkedMachine): MadeGuest {
  original.clones++
  let isOpen = true
  const close = (): void => {
    if (isOpen) original.clones--
    isOpen = false
    clone.close()
  }
  return { ...plain(clone), copyOf: (another) => counted(original, another), close }
}
