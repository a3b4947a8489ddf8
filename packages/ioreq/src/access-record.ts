import { cut } from '@retrap/device/host'
import { IoreqError } from './errors.ts'
import * as F from './ioreq-fields.ts'
import { IoreqFields } from './ioreq-fields.ts'
import {
  IOREQ_PAGE_BYTES,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
} from './layout.ts'
import type { ClaimedRegion } from './region.ts'
import { STATUS_RETRY } from './status.ts'

// Words of a record behind its `ioreq_t`.
const LO = F.IOREQ_WORDS
const HI = F.IOREQ_WORDS + 1
const MADE = F.IOREQ_WORDS + 2
const STATUS = F.IOREQ_WORDS + 3
const STATE = F.IOREQ_WORDS + 4
const LOGGED = F.IOREQ_WORDS + 5

/** Words of an {@link AccessRecord}: a cache line. */
export const RECORD_WORDS = 16
/** Records in a page of machine memory. */
export const RECORDS_PER_PAGE: number = IOREQ_PAGE_BYTES / (4 * RECORD_WORDS)

/**
 * The access of a vCPU to a device that takes its time: the request as an `ioreq_t` (Xen public/hvm/ioreq.h), the state of the request,
 * and the answer. Each vCPU has one record, in machine memory. The pass that makes the access fills the record in; the pass that
 * follows the answer reads the answer there.
 */
export class AccessRecord extends IoreqFields {
  // The view of the domain's thread alone has these four.
  /**
   * Where the dispatcher stands with the request: `STATE_IOREQ_NONE`, there is none; `STATE_IOREQ_READY`, it is being sent, and its sender looks
   * for the outcome; `STATE_IOREQ_INPROCESS`, its server has it, or gets it when an earlier one has drained;
   * `STATE_IORESP_READY`, it is over: the record has `status` and the answer, which are to be taken. The party that completes
   * the request is the one that leaves INPROCESS.
   */
  progress: number = STATE_IOREQ_NONE
  /** The region whose handler answers by one call, where that has been found already. */
  region: ClaimedRegion | null = null
  /** Offset of the access in `region`. */
  offset = 0
  /** The furthest state of the server's slot that has been seen. */
  seenState: number = STATE_IOREQ_NONE

  /** Bits 31:0 of the answer. */
  get lo(): number {
    return this.words[this.base + LO]! >>> 0
  }
  set lo(value: number) {
    this.words[this.base + LO] = value
  }
  /** Bits 63:32 of the answer; 0 unless the elements have 8 bytes. */
  get hi(): number {
    return this.words[this.base + HI]! >>> 0
  }
  set hi(value: number) {
    this.words[this.base + HI] = value
  }
  /** Elements that have been made: at most `count`. */
  get made(): number {
    return this.words[this.base + MADE]!
  }
  set made(value: number) {
    this.words[this.base + MADE] = value
  }

  /**
   * Where the access of a vCPU in a thread stands: `STATE_IOREQ_READY`, the domain's thread has yet to make it; `STATE_IOREQ_INPROCESS`, that
   * thread waits for the answer; `STATE_IORESP_READY`, it is over. The thread that changes the state has written the other words before.
   */
  get state(): number {
    return Atomics.load(this.words, this.base + STATE)
  }
  set state(value: number) {
    Atomics.store(this.words, this.base + STATE, value)
  }

  /** Whether the access of a vCPU in a thread has no answer yet. */
  get waits(): boolean {
    const state = Atomics.load(this.words, this.base + STATE)
    return state === STATE_IOREQ_READY || state === STATE_IOREQ_INPROCESS
  }

  /** `STATUS_*` of a request that is over. */
  get status(): number {
    return this.words[this.base + STATUS]!
  }
  set status(value: number) {
    this.words[this.base + STATUS] = value
  }

  /** Whether the access of a vCPU in a thread is one of a logged pass. */
  get logged(): boolean {
    return this.words[this.base + LOGGED] !== 0
  }
  set logged(value: boolean) {
    this.words[this.base + LOGGED] = value ? 1 : 0
  }

  /** The address of the request as one number. */
  get address(): number {
    return (this.words[this.base + F.ADDR_HI]! >>> 0) * 2 ** 32 + (this.words[this.base + F.ADDR_LO]! >>> 0)
  }

  /** Machine address of the record, where it is in machine memory. */
  get ma(): number {
    return this.words.byteOffset + 4 * this.base
  }

  /** Describes an access of one element, whose address is up to 2^53. */
  describe(type: number, direction: number, address: number, size: number, lo: number, hi: number): void {
    const { words, base } = this
    words[base + F.ADDR_LO] = address
    words[base + F.ADDR_HI] = Math.floor(address / 2 ** 32)
    words[base + F.DATA_LO] = lo
    words[base + F.DATA_HI] = hi
    words[base + F.COUNT] = 1
    words[base + F.SIZE] = size
    words[base + F.FLAGS] = (type << F.TYPE_SHIFT) | (direction << F.DIR_SHIFT)
  }

  /**
   * Puts an answer in, cut to the size of the request's elements: the processor has asked for no more.
   *
   * @param status - `STATUS_DONE`, or why there is no other answer
   * @param made - default: all elements
   */
  answer(status: number, lo: number, hi: number, made: number = this.words[this.base + F.COUNT]!): void {
    const { words, base } = this
    const size = words[base + F.SIZE]!
    words[base + LO] = size < 4 ? cut(lo, size) : lo
    words[base + HI] = size === 8 ? hi : 0
    words[base + MADE] = made
    words[base + STATUS] = status
  }

  /**
   * Takes the answer, which is in the record, and makes room for the next request.
   *
   * @returns `STATUS_RETRY` while there is none
   * @throws IoreqError `ERR_NOT_FOUND` without a request
   */
  take(): number {
    if (this.progress !== STATE_IORESP_READY) {
      if (this.progress === STATE_IOREQ_NONE) throw new IoreqError('ERR_NOT_FOUND', 'no request to take an answer of')
      return STATUS_RETRY
    }
    this.progress = STATE_IOREQ_NONE
    return this.words[this.base + STATUS]!
  }
}
