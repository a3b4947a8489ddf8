/** The kept machine of a kind: which file it has, how it is made, and the folders that its runs put at its shares. */
import { realpathSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import type { Share } from '@retrap/virtio/p9'
import { keptKernel } from '../linux/debian-drivers.ts'
import { buildExecInitramfs, foldersTag, KERNEL_TAG } from '../linux/exec-initramfs.ts'
import { LocalShare } from '../machine/share/local-share.ts'
import { ExecGuest, type ExecOutside } from './guest.ts'
import type { JobMount, SharedFolder } from './job.ts'
import { keepMachine, keptPath, pruneMachines } from './kept.ts'
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
