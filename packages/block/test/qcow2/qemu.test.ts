import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import fc from 'fast-check'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { checkQcow2, createQcow2, type Qcow2CreateOptions, readQcow2Info } from '../../src/index.ts'
import { FileStorage, openImage, openQcow2 } from '../../src/node/index.ts'
import { hasQemuImg, qemuCheck, qemuImg, qemuIo } from '../support/qemu-img.ts'

const test = sliceTests(3)

const folder = temporaryFolder('qcow2')

let files = 0
const newPath = (extension = 'qcow2'): string => join(folder, `${files++}.${extension}`)
const note = skipNote(hasQemuImg, 'there is no qemu-img')
const MIB = 1 << 20

async function create(options: Qcow2CreateOptions): Promise<string> {
  const path = newPath()
  const storage = await FileStorage.create(path)
  await createQcow2(storage, options)
  await storage.close()
  return path
}

/** The whole content of an image as qemu-img sees it. */
function contentOf(path: string): Buffer {
  const raw = newPath('raw')
  qemuImg('convert', '-f', 'qcow2', '-O', 'raw', path, raw)
  const content = readFileSync(raw)
  rmSync(raw)
  return content
}

const KINDS: readonly Omit<Qcow2CreateOptions, 'bytes'>[] = [
  {},
  { version: 2 },
  { clusterBytes: 512, refcountBits: 64 },
  { clusterBytes: 512, version: 2 },
  { clusterBytes: 4096, refcountBits: 1 },
  { clusterBytes: 4096, refcountBits: 2 },
  { clusterBytes: 1024, refcountBits: 4 },
  { clusterBytes: 65_536, refcountBits: 8 },
  { clusterBytes: 16_384, refcountBits: 32 },
  { clusterBytes: 2 * MIB, lazyRefcounts: true },
]

/** What is done to an image: a range in sectors, filled with a byte. */
const step = fc.record({
  what: fc.constantFrom('write', 'zero', 'discard', 'flush', 'reopen'),
  at: fc.nat(8191),
  count: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 2000 })),
  value: fc.integer({ min: 1, max: 255 }),
})

describe.runIf(hasQemuImg).each(KINDS)(`images %o agree with QEMU${note}`, (kind) => {
  test('written here, read there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, hasBacking) => {
        const bytes = 4 * MIB
        const model = Buffer.alloc(bytes, hasBacking ? 0xb5 : 0)
        const base = newPath('raw')
        writeFileSync(base, model)
        const backing = hasBacking ? { backing: { name: base, format: 'raw' } } : {}
        const path = await create({ bytes, ...kind, ...backing })
        let image = await openImage(path, { format: 'qcow2' })
        for (const { what, at, count, value } of steps) {
          const offset = at * 512
          const length = Math.min(count * 512, bytes - offset)
          if (what === 'write') {
            await image.write(offset, Buffer.alloc(length, value))
            model.fill(value, offset, offset + length)
          } else if (what === 'zero') {
            await image.writeZeroes(offset, length)
            model.fill(0, offset, offset + length)
          } else if (what === 'discard') {
            await image.discard(offset, length)
            await image.read(offset, model.subarray(offset, offset + length))
          } else if (what === 'flush') await image.flush()
          else {
            await image.close()
            image = await openImage(path, { format: 'qcow2' })
          }
        }
        const ours = Buffer.alloc(bytes)
        await image.read(0, ours)
        await image.close()
        expect(ours.equals(model)).toBe(true)
        expect(qemuCheck(path)).toEqual({ corruptions: 0, leaks: 0 })
        expect(contentOf(path).equals(model)).toBe(true)
        const storage = await FileStorage.open(path, { readOnly: true })
        expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
        await storage.close()
      }),
      { numRuns: 4 },
    )
  })
})

const QEMU_KINDS = [
  'compat=0.10',
  'cluster_size=512',
  'cluster_size=2M,refcount_bits=64',
  'refcount_bits=1,cluster_size=4k',
  'lazy_refcounts=on',
  'preallocation=metadata',
  'compression_type=zstd',
] as const

describe.runIf(hasQemuImg).each(QEMU_KINDS)(`an image that QEMU has made: %s${note}`, (kind) => {
  test('is read and written here', async () => {
    const raw = newPath('raw')
    const source = Buffer.alloc(4 * MIB, 16)
    for (let i = 0; i < MIB; i++) source[i] = Math.imul(i, 2_654_435_761) >>> 23
    source.fill(0, 3 * MIB, 3 * MIB + 300_000)
    writeFileSync(raw, source)
    const path = newPath()
    const compressed = /preallocation|refcount_bits=1/.test(kind) ? [] : ['-c']
    qemuImg('convert', ...compressed, '-f', 'raw', '-O', 'qcow2', '-o', kind, raw, path)
    if (!kind.includes('refcount_bits=1')) qemuImg('snapshot', '-c', 'before', path)
    qemuIo(path, 'write -P 17 0 100k', 'write -P 18 1M 64k', 'write -P 19 3000k 1k', 'discard 1M 8k', 'flush')
    const model = contentOf(path)
    const image = await openQcow2(path)
    const all = Buffer.alloc(4 * MIB)
    await image.read(0, all)
    expect(all.equals(model)).toBe(true)
    for (const [at, bytes] of [
      [0, 512],
      [60, 40_960],
      [4500, 512],
      [6000, MIB],
    ] as const) {
      await image.write(at * 512, Buffer.alloc(bytes, at & 0xff))
      model.fill(at & 0xff, at * 512, at * 512 + bytes)
    }
    await image.writeZeroes(7000 * 512, 100_352)
    model.fill(0, 7000 * 512, 7000 * 512 + 100_352)
    await image.read(0, all)
    expect(all.equals(model)).toBe(true)
    await image.close()
    expect(qemuCheck(path)).toEqual({ corruptions: 0, leaks: 0 })
    expect(contentOf(path).equals(model)).toBe(true)
  })
})

describe.runIf(hasQemuImg)(`with QEMU${note}`, () => {
  test('clusters beyond 4 GiB of the file are allocated, read and written', async () => {
    const path = newPath()
    // The clusters of the whole disk have their places in the file, which has holes there.
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata,cluster_size=2M', path, '9G')
    const at = 8.75 * 1024 * MIB
    const image = await openQcow2(path)
    await image.discard(at, 4 * MIB)
    await image.write(at + 512, Buffer.alloc(3 * MIB, 0x5a))
    await image.writeCompressed(at - 8 * MIB, Buffer.alloc(2 * MIB, 0x3c))
    await image.close()
    expect(qemuCheck(path).corruptions).toBe(0)
    qemuIo(path, `read -P 0 ${at} 512`, `read -P 0x5a ${at + 512} 3M`, `read -P 0 ${at + 3 * MIB + 512} 500k`)
    qemuIo(path, `read -P 0x3c ${at - 8 * MIB} 2M`)
    const again = await openQcow2(path)
    const all = Buffer.alloc(4 * MIB)
    await again.read(at, all)
    expect(all.equals(Buffer.concat([Buffer.alloc(512), Buffer.alloc(3 * MIB, 0x5a), Buffer.alloc(MIB - 512)]))).toBe(
      true,
    )
    await again.close()
    rmSync(path)
  })

  test('an internal snapshot is read here, and survives writes', async () => {
    const path = newPath()
    qemuImg('create', '-q', '-f', 'qcow2', path, '4M')
    qemuIo(path, 'write -P 1 0 4M')
    qemuImg('snapshot', '-c', 'first', path)
    const image = await openQcow2(path)
    await image.write(0, Buffer.alloc(2 * MIB, 2))
    await image.discard(3 * MIB, 512 << 10)
    await image.close()
    expect(qemuCheck(path)).toEqual({ corruptions: 0, leaks: 0 })
    for (const name of ['first', '1']) {
      const old = await openImage(path, { format: 'qcow2', internalSnapshot: name })
      const all = Buffer.alloc(4 * MIB)
      await old.read(0, all)
      expect(all.equals(Buffer.alloc(4 * MIB, 1))).toBe(true)
      await expect(old.write(0, Buffer.alloc(512))).rejects.toThrow(expect.objectContaining({ code: 'ERR_READ_ONLY' }))
      await old.close()
    }
    await expect(openQcow2(path, { internalSnapshot: 'second' })).rejects.toThrow(
      "no snapshot 'second'; there are 'first'",
    )
    qemuImg('snapshot', '-a', 'first', path)
    expect(contentOf(path).equals(Buffer.alloc(4 * MIB, 1))).toBe(true)
  })

  test('an image whose counts QEMU had in memory when it was killed is repaired', async () => {
    const path = newPath()
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', path, '4M')
    expect(() => qemuIo(path, 'write -P 1 0 1M', 'flush', 'sigraise 9')).toThrow()
    expect(qemuImg('info', path)).toContain('cleanly shut down: no')
    const image = await openQcow2(path)
    await image.write(2 * MIB, Buffer.alloc(MIB, 2))
    await image.close()
    expect(qemuCheck(path)).toEqual({ corruptions: 0, leaks: 0 })
    expect(contentOf(path).subarray(0, MIB).equals(Buffer.alloc(MIB, 1))).toBe(true)
  })

  test.each([
    { option: 'lazy_refcounts=on', bits: 0 },
    { option: 'lazy_refcounts=off', bits: 0 },
    { option: 'lazy_refcounts=off', bits: 2 },
    { option: 'compat=0.10', bits: 1 },
  ])('counts may be kept in memory as QEMU says: $option, compatible features $bits', async ({ option, bits }) => {
    const path = newPath()
    qemuImg('create', '-q', '-f', 'qcow2', '-o', option, path, '4M')
    // The features of version 3; version 2 has no such field.
    const image = readFileSync(path)
    image[87]! |= bits
    writeFileSync(path, image)
    const said = JSON.parse(qemuImg('info', '--output=json', path)) as {
      'format-specific': { data: { 'lazy-refcounts'?: boolean } }
    }
    const storage = await FileStorage.open(path)
    const { hasLazyRefcounts } = await readQcow2Info(storage)
    await storage.close()
    expect(hasLazyRefcounts).toBe(said['format-specific'].data['lazy-refcounts'] ?? false)
  })

  test('the clusters of several bitmaps are found, whatever the bitmaps are called', async () => {
    const path = newPath()
    qemuImg('create', '-q', '-f', 'qcow2', path, '64M')
    for (const name of ['a', 'changes', 'a name of twenty-eight bytes', 'last'])
      qemuImg('bitmap', '--add', '-g', '4096', path, name)
    qemuIo(path, 'write -P 1 0 64k', 'write -P 2 40M 1M')
    const storage = await FileStorage.open(path, { readOnly: true })
    expect(await checkQcow2(storage)).toMatchObject({ corruptions: 0, leaks: 0 })
    await storage.close()
  })

  test('bits of what a writer has to keep up to date are cleared', async () => {
    const path = newPath()
    qemuImg('create', '-q', '-f', 'qcow2', path, '4M')
    qemuImg('bitmap', '--add', path, 'changes')
    await (await openQcow2(path, { readOnly: true })).close()
    expect(readFileSync(path)[95]).toBe(1)
    await (await openQcow2(path)).close()
    expect(readFileSync(path)[95]).toBe(0)
  })
})
