import { Stateful } from '@retrap/device'
import { PAGE_BYTES } from '@retrap/memory'
import type { XenHost } from '../architecture.ts'
import { ramOf } from '../guest-frames.ts'
import type { EventDelivery, EventTarget } from './two-level-events.ts'
import { XenErrno } from '../numbers.ts'

/* public/event_channel.h, "FIFO ABI": an event word, and a vCPU's control block. */
/** EVTCHN_FIFO_LINK_BITS: as wide as a port's number is in an event word. */
export const FIFO_LINK_BITS = 17
const PORTS = 1 << FIFO_LINK_BITS
const LINK_MASK = PORTS - 1
const PENDING = 1 << 31
const MASKED = 1 << 30
const LINKED = 1 << 29
/** EVTCHN_FIFO_PRIORITY_MIN, as a number the largest. */
export const LOWEST_PRIORITY = 15
/** EVTCHN_FIFO_PRIORITY_DEFAULT. */
export const DEFAULT_PRIORITY = 7
const QUEUES = LOWEST_PRIORITY + 1
const READY = 0
const HEADS = 8
export const CONTROL_BLOCK_BYTES: number = HEADS + 4 * QUEUES
const CONTROL_BLOCK_ALIGNMENT = 8

const WORDS_PER_PAGE = PAGE_BYTES / 4
const MOST_PAGES = PORTS / WORDS_PER_PAGE
/** A page that does not exist, or no longer. */
const NONE = -1

/**
 * Events of the FIFO kind: a word for each port, and for each vCPU 16 queues of pending ports, linked through their words.
 *
 * The hypervisor appends at a queue's tail, the guest takes from its head and clears LINKED, so a tail whose LINKED is clear
 * says that the queue has become empty. A port whose vCPU or priority changes while it is queued is taken where it is, and
 * goes to its new queue the next time. vCPUs do not run while words are changed here, and BUSY is never needed.
 *
 * All words are the guest's to write: a link is never followed here.
 *
 * Source: Xen's public/event_channel.h, "FIFO ABI".
 */
export class FifoEvents extends Stateful implements EventDelivery {
  readonly ports: number = PORTS
  readonly #domain: XenHost
  readonly #notify: (vcpu: number) => void
  /** Machine frames of the words' pages. */
  readonly #pages: number[] = []
  /** Machine address by vCPU. */
  readonly #blocks: number[]
  readonly #held: number[] = []
  /** Machine frames of words and control blocks. */
  frames: readonly number[] = []
  readonly #tails: Uint32Array
  readonly #queues = new Map<number, number>()
  /** Pending ports without an event word, including pending ports of two-level channels. */
  readonly early: Set<number> = new Set()

  /** @param notify - a vCPU has something to look at */
  constructor(domain: XenHost, vcpus: number, notify: (vcpu: number) => void) {
    super()
    this.#domain = domain
    this.#notify = notify
    this.#blocks = Array.from({ length: vcpus }, () => NONE)
    this.#tails = new Uint32Array(vcpus * QUEUES)
    // Event words and control blocks are in the guest's RAM. A restore expects that these event channels were closed.
    this.keeps(
      {
        version: 2,
        // Guest frames of the pages of event words; −1: the page has left the guest.
        pages: {
          save: () => this.#pages.map((mfn) => this.#gfnOf(mfn)),
          restore: (gfns: readonly number[]) => {
            for (const gfn of gfns) this.#pages.push(gfn < 0 ? NONE : this.#holdRam(gfn * PAGE_BYTES) / PAGE_BYTES)
          },
        },
        // Guest-physical addresses of the vCPUs' control blocks; −1: none.
        blocks: {
          save: () => this.#blocks.map((ma) => (ma === NONE ? NONE : this.#gpaOf(ma))),
          restore: (gpas: readonly number[]) => gpas.forEach((gpa, vcpu) => (this.#blocks[vcpu] = this.#holdRam(gpa))),
        },
        tails: this.#tails,
        queues: {
          save: () => Array.from(this.#queues, ([port, queue]) => ({ port, queue })),
          restore: (queues: readonly { readonly port: number; readonly queue: number }[]) => {
            for (const { port, queue } of queues) this.#queues.set(port, queue)
          },
        },
        early: this.early,
      },
      { settled: () => this.#listFrames() },
    )
  }

  // ---------------------------------------------------------------- set up by the guest

  /**
   * Sets a vCPU's control block.
   *
   * @param mfn - the machine frame of RAM of the guest's
   * @returns 0, or a negated errno
   */
  initControl(vcpu: number, mfn: number, offset: number): number {
    if (!validOffset(offset) || mfn < 0 || this.#blocks[vcpu] !== NONE) return XenErrno.INVAL
    this.#hold(mfn)
    this.#blocks[vcpu] = mfn * PAGE_BYTES + offset
    this.#listFrames()
    return 0
  }

  /**
   * Adds a page of event words.
   *
   * @param mfn - the machine frame of RAM of the guest's
   * @returns ports that were pending without words and have them now, or a negated errno
   */
  expandArray(mfn: number): readonly number[] | number {
    if (this.#pages.length === MOST_PAGES) return XenErrno.NOSPC
    if (mfn < 0) return XenErrno.INVAL
    this.#hold(mfn)
    this.#pages.push(mfn)
    this.#listFrames()
    const ready = [...this.early].filter((port) => this.#word(port) >= 0)
    for (const port of ready) this.early.delete(port)
    return ready
  }

  /** The words are written without asking the map: while they are, the frames are nobody else's. */
  #hold(mfn: number): void {
    const { frameCounts, p2m, dirtyLogs } = this.#domain
    if (frameCounts.count(mfn) > 0 && frameCounts.tryTake(mfn, 1)) this.#held.push(mfn)
    // A log of the guest's writes has the frame before the first write.
    const gfn = p2m.guestFrame(mfn)
    if (gfn >= 0) dirtyLogs.mark(gfn, 1)
  }

  #letGo(mfn: number): void {
    const at = this.#held.indexOf(mfn)
    if (at < 0) return
    this.#held.splice(at, 1)
    this.#domain.frameCounts.drop(mfn, 1)
  }

  /** A machine frame is no longer the guest's: the events that it had words for are pending without. */
  released(mfn: number): void {
    for (const [i, page] of this.#pages.entries()) {
      if (page !== mfn) continue
      for (let port = i * WORDS_PER_PAGE; port < (i + 1) * WORDS_PER_PAGE; port++) {
        if (this.pending(port)) this.early.add(port)
      }
      this.#pages[i] = NONE
      this.#letGo(mfn)
    }
    for (const [vcpu, block] of this.#blocks.entries()) {
      if (block === NONE || Math.floor(block / PAGE_BYTES) !== mfn) continue
      this.#blocks[vcpu] = NONE
      this.#letGo(mfn)
    }
    this.#listFrames()
  }

  /** Ends this kind of event channels: its frames are the guest's alone. */
  close(): void {
    for (const mfn of this.#held.splice(0)) this.#domain.frameCounts.drop(mfn, 1)
    this.#pages.length = 0
    this.#blocks.fill(NONE)
    this.#tails.fill(0)
    this.#queues.clear()
    this.early.clear()
    this.#listFrames()
  }

  #listFrames(): void {
    const blocks = this.#blocks.map((block) => (block === NONE ? NONE : Math.floor(block / PAGE_BYTES)))
    this.frames = [...new Set([...this.#pages, ...blocks])].filter((mfn) => mfn !== NONE)
  }

  // ---------------------------------------------------------------- events

  raise(port: number, target: EventTarget): boolean {
    const ma = this.#word(port)
    if (ma < 0) {
      const before = this.early.has(port)
      this.early.add(port)
      return before
    }
    const before = this.#change(ma, PENDING, 0)
    this.#enqueue(port, ma, target)
    return (before & PENDING) !== 0
  }

  unmask(port: number, target: EventTarget): void {
    const ma = this.#word(port)
    if (ma < 0) return
    this.#change(ma, 0, MASKED)
    this.#enqueue(port, ma, target)
  }

  /** Looks again at a port whose vCPU has only now got its control block. */
  retry(port: number, target: EventTarget): void {
    const ma = this.#word(port)
    if (ma >= 0) this.#enqueue(port, ma, target)
  }

  pending(port: number): boolean {
    const ma = this.#word(port)
    return ma < 0 ? this.early.has(port) : (this.#load(ma) & PENDING) !== 0
  }

  clearPending(port: number): void {
    this.early.delete(port)
    const ma = this.#word(port)
    // A queued port stays queued until the guest consumes it.
    if (ma >= 0) this.#change(ma, 0, PENDING)
  }

  /** Queues a pending port, unless it is masked or already queued. */
  #enqueue(port: number, ma: number, { vcpu, priority }: EventTarget): void {
    const block = this.#blocks[vcpu]!
    const word = this.#load(ma)
    if (block === NONE || (word & PENDING) === 0 || (word & (MASKED | LINKED)) !== 0) return
    this.#change(ma, LINKED, LINK_MASK)
    const queue = vcpu * QUEUES + priority
    const tail = this.#tails[queue]!
    this.#tails[queue] = port
    // A tail that has been taken and is queued elsewhere by now says nothing of this queue.
    const follows = tail !== 0 && tail !== port && this.#queues.get(tail) === queue && this.#append(tail, port)
    this.#queues.set(port, queue)
    if (follows) return
    this.#store(block + HEADS + 4 * priority, port)
    if ((this.#change(block + READY, 1 << priority, 0) & (1 << priority)) === 0) this.#notify(vcpu)
  }

  /** Links a port after the last queued one. @returns false if that one is no longer queued */
  #append(tail: number, port: number): boolean {
    const ma = this.#word(tail)
    if (ma < 0 || (this.#load(ma) & LINKED) === 0) return false
    this.#change(ma, port, LINK_MASK & ~port)
    return true
  }

  // ---------------------------------------------------------------- the guest's memory

  /** Returns the machine address of a port's word; −1 if it has none. */
  #word(port: number): number {
    const page = this.#pages[Math.floor(port / WORDS_PER_PAGE)] ?? NONE
    return page === NONE ? -1 : page * PAGE_BYTES + 4 * (port % WORDS_PER_PAGE)
  }

  #load(ma: number): number {
    return Atomics.load(this.#domain.memory.i32, ma >>> 2)
  }

  #store(ma: number, value: number): void {
    Atomics.store(this.#domain.memory.i32, ma >>> 2, value)
    this.#written(ma)
  }

  /** Sets and clears bits of a word. @returns its previous value */
  #change(ma: number, set: number, clear: number): number {
    const { i32 } = this.#domain.memory
    let old = this.#load(ma)
    for (;;) {
      const seen = Atomics.compareExchange(i32, ma >>> 2, old, (old & ~clear) | set)
      if (seen === old) break
      old = seen
    }
    this.#written(ma)
    return old
  }

  #written(ma: number): void {
    const { memory, p2m, dirtyLogs } = this.#domain
    memory.noteWrite(ma, 4)
    const gfn = p2m.guestFrame(Math.floor(ma / PAGE_BYTES))
    if (gfn >= 0) dirtyLogs.mark(gfn, 1)
  }

  // ---------------------------------------------------------------- state

  #gfnOf(mfn: number): number {
    return mfn === NONE ? NONE : this.#domain.p2m.guestFrame(mfn)
  }

  #gpaOf(ma: number): number {
    return this.#gfnOf(Math.floor(ma / PAGE_BYTES)) * PAGE_BYTES + (ma % PAGE_BYTES)
  }

  /** Holds the frame of RAM at a guest-physical address. @returns its machine address @throws XenError `ERR_STATE` */
  #holdRam(gpa: number): number {
    if (gpa < 0) return NONE
    const ma = ramOf(this.#domain, gpa)
    this.#hold(Math.floor(ma / PAGE_BYTES))
    return ma
  }
}

/** Whether a control block may begin at an offset: aligned and within its page. */
function validOffset(offset: number): boolean {
  return offset <= PAGE_BYTES - CONTROL_BLOCK_BYTES && offset % CONTROL_BLOCK_ALIGNMENT === 0
}

export function isPriority(priority: number): boolean {
  return priority >= 0 && priority <= LOWEST_PRIORITY
}
