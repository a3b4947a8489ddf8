// A share or a folder as lines of text, to be compared.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { openImageFile } from '@retrap/oci/node'
import type { Share, ShareNode } from '@retrap/virtio/p9'

const S_IFMT = 0o170000
const KINDS: Readonly<Record<number, string>> = {
  0o040000: 'directory',
  0o100000: 'file',
  0o120000: 'link',
  0o020000: 'character',
  0o060000: 'block',
  0o010000: 'pipe',
}

/** What is compared of one file; what is not known of it is absent. */
export interface Seen {
  readonly kind: string
  readonly mode: number
  readonly links?: number
  readonly seconds?: number
  readonly content?: string
}

/** Reads all of a file of a share. */
export async function contentOf(node: ShareNode): Promise<Buffer> {
  const { size } = await node.stat()
  const file = await node.open({ read: true, write: false, truncate: false })
  const bytes = Buffer.alloc(size + 10)
  const count = await file.read(0, bytes)
  await file.close()
  return bytes.subarray(0, count)
}

/** @param contents - of a file or a link */
function seenOf(mode: number, links: number, seconds: number, contents: string | undefined): Seen {
  const kind = KINDS[mode & S_IFMT] ?? '?'
  const times = kind === 'directory' ? {} : { links, seconds }
  const content = contents === undefined ? {} : { content: contents }
  return { kind, mode: kind === 'link' ? 0 : mode & 0o7777, ...times, ...content }
}

/** All files of a share by path. */
export async function shareTree(share: Share): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>()
  const visit = async (node: ShareNode, path: string): Promise<void> => {
    for (const name of (await node.list()).toSorted()) {
      const child = await node.child(name)
      const { mode, links, modifiedNs } = await child.stat()
      const kind = KINDS[mode & S_IFMT]
      const file = kind === 'file' ? (await contentOf(child)).toString('latin1') : undefined
      const content = kind === 'link' ? await node.readLink(name) : file
      seen.set(path + name, seenOf(mode, links, Number(modifiedNs / 1_000_000_000n), content))
      if (kind === 'directory') await visit(child, `${path}${name}/`)
    }
  }
  await visit(await share.root(), '')
  return seen
}

/** Opens an image of this host for its files by path. @param cache - of layers */
export async function openedTree(
  image: { path: string; architecture?: string },
  cache: string,
): Promise<Map<string, Seen>> {
  const { path, architecture = 'amd64' } = image
  const opened = await openImageFile(path, { architecture, cache: { folder: cache } })
  const tree = await shareTree(opened.share)
  await opened.close()
  return tree
}

/** All files of a folder by path. Node's recursive readdir follows links. */
export function folderTree(folder: string, path = '', seen: Map<string, Seen> = new Map()): Map<string, Seen> {
  for (const name of readdirSync(join(folder, path)).toSorted()) {
    const full = join(folder, path, name)
    const state = lstatSync(full)
    const file = state.isFile() ? readFileSync(full, 'latin1') : undefined
    const content = state.isSymbolicLink() ? readlinkSync(full) : file
    seen.set(path + name, seenOf(state.mode, state.nlink, Math.floor(state.mtimeMs / 1000), content))
    if (state.isDirectory()) folderTree(folder, `${path}${name}/`, seen)
  }
  return seen
}
