import { type Domain, type GuestFrames, guestFrames } from '@retrap/hvm'
import { MigrationError } from './errors.ts'
import { PAGE_BYTES } from './pages.ts'

type DirtyLog = ReturnType<Domain['dirtyLogs']['start']>

/**
 * A guest's memory while it is sent: which frames it has, and which of them have been written since they were looked at.
 */
export class SentMemory {
  /** Frames of RAM and ROM, from low to high. */
  readonly frames: readonly GuestFrames[]
  readonly #domain: Domain
  readonly #logs: DirtyLog[] = []

  /**
   * Begins to log.
   *
   * @throws MigrationError `ERR_MACHINE` where other threads write the guest's memory; HvmError for memory that cannot be
   *   saved
   */
  constructor(domain: Domain) {
    this.#domain = domain
    if (domain.writtenElsewhere) {
      const what = 'device models in other threads write its memory, and do not say so in advance'
      throw new MigrationError('ERR_MACHINE', `this machine cannot be moved while it runs: ${what}`)
    }
    this.frames = guestFrames(domain)
    try {
      for (const { gfn, count, kind } of this.frames)
        if (kind === 'ram') this.#logs.push(domain.dirtyLogs.start(gfn, count))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /**
   * Checks that the guest has the frames that it had: of others there is no log.
   *
   * @throws MigrationError `ERR_MACHINE`
   */
  checkFrames(): void {
    if (placesOf(guestFrames(this.#domain)) === placesOf(this.frames)) return
    const what = 'its firmware has changed which memory it has; try again'
    throw new MigrationError('ERR_MACHINE', `this machine cannot be moved now: ${what}`)
  }

  /** Returns all frames. */
  all(): number[] {
    return this.frames.flatMap(({ gfn, count }) => Array.from({ length: count }, (_, i) => gfn + i))
  }

  /** Returns frames that may have been written since the last call, or the beginning, from low to high. */
  takeWritten(): number[] {
    const written: number[] = []
    const held = new Set<number>()
    for (const log of this.#logs) {
      const bits = new Uint32Array(Math.ceil(log.count / 32))
      log.take(bits)
      for (let at = 0; at < log.count; at++) {
        if (bits[at >>> 5] === 0) at |= 31
        else if (((bits[at >>> 5]! >>> (at & 31)) & 1) !== 0) written.push(log.gfn + at)
      }
    }
    // A model that holds a mapping writes on without a word.
    this.#domain.heldForWriting((gfn, count) => {
      for (let i = 0; i < count; i++) held.add(gfn + i)
    })
    if (held.size === 0) return written
    for (const log of this.#logs)
      for (const gfn of held) if (gfn >= log.gfn && gfn < log.gfn + log.count) log.mark(gfn, 1)
    return [...new Set([...written, ...[...held].filter((gfn) => this.#isRam(gfn))])].sort((a, b) => a - b)
  }

  #isRam(gfn: number): boolean {
    return this.#logs.some((log) => gfn >= log.gfn && gfn < log.gfn + log.count)
  }

  /** Frames of ROM: firmware shadows itself there, and no log has them. */
  rom(): number[] {
    return this.frames
      .filter(({ kind }) => kind === 'rom')
      .flatMap(({ gfn, count }) => Array.from({ length: count }, (_, i) => gfn + i))
  }

  /** Copies a frame. @returns whether it is zeros */
  read(gfn: number, into: Uint8Array): boolean {
    if (!this.#domain.guestMemory.read(gfn * PAGE_BYTES, into)) into.fill(0)
    const words = new Uint32Array(into.buffer, into.byteOffset, PAGE_BYTES / 4)
    for (const word of words) if (word !== 0) return false
    return true
  }

  /** Ends the logs. */
  close(): void {
    for (const log of this.#logs.splice(0)) log.stop()
  }
}

/** Where a guest has frames, of either kind: one may become the other. */
function placesOf(frames: readonly GuestFrames[]): string {
  const ends: number[] = []
  for (const { gfn, count } of frames) {
    if (ends.at(-1) === gfn) ends.pop()
    else ends.push(gfn)
    ends.push(gfn + count)
  }
  return ends.join(' ')
}
