import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { platform } from 'node:process'
import { ImageError } from '../index.ts'
import { type FileLock, lockByFile, locked, readElsewhere, shareByFile } from './lock-file.ts'

/** Identity of a file, independent of its name. */
export interface FileIdentity {
  readonly dev: bigint
  readonly ino: bigint
}

/*
 * Node has no flock. Linux and Windows have names that one process at a time can listen on and that the kernel frees when
 * the process ends, however it ends: sockets in the abstract namespace, and pipes. The name says device and inode, so that
 * a link to the file is the same file. A writer has one name, each reader has one of its own. Both take theirs first, and
 * look for the other side's then: of a writer and a reader that come at once, one sees the other. Other systems get files
 * beside the image.
 */
const NAMED = platform === 'linux' || platform === 'win32'

const nameOf = ({ dev, ino }: FileIdentity): string => `retrap-image-${dev}-${ino}`
const readersOf = (file: FileIdentity): string => `${nameOf(file)}-reader-`
const addressOf = (name: string): string => (platform === 'linux' ? `\0${name}` : `\\\\.\\pipe\\${name}`)

/** Takes a file for this image alone. @throws ImageError `ERR_LOCKED` */
export async function lockForWriting(path: string, file: FileIdentity): Promise<FileLock> {
  await refuseForeignLock(path, file, () => true)
  if (!NAMED) return lockByFile(path)
  const lock = await listen(nameOf(file))
  if (lock === undefined) throw locked(path)
  if (!(await hasReader(file))) return lock
  await lock.release()
  throw readElsewhere(path)
}

/** Takes a file that other readers may have, too, and no writer. @throws ImageError `ERR_LOCKED` */
export async function lockForReading(path: string, file: FileIdentity): Promise<FileLock> {
  await refuseForeignLock(path, file, ofWriter)
  if (!NAMED) return shareByFile(path)
  const lock = await listen(`${readersOf(file)}${randomBytes(8).toString('hex')}`)
  if (!(await answers(nameOf(file)))) return lock!
  await lock!.release()
  throw locked(path)
}

/** @returns undefined if the name is in use */
function listen(name: string): Promise<FileLock | undefined> {
  const server: Server = createServer((socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if ('code' in error && error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen({ path: addressOf(name), exclusive: true }, () => {
      // The lock must not keep the process.
      server.unref()
      resolve({ release: () => new Promise((done) => server.close(() => done())) })
    })
  })
}

/** Error codes of hosts for a name that no process has. */
const NOBODY: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT'])

function answers(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: addressOf(name) })
    const end = (found: boolean): void => {
      socket.destroy()
      resolve(found)
    }
    socket.once('connect', () => end(true))
    // The owner of the name accepts no further connections: its process is stopped, or busy.
    socket.once('error', (error) => end(!('code' in error && NOBODY.has(String(error.code)))))
  })
}

/**
 * Whether a reader has the file, by the names that this host has.
 *
 * Sources: Linux, proc_pid_net(5), "/proc/net/unix"; Microsoft, "Pipe Names", whose folder lists them.
 */
async function hasReader(file: FileIdentity): Promise<boolean> {
  const prefix = readersOf(file)
  if (platform === 'linux') return (await readFile('/proc/net/unix', 'latin1').catch(() => '')).includes(` @${prefix}`)
  return (await readdir(addressOf('')).catch(() => [])).some((name) => name.startsWith(prefix))
}

/** A lock of the kernel. */
interface ForeignLock {
  readonly kind: string
  readonly access: string
  readonly start: number
  readonly end: number
}

/**
 * Refuses a file on which another program has a lock of the kernel, as QEMU has on its images. Ours is not seen by such a
 * program.
 *
 * Source: Linux, proc(5), "/proc/locks".
 */
async function refuseForeignLock(
  path: string,
  { dev, ino }: FileIdentity,
  counts: (lock: ForeignLock) => boolean,
): Promise<void> {
  if (platform !== 'linux') return
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '')
  const hex = (value: bigint): string => value.toString(16).padStart(2, '0')
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  const place = `${hex(major)}:${hex(minor)}:${ino}`
  for (const line of locks.split('\n')) {
    const fields = /^\d+: (?:-> )?(\S+) +\S+ +(\S+) +\S+ (\S+) (\d+) (\d+|EOF)/.exec(line)
    const [, kind = '', access = '', of, start, end] = fields ?? []
    if (of !== place) continue
    const last = end === 'EOF' ? Infinity : Number(end)
    if (counts({ kind, access, start: Number(start), end: last })) {
      throw new ImageError('ERR_LOCKED', `${path}: another program has locked it, such as QEMU; end that one`)
    }
  }
}

/** While QEMU writes an image, it holds a lock for reading on this byte, as /proc/locks shows. */
const QEMU_WRITES = 101
/** The bytes of QEMU's locks; one on more bytes is not QEMU's. */
const QEMU_FIRST = 100
const QEMU_LAST = 199

/** Whether a lock is that of a program which may write the file. */
export function ofWriter({ kind, access, start, end }: ForeignLock): boolean {
  if (access !== 'READ') return true
  const isQemu = kind === 'OFDLCK' && start >= QEMU_FIRST && end <= QEMU_LAST
  return isQemu && start <= QEMU_WRITES && end >= QEMU_WRITES
}
