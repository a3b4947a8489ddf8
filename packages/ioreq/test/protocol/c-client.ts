import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import {
  encodeProtocolFrame,
  type FrameKind,
  type FrameWord,
  type MachineFrame,
  type ProtocolFrame,
  ProtocolReader,
} from '../../src/host/protocol/index.ts'

const run = promisify(execFile)

/** The folder of the C library. */
export const SDK: string = fileURLToPath(new URL('../../sdk/c/', import.meta.url))
/** Warnings that the header is free of. */
export const WARNINGS: readonly string[] = ['-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror']
/** What makes memory errors end the program. */
export const SANITIZERS: readonly string[] = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-g']

/** Compiles. @returns the path of the program @throws Error with the compiler's words */
export async function compile(source: string, program: string, flags: readonly string[] = ['-O2']): Promise<string> {
  await run('gcc', ['-std=c99', ...flags, ...WARNINGS, '-Wno-unused-parameter', source, '-o', program])
  return program
}

/** A u64 from a safe integer. */
export const word = (value: number): FrameWord => ({ lo: value % 2 ** 32, hi: Math.floor(value / 2 ** 32) })

/** The opening of a session. */
export const HELLO: ProtocolFrame<'hello'> = {
  kind: 'hello',
  version: 5,
  flags: 0,
  session: word(77),
  received: 0,
  now: word(0),
}

/** The machine's end of a connection, which checks nothing by itself. */
export class Client {
  readonly stream: Socket
  readonly #frames: ProtocolFrame[] = []
  readonly #reader = new ProtocolReader()
  #wake = (): void => {}
  #ended = false
  #call = 0
  #seen = 0

  constructor(stream: Socket) {
    this.stream = stream
    stream.on('data', (chunk) => {
      // Frames are views of the chunk.
      this.#reader.push(Uint8Array.from(chunk), ({ frame }) => {
        if (frame.kind !== 'ack') this.#frames.push(frame)
        if (!['ack', 'welcome', 'bye'].includes(frame.kind)) this.#seen++
      })
      this.#wake()
    })
    stream.on('error', () => {})
    stream.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  send(...frames: MachineFrame[]): void {
    this.stream.write(Buffer.concat(frames.map((frame) => encodeProtocolFrame(frame, this.#seen))))
  }

  /** The next frame. @throws Error where it is of another kind */
  async next<Kind extends FrameKind>(kind: Kind): Promise<ProtocolFrame<Kind>> {
    while (this.#frames.length === 0) {
      if (this.#ended) throw new Error(`the connection has ended: expected a ${kind} frame`)
      // oxlint-disable-next-line no-await-in-loop -- frames come one after another
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    const frame = this.#frames.shift()!
    if (frame.kind !== kind) throw new Error(`a ${frame.kind} frame ${JSON.stringify(frame)}: expected ${kind}`)
    return frame as ProtocolFrame<Kind>
  }

  /** Frames that nobody has taken. */
  get left(): number {
    return this.#frames.length
  }

  /** Opens the session. @returns what the server tells of its devices */
  async open(hello: ProtocolFrame<'hello'> = HELLO): Promise<ProtocolFrame[]> {
    this.send(hello)
    const told: ProtocolFrame[] = [await this.next('welcome')]
    while (told.at(-1)?.kind !== 'ready') {
      // oxlint-disable-next-line no-await-in-loop -- frames come one after another
      while (this.#frames.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
      told.push(this.#frames.shift()!)
    }
    return told
  }

  read(offset: number, size = 4, now = 0, region = 1): number {
    const call = ++this.#call
    this.send({ kind: 'read', call, region, offset, size, vcpu: 0, now: word(now) })
    return call
  }

  write(offset: number, value: number, size = 4, now = 0): number {
    const call = ++this.#call
    this.send({ kind: 'write', call, region: 1, offset, size, value: word(value), vcpu: 0, now: word(now) })
    return call
  }

  /** Reads, and has the answer next. */
  async ask(offset: number, size = 4, now = 0): Promise<number> {
    const call = this.read(offset, size, now)
    return (await this.answered(call)).lo
  }

  async answered(call: number): Promise<FrameWord> {
    const answer = await this.next('answer')
    if (answer.call !== call) throw new Error(`an answer of call ${answer.call}: expected ${call}`)
    return answer.value
  }

  /** A call number that is not used yet. */
  call(): number {
    return ++this.#call
  }

  async done(call: number): Promise<Uint8Array> {
    const { error, result, call: found } = await this.next('done')
    if (found !== call) throw new Error(`call ${found} is done: expected ${call}`)
    if (error !== '') throw new Error(error)
    return result
  }
}

/** A program that runs, and what it has said. */
export interface Program {
  readonly child: ChildProcess
  /** What stderr has. */
  readonly said: () => string
  /** Waits for its end. @returns its status, or the signal that ended it */
  readonly ended: () => Promise<number | string>
}

function started(child: ChildProcess): Program {
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const end = once(child, 'close') as Promise<[number | null, string | null]>
  return {
    child,
    said: () => text,
    ended: async () => {
      const [status, signal] = await end
      return status ?? signal ?? 'nothing'
    },
  }
}

const environment = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0', RETRAP_DEVICE_FD: '' }

/** Starts a model as `exec:` does. */
export function launch(program: string, env: NodeJS.ProcessEnv = {}): Program & { readonly client: Client } {
  const child = spawn(program, {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...environment, RETRAP_DEVICE_FD: '3', ...env },
  })
  return { ...started(child), client: new Client(child.stdio[3] as Socket) }
}

/** Starts a model that listens. @param more - arguments of its own @returns a way to connect once it does */
export async function serve(
  program: string,
  address: string,
  ...more: readonly string[]
): Promise<Program & { readonly connect: () => Promise<Socket>; readonly address: string }> {
  const server = started(spawn(program, [address, ...more], { stdio: ['ignore', 'ignore', 'pipe'], env: environment }))
  let found: RegExpExecArray | null = null
  while ((found = /listens on (\S+)\n/.exec(server.said())) === null) {
    if (server.child.exitCode !== null) throw new Error(server.said())
    // oxlint-disable-next-line no-await-in-loop -- its words come one after another
    await Promise.race([once(server.child.stderr!, 'data'), server.ended()])
  }
  const [kind, host, port] = found[1]!.split(':')
  const options = kind === 'unix' ? { path: host! } : { host: host!, port: Number(port) }
  return {
    ...server,
    address: found[1]!,
    connect: async () => {
      const socket = createConnection(options)
      await once(socket, 'connect')
      return socket
    },
  }
}
