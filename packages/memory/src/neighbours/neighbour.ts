import type { FrameBits } from '../frame-bits.ts'
import { PAGE_BYTES } from '../layout.ts'
import type { NeighbourRow } from './neighbour-row.ts'
import type { RequestTicket } from './request-ring.ts'
import type { RequestTable } from './request-table.ts'

/** Looks for an answer before a thread sleeps: about a microsecond. */
const SPINS = 20

/** The work of a thread for other threads. */
export interface NeighbourDuties {
  /** Drops all write entries of a frame. @param frameMa - its machine address */
  dropWritable(frameMa: number): void
  /** Drops all translations. */
  dropTranslations(): void
  /** Bytes of a frame with decoded code have been written. @param last - inclusive */
  codeWritten(frame: number, first: number, last: number): void
  /** Any code may have been written. */
  allCodeWritten(): void
}

/**
 * One thread that executes code, among its `Neighbours`: the thread's own side of the requests. Nobody else calls it.
 *
 * Before a thread decodes code of a frame, no other may write that frame unseen: it counts itself among the frame's owners, and
 * waits until each thread that may have write entries has dropped them. A thread that makes an entry notes itself first, and then
 * looks for owners: one of the two sees the other.
 */
export class Neighbour {
  readonly #table: RequestTable
  readonly #bits: FrameBits
  readonly #number: number
  readonly #bit: number
  readonly #row: NeighbourRow
  readonly #duties: NeighbourDuties
  #isAlone = false

  constructor(table: RequestTable, bits: FrameBits, number: number, duties: NeighbourDuties) {
    this.#table = table
    this.#bits = bits
    this.#number = number
    this.#bit = 1 << number
    this.#row = table.rows[number]!
    this.#duties = duties
  }

  // ---------------------------------------------------------------- executing

  /** The thread executes from now on: the others wait for its answers. It serves all requests first. */
  enter(): void {
    this.#row.isExecuting = true
    if (this.#table.exclusive >= 0) this.#stand()
    this.drain()
  }

  /** The thread does not execute until {@link Neighbour.enter}: no other thread waits for it. */
  leave(): void {
    if (this.#isAlone) this.endExclusive()
    this.#row.isExecuting = false
    // Waiting threads get their answers.
    this.#serve()
    this.#ringExclusive()
  }

  /** Whether a request waits. */
  get isAsked(): boolean {
    return this.#row.isAsked
  }

  /** Serves all requests: between two instructions, never while code is decoded or compiled. Waits while another executes alone. */
  drain(): void {
    if (this.#isAlone) this.endExclusive()
    if (!this.#row.isAsked) return
    this.#serve()
    if (this.#table.exclusive >= 0) this.#stand()
  }

  #serve(): void {
    const row = this.#row
    if (!row.isAsked) return
    row.clearAsked()
    this.#serveDrops()
    const { writes } = row
    while (writes.look()) {
      const [frame, bytes] = writes.words
      this.#duties.codeWritten(frame!, bytes! & 0xffff, bytes! >>> 16)
      writes.served()
    }
    const { lost } = writes
    if (lost !== undefined) {
      this.#duties.allCodeWritten()
      writes.lostServed(lost)
    }
    const { epoch } = this.#table
    if (epoch === row.dropped) return
    this.#duties.dropTranslations()
    row.dropped = epoch
    this.#table.acknowledge()
    for (const other of this.#table.rows) if (other.isExecuting) other.ring()
  }

  /**
   * Has all other threads drop their translations: when this returns, none executes with older ones. Serves all requests
   * meanwhile, as others may wait for this thread.
   */
  dropOthers(): void {
    const row = this.#row
    const epoch = this.#table.nextEpoch()
    // The own ones are as they should be, unless another thread has asked as well.
    if (((epoch - row.dropped) | 0) === 1) row.dropped = epoch
    for (const other of this.#table.rows) {
      if (other === row) continue
      this.#until(
        () => !other.isExecuting || ((other.dropped - epoch) | 0) >= 0,
        () => this.drain(),
      )
    }
  }

  /** @returns whether there were drops to serve */
  #serveDrops(): boolean {
    const { drops } = this.#row
    let any = false
    while (drops.look()) {
      any = true
      const [frame, from] = drops.words
      // A new entry is noted anew.
      Atomics.and(this.#table.writers, frame!, ~this.#bit)
      this.#duties.dropWritable(frame! * PAGE_BYTES)
      drops.served()
      this.#table.rows[from!]!.ring()
    }
    const { lost } = drops
    if (lost === undefined) return any
    this.#duties.dropTranslations()
    drops.lostServed(lost)
    for (const row of this.#table.rows) row.ring()
    return true
  }

  // ---------------------------------------------------------------- one alone

  /**
   * Waits until no other thread executes, from within an instruction. Others go on after {@link Neighbour.endExclusive}, which
   * `drain` and `leave` do, too.
   *
   * @returns false if this thread executed alone already
   */
  beginExclusive(): boolean {
    if (this.#isAlone) return false
    while (!this.#table.takeExclusive(this.#number)) this.#stand()
    this.#isAlone = true
    const others = this.#table.rows.filter((row) => row !== this.#row && row.isExecuting && !row.stands)
    for (const row of others) row.ask()
    for (const row of others) this.#until(() => row.stands || !row.isExecuting)
    return true
  }

  /** The others execute again. */
  endExclusive(): void {
    if (!this.#isAlone) return
    this.#isAlone = false
    this.#table.endExclusive(this.#number)
  }

  /** Waits while another thread executes alone. */
  #stand(): void {
    const row = this.#row
    // The state is stored before the other's state is read: at least one of the two threads sees the other.
    do {
      row.stands = true
      this.#ringExclusive()
      this.#until(() => this.#table.exclusive < 0)
      row.stands = false
    } while (this.#table.exclusive >= 0)
  }

  #ringExclusive(): void {
    const { exclusive } = this.#table
    if (exclusive >= 0) this.#table.rows[exclusive]!.ring()
  }

  // ---------------------------------------------------------------- frames

  /** The thread is about to get a write entry of a frame. It looks at `codeBits` afterwards. */
  noteWriter(frame: number): void {
    const { writers } = this.#table
    if ((writers[frame]! & this.#bit) === 0) Atomics.or(writers, frame, this.#bit)
  }

  /** The thread holds code of a frame from now on. When this returns, no other thread writes the frame unseen. */
  hold(frame: number): void {
    Atomics.or(this.#table.owners, frame, this.#bit)
    this.#bits.addOwner(frame)
    const asked: (readonly [row: NeighbourRow, ticket: RequestTicket])[] = []
    this.#table.eachOf(Atomics.load(this.#table.writers, frame) & ~this.#bit, (row) => {
      asked.push([row, row.drops.post(frame, this.#number)])
      row.ask()
      row.ring()
    })
    for (const [row, ticket] of asked) this.#await(row, ticket)
  }

  /** The thread holds no code of a frame any more. */
  release(frame: number): void {
    this.#bits.removeOwner(frame)
    Atomics.and(this.#table.owners, frame, ~this.#bit)
  }

  /**
   * Waits until another thread has served a request, or does not execute. It may wait for drops of this one, which are served.
   */
  #await(row: NeighbourRow, ticket: RequestTicket): void {
    this.#until(() => row.drops.isServed(ticket) || !row.isExecuting)
  }

  /** Waits for a condition; threads that change it ring. Meanwhile calls `serve`; default: drops translations as asked. */
  #until(isSo: () => boolean, serve: () => boolean | void = () => this.#serveDrops()): void {
    for (let spins = 0; ; spins++) {
      const { bell } = this.#row
      if (isSo()) return
      if (serve() !== true && spins > SPINS) this.#row.wait(bell)
    }
  }

  /** Tells the other owners of a frame's code of bytes that this thread has written. */
  tell(frame: number, first: number, last: number): void {
    this.#table.tell(this.#bit, frame, first, last)
  }
}
