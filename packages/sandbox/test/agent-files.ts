import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import type { FramePart } from '../src/agent/frames.ts'
import { MAKE_PARENTS, Request, STAT_LINK, WRITE_APPEND } from '../src/agent/protocol.ts'

const EISDIR = 21

/** A file operation of the agent, and the same with node:fs. */
export interface FileOperation {
  readonly name: string
  request(folder: string): readonly [type: number, ...parts: FramePart[]]
  /** The result, from the data of the answer. */
  result(data: Buffer): unknown
  /** The result, or an exception with an errno, of node:fs. */
  expected(folder: string): unknown
}

const nothing = (): undefined => undefined
const path = fc.constantFrom('a', 'b', 'd', 'd/a', 'd/e', 'd/e/b', 'a/b', 'link', 'link/a', '.')
const data = fc.oneof(
  fc.uint8Array({ maxLength: 9 }),
  fc.nat(200_000).map((size) => new Uint8Array(size).fill(size)),
)
const mode = fc.constantFrom(0o600, 0o755)

function withParents(file: string, parents: boolean, action: () => void): void {
  try {
    action()
  } catch (error) {
    if (!parents || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    try {
      fs.mkdirSync(dirname(file), { recursive: true })
    } catch {
      // The second attempt reports why.
    }
    action()
  }
}

/** Sizes of folders differ between filesystems. */
const described = (bits: number, size: number): unknown => [bits, (bits & 0o170000) === 0o100000 ? size : 0]

const write = fc
  .record({ path, mode, data, append: fc.boolean(), parents: fc.boolean() })
  .map((given): FileOperation => ({
    name: `write ${given.path}`,
    request: (folder) => {
      const flags = (given.append ? WRITE_APPEND : 0) | (given.parents ? MAKE_PARENTS : 0)
      return [Request.Write, flags, given.mode, join(folder, given.path), given.data]
    },
    result: nothing,
    expected: (folder) => {
      const [file, flag] = [join(folder, given.path), given.append ? 'a' : 'w']
      withParents(file, given.parents, () => fs.writeFileSync(file, given.data, { flag, mode: given.mode }))
    },
  }))

const read = fc
  .record({ path, offset: fc.nat(12), most: fc.constantFrom(0, 3, 0x10000) })
  .map((given): FileOperation => ({
    name: `read ${given.path}`,
    request: (folder) => [Request.Read, BigInt(given.offset), given.most, join(folder, given.path)],
    result: (bytes) => bytes.toString('latin1'),
    expected: (folder) => {
      const file = fs.openSync(join(folder, given.path), 'r')
      try {
        const buffer = Buffer.alloc(given.most)
        return buffer.toString('latin1', 0, given.most && fs.readSync(file, buffer, 0, given.most, given.offset))
      } finally {
        fs.closeSync(file)
      }
    },
  }))

const list = path.map((given): FileOperation => ({
  name: `list ${given}`,
  request: (folder) => [Request.List, join(folder, given)],
  result: (bytes) => names(bytes),
  expected: (folder) => fs.readdirSync(join(folder, given)).toSorted(),
}))

/** Source: Linux include/linux/dirent.h, struct linux_dirent64 */
function names(entries: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at < entries.length; at += entries.readUInt16LE(at + 16)) {
    found.push(entries.toString('utf8', at + 19, entries.indexOf(0, at + 19)))
  }
  return found.filter((name) => name !== '.' && name !== '..').toSorted()
}

const stat = fc.record({ path, link: fc.boolean() }).map((given): FileOperation => ({
  name: `stat ${given.path}`,
  request: (folder) => [Request.Stat, given.link ? STAT_LINK : 0, join(folder, given.path)],
  // Source: Linux include/uapi/linux/stat.h, struct statx: stx_mode and stx_size
  result: (bytes) => described(bytes.readUInt16LE(28), bytes.readUInt32LE(40)),
  expected: (folder) => {
    const { mode: bits, size } = (given.link ? fs.lstatSync : fs.statSync)(join(folder, given.path))
    return described(bits, size)
  },
}))

const remove = path.map((given): FileOperation => ({
  name: `remove ${given}`,
  request: (folder) => [Request.Remove, join(folder, given)],
  result: nothing,
  expected: (folder) => {
    try {
      fs.unlinkSync(join(folder, given))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).errno !== -EISDIR) throw error
      fs.rmdirSync(join(folder, given))
    }
  },
}))

const rename = fc.record({ from: path, to: path }).map((given): FileOperation => ({
  name: `rename ${given.from} ${given.to}`,
  request: (folder) => [Request.Rename, join(folder, given.from), join(folder, given.to)],
  result: nothing,
  expected: (folder) => fs.renameSync(join(folder, given.from), join(folder, given.to)),
}))

const makeFolder = fc.record({ path, mode, parents: fc.boolean() }).map((given): FileOperation => ({
  name: `mkdir ${given.path}`,
  request: (folder) => [Request.MakeFolder, given.parents ? MAKE_PARENTS : 0, given.mode, join(folder, given.path)],
  result: nothing,
  expected: (folder) => {
    const made = join(folder, given.path)
    withParents(made, given.parents, () => fs.mkdirSync(made, given.mode))
  },
}))

/** Any operation, in a folder with a link to `a`. */
export const fileOperation: fc.Arbitrary<FileOperation> = fc.oneof(
  { weight: 3, arbitrary: write },
  ...[read, list, stat, remove, rename, makeFolder].map((arbitrary) => ({ weight: 1, arbitrary })),
)
