import { lstatSync, readlinkSync, realpathSync, type Stats } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, resolve } from 'node:path'
import { LocalShare } from '../machine/share/local-share.ts'
import type { ExecRoot } from './root.ts'
import { type ViewEntry, type ViewOwner, ViewShare } from './view-share.ts'
import { isWithin, realPath, type ShownHost, VisibleNode } from './visible-folder.ts'

/** Files and folders of the host that a program of `retrap exec` can read where nothing else is asked for. */
export const HOST_PATHS: readonly string[] = [
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/ld.so.conf.d',
  '/etc/alternatives',
  '/etc/ssl/certs',
  '/etc/mime.types',
  '/etc/passwd',
  '/etc/group',
  '/etc/subuid',
  '/etc/subgid',
  '/etc/hosts',
  '/etc/localtime',
  '/etc/timezone',
  '/etc/os-release',
  '/etc/protocols',
  '/etc/services',
]

/** Entries that programs expect, and which have nothing of the host. */
function standIns(): readonly (readonly [string, ViewEntry])[] {
  const folder = (mode = 0o755): ViewEntry => ({ kind: 'directory', entries: new Map(), mode })
  const plain = ['/home', '/media', '/mnt', '/opt', '/srv', '/var/cache', '/var/lib', '/var/log', '/var/spool']
  return [
    ...plain.map((path) => [path, folder()] as const),
    ['/var/tmp', folder(0o1777)],
    ['/var/lock', { kind: 'link', text: '/run/lock' }],
    ['/var/run', { kind: 'link', text: '/run' }],
  ]
}

const OWN_ETC = "; resolv.conf, hostname and machine-id are the guest's own"
/** Of each guest. Source: machine-id(5). */
const MACHINE_ID = '72657472617000000000000000000001'

/** The configuration of a root that does not describe its program. */
const PLAIN: ExecRoot['config'] = { env: [], user: '', workingDirectory: '', entrypoint: [], command: [] }
/** Configuration of a root that is the host's, whose `/etc/hosts` has the host's name. */
const hostConfig = (searchPath: string): ExecRoot['config'] => ({ ...PLAIN, hostname: hostname(), searchPath })

/**
 * Opens the host as a root: {@link HOST_PATHS}, and nothing else of it.
 *
 * @param files - further files of the host, each at its own path, for example the program
 * @param shown - what is seen besides
 * @param path - folders of programs, as in `PATH`
 */
export async function openHostRoot(
  files: readonly string[] = [],
  shown?: ShownHost,
  path: string = process.env['PATH'] ?? '',
): Promise<ExecRoot> {
  const entries = new Map<string, ViewEntry>()
  const shares = new Map<string, LocalShare>()
  const explanation: string[] = []
  const folder = (path: string): LocalShare => {
    const share = shares.get(path) ?? new LocalShare(path)
    shares.set(path, share)
    return share
  }
  const hidden = shown?.hidden ?? new Set<string>()
  const isHidden = (path: string): boolean => [...hidden].some((hide) => isWithin(realPath(path), hide))
  const part = (path: string, othersOnly: boolean): ViewEntry => {
    const share = folder(path)
    return { kind: 'node', open: () => new VisibleNode(share.root(), realPath(path), hidden, othersOnly) }
  }
  for (const path of shown?.folders ?? [])
    if (!isHidden(path) && !HOST_PATHS.some((seen) => isWithin(realPath(path), seen)))
      if (put(entries, path, part(path, true)))
        explanation.push(`${path}, but for files that other users cannot reach${path === '/etc' ? OWN_ETC : ''}`)
  for (const [path, entry] of standIns()) put(entries, path, entry)
  for (const path of [...HOST_PATHS, ...files]) {
    const stat = statOf(path)
    if (stat === undefined || isHidden(path)) continue
    const isLink = stat.isSymbolicLink() && HOST_PATHS.includes(path)
    const isPart = stat.isDirectory() && [...hidden].some((hide) => isWithin(hide, path))
    const whole = (): ViewEntry => (isPart ? part(path, false) : entryOf(path, stat, folder))
    if (put(entries, path, isLink ? { kind: 'link', text: readlinkSync(path) } : whole()))
      explanation.push(`${path}${isLink ? ` -> ${readlinkSync(path)}` : ''}`)
  }
  const share = new ViewShare({ kind: 'directory', entries }, hostUser())
  return {
    share,
    missed: share.missed,
    config: { ...hostConfig(path), files: shown === undefined ? {} : { '/etc/machine-id': `${MACHINE_ID}\n` } },
    explanation,
    async close() {
      await Promise.all([...shares.values()].map((share) => share.close()))
    },
  }
}

/** The owner whose files are root's in a guest. */
export const hostUser = (): ViewOwner => ({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 })

/** Opens a folder of the host as a root. @throws CliError `ERR_INPUT` if the path is not a folder */
export function openFolderRoot(path: string): ExecRoot {
  const share = new LocalShare(path)
  return {
    share: new ViewShare({ kind: 'node', open: () => share.root() }, hostUser()),
    config: PLAIN,
    explanation: [resolve(path)],
    close: () => share.close(),
  }
}

/** A file or a folder of the host. @param folder - opens a folder as a share */
export function entryOf(path: string, stat: Stats, folder: (path: string) => LocalShare): ViewEntry {
  if (stat.isDirectory()) {
    const share = folder(path)
    return { kind: 'node', open: () => share.root() }
  }
  // The program may be named by a link: the guest finds the file under that name.
  const real = realpathSync(path)
  const share = folder(dirname(real))
  return {
    kind: 'node',
    open() {
      const above = share.root()
      try {
        return above.child(basename(real))
      } finally {
        above.release()
      }
    },
  }
}

/** Puts an entry at a path. @returns whether the path was free */
export function put(entries: Map<string, ViewEntry>, path: string, entry: ViewEntry): boolean {
  const names = path.split('/').filter((name) => name !== '')
  const last = names.pop()
  let at = entries
  for (const name of names) {
    const next = at.get(name) ?? { kind: 'directory', entries: new Map() }
    // A complete folder of another share already occupies this path.
    if (next.kind !== 'directory') return false
    at.set(name, next)
    at = next.entries
  }
  if (last === undefined || at.has(last)) return false
  at.set(last, entry)
  return true
}

/** Returns the status of a path without following a final link; undefined if nothing exists there. */
export function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch {
    // A host may lack some of the files.
    return undefined
  }
}
