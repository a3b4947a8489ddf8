import type { LogDirty } from '@retrap/p2m'
import type { Domain } from '../domain.ts'
import { guestFrames, type GuestFrames } from './guest-frames.ts'

/**
 * Tells which frames of a guest's memory are written: for those who send it elsewhere while it runs, or keep what it was.
 *
 * Writes of vCPUs are noted a frame at a time, as are those of device models; frames that a model holds for writing count as
 * written. ROM has no log.
 */
export class LoggedMemory {
  /** Frames of RAM and ROM when this began, from low to high. */
  readonly frames: readonly GuestFrames[]
  readonly #domain: Domain
  readonly #logs: LogDirty[] = []

  /**
   * Begins to log. The rest of a snapshot's memory is brought first.
   *
   * @throws HvmError `ERR_STATE` for memory that is neither RAM nor ROM nor a device model's; P2mError `ERR_NO_MEMORY`
   */
  constructor(domain: Domain) {
    this.#domain = domain
    domain.secondLevel.late?.finishNow()
    this.frames = guestFrames(domain)
    try {
      for (const { gfn, count, kind } of this.frames)
        if (kind === 'ram') this.#logs.push(domain.dirtyLogs.start(gfn, count))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Whether the guest has other frames than before, for which no log exists. RAM frames may have become ROM. */
  get haveMoved(): boolean {
    return placesOf(guestFrames(this.#domain)) !== placesOf(this.frames)
  }

  /** Whether the writes to a frame are noted. */
  isLogged(gfn: number): boolean {
    return this.#logs.some((log) => gfn >= log.gfn && gfn < log.gfn + log.count)
  }

  /** Returns frames that may have been written since the last call, or the beginning, from low to high. */
  take(): number[] {
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
    this.#domain.mappings.heldForWriting((gfn, count) => {
      for (let i = 0; i < count; i++) held.add(gfn + i)
    })
    if (held.size === 0) return written
    for (const log of this.#logs)
      for (const gfn of held) if (gfn >= log.gfn && gfn < log.gfn + log.count) log.mark(gfn, 1)
    return [...new Set([...written, ...[...held].filter((gfn) => this.isLogged(gfn))])].sort((a, b) => a - b)
  }

  /** Ends the logs. */
  close(): void {
    for (const log of this.#logs.splice(0)) log.stop()
  }
}

/** Returns the places of a guest's frames without their kind: RAM may become ROM, and the reverse. */
function placesOf(frames: readonly GuestFrames[]): string {
  const ends: number[] = []
  for (const { gfn, count } of frames) {
    if (ends.at(-1) === gfn) ends.pop()
    else ends.push(gfn)
    ends.push(gfn + count)
  }
  return ends.join(' ')
}
