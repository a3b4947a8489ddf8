/** Guests of a cluster that are never run: guests that start later are their clones. */
import { timeOf } from '@retrap/cluster'
import type { PcForkOptions } from '@retrap/machine'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import type { ForkedMachine, MadeGuest } from './recordings.ts'

/**
 * RAM of an original and RAM that its clones write, in bytes: a machine memory has 4 GiB, in which decoded code and the processors of clones
 * are, too.
 */
const MOST_BYTES = 3 * 2 ** 30
const MOST_CLONES = 8

/** The room for clones in the memory of an original: each may write all of its RAM. @returns also no room, for 0 clones */
export function roomForClones(memoryBytes: number, most: number = MOST_CLONES): NonNullable<MachineOptions['forks']> {
  const bytes = MOST_BYTES - memoryBytes
  const clones = Math.min(most, Math.floor(bytes / memoryBytes))
  return { clones: Math.max(1, clones), writtenBytes: Math.floor(bytes / (clones + 1)) }
}

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
  readonly #forks: NonNullable<MachineOptions['forks']>

  /** @param memoryBytes - size of a guest's RAM */
  constructor(memoryBytes: number) {
    this.#forks = roomForClones(memoryBytes)
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
    if (this.#forks.clones < 2) return make()
    let original = this.#all.find(({ clones }) => clones < this.#forks.clones)
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
