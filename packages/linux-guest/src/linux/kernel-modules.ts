/** The modules of a kernel: their metadata, and the index files that `modprobe` reads. */
import {
  closeSync,
  createReadStream,
  fstatSync,
  globSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
} from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { decompressed } from '@retrap/debian'

/** The metadata of a module, such as `depends` and `alias`; some fields have several values. */
export type ModuleInfo = ReadonlyMap<string, readonly string[]>

export const moduleName = (path: string): string => basename(path, '.ko').replaceAll('-', '_')

/**
 * Reads the `.modinfo` section of a module: texts `KEY=VALUE` that end with zeros.
 *
 * Sources: System V ABI, "Sections"; Linux, include/linux/moduleparam.h, `__MODULE_INFO`.
 *
 * @returns undefined where the file is no module of a 64-bit kernel
 */
export function readModuleInfo(path: string): ModuleInfo | undefined {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const read = (at: number, length: number): Buffer => {
      const bytes = Buffer.alloc(Math.max(0, Math.min(length, size - at)))
      if (bytes.length > 0) readSync(file, bytes, 0, bytes.length, at)
      return bytes
    }
    const head = read(0, 64)
    // ELF, of 64 bits, the lower byte first.
    if (head.length < 64 || head.readUInt32BE(0) !== 0x7f45_4c46 || head.readUInt16BE(4) !== 0x0201) return undefined
    const [entry, count, names] = [head.readUInt16LE(58), head.readUInt16LE(60), head.readUInt16LE(62)]
    const sections = read(Number(head.readBigUInt64LE(40)), entry * count)
    if (entry < 64 || names >= count || sections.length < entry * count) return undefined
    const content = (index: number): Buffer => {
      const at = index * entry
      return read(Number(sections.readBigUInt64LE(at + 24)), Number(sections.readBigUInt64LE(at + 32)))
    }
    const texts = content(names)
    for (let i = 0; i < count; i++) {
      const name = sections.readUInt32LE(i * entry)
      if (texts.toString('latin1', name, name + 9) === '.modinfo\0') return fieldsOf(content(i))
    }
    return undefined
  } finally {
    closeSync(file)
  }
}

function fieldsOf(section: Buffer): ModuleInfo {
  const fields = new Map<string, string[]>()
  for (const text of section.toString('latin1').split('\0')) {
    const [, key, value = ''] = /^(\w+)=(.*)$/s.exec(text) ?? []
    if (key !== undefined) fields.set(key, [...(fields.get(key) ?? []), value])
  }
  return fields
}

/** The modules that a module needs at once. */
export const dependenciesOf = (info: ModuleInfo | undefined): string[] =>
  (info?.get('depends')?.[0] ?? '')
    .split(',')
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'))

/**
 * Appends a module after its dependencies. Built-in modules have no file and are left out.
 *
 * @param files - paths of modules by name
 * @param order - the modules so far, in order of loading
 */
export function addModule(name: string, files: ReadonlyMap<string, string>, order: string[]): void {
  const path = files.get(name)
  if (path === undefined || order.includes(name)) return
  for (const need of dependenciesOf(readModuleInfo(path))) addModule(need, files, order)
  order.push(name)
}

/** Decompresses the modules below a folder: newer kernels of Debian's have them as `.ko.xz`. */
export async function unpackModules(folder: string): Promise<void> {
  for (const path of globSync('kernel/**/*.ko.xz', { cwd: folder }).map((name) => join(folder, name))) {
    await writeFile(path.slice(0, -'.xz'.length), await decompressed(path, createReadStream(path)))
    await rm(path)
  }
}

/** The files of a kernel's modules by their names. @param kernel - the folder above `lib` */
export const moduleFiles = (kernel: string): ReadonlyMap<string, string> =>
  new Map(globSync('lib/modules/**/*.ko', { cwd: kernel }).map((path) => [moduleName(path), join(kernel, path)]))

/** Files of kmod's and busybox's `modprobe`: each is a text, and for kmod a table that is searched by key. */
const DEPENDENCIES = 'modules.dep'
const ALIASES = 'modules.alias'
const BUILT_IN = 'modules.builtin'

/** Whether a kernel has a module, as a file or built in. @param folder - `lib/modules/RELEASE` */
export function hasModule(folder: string, name: string): boolean {
  const line = new RegExp(`/${name.replaceAll(/[-_]/g, '[-_]')}\\.ko(:|$)`, 'm')
  return [DEPENDENCIES, BUILT_IN].some((list) => line.test(readFileSync(join(folder, list), 'utf8')))
}

/**
 * Writes the lists that Debian's `depmod` writes where the package is installed.
 *
 * Sources: modules.dep(5); the comment on the format in kmod's libkmod/libkmod-index.h.
 *
 * @param folder - `lib/modules/RELEASE`
 */
export function indexModules(folder: string): void {
  const paths = globSync('kernel/**/*.ko', { cwd: folder }).toSorted()
  const modules = new Map(
    paths.map((path) => [moduleName(path), { path, info: readModuleInfo(join(folder, path)) }] as const),
  )
  /** Returns paths of a module's dependencies, in reverse order of loading. */
  const needsOf = (name: string, order: string[] = []): string[] => {
    for (const need of dependenciesOf(modules.get(name)?.info)) {
      const path = modules.get(need)?.path
      if (path === undefined || order.includes(path)) continue
      needsOf(need, order)
      order.push(path)
    }
    return order
  }
  const needs: [string, string][] = []
  const aliases: [string, string][] = []
  const soft: string[] = []
  for (const [name, { path, info }] of modules) {
    needs.push([name, [`${path}:`, ...needsOf(name).toReversed()].join(' ')])
    for (const alias of info?.get('alias') ?? []) aliases.push([alias, name])
    for (const order of info?.get('softdep') ?? []) soft.push(`softdep ${name} ${order}\n`)
  }
  const lines = (rows: readonly string[]): string => rows.map((row) => `${row}\n`).join('')
  writeFileSync(join(folder, DEPENDENCIES), lines(needs.map(([, line]) => line)))
  writeFileSync(join(folder, `${DEPENDENCIES}.bin`), encodeIndex(needs))
  writeFileSync(join(folder, ALIASES), lines(aliases.map(([alias, name]) => `alias ${alias} ${name}`)))
  writeFileSync(
    join(folder, `${ALIASES}.bin`),
    encodeIndex(aliases.map(([alias, name]) => [normalized(alias), name] as const)),
  )
  writeFileSync(join(folder, 'modules.softdep'), soft.join(''))
  const builtIn = readFileSync(join(folder, BUILT_IN), 'utf8').split('\n').filter(Boolean)
  writeFileSync(join(folder, `${BUILT_IN}.bin`), encodeIndex(builtIn.map((path) => [moduleName(path), ''] as const)))
}

/** Normalizes an alias: hyphens become underscores, except within brackets. */
const normalized = (alias: string): string => alias.replaceAll(/\[[^\]]*\]|-/g, (part) => (part === '-' ? '_' : part))

const INDEX_MAGIC = 0xb007_f457
const INDEX_VERSION = 0x0002_0001
const HAS_PREFIX = 0x8000_0000
const HAS_VALUES = 0x4000_0000
const HAS_CHILDREN = 0x2000_0000

/** A table of kmod's: a tree of the keys' characters, each node behind its children. */
function encodeIndex(rows: readonly (readonly [key: string, value: string])[]): Buffer {
  const parts: Buffer[] = [Buffer.alloc(12)]
  let length = 12
  /** @param from - key characters on the path to the node @returns the node's place and its contents */
  const write = (sorted: readonly (readonly [string, string])[], from: number): number => {
    const [first] = sorted[0]!
    const [last] = sorted.at(-1)!
    let end = from
    while (end < first.length && first[end] === last[end]) end++
    const values = sorted.filter(([key]) => key.length === end)
    const children = Map.groupBy(
      sorted.filter(([key]) => key.length > end),
      ([key]) => key.charCodeAt(end),
    )
    const places = new Map([...children].map(([character, below]) => [character, write(below, end + 1)]))
    const node: Buffer[] = []
    let flags = 0
    if (end > from) {
      flags += HAS_PREFIX
      node.push(Buffer.from(`${first.slice(from, end)}\0`, 'latin1'))
    }
    if (places.size > 0) {
      flags += HAS_CHILDREN
      const [least, most] = [Math.min(...places.keys()), Math.max(...places.keys())]
      node.push(Buffer.from([least, most]))
      for (let character = least; character <= most; character++) node.push(u32(places.get(character) ?? 0))
    }
    if (values.length > 0) {
      flags += HAS_VALUES
      // The priority decides among values of one key: here all priorities are equal.
      node.push(u32(values.length), ...values.map(([, value]) => Buffer.from(`\0\0\0\0${value}\0`, 'latin1')))
    }
    const at = length
    for (const part of node) length += part.length
    parts.push(...node)
    return at + flags
  }
  const order = (a: string, b: string): number => (a < b ? -1 : Number(a > b))
  const root =
    rows.length === 0
      ? 0
      : write(
          rows.toSorted(([a], [b]) => order(a, b)),
          0,
        )
  parts[0] = Buffer.concat([u32(INDEX_MAGIC), u32(INDEX_VERSION), u32(root)])
  return Buffer.concat(parts)
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
