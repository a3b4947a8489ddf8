import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { listDrives, OpenDrives, parseBoot, parseDrive } from '../src/drives.ts'

const folder = mkdtempSync(join(tmpdir(), 'retrap-drives-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

/** An image with the signature of ISO 9660. */
function iso(): Uint8Array {
  const bytes = new Uint8Array(40 * 2048)
  bytes.set(Buffer.from('CD001'), 0x8001)
  return bytes
}

describe('--drive', () => {
  test.each([
    { text: 'file=a.img', drive: { path: 'a.img', media: 'disk', snapshot: false, readOnly: false } },
    {
      text: 'file=a,,b.img,if=ide,format=raw,snapshot=on,index=3',
      drive: { path: 'a,b.img', snapshot: true, index: 3 },
    },
    { text: 'media=cdrom', drive: { path: null, media: 'cdrom', readOnly: true } },
    { text: 'file=x,bus=1,unit=1,readonly=on', drive: { index: 3, readOnly: true } },
    { text: 'file=x,bus=1', drive: { index: 2 } },
    { text: 'file=x,bootindex=2,serial=ABC,id=d0', drive: { bootIndex: 2, serialNumber: 'ABC' } },
  ])('$text', ({ text, drive }) => {
    expect(parseDrive(text)).toMatchObject(drive)
  })

  test.each([
    { text: 'a.img', message: "'a.img' is not of the form key=value" },
    { text: 'file=x,cache=none', message: "--drive has no 'cache'; it has file, if," },
    { text: 'file=x,if=virtio', message: 'there is no virtio yet; write if=ide' },
    { text: 'file=x,if=scsi', message: 'if=scsi is unknown' },
    { text: 'file=x,format=qcow2', message: 'convert with: qemu-img convert' },
    { text: 'file=x,format=vmdk', message: 'format=vmdk is unknown; there are raw' },
    { text: 'file=x,index=4', message: 'index=4 is not a number from 0 to 3' },
    { text: 'file=x,snapshot=yes', message: 'snapshot=yes is unknown; there are on and off' },
    { text: 'media=disk', message: 'names no file' },
  ])('$text is refused: $message', ({ text, message }) => {
    expect(() => parseDrive(text)).toThrow(message)
  })
})

test.each([
  { text: 'dc', boot: { order: 'dc' } },
  { text: 'order=d,menu=on', boot: { order: 'd', menu: true } },
  { text: 'menu=off', boot: { menu: false } },
])('--boot $text', ({ text, boot }) => expect(parseBoot(text)).toEqual(boot))

test.each(['x', 'order=', 'once=d', 'menu=1'])('--boot %s is refused', (text) => {
  expect(() => parseBoot(text)).toThrow(/is unknown; write order=dc/)
})

describe('drives that are opened', () => {
  test('a file is a CD if it has ISO 9660, which is not written; all else is a disk', async () => {
    const [cd, disk] = [file('x.iso', iso()), file('x.img', new Uint8Array(512))]
    const open = await OpenDrives.open(listDrives({}, [cd, disk]))
    expect(open.drives.map(({ media, medium }) => [media, medium?.properties.readOnly])).toEqual([
      ['cdrom', true],
      ['disk', false],
    ])
    await open.close()
  })

  test('--snapshot keeps every file as it is', async () => {
    const path = file('y.img', new Uint8Array(4096))
    const open = await OpenDrives.open(listDrives({ hda: path, snapshot: true }, []))
    await open.drives[0]?.medium?.write(0, new Uint8Array(512).fill(1))
    await open.close()
    expect(readFileSync(path).every((byte) => byte === 0)).toBe(true)
  })

  test('options have their places', async () => {
    const [a, b] = [file('a.img', new Uint8Array(512)), file('b.iso', iso())]
    const open = await OpenDrives.open(listDrives({ hdc: a, cdrom: b, drive: [parseDrive('media=cdrom,index=3')] }, []))
    expect(open.drives.map(({ media, index }) => [media, index])).toEqual([
      ['disk', 2],
      ['cdrom', undefined],
      ['cdrom', 3],
    ])
    await open.close()
  })

  test.each([
    { name: 'absent.img', bytes: null, message: 'there is no such file' },
    { name: 'q.qcow2', bytes: Buffer.from('QFI\xfb', 'latin1'), message: 'qcow2 images cannot be used yet' },
  ])('$name: $message, and what was open is closed', async ({ name, bytes, message }) => {
    const path = bytes === null ? join(folder, name) : file(name, bytes)
    const good = file('good.img', new Uint8Array(512))
    await expect(OpenDrives.open(listDrives({}, [good, path]))).rejects.toThrow(message)
    await (await OpenDrives.open(listDrives({}, [good]))).close()
  })
})
