import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, rmSync, type WriteStream } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { CliError, troubled } from '@retrap/linux-guest/errors'
import type { SessionOutput } from '../session/session-host.ts'
import type { WatchedOutput } from '../../host/output-watch.ts'
import type { SerialTarget } from '../../options/values.ts'

/** The far end of a serial port's wire, or of a console's port. */
export interface FarEnd extends WatchedOutput {
  /** Writes bytes that the guest has sent. */
  write(bytes: Uint8Array): void
  /** Sets the listener for data to the guest. It returns false to pause the data until `resume`. */
  onReceive(listener: (bytes: Uint8Array) => boolean): void
  /** Lets bytes for the guest come again. */
  resume(): void
  /** Sets the listener for write errors. */
  onError(listener: (error: Error) => void): void
  close(): Promise<void>
}

const noListener = (): void => {}
const takesAll = (): boolean => true

/**
 * Opens a serial port's far end. Facts about it that a person needs are written to `say`.
 *
 * @throws CliError `ERR_INPUT` if it cannot be opened
 */
export async function openFarEnd(
  target: Exclude<SerialTarget, { readonly kind: 'stdio' }>,
  name: string,
  say: SessionOutput,
): Promise<FarEnd> {
  switch (target.kind) {
    case 'none':
      return { write() {}, onReceive() {}, resume() {}, onError() {}, close: () => Promise.resolve() }
    case 'file':
      return fileEnd(await openFile(target.path))
    case 'tcp':
      return listen({ host: target.host, port: target.port }, name, say)
    case 'unix':
      return listen({ path: target.path }, name, say)
    case 'pty':
      return openPty(name, say)
  }
}

/**
 * Opens a far end as {@link openFarEnd} does.
 *
 * @param failed - called with the reason when the stream can no longer be written
 */
export async function openReported(
  target: Exclude<SerialTarget, { readonly kind: 'stdio' }>,
  name: string,
  say: SessionOutput,
  failed: (message: string) => void,
): Promise<FarEnd> {
  const end = await openFarEnd(target, name, say)
  const where = target.kind === 'file' ? target.path : name
  end.onError((error) => failed(`cannot write ${where}: ${error.message}`))
  return end
}

/** Opens a file for writing. @throws CliError `ERR_INPUT` with why it cannot be */
export async function openFile(path: string): Promise<WriteStream> {
  const file = createWriteStream(path)
  await once(file, 'open').catch(troubled(`cannot write ${path}`, 'write'))
  return file
}

function fileEnd(file: WriteStream): FarEnd {
  return {
    get writableLength() {
      return file.writableLength
    },
    write: (bytes) => void file.write(bytes),
    onReceive() {},
    resume() {},
    onError: (listener) => void file.on('error', listener),
    close: () => new Promise((resolve) => (file.destroyed ? resolve() : file.end(resolve))),
  }
}

/**
 * Opens a listening socket. One program is connected at a time, until all its input has been taken; without a program
 * the guest's output is lost.
 */
async function listen(
  where: { readonly host: string; readonly port: number } | { readonly path: string },
  name: string,
  say: SessionOutput,
): Promise<FarEnd> {
  let receive: (bytes: Uint8Array) => boolean = takesAll
  let peer: Socket | undefined
  const server = createServer((socket) => {
    if (peer !== undefined) return void socket.destroy()
    peer = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => {
      if (!receive(bytes)) socket.pause()
    })
    // A lost connection is not a failure: the next one continues.
    socket.on('error', noListener)
    socket.on('close', () => (peer = undefined))
  })
  await bind(server, where, name)
  const address = server.address()
  const text = typeof address === 'string' || address === null ? address : `${address.address}:${address.port}`
  say.write(`retrap: ${name} listens on ${text}\n`)
  return {
    get writableLength() {
      return peer?.writableLength ?? 0
    },
    write: (bytes) => void peer?.write(bytes),
    onReceive: (listener) => (receive = listener),
    resume: () => void peer?.resume(),
    onError() {},
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      peer?.end()
      // A peer that does not read must not block the end.
      setTimeout(() => peer?.destroy(), 200).unref()
      await closed
    },
  }
}

async function bind(server: Server, where: { host?: string; port?: number; path?: string }, name: string) {
  server.listen(where)
  await once(server, 'listening').catch(troubled(`${name} cannot listen`))
  // Node removes the socket of a server that is closed, but not of a process that is killed.
  const { path } = where
  if (path !== undefined) process.once('exit', () => rmSync(path, { force: true }))
}

/** A pseudo-terminal. Node cannot make one, and socat can. */
async function openPty(name: string, say: SessionOutput): Promise<FarEnd> {
  const socat = spawn('socat', ['-d', '-d', 'PTY,rawer', 'STDIO'], { stdio: 'pipe' })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let said = ''
  socat.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
    const path = /PTY is (\S+)/.exec(said)?.[1]
    if (path !== undefined) resolve(path)
  })
  socat.once('error', () =>
    reject(new CliError('ERR_INPUT', `${name}: pty needs socat, which is not installed; unix:PATH needs nothing`)),
  )
  socat.once('close', () => reject(new CliError('ERR_INPUT', `${name}: socat made no pty: ${said.trim()}`)))
  socat.stdin.on('error', noListener)
  say.write(`retrap: ${name} is ${await promise}\n`)
  return {
    get writableLength() {
      return socat.stdin.writableLength
    },
    write: (bytes) => void socat.stdin.write(bytes),
    onReceive: (listener) =>
      void socat.stdout.on('data', (bytes: Buffer) => {
        if (!listener(bytes)) socat.stdout.pause()
      }),
    resume: () => void socat.stdout.resume(),
    onError: (listener) => void socat.once('close', () => listener(new Error('socat has ended'))),
    close() {
      socat.removeAllListeners('close')
      socat.kill()
      return Promise.resolve()
    },
  }
}
