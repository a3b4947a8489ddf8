import { concatenate } from '@retrap/basics'
import type { Dma } from '@retrap/device'
import { decodeFrame, type DeviceHostState, encodeFrame, type Frame, type GatedServer } from '@retrap/device-hosting'
import { IoreqError, IOREQ_TYPE_INVALIDATE } from '@retrap/ioreq'
import { MachineError } from '../errors.ts'
import { NOT_AT_REST } from '../snapshot/snapshot-rules.ts'
import { ENDED, ModelsGate, type ServerFacts } from './gated-server.ts'
import { frameBytes } from './held-frames.ts'
import type { RecordGate } from './record-gate.ts'

/** Frames that change nothing of the machine's: they are answered at once. */
const READS: ReadonlySet<Frame['kind']> = new Set(['dmaRead', 'memoryRead', 'memoryDirty'] as const)
/** Bytes of frames that enter together; a frame has at most 1 MiB. */
const MOST_AT_ONCE = 2 ** 20
const LENGTH_BYTES = 4
/** Bytes of frames that may wait for a machine, which need not run. */
const MOST_WAITING = 64 * 2 ** 20

/** A frame that is to enter the machine. */
interface Queued {
  readonly frame: Frame
  /** A frame, with its length in front. */
  readonly bytes: Uint8Array
}

/** Records the actions of a server's models. */
export class RecordedServer extends ModelsGate {
  readonly #recorder: RecordGate
  readonly #memory: Dma
  readonly #queue: Queued[] = []
  #queuedBytes = 0
  /** Whether the gate will fetch the queue. */
  #isPosted = false
  /** Instructions after which frames have entered last. */
  #enteredAt = -1
  /** Calls that are of no run: the models are saved. */
  readonly #ofSave = new Set<number>()
  #isSaved = false
  /** The server is to end; `error` says why it has failed. */
  #ending: { readonly error: unknown } | null = null

  /** @param memory - the guest's */
  constructor(gate: RecordGate, server: GatedServer, facts: ServerFacts, memory: Dma) {
    super(gate, server, facts)
    this.#recorder = gate
    this.#memory = memory
  }

  /**
   * Returns the models' state, while the machine stands still. The run goes on as if this had not been called.
   *
   * @throws MachineError `ERR_SNAPSHOT` for models with an action that has not entered the machine
   */
  async saved(deadlineMs: number): Promise<DeviceHostState> {
    this.#isSaved = true
    try {
      await this.server.quiesce(deadlineMs)
      const state = await this.server.save(deadlineMs)
      if (this.#queue.length > 0 || this.isAwaited) throw new MachineError('ERR_SNAPSHOT', NOT_AT_REST)
      return state
    } finally {
      this.#isSaved = false
      this.server.resume()
      this.server.putBack()
    }
  }

  override sends(frame: Frame): void {
    if (this.#isSaved && (frame.kind === 'quiesce' || frame.kind === 'save')) this.#ofSave.add(frame.call)
    else super.sends(frame)
  }

  arrived(frame: Frame): boolean {
    if (frame.kind === 'called' && this.#ofSave.delete(frame.call)) return true
    if (READS.has(frame.kind) || (this.postsFreely && frame.kind === 'message')) return true
    if (this.isAwaited) {
      this.#note(this.ended(frame))
      this.kept(frame)
      return true
    }
    // A model of this thread cannot wait for the end of its write. Reads before that end see the bytes.
    if (frame.kind === 'dmaWrite' && frame.call !== 0)
      this.server.reply(frame.call, this.#memory.read(frame.gpa, new Uint8Array(frame.bytes.length)))
    else if (frame.kind === 'memoryWrite' && frame.call !== 0) this.server.reply(frame.call, true)
    // Copied, because the bytes belong to a stream.
    const bytes = encodeFrame(frame.kind === 'dmaWrite' || frame.kind === 'memoryWrite' ? { ...frame, call: 0 } : frame)
    this.#queuedBytes += bytes.length
    if (this.#queuedBytes > MOST_WAITING)
      throw new IoreqError(
        'ERR_DEVICE',
        `its models have done more than a machine that stands still keeps: ${MOST_WAITING} bytes`,
      )
    this.#post()
    this.#queue.push({ frame: decodeFrame(bytes.subarray(LENGTH_BYTES)), bytes })
    return false
  }

  /** Applies the waiting frames to the machine. */
  #post(): void {
    if (this.#isPosted) return
    this.#isPosted = true
    this.gate.post(this.party, () => {
      this.#isPosted = false
      return this.#batch()
    })
  }

  /** Returns the frames that enter the machine now; null if none are ready. */
  #batch(): Uint8Array | null {
    if (this.isOut || this.#queue.length === 0) return null
    const { instructions } = this.#recorder.instant()
    if (instructions === this.#enteredAt && this.#recorder.executes) {
      // Models that act in each turn of the event loop leave the guest a round in between.
      this.#enteredAt = -1
      this.#post()
      return null
    }
    this.#enteredAt = instructions
    const queue = this.#queue
    let [count, length] = [0, 0]
    while (count < queue.length && length < MOST_AT_ONCE) length += queue[count++]!.bytes.length
    this.#queuedBytes -= length
    const batch = concatenate(queue.splice(0, count).map(({ bytes }) => bytes))
    if (queue.length > 0) this.#post()
    return batch
  }

  #note(frame: Frame): void {
    this.#recorder.note(this.party, frameBytes(frame))
  }

  /** Earlier actions of the server's models are recorded before the present requests. */
  protected begun(): void {
    this.#queuedBytes = 0
    for (const { frame } of this.#queue.splice(0)) {
      this.#note(frame)
      this.effect(frame)
    }
    const ending = this.#ending
    // Ends the server after the request has returned.
    if (ending !== null) queueMicrotask(() => this.isAwaited && this.server.end(ending.error))
  }

  /**
   * Ends a plugged server: at once if the machine waits for it, otherwise by an input.
   *
   * @param error - the reason of the failure; undefined: the server was unplugged
   */
  end(error?: unknown): void {
    if (this.isOut || this.#ending !== null) return
    this.#ending = { error }
    if (this.isAwaited) this.server.end(error)
    else this.gate.post(this.party, () => (this.isOut ? null : ENDED))
  }

  protected override get why(): unknown {
    return this.#ending?.error
  }

  failed(error: unknown): boolean {
    if (!this.isPlugged) return false
    this.end(error)
    return true
  }

  override closed(): void {
    // The end enters as an input, or with a model's action, so that a replay's server ends as well.
    if (this.isPlugged && this.isAwaited && !this.#recorder.hasEnded) this.#recorder.note(this.party, ENDED)
    super.closed()
  }

  asked(vcpu: number): void {
    // A replay ignores which frames have left the guest, as it has nothing mapped.
    if (this.server.server.slot(vcpu).type === IOREQ_TYPE_INVALIDATE) return
    this.vcpus.add(vcpu)
    this.begun()
  }

  answered(vcpu: number): void {
    if (!this.vcpus.delete(vcpu)) return
    const { dataLo, dataHi, count } = this.server.server.slot(vcpu)
    this.#note({ kind: 'answer', vcpu, sequence: count, lo: dataLo >>> 0, hi: dataHi >>> 0 })
  }

  overlay(gpa: number, bytes: Uint8Array): void {
    for (const { frame } of this.#queue) {
      if (frame.kind !== 'dmaWrite') continue
      const [from, to] = [Math.max(gpa, frame.gpa), Math.min(gpa + bytes.length, frame.gpa + frame.bytes.length)]
      if (from < to) bytes.set(frame.bytes.subarray(from - frame.gpa, to - frame.gpa), from - gpa)
    }
  }

  /** A machine that is recorded is not put back. */
  protected restored(): void {}
}
