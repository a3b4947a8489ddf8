import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { encodeFrame, type Frame, FrameDecoder, type FramePart } from '../src/agent/frames.ts'
import { Answer, Request } from '../src/agent/protocol.ts'

const ENDS: readonly number[] = [Answer.Exit, Answer.Failed, Answer.Done, Answer.Error, Answer.Data]
/** The user and group of the tests. */
export const OWN_IDS: readonly number[] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
const SHELL = { paths: ['/bin/sh'], folder: '.', flags: 0, ids: OWN_IDS }

/** Reads a u32 of a payload. */
export const u32 = ({ payload }: Frame, index = 0): number => Buffer.from(payload).readUInt32LE(4 * index)
/** The last byte of an answer: whether the agent has descendants. */
export const busy = ({ payload }: Frame): number | undefined => payload.at(-1)

/** An agent on this host, and a client that keeps its answers. */
export class Agent {
  readonly frames: Frame[] = []
  readonly process: ChildProcessByStdio<Writable, Readable, null>
  readonly exit: Promise<number | null>
  readonly #decoder = new FrameDecoder()
  #id = 0

  constructor(file: string, folder: string, argv: readonly string[] = ['x']) {
    this.process = spawn(file, argv, { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] })
    this.exit = new Promise((resolve) => this.process.on('exit', resolve))
    this.process.stdout.on('data', (data: Buffer) => this.frames.push(...this.#decoder.push(data)))
  }

  write(data: Uint8Array): void {
    this.process.stdin.write(data)
  }

  /** Sends a request about a run. */
  tell(id: number, type: number, ...parts: readonly FramePart[]): void {
    this.write(encodeFrame(type, id, ...parts))
  }

  encode(type: number, ...parts: readonly FramePart[]): Uint8Array {
    return encodeFrame(type, ++this.#id, ...parts)
  }

  ask(type: number, ...parts: readonly FramePart[]): Promise<Frame> {
    this.write(this.encode(type, ...parts))
    return this.end(this.#id)
  }

  /** Waits for the first answer of a type, or of the last answers, to a request. */
  async answer(id: number, ...types: readonly number[]): Promise<Frame> {
    for (;;) {
      const found = this.frames.find((frame) => frame.id === id && types.includes(frame.type))
      if (found !== undefined) return found
      await once(this.process.stdout, 'data')
    }
  }

  end(id: number): Promise<Frame> {
    return this.answer(id, ...ENDS)
  }

  /** Joins the payloads of the answers of a type to a request. */
  joined(id: number, type: number): Buffer {
    const frames = this.frames.filter((frame) => frame.id === id && frame.type === type)
    return Buffer.concat(frames.map(({ payload }) => payload))
  }

  output(id: number): string {
    return this.joined(id, Answer.Output).toString()
  }

  /** Runs a script with `sh`, or with other programs instead. */
  shell(script: string, options: Partial<typeof SHELL> = {}): number {
    const { paths, folder, flags, ids } = { ...SHELL, ...options }
    const texts = [folder, ...paths, 'sh', '-c', script, 'PATH=/usr/bin:/bin']
    this.write(this.encode(Request.Run, ...ids, flags, paths.length, 3, 1, ...texts))
    return this.#id
  }

  /** Waits until no descendant is left. */
  async idle(): Promise<void> {
    while (busy(await this.ask(Request.Ping)) !== 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
