/** C programs that tests of the device protocol compile and start. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { promisify } from 'node:util'
import { fileURLToPath } from 'node:url'
import type { FrameWord } from '../../src/protocol/index.ts'
import { begin, RawClient, read, type StartedServer, write } from './raw-client.ts'

const run = promisify(execFile)

/** The folder of the C library. */
export const SDK: string = fileURLToPath(new URL('../../sdk/c/', import.meta.url))
/** Warnings that the header is free of. */
export const WARNINGS: readonly string[] = ['-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Werror']
/** What makes memory errors end the program. */
export const SANITIZERS: readonly string[] = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-g']

/** Compiles. @returns the path of the program @throws Error with the compiler's words */
export async function compile(source: string, program: string, flags: readonly string[] = ['-O0']): Promise<string> {
  await run('gcc', ['-std=c99', ...flags, ...WARNINGS, '-Wno-unused-parameter', source, '-o', program])
  return program
}

/** A client that numbers its calls, and expects answers in their order. */
export class Client extends RawClient {
  #call = 0

  /** A call number that is not used yet. */
  call(): number {
    return ++this.#call
  }

  /** Reads region 1. @returns the call */
  read(offset: number, fields: Partial<ReturnType<typeof read>> = {}): number {
    const call = this.call()
    this.send({ ...read(call, offset), ...fields })
    return call
  }

  /** Writes to region 1. @returns the call */
  write(offset: number, value: number, size = 4, now = 0): number {
    const call = this.call()
    this.send(write(call, offset, value, size, now))
    return call
  }

  async ask(offset: number, fields: Partial<ReturnType<typeof read>> = {}): Promise<number> {
    return (await this.answered(this.read(offset, fields))).lo
  }

  /** The next frame, which answers a read or write. */
  async answered(call: number): Promise<FrameWord> {
    const answer = await this.take('answer')
    if (answer.call !== call) throw new Error(`an answer of call ${answer.call}: expected ${call}`)
    return answer.value
  }

  /** The next frame, which answers another call. @throws Error with the server's error */
  async done(call: number): Promise<Uint8Array> {
    const { error, result, call: found } = await this.take('done')
    if (found !== call) throw new Error(`call ${found} is done: expected ${call}`)
    if (error !== '') throw new Error(error)
    return result
  }
}

const environment = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0', RETRAP_DEVICE_FD: '' }

/** Starts a model as `exec:` does. */
export function launch(program: string): StartedServer & { readonly client: Client } {
  const stdio = ['ignore', 'ignore', 'pipe', 'pipe'] as const
  const child = spawn(program, { stdio: [...stdio], env: { ...environment, RETRAP_DEVICE_FD: '3' } })
  return { ...begin(child), client: new Client(child.stdio[3] as Duplex) }
}

/** Starts a model that listens. @returns a way to connect once it does, and its TCP port */
export async function serve(
  program: string,
  ...args: readonly string[]
): Promise<StartedServer & { readonly connect: () => Promise<Socket>; readonly port: number }> {
  const server = begin(spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment }))
  let found: RegExpExecArray | null = null
  while ((found = /listen(?:s|ing) on (\S+)\n/.exec(server.errors())) === null) {
    if (server.child.exitCode !== null) throw new Error(server.errors())
    await Promise.race([once(server.child.stderr!, 'data'), server.exited()])
  }
  const [kind, host, port] = found[1]!.split(':')
  const options = kind === 'unix' ? { path: host! } : { host: host!, port: Number(port) }
  return {
    ...server,
    port: Number(port),
    connect: async () => {
      const socket = createConnection(options)
      await once(socket, 'connect')
      return socket
    },
  }
}
