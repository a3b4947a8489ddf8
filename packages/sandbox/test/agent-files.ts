import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import type { FramePart } from '../src/agent/frames.ts'
import { MAKE_PARENTS, STAT_LINK, WRITE_APPEND } from '../src/agent/protocol.ts'

const path = fc.constantFrom('a', 'b', 'd', 'd/a', 'd/e', 'd/e/b', 'a/b', 'link', 'link/a', '.')

/** Any file operation, in a folder with a link to `a`. Each type uses some of the fields. */
export const fileOperation = fc.record({
  type: fc.constantFrom('Write', 'Write', 'Write', 'Read', 'List', 'Stat', 'Remove', 'Rename', 'MakeFolder'),
  path,
  other: path,
  mode: fc.constantFrom(0o600, 0o755),
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 9 }),
    fc.nat(200_000).map((size) => new Uint8Array(size).fill(size)),
  ),
  offset: fc.nat(12),
  most: fc.constantFrom(0, 3, 0x10000),
  append: fc.constantFrom(0, WRITE_APPEND),
  parents: fc.constantFrom(0, MAKE_PARENTS),
  link: fc.constantFrom(0, STAT_LINK),
})
type Operation = typeof fileOperation extends fc.Arbitrary<infer Value> ? Value : never
type PerType<Result> = Readonly<
  Record<Operation['type'], (file: string, operation: Operation, other: string) => Result>
>

const REQUESTS: PerType<FramePart[]> = {
  Write: (file, { append, parents, mode, bytes }) => [append | parents, mode, file, bytes],
  Read: (file, { offset, most }) => [BigInt(offset), most, file],
  List: (file) => [file],
  Stat: (file, { link }) => [link, file],
  Remove: (file) => [file],
  Rename: (file, _, other) => [file, other],
  MakeFolder: (file, { parents, mode }) => [parents, mode, file],
}

const EXPECTED: PerType<unknown> = {
  Write: (file, { append, parents, mode, bytes }) =>
    withParents(file, parents, () => fs.writeFileSync(file, bytes, { flag: append === 0 ? 'w' : 'a', mode })),
  Read: (file, { offset, most }) => readSync(file, most, offset),
  List: (file) => fs.readdirSync(file).toSorted(),
  Stat: (file, { link }) => described((link === 0 ? fs.statSync : fs.lstatSync)(file)),
  Remove: (file) => (fs.lstatSync(file).isDirectory() ? fs.rmdirSync : fs.unlinkSync)(file),
  Rename: (file, _, other) => fs.renameSync(file, other),
  MakeFolder: (file, { parents, mode }) => withParents(file, parents, () => fs.mkdirSync(file, mode)),
}

const RESULTS: Partial<Record<Operation['type'], (data: Buffer) => unknown>> = {
  Read: (data) => data.toString('latin1'),
  List: names,
  // Source: Linux include/uapi/linux/stat.h, struct statx: stx_mode and stx_size
  Stat: (data) => described({ mode: data.readUInt16LE(28), size: data.readUInt32LE(40) }),
}

/** The payload of the agent's request for an operation in a folder. */
export const requestOf = (one: Operation, folder: string): FramePart[] =>
  REQUESTS[one.type](join(folder, one.path), one, join(folder, one.other))
/** The result, from the data of the agent's answer. */
export const resultOf = (one: Operation, data: Buffer): unknown => RESULTS[one.type]?.(data)
/** The result of node:fs, or its negative errno. */
export const expectedOf = (one: Operation, folder: string): unknown =>
  attempt(() => EXPECTED[one.type](join(folder, one.path), one, join(folder, one.other)))

function attempt(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno
  }
}

function withParents(file: string, parents: number, action: () => void): void {
  try {
    action()
  } catch (error) {
    if (parents === 0 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    // The second attempt reports why there is no folder.
    attempt(() => fs.mkdirSync(dirname(file), { recursive: true }))
    action()
  }
}

/** Sizes of folders differ between filesystems. */
const described = ({ mode, size }: { mode: number; size: number }): unknown => [
  mode,
  (mode & 0o170000) === 0o100000 ? size : 0,
]

/** Source: Linux include/linux/dirent.h, struct linux_dirent64 */
function names(entries: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at < entries.length; at += entries.readUInt16LE(at + 16)) {
    found.push(entries.toString('utf8', at + 19, entries.indexOf(0, at + 19)))
  }
  return found.filter((name) => name !== '.' && name !== '..').toSorted()
}

function readSync(file: string, most: number, offset: number): string {
  const [descriptor, buffer] = [fs.openSync(file, 'r'), Buffer.alloc(most)]
  try {
    return buffer.toString('latin1', 0, most && fs.readSync(descriptor, buffer, 0, most, offset))
  } finally {
    fs.closeSync(descriptor)
  }
}
