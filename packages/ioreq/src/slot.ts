import * as L from './layout.ts'
import { IoreqError } from './errors.ts'
import * as F from './ioreq-fields.ts'
import { IoreqFields } from './ioreq-fields.ts'
import type { IoRequest } from './request.ts'

const STATE_SHIFT = 16
const STATE_MASK = 0xf << STATE_SHIFT
const ALL_BUT_PAD = 0xffff_0000

/**
 * One `ioreq_t` in shared memory.
 *
 * The word with `state` is the synchronisation point of both sides. JavaScript's atomics only order accesses to the
 * same byte range, so every access to that word is a 32-bit atomic one, by both sides, and a state change is a
 * compare-exchange that keeps type, direction, df and padding. The other fields are plain: they are written before
 * the state that hands them over and read after it. In memory of one thread plain accesses are as good.
 */
export class IoreqSlot extends IoreqFields {
  /** One of the `STATE_*` values, or 4–15 where the other side has written nonsense. Setting it does not look at the old one. */
  get state(): number {
    return (this.flags() & STATE_MASK) >>> STATE_SHIFT
  }
  set state(value: number) {
    this.setFlagBits(STATE_MASK, value << STATE_SHIFT)
  }

  /** Moves the state from `from` to `to`; false, with nothing changed, if it was something else. */
  updateState(from: number, to: number): boolean {
    let old = this.flags()
    for (;;) {
      if ((old & STATE_MASK) >>> STATE_SHIFT !== from) return false
      const seen = this.exchangeFlags(old, (old & ~STATE_MASK) | (to << STATE_SHIFT))
      if (seen === old) return true
      old = seen
    }
  }

  /**
   * Writes all fields but `vp_eport` and `pad`, and publishes the request.
   *
   * @throws IoreqError `ERR_BUSY` unless the state is NONE
   */
  publish(request: IoRequest): void {
    let old = this.flags()
    const state = (old & STATE_MASK) >>> STATE_SHIFT
    if (state !== L.STATE_IOREQ_NONE) {
      throw new IoreqError('ERR_BUSY', `request slot is in state ${state}, not NONE, as a request is published`)
    }
    this.set(F.ADDR_LO, request.addressLo)
    this.set(F.ADDR_HI, request.addressHi)
    this.set(F.DATA_LO, request.dataLo)
    this.set(F.DATA_HI, request.dataHi)
    this.set(F.COUNT, request.count)
    this.set(F.SIZE, request.size)
    const flags =
      (L.STATE_IOREQ_READY << STATE_SHIFT) |
      (request.dataIsPointer ? F.DATA_IS_PTR : 0) |
      (request.direction << F.DIR_SHIFT) |
      (request.df ? F.DF : 0) |
      (request.type << F.TYPE_SHIFT)
    // The word that says READY is written last, and in one piece. Its low 16 bits are padding that is not ours to change.
    for (;;) {
      const seen = this.exchangeFlags(old, (old & ~ALL_BUT_PAD) | flags)
      if (seen === old) return
      old = seen
    }
  }

  /** The server's side: takes a READY request into `into`; false if there is none. */
  accept(into: IoRequest): boolean {
    const old = this.flags()
    if ((old & STATE_MASK) >>> STATE_SHIFT !== L.STATE_IOREQ_READY) return false
    this.readInto(into)
    const taken = (old & ~STATE_MASK) | (L.STATE_IOREQ_INPROCESS << STATE_SHIFT)
    if (this.exchangeFlags(old, taken) === old) return true
    return this.updateState(L.STATE_IOREQ_READY, L.STATE_IOREQ_INPROCESS)
  }

  /** The server's side: answers the request that it has taken; false if it is no longer INPROCESS. */
  answer(dataLo: number, dataHi: number): boolean {
    if (this.state !== L.STATE_IOREQ_INPROCESS) return false
    this.set(F.DATA_LO, dataLo)
    this.set(F.DATA_HI, dataHi)
    return this.updateState(L.STATE_IOREQ_INPROCESS, L.STATE_IORESP_READY)
  }
}

/** A page of `ioreq_t`, one for each vCPU. */
export class IoreqPage {
  /** The page, as words. */
  readonly words: Int32Array
  readonly #slots: readonly IoreqSlot[]

  /**
   * @param buffer - machine memory, or a buffer of its own
   * @param byteOffset - where the page begins; a multiple of 4096 in machine memory, of 4 at least
   * @throws IoreqError `ERR_INVALID` if the page does not fit
   */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(L.IOREQ_PAGE_BYTES), byteOffset = 0) {
    if (byteOffset % 4 !== 0 || byteOffset < 0 || byteOffset + L.IOREQ_PAGE_BYTES > buffer.byteLength) {
      throw new IoreqError(
        'ERR_INVALID',
        `request page at ${byteOffset}: expected a multiple of 4 with 4096 bytes inside a buffer of ${buffer.byteLength}`,
      )
    }
    this.words = new Int32Array(buffer, byteOffset, L.IOREQ_PAGE_BYTES / 4)
    this.#slots = Array.from({ length: L.IOREQ_SLOTS }, (_, i) => new IoreqSlot(this.words, i * F.IOREQ_WORDS))
  }

  /**
   * The request of one vCPU.
   *
   * @throws IoreqError `ERR_INVALID` for an id above 127
   */
  slot(vcpu: number): IoreqSlot {
    const slot = this.#slots[vcpu]
    if (slot === undefined) {
      throw new IoreqError('ERR_INVALID', `vCPU ${vcpu} has no request slot: a page holds ${L.IOREQ_SLOTS}`)
    }
    return slot
  }
}

/** Whether the server has yet to answer what is in a slot. */
export function isWithServer(state: number): boolean {
  return state === L.STATE_IOREQ_READY || state === L.STATE_IOREQ_INPROCESS
}

/** Says what is wrong with a slot that is about to take a request; null, with a right slot, if nothing is. */
export function wrongFreeSlot(slot: IoreqSlot, vcpu: number): string | null {
  const { state, eventPort } = slot
  if (state === L.STATE_IOREQ_NONE && eventPort === vcpu + 1) return null
  slot.state = L.STATE_IOREQ_NONE
  slot.eventPort = vcpu + 1
  return `the free slot was in state ${state} with event port ${eventPort}`
}
