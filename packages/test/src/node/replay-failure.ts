import { existsSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { linuxCommands } from '@retrap/symbols'
import { openBundle, type PcSnapshot, type RecordingSource, replayPc } from '@retrap/machine'
import { type ArmSnapshot, replayArmMachine } from '@retrap/machine/arm'
import { readSnapshot } from '@retrap/snapshot'
import type { ArmBootedOptions } from '../booted-machine.ts'
import { type PcBootedOptions, TestError } from '../index.ts'
import { POWERED } from '../instant.ts'
import { FILES } from './failure-files.ts'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { GdbSession, type GdbTarget } from '@retrap/gdb'

/** The bytes that gdb begins with: `+`, `-`, `$` and an interrupt. A browser, which a web page may send here, begins with others. */
const FIRST_BYTES: readonly (number | undefined)[] = [0x2b, 0x2d, 0x24, 0x03]

/**
 * Serves a machine to one gdb on 127.0.0.1, until gdb leaves.
 *
 * @param port - 0: any free port
 * @param onListening - called with the port
 * @throws the host's error if the port cannot be used
 */
async function serveGdb(
  target: GdbTarget,
  port: number,
  onListening: (port: number) => void,
  killed: Promise<unknown>,
): Promise<void> {
  const left = Promise.withResolvers<void>()
  let client: Socket | undefined
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    if (client !== undefined) return void socket.destroy()
    client = socket
    socket.setNoDelay(true)
    const session = new GdbSession(target, {
      write: (bytes) => void (socket.destroyed || socket.write(bytes)),
      end: () => socket.destroySoon(),
    })
    let isGdb = false
    socket.on('data', (bytes) => {
      isGdb ||= FIRST_BYTES.includes(bytes[0])
      if (isGdb) session.receive(bytes)
      else socket.destroy()
    })
    socket.on('close', () => {
      session.closed()
      client = undefined
      if (isGdb) left.resolve()
    })
  })
  server.on('error', (error) => left.reject(error))
  server.listen({ host: '127.0.0.1', port }, () => onListening((server.address() as AddressInfo).port))
  try {
    await Promise.race([left.promise, killed])
  } finally {
    client?.destroySoon()
    server.close()
  }
}

/** Options for showing a recording to gdb. */
interface ReplayFailureOptions {
  /** The port on 127.0.0.1; default any free one. */
  readonly port?: number | undefined
  /** Called for the port, when gdb can attach. */
  readonly onListening: (port: number) => void
}

/**
 * Opens the recording of a failed test for gdb, at its end, from where gdb can go back. Returns when gdb has disconnected.
 *
 * @param folder - folder with the failed test's files
 * @param options - boot options of the test's machine
 * @throws TestError `ERR_REPLAY` without a recording; as `replayPc` for another machine's
 */
export async function replayFailure(
  folder: string,
  options: Pick<PcBootedOptions, 'pc' | 'fork'> | Pick<ArmBootedOptions, 'arm' | 'fork'>,
  { port = 0, onListening }: ReplayFailureOptions,
): Promise<void> {
  const path = join(folder, FILES.recording)
  if (!existsSync(path))
    throw new TestError(
      'ERR_REPLAY',
      `${folder} has no ${FILES.recording}: expected the folder of a failing test whose run is recorded`,
    )
  const recording = await openedFile(path)
  try {
    const snapshot = await instantOf(recording.source, path)
    const began = snapshot === undefined ? POWERED : { jit: true, clock: 'deterministic' as const }
    const changes = { ...options.fork?.(), ...(snapshot && { snapshot }) }
    const how = { at: 'end' } as const
    const replay =
      'arm' in options
        ? await replayArmMachine({ ...began, ...(await made(options.arm)), ...changes }, recording.source, how)
        : await replayPc({ ...began, ...(await made(options.pc)), ...changes }, recording.source, how)
    try {
      const killed = Promise.withResolvers<void>()
      const commands = linuxCommands(() => replay.pc)
      const target = await replay.gdbTarget({ kill: () => killed.resolve(), commands })
      await serveGdb(target, port, onListening, killed.promise)
    } finally {
      replay.close()
    }
  } finally {
    await recording.file.close()
  }
}

const made = async <Options>(given: Options | (() => Options | Promise<Options>)): Promise<Options> =>
  typeof given === 'function' ? (given as () => Options | Promise<Options>)() : given

/** A snapshot of the board that the options are of; a recording of the other board is refused when it is opened. */
type Instant = PcSnapshot & ArmSnapshot

/** The instant at which a test began; undefined: power-on. @throws TestError `ERR_REPLAY` for a recording of another program; as `openBundle`, `readSnapshot` */
async function instantOf(source: RecordingSource, path: string): Promise<Instant | undefined> {
  const { snapshot: bytes, options } = await openBundle(source)
  if (bytes === undefined && options !== undefined) return undefined
  if (bytes === undefined) throw new TestError('ERR_REPLAY', `${path} is no recording of a failing test`)
  const read = (offset: number, length: number): Uint8Array => bytes.subarray(offset, offset + length)
  const { state, pages } = await readSnapshot({ bytes: bytes.length, read })
  return { state, pages } as Instant
}

async function openedFile(path: string): Promise<{ readonly source: RecordingSource; readonly file: FileHandle }> {
  const file = await open(path)
  const { size } = await file.stat()
  const read = async (offset: number, bytes: number): Promise<Uint8Array> => {
    const into = new Uint8Array(Math.max(0, Math.min(bytes, size - offset)))
    const { bytesRead } = await file.read(into, 0, into.length, offset)
    return into.subarray(0, bytesRead)
  }
  return { source: { bytes: size, read }, file }
}
