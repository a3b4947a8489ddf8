// The folder of compiled code: who may use it, and what it has room for.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, describe, expect, test } from 'vitest'
import { UnitCache } from '@retrap/linux-guest/machine/unit-cache/unit-cache'

let root: string
let folder: string
let warnings: string[]
beforeEach(() => {
  root = temporaryFolder('units')
  folder = join(root, 'deep/units')
  warnings = []
})

const cacheIn = (path: string): UnitCache => new UnitCache(path, (message) => warnings.push(message))

function add(key: number, configuration = 'c', path = folder): void {
  const cache = cacheIn(path)
  cache.open('x86', configuration)?.add(key, Uint8Array.of(key), undefined)
  cache.close()
}

const has = (key: number, configuration = 'c', instructionSet = 'x86'): boolean | undefined =>
  cacheIn(folder).open(instructionSet, configuration)?.has(key)

test('it is made for its user alone, and has code by instruction set and configuration', () => {
  add(1)
  expect(fs.statSync(folder).mode & 0o777).toBe(0o700)
  expect([has(1), has(2), has(1, 'd'), has(1, 'c', 'arm64'), has(1, 'c', 'z80')]).toEqual([
    true,
    false,
    false,
    false,
    undefined,
  ])
  expect(fs.readdirSync(folder)).toHaveLength(1)
  expect(fs.statSync(join(folder, fs.readdirSync(folder)[0]!)).mode & 0o777).toBe(0o600)
  expect(warnings).toEqual([])
})

test('machines of one process share a store', () => {
  const cache = cacheIn(folder)
  expect(cache.open('x86', 'c')).toBe(cache.open('x86', 'c'))
  expect(cache.open('x86', 'c')).not.toBe(cache.open('x86', 'd'))
})

describe('it is not used, with a word,', () => {
  const refused = (why: RegExp): void => {
    expect(cacheIn(folder).open('x86', 'c')).toBeUndefined()
    expect(warnings).toEqual([expect.stringMatching(why)])
  }

  test('where others may enter it', () => {
    fs.mkdirSync(folder, { recursive: true })
    fs.chmodSync(folder, 0o750)
    refused(/not kept in .*units: others may enter it; give it the mode 0700$/)
  })

  test.skipIf(process.getuid?.() !== 0)('where it is another user’s', () => {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    fs.chownSync(folder, 12_345, 12_345)
    refused(/belongs to another user$/)
  })

  test('where it is a symbolic link, or a file', () => {
    fs.mkdirSync(join(root, 'deep'), { recursive: true })
    fs.mkdirSync(join(root, 'other'), { mode: 0o700 })
    fs.symlinkSync(join(root, 'other'), folder)
    refused(/it is no folder$/)
    fs.rmSync(folder)
    fs.writeFileSync(folder, '')
    warnings = []
    refused(/it is no folder$/)
  })

  test('where it cannot be made', () => {
    fs.writeFileSync(join(root, 'deep'), '')
    refused(/not kept in/)
  })
})

test('where it cannot be written, that is said once, and what is there is found', () => {
  add(1)
  const cache = cacheIn(folder)
  const store = cache.open('x86', 'c')!
  store.add(2, Uint8Array.of(2), undefined)
  fs.rmSync(folder, { recursive: true })
  fs.writeFileSync(folder, '')
  cache.close()
  cache.close()
  expect(warnings).toEqual([expect.stringMatching(/not kept in .*units: /)])
})

test('packs beyond 64 MiB or 64 of them go, what was used longest ago first, and what was left half written', () => {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  fs.chmodSync(folder, 0o700)
  const file = (name: string, bytes: number, hoursAgo: number): void => {
    fs.writeFileSync(join(folder, name), new Uint8Array(bytes))
    const at = Date.now() / 1000 - hoursAgo * 3600
    fs.utimesSync(join(folder, name), at, at)
  }
  file('a.units', 30 << 20, 3)
  file('b.units', 30 << 20, 5)
  file('c.units', 30 << 20, 4)
  file('d.units.0123456789ab.new', 10, 2)
  file('e.units.0123456789ab.new', 10, 0)
  file('other', 10, 9)
  add(1)
  const left = fs.readdirSync(folder)
  expect(left.filter((name) => name.length < 12 || name.endsWith('.new')).toSorted()).toEqual([
    'a.units',
    'c.units',
    'e.units.0123456789ab.new',
    'other',
  ])
  for (let i = 0; i < 70; i++) file(`f${i}.units`, 1, 6)
  add(2)
  expect(fs.readdirSync(folder).filter((name) => name.endsWith('.units'))).toHaveLength(64)
  expect([has(1), has(2)]).toEqual([true, true])
})

test('a pack that is used is not the oldest', () => {
  add(1)
  const path = join(folder, fs.readdirSync(folder)[0]!)
  const old = Date.now() / 1000 - 100_000
  fs.utimesSync(path, old, old)
  expect(has(1)).toBe(true)
  expect(fs.statSync(path).mtimeMs).toBeGreaterThan(old * 1000 + 50_000_000)
})
