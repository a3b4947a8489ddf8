/** Looks up files by the guest's paths, without a guest. */
import { after, MemoryShare, type Share, type ShareFile, type ShareNode, type ShareStat } from '@retrap/virtio/p9'
import { ownStat } from './view-share.ts'

/** A share at a path of the guest. */
export interface MountedShare {
  /** Whole, without links; empty for the root. */
  readonly path: string
  readonly share: Pick<Share, 'root'>
}

/** A file of the guest, found by its path. */
export interface FoundFile {
  /** The path without links. */
  readonly path: string
  readonly stat: ShareStat
  /** Nothing is at the path but a mount point of a share. */
  readonly isMountPoint: boolean
}

/** A file that is found, with its node, which is given back. */
interface HeldFile extends Omit<FoundFile, 'isMountPoint'> {
  readonly node: ShareNode | undefined
}

/** Texts of files, by their paths. */
export type SharedTexts = Readonly<Record<string, { readonly text: string; readonly mode?: string | undefined }>>

/** The files of a machine that are texts, each as a share at its path. */
export const sharedTexts = (files: SharedTexts = {}): readonly MountedShare[] =>
  Object.entries(files).map(([path, { text, mode = '0644' }]) => {
    const share = new MemoryShare({ now: () => 0n })
    share.write('file', text)
    const change = { mode: Number.parseInt(mode, 8) }
    const root: Share['root'] = () =>
      after(share.root().child('file'), (node) => after(node.change(change), () => node))
    return { path, share: { root } }
  })

const KIND = 0o170_000
const LINK = 0o120_000
const DIRECTORY = 0o040_000
const MOST_LINKS = 40
/** Most bytes of a file read here. */
const MOST_BYTES = 1 << 20
const FOLDER_STAT = ownStat(0n, DIRECTORY | 0o755, 0)

export const isDirectory = ({ stat }: Pick<FoundFile, 'stat'>): boolean => (stat.mode & KIND) === DIRECTORY

/** The files of a guest: its root, and the shares mounted there. */
export class GuestFiles {
  readonly #mounts: readonly MountedShare[]

  constructor(root: Share, shares: readonly MountedShare[]) {
    this.#mounts = [{ path: '', share: root }, ...shares]
  }

  /** Finds a file by its absolute path; undefined if it does not exist. */
  find(path: string): Promise<FoundFile | undefined> {
    return this.#use(
      path,
      (found) => found && { path: found.path, stat: found.stat, isMountPoint: found.node === undefined },
    )
  }

  /** Does something with a file, whose nodes are given back then. */
  async #use<T>(path: string, act: (found: HeldFile | undefined) => Promise<T> | T): Promise<T> {
    const held: HeldFile[] = []
    try {
      return await act(await this.#walk(path, held))
    } finally {
      for (const { node } of held) node?.release()
    }
  }

  async #walk(path: string, held: HeldFile[]): Promise<HeldFile | undefined> {
    const left = namesOf(path)
    let links = 0
    let at = [await this.#top(held)]
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      if (name === '.') continue
      if (name === '..') {
        if (at.length > 1) at.pop()
        continue
      }
      const next = await this.#step(at.at(-1)!, name, held)
      if (next === undefined) return undefined
      if ((next.stat.mode & KIND) !== LINK) {
        at.push(next)
        continue
      }
      const text = await at.at(-1)!.node!.readLink(name)
      if (++links > MOST_LINKS) return undefined
      left.unshift(...namesOf(text))
      if (text.startsWith('/')) at = [at[0]!]
    }
    return at.at(-1)
  }

  /** The names in a folder and of shares that are mounted in it, sorted; none for a file that is no folder, or does not exist. */
  list(path: string): Promise<readonly string[]> {
    return this.#use(path, async (found) => {
      if (found === undefined || !isDirectory(found)) return []
      const below = this.#mounts.filter((one) => one.path.startsWith(`${found.path}/`))
      const mounted = below.map((one) => namesOf(one.path.slice(found.path.length))[0]!)
      return [...new Set([...((await found.node?.list()) ?? []), ...mounted])].toSorted()
    })
  }

  /** Reads a small file; undefined if it cannot be read. */
  async read(path: string): Promise<string | undefined> {
    const bytes = await this.begin(path, MOST_BYTES).catch(() => undefined)
    return bytes && new TextDecoder().decode(bytes)
  }

  /** Reads at most `most` bytes from a file's start; undefined if it cannot be read. */
  begin(path: string, most: number): Promise<Uint8Array | undefined> {
    return this.#use(path, async (found) => {
      if (found?.node === undefined || isDirectory(found)) return undefined
      let file: ShareFile
      try {
        file = await found.node.open({ read: true, write: false, truncate: false })
      } catch {
        return undefined
      }
      try {
        const into = new Uint8Array(Math.min(found.stat.size, most))
        return into.subarray(0, await file.read(0, into))
      } finally {
        await file.close()
      }
    })
  }

  async #top(held: HeldFile[]): Promise<HeldFile> {
    const node = await this.#mounts[0]!.share.root()
    return hold({ path: '', node, stat: await node.stat() }, held)
  }

  async #step(from: HeldFile, name: string, held: HeldFile[]): Promise<HeldFile | undefined> {
    const path = `${from.path}/${name}`
    const mount = this.#mounts.find((one) => one.path === path)
    try {
      const node = mount === undefined ? await from.node?.child(name) : await mount.share.root()
      if (node !== undefined) return hold({ path, node, stat: await node.stat() }, held)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    }
    return this.#mounts.some((one) => one.path.startsWith(`${path}/`))
      ? { path, node: undefined, stat: FOLDER_STAT }
      : undefined
  }
}

const hold = (file: HeldFile, held: HeldFile[]): HeldFile => (held.push(file), file)

const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '')
