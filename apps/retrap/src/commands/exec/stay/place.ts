/** Where processes that stay are found: a folder of the user's, with a secret, and a socket for each kind and slot. */
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CliError, troubleWith } from '@retrap/linux-guest/errors'
import { packageVersion } from '../../../package-version.ts'
import type { ExecFlags } from '../flags.ts'

/** Socket addresses have at most 107 bytes (unix(7), `sun_path`), and ours have a name of 25 behind the folder. */
const MOST_FOLDER = 80
const SECRET_BYTES = 32

/** Variables that a process reads. Others are sent with each run. */
const DECIDING =
  /^(?:HOME|XDG_\w+|RETRAP_\w+|DOCKER_\w+|NODE_\w+|SSL_\w+|RUNNER_\w+|TMPDIR|REGISTRY_AUTH_FILE|(?:https?|no|all)_proxy)$/i
const NOT_DECIDING = /^RETRAP_STAY/

/** The folder, which only its user may enter. @throws CliError for a folder that others could have made */
export function stayFolder(): string {
  const given = process.env['XDG_RUNTIME_DIR'] ?? ''
  const own = `retrap-${process.getuid?.() ?? 0}`
  const folder =
    given.startsWith('/') && given.length < MOST_FOLDER ? join(given, 'retrap') : join(shortTemporary(), own)
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new CliError('ERR_INPUT', `--stay: ${folder}: ${troubleWith(error, 'write')}`)
  }
  const { mode, uid } = lstatSync(folder)
  if ((mode & 0o170_077) !== 0o040_000 || uid !== process.getuid?.())
    throw new CliError(
      'ERR_INPUT',
      `--stay: ${folder} is not a folder of yours alone; remove it, or set XDG_RUNTIME_DIR`,
    )
  return folder
}

const shortTemporary = (): string => (tmpdir().length < MOST_FOLDER - 20 ? tmpdir() : '/tmp')

/** The secret that clients and processes prove to each other. The first that needs it makes it. @throws CliError */
export function staySecret(folder: string): Buffer {
  const path = join(folder, 'secret')
  try {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) makeSecret(path)
    const { mode, uid, size } = lstatSync(path)
    if (mode !== 0o100_600 || uid !== process.getuid?.() || size !== SECRET_BYTES)
      throw new CliError('ERR_INPUT', `it is no file of ${SECRET_BYTES} bytes that only you may read; remove it`)
    return readFileSync(path)
  } catch (error) {
    throw new CliError('ERR_INPUT', `--stay: ${path}: ${troubleWith(error)}`)
  }
}

/** The file appears whole. */
function makeSecret(path: string): void {
  const begun = `${path}.${process.pid}`
  const file = openSync(begun, 'wx', 0o600)
  writeSync(file, randomBytes(SECRET_BYTES))
  closeSync(file)
  try {
    linkSync(begun, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    unlinkSync(begun)
  }
}

/**
 * The common part of all runs of a process, as 16 hexadecimal digits: the program, the user with all groups, namespaces, root, limits,
 * umask, environment, and the kind of machine.
 *
 * Source: namespaces(7), proc(5).
 */
export function stayKind({ arch, cpu, kernel, memory, network }: ExecFlags): string {
  const program = statSync(process.argv[1] ?? '')
  const root = statSync('/')
  const parts = [
    [packageVersion(), process.version, process.execArgv, program.ino, program.mtimeMs],
    [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.(), process.getgroups?.()],
    ['mnt', 'net', 'user', 'pid', 'ipc', 'uts', 'cgroup'].map((name) => readlinkSync(`/proc/self/ns/${name}`)),
    [root.dev, root.ino, process.umask(), readFileSync('/proc/self/limits', 'utf8')],
    Object.entries(process.env)
      .filter(([name]) => DECIDING.test(name) && !NOT_DECIDING.test(name))
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    [arch, cpu, kernel, memory, kernel?.file !== undefined && network === true],
  ]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

const EXTENSION = '.sock'
export const socketOf = (folder: string, kind: string, slot: number): string =>
  join(folder, `${kind}.${slot}${EXTENSION}`)
export const isSocketName = (name: string): boolean => /^[\da-f]{16}\.\d+\.sock$/.test(name)

/** This process's open files, pipes and sockets behind its three streams, by their descriptors. Source: proc(5), `/proc/pid/fd`. */
export function openDescriptors(): Readonly<Record<string, string>> {
  const all = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [[fd, readlinkSync(`/proc/self/fd/${fd}`)] as const]
    } catch {
      // The folder itself is closed again.
      return []
    }
  })
  return Object.fromEntries(all.filter(([fd, file]) => Number(fd) > 2 && !file.startsWith('anon_inode:')))
}
