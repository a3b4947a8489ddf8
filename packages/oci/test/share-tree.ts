// A share or a folder as lines of text, to be compared.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
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

/** All files of a share by path. */
export async function shareTree(share: Share): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>()
  const visit = async (node: ShareNode, path: string): Promise<void> => {
    for (const name of (await node.list()).toSorted()) {
      const child = await node.child(name)
      const { mode, links, modifiedNs } = await child.stat()
      const kind = KINDS[mode & S_IFMT] ?? '?'
      const at = path === '' ? name : `${path}/${name}`
      seen.set(at, {
        kind,
        mode: kind === 'link' ? 0 : mode & 0o7777,
        ...(kind !== 'directory' && { links, seconds: Number(modifiedNs / 1_000_000_000n) }),
        ...(kind === 'file' && { content: (await contentOf(child)).toString('latin1') }),
        ...(kind === 'link' && { content: await node.readLink(name) }),
      })
      if (kind === 'directory') await visit(child, at)
    }
  }
  await visit(await share.root(), '')
  return seen
}

/** All files of a folder by path. */
export function folderTree(folder: string): Map<string, Seen> {
  const seen = new Map<string, Seen>()
  const visit = (path: string): void => {
    for (const name of readdirSync(join(folder, path)).toSorted()) {
      const at = path === '' ? name : `${path}/${name}`
      const full = join(folder, at)
      const { mode, nlink: links, mtimeMs } = lstatSync(full)
      const kind = KINDS[mode & S_IFMT] ?? '?'
      seen.set(at, {
        kind,
        mode: kind === 'link' ? 0 : mode & 0o7777,
        ...(kind !== 'directory' && { links, seconds: Math.floor(mtimeMs / 1000) }),
        ...(kind === 'file' && { content: readFileSync(full, 'latin1') }),
        ...(kind === 'link' && { content: readlinkSync(full) }),
      })
      if (kind === 'directory') visit(at)
    }
  }
  visit('')
  return seen
}
