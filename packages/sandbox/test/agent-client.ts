import { type ChildProcess, spawn } from 'node:child_process'
import { encodeFrame, type Frame, FrameDecoder, type FramePart } from '../src/agent/frames.ts'
import { Answer, Request } from '../src/agent/protocol.ts'

const ENDS: readonly number[] = [Answer.Exit, Answer.Failed, Answer.Done, Answer.Error, Answer.Data]

/** The user and group of the tests. */
export const OWN_IDS = [process.getuid?.() ?? 0, process.getgid?.() ?? 0] as const

/** What a run differs in from `sh` in the agent's folder. */
export interface RunOptions {
  readonly paths?: readonly string[]
  readonly argv?: readonly string[]
  readonly folder?: string
  readonly flags?: number
  readonly ids?: readonly number[]
}

/** Reads a u32 of a payload. */
export const u32 = ({ payload }: Frame, index = 0): number => Buffer.from(payload).readUInt32LE(4 * index)
/** The last byte of an answer: whether the agent has descendants. */
export const busy = ({ payload }: Frame): number | undefined => payload.at(-1)

/** An agent on this host, and a client that keeps its answers. */
export class Agent {
  readonly frames: Frame[] = []
  readonly process: ChildProcess
  readonly exit: Promise<number | null>
  readonly #decoder = new FrameDecoder()
  #changed = Promise.withResolvers<void>()
  #id = 0

  constructor(file: string, folder: string, argv: readonly string[] = ['x']) {
    this.process = spawn(file, argv, { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] })
    this.exit = new Promise((resolve) => this.process.on('exit', resolve))
    this.process.stdout?.on('data', (data: Buffer) => {
      this.frames.push(...this.#decoder.push(data))
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
    })
  }

  write(data: Uint8Array): void {
    this.process.stdin?.write(data)
  }

  encode(type: number, ...parts: readonly FramePart[]): Uint8Array {
    return encodeFrame(type, ++this.#id, ...parts)
  }

  send(type: number, ...parts: readonly FramePart[]): number {
    this.write(this.encode(type, ...parts))
    return this.#id
  }

  /** Waits for the first answer of a type, or of the last answers, to a request. */
  async answer(id: number, ...types: readonly number[]): Promise<Frame> {
    for (;;) {
      const found = this.frames.find((frame) => frame.id === id && types.includes(frame.type))
      if (found !== undefined) return found
      await this.#changed.promise
    }
  }

  end(id: number): Promise<Frame> {
    return this.answer(id, ...ENDS)
  }

  ask(type: number, ...parts: readonly FramePart[]): Promise<Frame> {
    return this.end(this.send(type, ...parts))
  }

  /** Joins the payloads of the answers of a type to a request. */
  joined(id: number, type: number): Buffer {
    const frames = this.frames.filter((frame) => frame.id === id && frame.type === type)
    return Buffer.concat(frames.map(({ payload }) => payload))
  }

  run({ paths = ['/bin/sh'], argv = [''], folder = '.', flags = 0, ids = OWN_IDS }: RunOptions): number {
    const counts = [flags, paths.length, argv.length, 1]
    return this.send(Request.Run, ...ids, ...counts, folder, ...paths, ...argv, 'PATH=/usr/bin:/bin')
  }

  shell(script: string, options: RunOptions = {}): number {
    return this.run({ argv: ['sh', '-c', script], ...options })
  }

  /** Waits until no descendant is left. */
  async idle(): Promise<void> {
    while (busy(await this.ask(Request.Ping)) !== 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
