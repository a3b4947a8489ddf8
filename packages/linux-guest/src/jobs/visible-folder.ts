import { existsSync, lstatSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { ReadOnlyNode, ShareError, type ShareFile, type ShareNode, type ShareStat, type Soon } from '@retrap/virtio/p9'
import type { LocalNode } from '../machine/share/local-share.ts'

/** Folders of the host that a guest sees whole, but for {@link ShownHost.hidden}, and for files that other users cannot reach. */
export interface ShownHost {
  readonly folders: readonly string[]
  /** Whole paths without links. */
  readonly hidden: ReadonlySet<string>
}

const [KIND, DIRECTORY, LINK] = [0o170_000, 0o040_000, 0o120_000]
const [OTHERS_READ, OTHERS_ENTER] = [0o004, 0o001]

/** Files of `/etc` that are a guest's own. */
const OWN = ['/etc/resolv.conf', '/etc/hostname', '/etc/machine-id']
/** Usually a link, which leads to the guest's own. */
const MOUNTS = '/etc/mtab'

/**
 * Returns what a program of `retrap exec` sees beside programs and libraries: configuration, programs in `/opt`, and the folders that
 * hold the user's programs.
 *
 * @param path - folders of programs, as in `PATH`; neither `/` nor a home folder, nor a folder above one, is shown
 * @param hides - paths of `--hide`
 */
export function shownHost(path: string, hides: readonly string[]): ShownHost {
  const given = [...path.split(':'), process.env['RUNNER_TOOL_CACHE'] ?? '']
  const homes = [homedir(), '/root', ...usersHomes()]
  const isApart = (folder: string): boolean => folder !== '/' && !homes.some((home) => isWithin(home, folder))
  const own = given.map((folder) => folder.replace(/\/+$/, '')).filter((folder) => folder.startsWith('/'))
  const folders = [...new Set(['/etc', '/opt', ...own.map((folder) => resolve(folder)).filter(isApart)])]
  return {
    folders: folders.filter((folder) => statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true),
    hidden: new Set(
      [...OWN, ...(isLink(MOUNTS) ? [] : [MOUNTS]), ...hides].flatMap((hide) => [
        withoutLinks(resolve(hide)),
        realPath(resolve(hide)),
      ]),
    ),
  }
}

/** The home folders of people. */
function usersHomes(): readonly string[] {
  const users = existsSync('/etc/passwd') ? readFileSync('/etc/passwd', 'utf8').split('\n') : []
  return users.map((line) => line.split(':')[5] ?? '').filter((home) => home.startsWith('/home/'))
}

const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true

/** Whether a path is a folder, or lies in it. */
export const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)

/** The path of an existing file without links; another path as it is. */
export function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** The path of a name, which may be a link itself, in a folder without links. */
const withoutLinks = (path: string): string => join(realPath(dirname(path)), basename(path))

/** A node of another share, to be read alone. */
export abstract class PassedNode<N extends ShareNode = ShareNode> extends ReadOnlyNode {
  protected readonly node: N

  constructor(node: N) {
    super()
    this.node = node
  }

  override open(): Soon<ShareFile> {
    return this.node.open({ read: true, write: false, truncate: false })
  }

  override readLink(name: string): Soon<string> {
    return this.node.readLink(name)
  }

  override list(): Soon<readonly string[]> {
    return this.node.list()
  }

  override release(): void {
    this.node.release()
  }
}

/** A file or a folder of the host, of which a guest sees a part. Its links are the guest's to follow. */
export class VisibleNode extends PassedNode<LocalNode> {
  readonly #path: string
  readonly #hidden: ReadonlySet<string>
  readonly #othersOnly: boolean

  /**
   * @param path - whole, without links
   * @param othersOnly - files are hidden that users other than their owner and group cannot reach
   */
  constructor(node: LocalNode, path: string, hidden: ReadonlySet<string>, othersOnly: boolean) {
    super(node)
    this.#path = path
    this.#hidden = hidden
    this.#othersOnly = othersOnly
  }

  stat(): ShareStat {
    return this.node.stat()
  }

  override readLink(name: string): string {
    this.look(name)
    return this.node.readLink(name)
  }

  look(name: string): ShareStat {
    if (!this.#hidden.has(`${this.#path}/${name}`)) {
      const stat = this.node.look(name)
      if (this.#isVisible(stat.mode)) return stat
    }
    throw new ShareError('ENOENT')
  }

  override child(name: string): ShareNode {
    const path = `${this.#path}/${name}`
    if (this.#hidden.has(path)) throw new ShareError('ENOENT')
    const node = this.node.child(name)
    if (this.#isVisible(node.stat().mode)) return new VisibleNode(node, path, this.#hidden, this.#othersOnly)
    node.release()
    throw new ShareError('ENOENT')
  }

  #isVisible(mode: number): boolean {
    const kind = mode & KIND
    return !this.#othersOnly || kind === LINK || (mode & (kind === DIRECTORY ? OTHERS_ENTER : OTHERS_READ)) !== 0
  }

  override list(): readonly string[] {
    if (this.#othersOnly && (this.stat().mode & OTHERS_READ) === 0) throw new ShareError('EACCES')
    return this.node.list().filter((name) => {
      try {
        this.look(name)
        return true
      } catch {
        return false
      }
    })
  }
}
