/** The host's end of the agent's ports. */
import { constants } from 'node:os'
import { SentPort, TakenPort } from '@retrap/linux-guest/jobs/ports'
import { FrameDecoder, type Frame, type FramePart, encodeFrame } from './agent/frames.ts'
import { Answer } from './agent/protocol.ts'
import { SandboxError } from './errors.ts'

/** Takes the frames of one request. */
export type HearFrame = (frame: Frame) => void

/** The receiver of a request's frames, and of the link's end. */
interface Waiting {
  readonly hear: HearFrame
  readonly failed: (error: SandboxError) => void
}

const ENDS_BUSY: ReadonlySet<number> = new Set([Answer.Exit, Answer.Failed, Answer.Done, Answer.Error, Answer.Data])

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
)
/** The name of a system's error. @param number - Linux's: files of a guest have no other */
export const errnoName = (number: number): string => NAMES.get(number) ?? `error ${number}`

/** Requests to the agent of a machine, and its answers. */
export class AgentLink {
  readonly input: SentPort
  readonly output: TakenPort
  readonly #decoder: FrameDecoder
  readonly #waiting = new Map<number, Waiting>()
  readonly #changed: () => void
  #next: number
  /** Whether the guest has processes beside the agent. */
  #hasProcesses: boolean
  #error: SandboxError | undefined

  /**
   * @param changed - called when {@link AgentLink.isWorking} may have changed
   * @param of - the link of the original machine, whose unsent bytes are sent here too
   */
  constructor(changed: () => void, of?: AgentLink) {
    this.#changed = changed
    this.input = of?.input.copy() ?? new SentPort()
    this.output = new TakenPort((bytes) => this.#receive(bytes))
    this.#decoder = of === undefined ? new FrameDecoder() : of.#decoder.copy()
    this.#next = of === undefined ? 1 : of.#next
    this.#hasProcesses = of?.isWorking ?? false
  }

  /** Whether the machine has anything to do: requests, or processes that commands have left behind. */
  get isWorking(): boolean {
    return this.#waiting.size > 0 || this.#hasProcesses
  }

  /** Sends a request whose answers are heard until `close` is called with its number. @returns the number */
  open(type: number, waiting: Waiting, ...parts: readonly FramePart[]): number {
    if (this.#error !== undefined) throw this.#error
    const id = this.#next++
    this.#waiting.set(id, waiting)
    this.#changed()
    this.send(type, id, ...parts)
    return id
  }

  /** Sends a frame of a request. */
  send(type: number, id: number, ...parts: readonly FramePart[]): void {
    if (this.#error === undefined) this.input.write(encodeFrame(type, id, ...parts))
  }

  /** Hears nothing more of a request. */
  close(id: number): void {
    if (this.#waiting.delete(id)) this.#changed()
  }

  /**
   * Sends a request with one answer.
   *
   * @returns the bytes of the answer
   * @throws SandboxError `ERR_SANDBOX_FILE` with the system's error, or why the link has ended
   */
  async request(type: number, what: string, ...parts: readonly FramePart[]): Promise<Uint8Array> {
    const answers = await this.requestAll(type, what, ...parts)
    return answers.at(-1)!
  }

  /** Sends a request whose answer has several parts. @returns their bytes @throws SandboxError as `request` */
  requestAll(type: number, what: string, ...parts: readonly FramePart[]): Promise<readonly Uint8Array[]> {
    return new Promise((resolve, reject) => {
      const heard: Uint8Array[] = []
      const id = this.open(
        type,
        {
          failed: reject,
          hear: (frame) => {
            if (frame.type === Answer.Error) {
              const errno = errnoName(numberOf(frame.payload))
              reject(new SandboxError('ERR_SANDBOX_FILE', `${what}: ${errno}`, { errno }))
            } else {
              heard.push(frame.type === Answer.Entries ? frame.payload : frame.payload.subarray(0, -1))
              if (frame.type === Answer.Entries) return
              resolve(heard)
            }
            this.close(id)
          },
        },
        ...parts,
      )
    })
  }

  /** Waits for the agent's first word. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.set(0, { hear: () => resolve(), failed: reject }))
  }

  /** Ends all that waits. */
  fail(error: SandboxError): void {
    this.#error ??= error
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { failed } of all) failed(error)
  }

  #receive(bytes: Uint8Array): boolean {
    let frames: readonly Frame[] = []
    try {
      frames = this.#decoder.push(bytes)
    } catch (cause) {
      this.fail(new SandboxError('ERR_SANDBOX_ENDED', "the sandbox's agent has sent nonsense", { cause }))
    }
    for (const frame of frames) this.#hear(frame)
    return true
  }

  #hear(frame: Frame): void {
    if (frame.type === Answer.Idle) this.#hasProcesses = false
    else if (ENDS_BUSY.has(frame.type)) this.#hasProcesses = frame.payload.at(-1) === 1
    else if (frame.type === Answer.Started) this.#hasProcesses = true
    this.#waiting.get(frame.id)?.hear(frame)
    if (frame.type === Answer.Ready) this.#waiting.delete(0)
    if (!this.isWorking) this.#changed()
  }
}

/** The u32 at the beginning of a payload, or behind others. */
export const numberOf = (payload: Uint8Array, index = 0): number =>
  new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(4 * index, true)
