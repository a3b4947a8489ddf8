import { type Dma, fieldsPart, Stateful } from '@retrap/device'
import { COMMAND_BYTES, NvmeCommand } from './command.ts'

const COMPLETION_BYTES = 16

/** The place and size of a queue. */
interface QueueShape {
  readonly id: number
  /** Guest-physical address. */
  readonly base: number
  /** Entries. */
  readonly size: number
}

/**
 * A queue that completions are put into.
 *
 * Source: NVM Express 1.4, §4.1 and §4.6, "Completion Queue Entry".
 */
export class CompletionQueue extends Stateful {
  readonly id: number
  base: number
  size: number
  /** Interrupt vector. */
  vector: number
  interrupts: boolean
  head = 0
  tail = 0
  phase = true
  /** Entries that wait for room: four words each, without the phase bit. */
  waiting: (readonly number[])[] = []
  readonly #entry = new Uint8Array(COMPLETION_BYTES)
  readonly #words = new DataView(this.#entry.buffer)
  readonly #first = this.#entry.subarray(0, 12)
  readonly #last = this.#entry.subarray(12)

  constructor({ id, base, size }: QueueShape, vector: number, interrupts: boolean) {
    super()
    this.id = id
    this.base = base
    this.size = size
    this.vector = vector
    this.interrupts = interrupts
    this.keeps<CompletionQueue>(this, {
      only: ['base', 'size', 'vector', 'interrupts', 'head', 'tail', 'phase', 'waiting'],
      device: 'nvme',
    })
  }

  /** The guest has completions to look at. */
  get isPending(): boolean {
    return this.head !== this.tail
  }

  /** Whether the queue has no room: no command that completes in it may be begun. */
  get isFull(): boolean {
    const used = (this.tail - this.head + this.size) % this.size
    return used + this.waiting.length >= this.size - 1
  }

  /** The guest has looked at the entries before `head`. @returns whether that can be */
  setHead(head: number): boolean {
    const looked = (head - this.head + this.size) % this.size
    if (head >= this.size || looked > (this.tail - this.head + this.size) % this.size) return false
    this.head = head
    return true
  }

  /** Writes waiting entries as far as there is room. @returns whether any was written */
  flush(dma: Dma): boolean {
    let written = false
    while (this.waiting.length > 0 && (this.tail + 1) % this.size !== this.head) {
      const [result = 0, reserved = 0, source = 0, status = 0] = this.waiting.shift()!
      this.#words.setUint32(0, result, true)
      this.#words.setUint32(4, reserved, true)
      this.#words.setUint32(8, source, true)
      this.#words.setUint32(12, status | (this.phase ? 0x1_0000 : 0), true)
      const at = this.base + this.tail * COMPLETION_BYTES
      // Write the phase bit last, because the guest polls it. A queue outside RAM loses entries.
      dma.write(at, this.#first)
      dma.write(at + 12, this.#last)
      this.tail = (this.tail + 1) % this.size
      if (this.tail === 0) this.phase = !this.phase
      written = true
    }
    return written
  }

  /** Makes a queue from its saved state. */
  static from(id: number, state: unknown): CompletionQueue {
    const queue = new CompletionQueue({ id, base: 0, size: 0 }, 0, false)
    queue.restore(state)
    return queue
  }
}

/** A queue that the guest puts commands into. Source: NVM Express 1.4, §4.1, "Submission Queue & Completion Queue Definition". */
export class SubmissionQueue extends Stateful {
  readonly id: number
  base: number
  size: number
  readonly completions: CompletionQueue
  /** The command that asked for its deletion: nothing is fetched from it any more. */
  deletion: NvmeCommand | null = null
  /** Index of the next entry to fetch. */
  head = 0
  tail = 0

  constructor({ id, base, size }: QueueShape, completions: CompletionQueue) {
    super()
    this.id = id
    this.base = base
    this.size = size
    this.completions = completions
    this.keeps(
      {
        place: fieldsPart<SubmissionQueue>(this, { only: ['base', 'size'] }),
        completions: { save: () => completions.id, restore: () => undefined },
        positions: fieldsPart<SubmissionQueue>(this, { only: ['head', 'tail'] }),
        deletion: {
          save: () => this.deletion && [...this.deletion.bytes],
          restore: (bytes: readonly number[] | null) => {
            this.deletion = bytes && new NvmeCommand(0, Uint8Array.from(bytes))
          },
        },
      },
      { flat: ['place', 'positions'], device: 'nvme' },
    )
  }

  /** The guest has put in the entries before `tail`. @returns whether that can be */
  setTail(tail: number): boolean {
    if (tail >= this.size) return false
    this.tail = tail
    return true
  }

  /** Whether a command may be fetched. */
  get isReady(): boolean {
    return this.head !== this.tail && this.deletion === null && !this.completions.isFull
  }

  /** Fetches the next command. @returns null if the entry is not RAM */
  fetch(dma: Dma): NvmeCommand | null {
    const bytes = new Uint8Array(COMMAND_BYTES)
    const there = dma.read(this.base + this.head * COMMAND_BYTES, bytes)
    this.head = (this.head + 1) % this.size
    return there ? new NvmeCommand(this.id, bytes) : null
  }

  /** Makes a queue from its saved state. */
  static from(id: number, state: unknown, completions: CompletionQueue): SubmissionQueue {
    const queue = new SubmissionQueue({ id, base: 0, size: 0 }, completions)
    queue.restore(state)
    return queue
  }
}
