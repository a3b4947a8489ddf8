import type { MachineDrive } from '@retrap/machine'
import { WebError } from '../errors.ts'

type BlockBackend = NonNullable<MachineDrive['medium']>

/** Most bytes of earlier contents kept; older ones are dropped. */
const MOST_BYTES = 128 << 20
/** Bytes copied at once when a guest zeroes a range. */
const PART_BYTES = 1 << 20

/** A range's contents before a write. */
interface Entry {
  /** Earliest count of retired instructions at the write: counts are updated at the end of a vCPU's turn. */
  readonly from: number
  to: number
  readonly medium: BlockBackend
  readonly offset: number
  readonly before: Uint8Array
}

/** Keeps data that a recorded machine's guest overwrites on its disks, so that a branch gets the disks of its instant. */
export class DiskJournal {
  readonly #instruction: () => number
  readonly #entries: Entry[] = []
  #bytes = 0
  /** Disks are known as they were from this instruction on. */
  #from = 0
  #exchanged = -1
  #writable: string | null = null

  /** @param instruction - returns the count of retired instructions */
  constructor(instruction: () => number) {
    this.#instruction = instruction
  }

  /** Puts the journal before a drive's medium. */
  of(drive: MachineDrive): MachineDrive {
    const { medium } = drive
    if (medium === null || medium.properties.readOnly) return drive
    if (drive.interface !== 'floppy' && drive.media !== 'cdrom') return { ...drive, medium: journaled(medium, this) }
    this.#writable = drive.id ?? 'floppy0'
    return drive
  }

  /** A medium was exchanged. */
  exchanged(): void {
    this.#exchanged = this.#instruction()
  }

  /** Copies a range before a write. */
  async keep(medium: BlockBackend, offset: number, bytes: number): Promise<void> {
    const from = this.#instruction()
    for (let at = offset; at < offset + bytes; at += PART_BYTES) {
      const before = new Uint8Array(Math.min(PART_BYTES, offset + bytes - at))
      const entry: Entry = { from, to: Infinity, medium, offset: at, before }
      this.#entries.push(entry)
      this.#bytes += before.length
      await medium.read(at, before)
      entry.to = this.#instruction()
    }
    while (this.#bytes > MOST_BYTES) {
      const { before, to } = this.#entries.shift()!
      this.#bytes -= before.length
      this.#from = Math.min(to, this.#instruction()) + 1
    }
  }

  /** @throws WebError `ERR_MACHINE` where disks cannot be put back to an instruction */
  check(instruction: number): void {
    const near = this.#entries.find(({ from, to }) => from <= instruction && instruction <= to)
    const why =
      instruction < this.#from
        ? `disks are known as they were from instruction ${this.#from} on; go there, or later`
        : instruction <= this.#exchanged
          ? 'a medium was exchanged since; go to a later instant'
          : this.#writable !== null
            ? `what was written to ${this.#writable} cannot be taken back; eject it, and record anew`
            : near !== undefined
              ? `a disk is written somewhere from instruction ${near.from} to ${near.to}; go to before that, or after it`
              : null
    if (why !== null) throw new WebError('ERR_MACHINE', `the machine cannot go on from here: ${why}`)
  }

  /** Puts all disks back as they were. */
  async undo(instruction: number): Promise<void> {
    for (let last = this.#entries.pop(); last !== undefined; last = this.#entries.pop()) {
      if (last.from <= instruction) return
      await last.medium.write(last.offset, last.before)
    }
  }
}

/** A disk whose contents are copied before they are overwritten. */
function journaled(medium: BlockBackend, journal: DiskJournal): BlockBackend {
  const kept = async (offset: number, bytes: number, write: () => Promise<void>): Promise<void> => {
    await journal.keep(medium, offset, bytes)
    return write()
  }
  return {
    get properties() {
      return medium.properties
    },
    read: (offset, into, request) => medium.read(offset, into, request),
    write: (offset, from, request) => kept(offset, from.length, () => medium.write(offset, from, request)),
    flush: (request) => medium.flush(request),
    discard: (offset, bytes, request) => kept(offset, bytes, () => medium.discard(offset, bytes, request)),
    writeZeroes: (offset, bytes, request) => kept(offset, bytes, () => medium.writeZeroes(offset, bytes, request)),
    onChange: (listener) => medium.onChange(listener),
  }
}
