import { describeArgument } from '@retrap/basics'
import { ControlWord } from './control-block.ts'
import { hex, P2mError } from './errors.ts'
import type { MapCore } from './map-core.ts'
import { P2mEntry } from './radix-table.ts'
import { P2mType } from './types.ts'

/**
 * Writes to some RAM that one device model wants to see, instead of having them made: Xen's
 * `XEN_DMOP_map_mem_type_to_ioreq_server`. Frames of type IOREQ_SERVER are read as RAM is, and written by that server, if it
 * claims writes; they come from RAM_RW and go back to it, frame by frame.
 *
 * Source: Xen, xen/include/public/hvm/dm_op.h.
 */
export interface WriteClaim {
  /** Id of the server that holds the claim; −1: none. */
  readonly server: number
  /** Number of frames of type IOREQ_SERVER, including leftovers of an ended claim. */
  readonly frames: number
  /** The word of machine memory that has `frames`: a look at each write costs no call. */
  readonly counter: Uint32Array
  /**
   * Gives a server the claim.
   *
   * @throws P2mError `ERR_BUSY` while another server holds the claim, or frames of the last claim are left
   */
  claim(server: number): void
  /**
   * Ends a claim. Its frames become RAM_RW on their next write, or by `sweep`.
   *
   * @throws P2mError `ERR_BUSY` if it is not this server's
   */
  end(server: number): void
  /**
   * Makes RAM of frames that are left from a claim that has ended, a part at a time.
   *
   * @param from - the guest frame to begin with: 0, then the result of the call before
   * @param most - frames to look at
   * @returns the frame to continue at, or −1 at the end; while a server holds the claim the sweep does nothing
   */
  sweep(from: number, most: number): number
  /**
   * Adds RAM frames to the claim, whose writes then go to the server.
   *
   * @throws P2mError `ERR_STATE` without a claim; `ERR_TYPE` where there is anything else: nothing has changed then.
   *   `ERR_NO_MEMORY`: frames before the one in its figures have
   */
  add(gfn: number, count: number): void
  /** Turns frames into RAM_RW again. @throws P2mError as `add` */
  remove(gfn: number, count: number): void
}

/** Implementation over a map. */
export class IoreqServerClaim implements WriteClaim {
  readonly #core: MapCore
  readonly counter: Uint32Array

  constructor(core: MapCore) {
    this.#core = core
    this.counter = core.control.counter(P2mType.IOREQ_SERVER)
  }

  get server(): number {
    return this.#core.control.word(ControlWord.IOREQ_CLAIM) - 1
  }

  get frames(): number {
    return this.counter[0]!
  }

  claim(server: number): void {
    this.#core.change(() => {
      if (this.server >= 0 || this.frames > 0) {
        const who = this.server >= 0 ? `server ${this.server} has it` : `${this.frames} frames of the last one are left`
        throw new P2mError('ERR_BUSY', `server ${describeArgument(server)} cannot claim writes: ${who}`, { server })
      }
      this.#core.control.setWord(ControlWord.IOREQ_CLAIM, server + 1)
    })
  }

  end(server: number): void {
    this.#core.change(() => {
      if (this.server !== server) {
        throw new P2mError('ERR_BUSY', `server ${describeArgument(server)} does not claim writes`, {
          server,
          claimant: this.server,
        })
      }
      this.#core.control.setWord(ControlWord.IOREQ_CLAIM, 0)
    })
  }

  sweep(from: number, most: number): number {
    const core = this.#core
    return core.change(() => {
      if (this.server >= 0) return -1
      const entry = new P2mEntry()
      let at = from
      for (let looked = 0; looked < most; looked++) {
        if (this.frames === 0 || at >= core.table.limit) return -1
        core.table.lookup(at, entry)
        if (entry.type === P2mType.IOREQ_SERVER) core.put(at, 0, entry.mfn, P2mType.RAM_RW, entry.access)
        at += 2 ** entry.order - (at % 2 ** entry.order)
      }
      return this.frames === 0 ? -1 : at
    })
  }

  add(gfn: number, count: number): void {
    this.#core.change(() => {
      if (this.server < 0) throw new P2mError('ERR_STATE', 'no server claims the writes')
      this.#change(gfn, count, P2mType.RAM_RW, P2mType.IOREQ_SERVER)
    })
  }

  remove(gfn: number, count: number): void {
    this.#core.change(() => this.#change(gfn, count, P2mType.IOREQ_SERVER, P2mType.RAM_RW))
  }

  #change(gfn: number, count: number, from: number, to: number): void {
    this.#core.checkRange(gfn, count)
    const core = this.#core
    const entry = new P2mEntry()
    for (let at = gfn; at < gfn + count;) {
      const type = core.table.lookup(at, entry)
      if (type !== from) {
        throw new P2mError('ERR_TYPE', `guest frame ${hex(at)} is of type ${type}, not ${from}`, { gfn: at, type })
      }
      at += 2 ** entry.order - (at % 2 ** entry.order)
    }
    for (let at = gfn; at < gfn + count; at++) {
      core.table.lookup(at, entry)
      core.put(at, 0, entry.mfn, to, entry.access)
    }
  }
}
