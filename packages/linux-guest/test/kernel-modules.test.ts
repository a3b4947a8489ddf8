/** Lists of a kernel's modules, as `modprobe` reads them. The soak exec-modules has kmod read them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { indexModules, readModuleInfo } from '@retrap/linux-guest/linux/kernel-modules'

const folder = temporaryFolder('modules')

/** Writes a module whose second section is `.modinfo`. */
function writeModule(path: string, ...fields: string[]): void {
  const names = Buffer.from('\0.modinfo\0')
  const info = Buffer.from(fields.map((field) => `${field}\0`).join(''))
  const bytes = Buffer.alloc(64 + 3 * 64)
  bytes.write('\x7fELF\x02\x01', 'latin1')
  bytes.writeBigUInt64LE(64n, 40)
  for (const [at, value] of [
    [58, 64],
    [60, 3],
    [62, 1],
  ] as const)
    bytes.writeUInt16LE(value, at)
  const section = (index: number, name: number, at: number, size: number): void => {
    bytes.writeUInt32LE(name, 64 + index * 64)
    bytes.writeBigUInt64LE(BigInt(at), 64 + index * 64 + 24)
    bytes.writeBigUInt64LE(BigInt(size), 64 + index * 64 + 32)
  }
  section(1, 0, bytes.length, names.length)
  section(2, 1, bytes.length + names.length, info.length)
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), Buffer.concat([bytes, names, info]))
}

/** Looks a key up in a table, as the format says. */
function find(file: string, key: string): string[] {
  const table = readFileSync(join(folder, file))
  expect(table.toString('hex', 0, 8)).toBe('b007f45700020001')
  let node = table.readUInt32BE(8)
  for (let at = 0; ;) {
    let from = node & 0xfff_ffff
    const text = (): string => {
      const start = from
      from = table.indexOf(0, from) + 1
      return table.toString('latin1', start, from - 1)
    }
    if ((node & 0x8000_0000) !== 0) {
      const prefix = text()
      if (!key.startsWith(prefix, at)) return []
      at += prefix.length
    }
    let next = 0
    if ((node & 0x2000_0000) !== 0) {
      const [least, most] = [table[from]!, table[from + 1]!]
      const place = key.charCodeAt(at) - least
      if (at < key.length && place >= 0 && place <= most - least) next = table.readUInt32BE(from + 2 + place * 4)
      from += 2 + (most - least + 1) * 4
    }
    if (at === key.length) {
      if ((node & 0x4000_0000) === 0) return []
      const count = table.readUInt32BE(from)
      from += 4
      return Array.from({ length: count }, () => {
        from += 4
        return text()
      })
    }
    if (next === 0) return []
    node = next
    at++
  }
}

test('modules are found by name and by alias, with all that they need', () => {
  writeModule('kernel/fs/fat-fs.ko', 'license=GPL', 'alias=fs-fat', 'depends=nls-base,one', 'softdep=pre: two')
  writeModule('kernel/one.ko', 'depends=two', 'alias=pci:v*d[0-9]-*')
  writeModule('kernel/two.ko', 'depends=')
  writeModule('kernel/other.ko', 'alias=fs-fat')
  writeFileSync(join(folder, 'modules.builtin'), 'kernel/fs/nls/nls-base.ko\n')
  indexModules(folder)
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
  const needs = 'kernel/fs/fat-fs.ko: kernel/one.ko kernel/two.ko'
  expect(read('modules.dep')).toBe(`${needs}\nkernel/one.ko: kernel/two.ko\nkernel/other.ko:\nkernel/two.ko:\n`)
  expect(find('modules.dep.bin', 'fat_fs')).toEqual([needs])
  expect(['one', 'on', 'onex', 'two'].map((name) => find('modules.dep.bin', name).length)).toEqual([1, 0, 0, 1])
  expect(read('modules.alias')).toContain('alias pci:v*d[0-9]-* one\n')
  expect(find('modules.alias.bin', 'fs_fat')).toEqual(['fat_fs', 'other'])
  expect(find('modules.alias.bin', 'pci:v*d[0-9]_*')).toEqual(['one'])
  expect(read('modules.softdep')).toBe('softdep fat_fs pre: two\n')
  expect(find('modules.builtin.bin', 'nls_base')).toEqual([''])
})

test('a file that is no module says nothing of itself', () => {
  for (const bytes of ['', 'text', `\x7fELF\x02\x01${'\xff'.repeat(100)}`]) {
    writeFileSync(join(folder, 'x.ko'), bytes, 'latin1')
    expect(readModuleInfo(join(folder, 'x.ko'))).toBeUndefined()
  }
})
