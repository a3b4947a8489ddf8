/** The kept machine of a kind: which file it has, how it is made, and the folders that its runs put at its shares. */
import { createHash } from 'node:crypto'
import { readdirSync, realpathSync, rmSync, statSync, utimesSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import type { Share } from '@retrap/virtio/p9'
import { keptKernel } from '../linux/debian-drivers.ts'
import { buildExecInitramfs, foldersTag, KERNEL_TAG } from '../linux/exec-initramfs.ts'
import { LocalShare } from '../machine/share/local-share.ts'
import { makeFolder } from '../host/files.ts'
import { ExecError } from './errors.ts'
import { ExecGuest, type ExecOutside } from './guest.ts'
import type { JobMount, SharedFolder } from './job.ts'
import { GuestFiles, sharedTexts, type SharedTexts } from './lookup.ts'
import { execCommandLine, execDrivers, type ExecEnds, type ExecKind, folderName } from './machine.ts'
import { type ViewEntry, ViewShare } from './view-share.ts'

/** A boot that takes longer is told. */
const QUIET_MS = 1000

/** Returns the path of a kind's file. @param version - of this retrap */
export const pathOfKept = (kind: ExecKind, version: string, hasNetwork: boolean): string =>
  keptPath([
    version,
    kind,
    kernelOf(kind, hasNetwork),
    execCommandLine(kind),
    execDrivers(kind),
    Buffer.from(buildExecInitramfs(new Uint8Array(), [])).toString('latin1'),
  ])

/** Identifies a kernel, which may change under its name. A network counts, as a kernel of the user's may lack the card's driver. */
function kernelOf({ arch, debian, kernel }: ExecKind, hasNetwork: boolean): readonly (string | number | boolean)[] {
  if (kernel === undefined) return [keptKernel(debian, arch)?.release ?? '']
  const state = statSync(kernel, { throwIfNoEntry: false })
  return [resolve(kernel), state?.size ?? 0, state?.mtimeMs ?? 0, hasNetwork]
}

/** A folder of the host that a guest has. */
export interface GuestFolder extends SharedFolder, Pick<JobMount, 'how'> {
  readonly local: LocalShare
  /** The file of the share that the guest has, in place of a folder. */
  readonly file?: string | undefined
}

/** Opens a folder of the host, or the folder of a file. */
export function openFolder(path: string): Pick<GuestFolder, 'local' | 'file'> {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true
  return isFile ? { local: new LocalShare(dirname(path)), file: basename(path) } : { local: new LocalShare(path) }
}

/** The share whose top is a guest's folder or file. */
const shareOf = ({ local, file }: Pick<GuestFolder, 'local' | 'file'>): Pick<Share, 'root'> =>
  file === undefined ? local : { root: () => local.root().child(file) }

/** The files that a guest's programs find. @param texts - of its machine */
export const filesOf = (
  root: Share,
  folders: readonly Pick<GuestFolder, 'at' | 'local' | 'file'>[],
  texts?: SharedTexts,
): GuestFiles =>
  new GuestFiles(root, [...sharedTexts(texts), ...folders.map((one) => ({ path: one.at, share: shareOf(one) }))])

/** The shares of a guest, in the order that its kept machine has them. @param wrap - makes of a share what the guest sees */
export const guestShares = (
  root: Share,
  modules: Share,
  folders: readonly GuestFolder[],
  wrap: (share: Share) => Share = (share) => share,
): ExecEnds['shares'] => [
  { tag: 'root', share: wrap(root), readOnly: true },
  { tag: KERNEL_TAG, share: modules, readOnly: true },
  ...[true, false].map((readOnly) => ({
    tag: foldersTag(readOnly),
    share: wrap(foldersShare(folders, readOnly)),
    readOnly,
  })),
]

/** The places of a guest's folders. @param before - other folders in its shares */
export const guestMounts = (folders: readonly (SharedFolder & Pick<JobMount, 'how'>)[], before = 0): JobMount[] =>
  folders.map(({ path, at, readOnly, how }, i) => ({
    path: at,
    readOnly,
    how,
    name: folderName(before + i),
    ...(at === path && { realPath: realpathSync(path) }),
  }))

/** Returns the user's read-only folders, or the writable ones, as one share: a kept machine has one share of each kind. */
function foldersShare(all: readonly GuestFolder[], readOnly: boolean): ViewShare {
  const entries = all.flatMap((one, i): (readonly [string, ViewEntry])[] =>
    one.readOnly === readOnly ? [[folderName(i), { kind: 'node', open: () => shareOf(one).root() }]] : [],
  )
  return new ViewShare({ kind: 'directory', entries: new Map(entries) })
}

/** Makes sure that a machine of a kind is in the cache. */
export async function keepKind(
  path: string,
  kind: ExecKind,
  ends: ExecOutside,
  tell: (text: string) => void,
): Promise<void> {
  await keepMachine(
    path,
    async () => {
      const note = setTimeout(
        () => tell('a machine is booted, once, and kept for later runs; this takes a while'),
        QUIET_MS,
      )
      try {
        await ExecGuest.keep(path, kind, ends, tell)
      } finally {
        clearTimeout(note)
      }
      pruneMachines()
    },
    () => tell('another retrap boots the machine; this one waits for it'),
  )
}

/** Most kept machines; beyond this number the least recently used is removed. */
const MOST_KEPT = 16
const EXTENSION = '.snapshot'
/** Age at which an incomplete file, or a lock, counts as left over by a killed process. */
const ABANDONED_MS = 600_000

const keptFolder = (): string => join(cacheDirectory(), 'exec')

/** Returns the path of a machine's file, by the properties that equal machines share. */
function keptPath(parts: readonly unknown[]): string {
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)
  return join(keptFolder(), `${hash}${EXTENSION}`)
}

/**
 * Makes the file of a machine, unless the file exists or another process is making it.
 *
 * @param make - writes the file, which appears when it is complete
 * @param waits - called once if another process is making the file
 */
export async function keepMachine(path: string, make: () => Promise<void>, waits: () => void): Promise<void> {
  if (!isThere(path)) {
    const { withFileLock } = await import('@retrap/oci/node')
    // Another process may have made the file between the look and the lock.
    const work = async (): Promise<void> => (isThere(path) ? undefined : make())
    try {
      makeFolder(keptFolder())
      await withFileLock(`${path}.lock`, work, { waits })
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error
      const why = `the folder for machines that are kept, ${keptFolder()}, cannot be written: ${error.message}`
      throw new ExecError(125, `${why}; XDG_CACHE_HOME names another place`)
    }
  }
  const now = Date.now() / 1000
  try {
    utimesSync(path, now, now)
  } catch {
    // A file in a read-only folder cannot be marked as used, but can be read.
  }
}

/** Removes a machine that cannot be used. */
export function dropMachine(path: string): void {
  rmSync(path, { force: true })
}

/** Removes the least recently used machines beyond the limit. */
export function pruneMachines(): void {
  const folder = keptFolder()
  const files = readdirSync(folder)
    .map((name) => ({ path: join(folder, name), state: statSync(join(folder, name), { throwIfNoEntry: false }) }))
    .toSorted((a, b) => (b.state?.mtimeMs ?? 0) - (a.state?.mtimeMs ?? 0))
  const whole = files.filter(({ path }) => path.endsWith(EXTENSION))
  const partial = files.filter(
    ({ path, state }) => !path.endsWith(EXTENSION) && Date.now() - (state?.mtimeMs ?? 0) > ABANDONED_MS,
  )
  for (const { path } of [...whole.slice(MOST_KEPT), ...partial]) rmSync(path, { force: true })
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined
