// Files of compiled code: what is written comes back; of anything else nothing is taken.
import { readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, describe, expect, test } from 'vitest'
import {
  decodeIndex,
  encodeIndex,
  PACK_ENTRY_BYTES,
  PACK_HEAD_BYTES,
} from '@retrap/linux-guest/machine/unit-cache/pack'
import { bounded, PackFile, type PackedCode, writePack } from '@retrap/linux-guest/machine/unit-cache/pack-file'
import { PackStore } from '@retrap/linux-guest/machine/unit-cache/pack-store'

let folder: string
let path: string
beforeEach(() => {
  folder = temporaryFolder('pack')
  path = join(folder, 'a.units')
})

const code = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes)
const nothing = (): void => {}
const bytesOf = (store: PackStore, key: number): number[][] => store.find(key).map((each) => [...(each.read() ?? [])])

/** A store on the file, with code that is added and written. */
function written(...codes: readonly (readonly [key: number, bytes: Uint8Array])[]): void {
  const store = new PackStore(path, nothing)
  for (const [key, bytes] of codes) store.add(key, bytes, undefined)
  store.write()
  store.close()
}

describe('the index of a pack', () => {
  const word = fc.integer({ min: 0, max: 0xffff_ffff })
  const entries = fc.array(
    fc.record({ key: word, bytes: fc.integer({ min: 1, max: 1 << 20 }), sum: word, used: word }),
    { maxLength: 20 },
  )

  test('comes back as it was, and nothing that is damaged, cut or of another size does', () => {
    fc.assert(
      fc.property(entries, fc.nat(), fc.integer({ min: 1, max: 255 }), (all, where, bits) => {
        const index = encodeIndex(all)
        const size = all.reduce((sum, { bytes }) => sum + bytes, index.length)
        expect(decodeIndex(index, size)).toEqual({ dataAt: index.length, entries: all })
        expect(decodeIndex(index, size + 1)).toBeUndefined()
        expect(decodeIndex(index.subarray(0, where % index.length), size)).toBeUndefined()
        const damaged = index.slice()
        damaged[where % index.length]! ^= bits
        expect(decodeIndex(damaged, size)).toBeUndefined()
      }),
    )
  })
})

describe('a store', () => {
  test('finds what an earlier one has written, the newest last', () => {
    written([7, code(1, 2, 3)], [7, code(4)], [8, code(5)])
    const store = new PackStore(path, nothing)
    expect([bytesOf(store, 7), bytesOf(store, 8), store.has(9), store.find(9)]).toEqual([
      [[1, 2, 3], [4]],
      [[5]],
      false,
      [],
    ])
    expect(readdirSync(folder)).toEqual(['a.units'])
  })

  test('finds what was added, writes it once, and keeps its name', () => {
    let changes = 0
    const store = new PackStore(path, () => changes++)
    expect(store.write()).toBe(false)
    const id = store.add(7, code(1), undefined)
    expect([bytesOf(store, 7), changes, store.write(), store.write()]).toEqual([[[1]], 1, true, false])
    expect([store.find(7)[0]!.id, bytesOf(store, 7)]).toEqual([id, [[1]]])
    const better = store.add(7, code(2), id)
    expect([bytesOf(store, 7), better === id]).toEqual([[[2]], false])
    store.write()
    expect(bytesOf(new PackStore(path, nothing), 7)).toEqual([[2]])
  })

  test('drops code for good', () => {
    written([7, code(1)], [7, code(2)])
    const store = new PackStore(path, nothing)
    store.drop(store.find(7)[0]!.id)
    store.drop(99)
    expect([bytesOf(store, 7), store.write()]).toEqual([[[2]], true])
    store.drop(store.find(7)[0]!.id)
    expect([store.has(7), store.find(7), store.write()]).toEqual([false, [], true])
    expect(new PackStore(path, nothing).has(7)).toBe(false)
  })

  test('has what two have written, without doubles', () => {
    written([1, code(1)])
    const [first, second] = [new PackStore(path, nothing), new PackStore(path, nothing)]
    first.add(2, code(2), undefined)
    first.add(3, code(3), undefined)
    second.add(3, code(3), undefined)
    second.add(4, code(4), undefined)
    second.drop(second.find(1)[0]!.id)
    for (const store of [first, second]) store.write()
    // The second finds what the first has added, and what that had of the dropped code is gone.
    expect([2, 3, 4].map((key) => bytesOf(second, key))).toEqual([[[2]], [[3]], [[4]]])
    const found = new PackStore(path, nothing)
    expect([1, 2, 3, 4].map((key) => bytesOf(found, key))).toEqual([[], [[2]], [[3]], [[4]]])
  })

  test('reads on from the file that it has opened while another takes its place', () => {
    written([1, code(1)])
    const store = new PackStore(path, nothing)
    rmSync(path)
    written([2, code(2)])
    expect(bytesOf(store, 1)).toEqual([[1]])
    store.add(3, code(3), undefined)
    store.write()
    expect([1, 2, 3].map((key) => bytesOf(store, key))).toEqual([[[1]], [[2]], [[3]]])
  })

  test.each<[string, (file: string) => void]>([
    ['is cut', (file) => truncateSync(file, 30)],
    ['is empty', (file) => truncateSync(file, 0)],
    ['is of another version', (file) => writeFileSync(file, readFileSync(file).fill(2, 4, 5))],
    ['is a folder', (file) => (rmSync(file), symlinkSync('.', file))],
  ])('begins anew where its file %s', (_, change) => {
    written([1, code(1)])
    change(path)
    const store = new PackStore(path, nothing)
    expect(store.has(1)).toBe(false)
    store.add(2, code(2), undefined)
    store.write()
    expect(bytesOf(new PackStore(path, nothing), 2)).toEqual([[2]])
  })

  test('reads nothing from a file that is cut while it is open', () => {
    written([1, code(1)], [2, code(2, 3)])
    const store = new PackStore(path, nothing)
    truncateSync(path, readFileSync(path).length - 1)
    expect([bytesOf(store, 1), store.find(2)[0]!.read()]).toEqual([[[1]], undefined])
  })

  test('does not follow a symbolic link', () => {
    written([1, code(1)])
    const link = join(folder, 'link.units')
    symlinkSync(path, link)
    expect(new PackStore(link, nothing).has(1)).toBe(false)
  })

  test('takes no more than 8 MiB between two writings, and no piece of more than 1 MiB', () => {
    const store = new PackStore(path, nothing)
    store.add(0, new Uint8Array((1 << 20) + 1), undefined)
    for (let key = 1; key < 20; key++) store.add(key, new Uint8Array(1 << 20), undefined)
    const count = (): number => Array.from({ length: 20 }, (_, key) => store.has(key)).filter(Boolean).length
    expect([store.has(0), count()]).toEqual([false, 8])
    store.write()
    store.add(19, new Uint8Array(1 << 20), undefined)
    expect(count()).toBe(9)
  })
})

test('a pack has room for what was used last, and for eight pieces of code with one key', () => {
  const piece = (key: number, used: number): PackedCode => ({ key, used, bytes: 100, sum: 0, read: () => undefined })
  const all = [piece(1, 5), piece(2, 9), piece(3, 7), piece(4, 8)]
  const room = (count: number): number => PACK_HEAD_BYTES + count * (PACK_ENTRY_BYTES + 100)
  const keys = (most: number): number[] => bounded(all, most).map(({ key }) => key)
  expect([keys(room(4)), keys(room(4) - 1), keys(room(2)), keys(0)]).toEqual([[1, 2, 3, 4], [2, 3, 4], [2, 4], []])
  const alike = Array.from({ length: 10 }, (_, i) => piece(1, 100 - i))
  expect(bounded(alike)).toEqual(alike.slice(2))
})

test('what cannot be written leaves nothing', () => {
  const cut: PackedCode = { key: 1, used: 1, bytes: 1, sum: 0, read: () => undefined }
  expect(() => writePack(path, [cut])).toThrow('cut')
  expect(readdirSync(folder)).toEqual([])
  expect(PackFile.open(path)).toBeUndefined()
})
