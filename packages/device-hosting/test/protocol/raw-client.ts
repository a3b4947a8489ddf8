/** The machine's end of the device protocol, frame by frame: for tests of device servers in other languages. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'
import { PATIENCE_MS } from '@retrap/tooling/patience'
import {
  encodeProtocolFrame,
  type FrameKind,
  type FrameWord,
  type MachineFrame,
  PROTOCOL_VERSION,
  type ProtocolFrame,
  ProtocolReader,
} from '../../src/protocol/index.ts'

/** A small number as 64 bits. */
export const word = (value: number): FrameWord => ({ lo: value >>> 0, hi: Math.floor(value / 2 ** 32) })

/** The small number that 64 bits hold. */
export const numberOf = ({ lo, hi }: FrameWord): number => hi * 2 ** 32 + lo

/** The descriptor of a started program's end of the socket. */
const DEVICE_FD = 3
const UNCOUNTED: ReadonlySet<FrameKind> = new Set(['ack', 'hello', 'welcome', 'bye'] as const)
const SESSION = word(0x1234_5678)

/** A fresh session's `hello`. */
export const hello = (fields: Partial<ProtocolFrame<'hello'>> = {}): ProtocolFrame<'hello'> => ({
  ...{ kind: 'hello', version: PROTOCOL_VERSION, flags: 0, session: SESSION, received: 0, now: word(0), ...fields },
})

/** A read of 4 bytes. */
export const read = (call: number, offset: number, region = 1): ProtocolFrame<'read'> => ({
  ...{ kind: 'read', call, region, offset, size: 4, vcpu: 0, now: word(0) },
})

/** A write of so many bytes. */
export const write = (call: number, offset: number, value: number, size = 4, now = 0): ProtocolFrame<'write'> => ({
  ...{ kind: 'write', call, region: 1, offset, size, value: word(value), vcpu: 0, now: word(now) },
})

export const timer = (call: number, deadline: number): ProtocolFrame<'timer'> => ({
  ...{ kind: 'timer', call, timer: 1, deadline: word(deadline), now: word(deadline) },
})

/** One connection to a device server. Frames that come are kept in order until a test asks for them. */
export class RawClient {
  /** Every frame that has come, but `ack`. */
  readonly frames: ProtocolFrame[] = []
  /** Numbered frames that have come; a test of reconnection begins with those of the connection before. */
  received = 0
  /** Numbered frames of ours that the server says it has, modulo 2^16. */
  seen = 0
  /** Frames that have come only to say so. */
  acks = 0
  /** Is set when the stream has ended. */
  ended = false
  readonly stream: Duplex
  #asked = 0
  #wake: () => void = () => {}

  constructor(stream: Duplex) {
    this.stream = stream
    const reader = new ProtocolReader()
    stream.on('data', (chunk: Uint8Array) => {
      reader.push(chunk, ({ frame, seen }) => {
        if (frame.kind === 'ack') this.acks++
        else this.frames.push(frame)
        this.seen = seen
        if (!UNCOUNTED.has(frame.kind)) this.received++
      })
      this.#wake()
    })
    // A server that has ended may have left bytes of ours unread.
    stream.on('error', () => {})
    stream.on('close', () => {
      this.ended = true
      this.#wake()
    })
  }

  /** Sends frames in one piece. */
  send(...frames: readonly MachineFrame[]): void {
    this.sendBytes(Buffer.concat(frames.map((frame) => encodeProtocolFrame(frame as ProtocolFrame, this.received))))
  }

  /** Sends bytes, which need be no frame. */
  sendBytes(bytes: Uint8Array): void {
    this.stream.write(bytes)
  }

  /** The next frame that no test has asked for. */
  async next(): Promise<ProtocolFrame> {
    await this.#until(() => this.frames.length > this.#asked || this.ended, 'a frame')
    const frame = this.frames[this.#asked++]
    if (frame === undefined) throw new Error('the server has closed the connection')
    return frame
  }

  /** The next frame, which must be of this kind. */
  async take<Kind extends FrameKind>(kind: Kind): Promise<ProtocolFrame<Kind>> {
    const frame = await this.next()
    if (frame.kind !== kind) throw new Error(`${JSON.stringify(frame)} has come: expected ${kind}`)
    return frame as ProtocolFrame<Kind>
  }

  /** All frames up to one of this kind, which is the last of them. */
  async through(kind: FrameKind): Promise<ProtocolFrame[]> {
    const frames: ProtocolFrame[] = []
    while (frames.at(-1)?.kind !== kind) frames.push(await this.next())
    return frames
  }

  /** Opens a session, and returns what the server tells of its devices. */
  async open(fields: Partial<ProtocolFrame<'hello'>> = {}): Promise<ProtocolFrame[]> {
    this.send(hello(fields))
    return this.through('ready')
  }

  /** Waits until the server has closed the connection. */
  async closed(): Promise<void> {
    await this.#until(() => this.ended, 'the end of the connection')
  }

  async #until(holds: () => boolean, awaited: string): Promise<void> {
    const end = performance.now() + PATIENCE_MS / 2
    while (!holds()) {
      if (performance.now() > end) throw new Error(`${awaited} has not come`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => resolve(), 1000)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Breaks the connection off. */
  break(): void {
    this.stream.destroy()
  }
}

/** A device server that a test has started. */
export interface StartedServer {
  readonly child: ChildProcess
  /** All that it has written to its standard error. */
  readonly errors: () => string
  /** How it has ended. */
  readonly exited: () => Promise<number | null>
}

/** The programs that a test has started. */
const started = new Set<ChildProcess>()

/** Keeps what a program writes to its standard error, and ends it with the others. */
export function begin(child: ChildProcess): StartedServer {
  started.add(child)
  let errors = ''
  child.stderr!.on('data', (bytes: Buffer) => void (errors += bytes.toString()))
  // With all that it has written.
  const exited = once(child, 'close').then(([code]) => code as number | null)
  return { child, errors: () => errors, exited: () => exited }
}

/** Starts a program as `--device exec:` does, and connects to its descriptor 3. */
export function startServer(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): StartedServer & { readonly client: RawClient } {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env, RETRAP_DEVICE_FD: String(DEVICE_FD) },
  })
  return { ...begin(child), client: new RawClient(child.stdio[DEVICE_FD] as Duplex) }
}

/** Starts a program that talks over its standard input and output. */
export function startPiped(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): StartedServer & { readonly output: Duplex; readonly input: Duplex } {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  return { ...begin(child), input: child.stdin as unknown as Duplex, output: child.stdout as unknown as Duplex }
}

/** Starts a program that listens, and waits until somebody can connect. @param address - that of a connection to it */
export async function startListening(
  command: string,
  args: readonly string[],
  address: { readonly path: string },
  env: NodeJS.ProcessEnv = {},
): Promise<StartedServer & { readonly connect: () => Promise<RawClient> }> {
  const server = begin(spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } }))
  const dial = (): Promise<RawClient | null> =>
    new Promise((resolve) => {
      const socket = createConnection(address)
      socket.once('error', () => resolve(null))
      socket.once('connect', () => resolve(new RawClient(socket)))
    })
  const connect = async (): Promise<RawClient> => {
    for (const end = performance.now() + PATIENCE_MS / 2; performance.now() < end;) {
      const client = await dial()
      if (client !== null) return client
      if (server.child.exitCode !== null) break
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    throw new Error(`nobody listens at ${address.path}: ${server.errors()}`)
  }
  ;(await connect()).break()
  return { ...server, connect }
}

/** Ends the programs that a test has started. */
export async function endServers(): Promise<void> {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  started.clear()
}
