import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { createQcow2 } from '../../src/index.ts'
import { FileStorage, openImage, openQcow2, resolveBacking } from '../../src/node/index.ts'

const folder = temporaryFolder('chains')

const BYTES = 1 << 20
let files = 0

async function make(name: string, backing?: { name: string; format: string }, bytes = BYTES): Promise<string> {
  const path = join(folder, name)
  const storage = await FileStorage.create(path)
  await createQcow2(storage, { bytes, clusterBytes: 4096, ...(backing !== undefined && { backing }) })
  await storage.close()
  return path
}

function raw(fill: number, bytes = BYTES): string {
  const name = `${files++}.raw`
  writeFileSync(join(folder, name), Buffer.alloc(bytes, fill))
  return name
}

async function firstByte(path: string, at = 0): Promise<number> {
  const image = await openImage(path, { format: 'qcow2', readOnly: true })
  const sector = new Uint8Array(512)
  await image.read(at, sector)
  await image.close()
  return sector[0]!
}

const backingError = expect.objectContaining({ name: 'ImageError', code: 'ERR_BACKING' })

describe('files below a qcow2 image', () => {
  test('show where the image has nothing, and stay as they are', async () => {
    const base = raw(1)
    await make('middle.qcow2', { name: base, format: 'raw' })
    const top = await make('top.qcow2', { name: 'middle.qcow2', format: 'qcow2' })
    const image = await openImage(top, { format: 'qcow2' })
    await image.write(512, new Uint8Array(512).fill(2))
    await image.writeZeroes(8192, 4096)
    await image.close()
    expect(await Promise.all([0, 512, 1024, 8192, 16_384].map((at) => firstByte(top, at)))).toEqual([1, 2, 1, 0, 1])
    expect(await firstByte(join(folder, 'middle.qcow2'), 512)).toBe(1)
  })

  test('are named from the folder of the image, wherever it is opened from', async () => {
    mkdirSync(join(folder, 'sub'))
    const base = raw(3)
    const path = await make('sub/named.qcow2', { name: `../${base}`, format: 'raw' })
    expect(await firstByte(path)).toBe(3)
    expect(await firstByte(await make('file.qcow2', { name: `file:${base}`, format: 'raw' }))).toBe(3)
  })

  test('that are smaller than the image end in zeros', async () => {
    const path = await make('large.qcow2', { name: raw(4, 1024), format: 'raw' })
    expect([await firstByte(path, 512), await firstByte(path, 1024)]).toEqual([4, 0])
    const image = await openImage(path, { format: 'qcow2' })
    const cluster = new Uint8Array(4096)
    await image.write(2048, new Uint8Array(512).fill(5))
    await image.read(0, cluster)
    expect([cluster[0], cluster[1023], cluster[1024], cluster[2048], cluster[2560]]).toEqual([4, 4, 0, 5, 0])
    await image.close()
  })

  test('that are declared raw are never anything else', async () => {
    const inner = await make('inner.qcow2')
    const path = await make('outer.qcow2', { name: 'inner.qcow2', format: 'raw' })
    expect(await firstByte(path)).toBe(0x51)
    expect(await firstByte(inner)).toBe(0)
  })

  test('whose format is not declared are known by their content, and then name no further ones', async () => {
    const declared = await make('declared.qcow2', { name: raw(6), format: 'raw' })
    await make('alone.qcow2')
    const undeclared = async (name: string): Promise<string> => {
      const path = await make(`over-${name}`, { name, format: '' })
      const storage = await FileStorage.open(path)
      // The extension without its type: it is one that is not known.
      await storage.write(104, new Uint8Array([1, 1, 1, 1]))
      await storage.close()
      return path
    }
    expect(await firstByte(await undeclared('alone.qcow2'))).toBe(0)
    expect(await firstByte(await undeclared(raw(7)))).toBe(7)
    const hidden = await undeclared('declared.qcow2')
    await expect(openImage(hidden, { format: 'qcow2' })).rejects.toThrow(backingError)
    expect(await firstByte(declared)).toBe(6)
  })

  test('may lie on a drive of Windows, whose letter is no protocol', () => {
    for (const name of ['C:\\disks\\base.img', 'd:/disks/base.img']) {
      expect(resolveBacking('top.qcow2', name)).toContain(name)
    }
  })

  test('may not form a loop, also by another name', async () => {
    const first = await make('first.qcow2', { name: 'second.qcow2', format: 'qcow2' })
    await make('second.qcow2', { name: 'link.qcow2', format: 'qcow2' })
    symlinkSync(first, join(folder, 'link.qcow2'))
    await expect(openImage(first, { format: 'qcow2' })).rejects.toThrow('the backing files form a loop')
    await expect(openImage(first, { format: 'qcow2', readOnly: true })).rejects.toThrow('loop')
    const self = await make('self.qcow2', { name: 'self.qcow2', format: 'qcow2' })
    await expect(openImage(self, { format: 'qcow2', readOnly: true })).rejects.toThrow('loop')
  })

  test('are refused where they are absent, no files, of other formats, or too many', async () => {
    for (const [name, format, message] of [
      ['absent.raw', 'raw', 'there is no such file'],
      ['nbd://host/disk', 'raw', 'only files and URLs of http and https are supported'],
      ['json:{"driver":"raw"}', 'raw', 'only files and URLs of http and https are supported'],
      [raw(0), 'vmdk', 'its format is vmdk'],
    ] as const) {
      const path = await make('refused.qcow2', { name, format })
      await expect(openImage(path, { format: 'qcow2' })).rejects.toThrow(message)
      await expect(openImage(path, { format: 'qcow2' })).rejects.toThrow(backingError)
    }
    for (let i = 0; i < 70; i++) await make(`${i}.chain`, { name: `${i + 1}.chain`, format: 'qcow2' })
    await expect(openImage(join(folder, '0.chain'), { format: 'qcow2' })).rejects.toThrow('too long')
  })

  test('are left out where the caller says so', async () => {
    const path = await make('ignored.qcow2', { name: 'absent.raw', format: 'raw' })
    const image = await openQcow2(path, { backing: 'ignore' })
    const sector = new Uint8Array(512).fill(1)
    await image.read(0, sector)
    expect(sector[0]).toBe(0)
    await image.close()
    await expect(openQcow2(path, { backing: 'refuse' })).rejects.toThrow('say format=qcow2')
  })

  test('do not keep the image locked where they cannot be opened', async () => {
    const path = await make('unlocked.qcow2', { name: 'absent.raw', format: 'raw' })
    await expect(openImage(path, { format: 'qcow2' })).rejects.toThrow('absent.raw')
    await (await openQcow2(path, { backing: 'ignore' })).close()
  })
})
