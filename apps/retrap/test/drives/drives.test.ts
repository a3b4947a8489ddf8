import { spawnSync } from 'node:child_process'
import { chmodSync, linkSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { geteuid, seteuid } from 'node:process'
import { createQcow2 } from '@retrap/block'
import { FileStorage } from '@retrap/block/node'
import { BlockError } from '@retrap/device'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import { listDrives, parseBoot, parseDrive, type DriveFlags } from '../../src/machine/drives/drives.ts'
import { OpenDrives } from '../../src/machine/drives/open-drives.ts'

const folder = temporaryFolder('drives')

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

/** A qcow2 image of 64 KiB over another file. */
async function overlay(name: string, backing: { readonly name: string; readonly format: string }): Promise<string> {
  const path = join(folder, name)
  const storage = await FileStorage.create(path)
  await createQcow2(storage, { bytes: 65_536, backing })
  await storage.close()
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
    { text: 'file=a,,,index=1', drive: { path: 'a,', index: 1 } },
    { text: 'file=,,,,a', drive: { path: ',,a' } },
    { text: 'file=a,format=raw', drive: { path: 'a', format: 'raw' } },
    { text: 'file=a,format=qcow2', drive: { path: 'a', format: 'qcow2' } },
    { text: 'file=x,cache=none,discard=unmap,aio=native', drive: { ignored: ['cache', 'aio', 'discard'] } },
    { text: 'file=x,if=pflash,cache=writeback', drive: { flash: 0, ignored: ['cache'] } },
    { text: 'media=cdrom', drive: { path: null, media: 'cdrom', readOnly: true } },
    { text: 'file=x,bus=1,unit=1,readonly=on', drive: { cable: { bus: 1, unit: 1 }, readOnly: true } },
    { text: 'file=x,bus=1', drive: { cable: { bus: 1, unit: 0 } } },
    { text: 'file=x,bootindex=2,serial=ABC,id=d0', drive: { bootIndex: 2, serialNumber: 'ABC' } },
    { text: 'file=x,if=pflash,readonly=on', drive: { path: 'x', flash: 0, readOnly: true, format: 'raw' } },
    { text: 'if=pflash,unit=1,file=x,snapshot=on', drive: { flash: 1, readOnly: false, snapshot: true } },
  ])('$text', ({ text, drive }) => {
    expect(parseDrive(text)).toMatchObject(drive)
  })

  test.each([
    { text: 'a.img', message: "'a.img' is not of the form key=value" },
    { text: 'file=x,fromat=raw', message: "secure; did you mean 'format'?" },
    { text: 'file=x,if=virtoi', message: "pflash; did you mean 'virtio'?" },
    { text: 'file=x,copy-on-read=on', message: "--drive has no 'copy-on-read'; it has file, if," },
    { text: 'file=x,if=sd', message: 'if=sd is unknown; there are ide, virtio, scsi, floppy, none, pflash' },
    { text: 'file=x,if=none', message: 'has no id for a --device; write id=NAME' },
    { text: 'file=x,if=virtio,media=cdrom', message: 'a CD drive is one of IDE or SCSI; write if=ide or if=scsi' },
    { text: 'file=x,format=vmdk', message: 'format=vmdk is unknown; there are raw, qcow2' },
    { text: 'file=x,index=6', message: 'index=6 is not a number from 0 to 5' },
    { text: 'file=x,snapshot=yes', message: 'snapshot=yes is not on or off' },
    { text: 'media=disk', message: 'names no file' },
    { text: 'file=', message: 'names no file' },
    { text: 'file=a,file=b', message: "gives 'file' twice; a comma within a value is written as ,," },
    { text: 'file=a,index=0,bus=1', message: 'names its place twice; write either index, or bus and unit' },
    { text: 'file=a,index=0,unit=1', message: 'names its place twice' },
    { text: 'if=pflash', message: 'names no file' },
    { text: 'if=pflash,file=x,format=qcow2', message: 'the image of a flash is raw' },
    { text: 'if=pflash,unit=2,file=a', message: 'unit=2 is not a number from 0 to 1' },
    { text: 'if=pflash,file=a,readonly=yes', message: 'readonly=yes is not on or off' },
    { text: 'if=pflash,file=a,snapshot=1', message: 'snapshot=1 is not on or off' },
    { text: 'if=pflash,file=a,index=0,unit=1', message: 'names its place twice' },
    { text: 'if=pflash,file=a,serial=7', message: "a flash has no 'serial'; it has file, if" },
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

test.each([
  { text: 'c,d', key: 'order' },
  { text: 'order=c,menu=on,order=d', key: 'order' },
  { text: 'menu=on,menu=off', key: 'menu' },
])('--boot $text is refused, since one $key would be lost', ({ text, key }) => {
  expect(() => parseBoot(text)).toThrow(`gives '${key}' twice; write one order`)
})

test.each<{ flags: DriveFlags; images: string[] }>([
  { flags: {}, images: ['a.img', ''] },
  { flags: { hdb: '' }, images: [] },
  { flags: { cdrom: '' }, images: [] },
])('an empty name is refused: $flags, $images', ({ flags, images }) => {
  expect(() => listDrives(flags, images)).toThrow('the name of a disk image is empty')
})

describe('flash', () => {
  test('variables make the firmware a flash that is only read', () => {
    const [code, vars] = listDrives({ firmware: 'code.fd', firmwareVars: 'vars.fd' }, [])
    expect([code, vars]).toMatchObject([
      { path: 'code.fd', flash: 0, readOnly: true },
      { path: 'vars.fd', flash: 1, readOnly: false },
    ])
    expect(listDrives({ firmware: 'code.fd' }, [])).toEqual([])
    // Disks and discs of an Arm machine are where its firmware finds them.
    const drives = listDrives({ arch: 'arm64', hda: 'a', cdrom: 'b' }, ['c'])
    expect(drives.map((drive) => [drive.path, drive.interface])).toEqual([
      ['a', 'scsi'],
      ['b', 'scsi'],
      ['c', 'scsi'],
    ])
  })

  test.each<{ flags: DriveFlags; message: string }>([
    { flags: { firmwareVars: 'v' }, message: 'but no firmware; give --firmware FILE' },
    { flags: { drive: [parseDrive('if=pflash,unit=1,file=v')] }, message: 'but no firmware' },
    {
      flags: { firmware: 'c', firmwareVars: 'v', drive: [parseDrive('if=pflash,unit=1,file=w')] },
      message: 'two flash memories are unit 1',
    },
  ])('$message', ({ flags, message }) => {
    expect(() => listDrives(flags, [])).toThrow(message)
  })

  test('is no drive of the controller', async () => {
    const [code, vars] = [file('code.fd', new Uint8Array(8192)), file('vars.fd', new Uint8Array(4096))]
    const open = await OpenDrives.open(listDrives({ firmware: code, firmwareVars: vars }, []))
    expect(open.drives).toEqual([])
    expect(open.flash.map(({ medium: { properties } }) => [properties.bytes, properties.readOnly])).toEqual([
      [8192, true],
      [4096, false],
    ])
    await open.close()
  })
})

describe('drives that are opened', () => {
  test('have a note on keys that change nothing', async () => {
    const path = file('noted.img', new Uint8Array(512))
    const images = await OpenDrives.open([parseDrive(`file=${path},format=raw,cache=none,aio=native`)])
    await images.close()
    expect(images.notes).toEqual([`--drive ${path}: cache=, aio= change nothing here`])
  })

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

  test('what a flash could not write is told at the end, for its guest may not hear of it', async () => {
    const [code, vars] = [file('code.fd', new Uint8Array(4096)), file('vars.fd', new Uint8Array(4096))]
    const open = await OpenDrives.open(listDrives({ firmware: code, firmwareVars: vars }, []))
    const error = new BlockError('ERR_NO_SPACE', 'full')
    const failing = vi.spyOn(FileStorage.prototype, 'write').mockRejectedValueOnce(error)
    await expect(open.flash[1]!.medium.write(0, new Uint8Array(512))).rejects.toThrow('full')
    failing.mockRestore()
    expect(await open.close()).toEqual([{ path: vars, error }])
  })

  test.each([
    { name: 'absent.img', bytes: null, message: 'there is no such file' },
    { name: 'q.qcow2', bytes: Buffer.from('QFI\xfb', 'latin1'), message: 'q.qcow2: it is not a qcow2 image' },
  ])('$name: $message, and what was open is closed', async ({ name, bytes, message }) => {
    const path = bytes === null ? join(folder, name) : file(name, bytes)
    const good = file('good.img', new Uint8Array(512))
    await expect(OpenDrives.open(listDrives({}, [good, path]))).rejects.toThrow(message)
    await (await OpenDrives.open(listDrives({}, [good]))).close()
  })

  const NOT_RAW = [
    { format: 'VMDK', at: 0, signature: 'KDMV' },
    { format: 'VHDX', at: 0, signature: 'vhdxfile' },
    { format: 'VDI', at: 0x40, signature: '\x7f\x10\xda\xbe' },
  ]
  test.each(NOT_RAW)('$format is refused by every option, unless format=raw says so', async (row) => {
    const bytes = Buffer.alloc(1024)
    bytes.write(row.signature, row.at, 'latin1')
    const path = file(`image.${row.format}`, bytes)
    for (const list of [
      listDrives({}, [path]),
      listDrives({ hda: path }, []),
      listDrives({ hdd: path, snapshot: true }, []),
      listDrives({ cdrom: path }, []),
      listDrives({ drive: [parseDrive(`file=${path}`)] }, []),
      listDrives({ drive: [parseDrive(`file=${path},media=disk,readonly=on`)] }, []),
    ]) {
      await expect(OpenDrives.open(list)).rejects.toThrow(`${row.format} images cannot be used yet`)
    }
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0)
    await (await OpenDrives.open(listDrives({ drive: [parseDrive(`file=${path},format=raw`)] }, []))).close()
  })

  test('a qcow2 image is known by its content; one with a file below only by its name or by format=qcow2', async () => {
    const secret = file('secret.txt', Buffer.alloc(1024, 'not for guests'))
    const make = async (name: string, below?: string): Promise<string> => {
      const path = join(folder, name)
      const storage = await FileStorage.create(path)
      const backing = below === undefined ? {} : { backing: { name: below, format: 'raw' } }
      await createQcow2(storage, { bytes: 1 << 20, ...backing })
      await storage.close()
      return path
    }
    const alone = await make('alone.img')
    const named = await make('named.qcow2', secret)
    // As a guest could write it to a raw disk.
    const unnamed = await make('disk.img', secret)
    for (const list of [
      listDrives({}, [alone]),
      listDrives({ hda: named }, []),
      listDrives({ cdrom: named }, []),
      listDrives({ hda: named, snapshot: true }, []),
      listDrives({ drive: [parseDrive(`file=${unnamed},format=qcow2`)] }, []),
    ]) {
      const open = await OpenDrives.open(list)
      expect(open.drives[0]!.medium!.properties.bytes).toBe(1 << 20)
      const sector = Buffer.alloc(512)
      await open.drives[0]!.medium!.read(0, sector)
      expect(sector.toString().startsWith('not for guests')).toBe(list[0]!.path !== alone)
      await open.close()
    }
    await expect(OpenDrives.open(listDrives({}, [unnamed]))).rejects.toThrow(`needs ${secret}; say format=qcow2`)
    const raw = await OpenDrives.open(listDrives({ drive: [parseDrive(`file=${alone},format=raw`)] }, []))
    expect(raw.drives[0]!.medium!.properties.bytes).toBe(readFileSync(alone).length)
    await raw.close()
  })

  test.each([
    { at: 0x202, signature: 'HdrS', message: 'it is a Linux kernel, not a disk image; give --kernel ' },
    { at: 0, signature: '\x7fELF', message: 'it is an ELF file, not a disk image; give --kernel ' },
  ])('$message, where an option does not say that it is a disk', async ({ at, signature, message }) => {
    const bytes = Buffer.alloc(1024)
    bytes.write(signature, at, 'latin1')
    const path = file('vmlinuz', bytes)
    await expect(OpenDrives.open(listDrives({}, [path]))).rejects.toThrow(message)
    await (await OpenDrives.open(listDrives({ hda: path }, []))).close()
  })

  test('an empty file is refused', async () => {
    const path = file('empty.img', new Uint8Array(0))
    await expect(OpenDrives.open(listDrives({ hda: path }, []))).rejects.toThrow('it is empty; make an image')
  })

  test('a FIFO is refused at once, although nobody writes to it', async () => {
    const path = join(folder, 'fifo')
    expect(spawnSync('mkfifo', [path]).status).toBe(0)
    for (const list of [listDrives({ cdrom: path }, []), listDrives({}, [path])]) {
      await expect(OpenDrives.open(list)).rejects.toThrow('it is not a regular file')
    }
  })

  test('a file that may not be written is refused with the options that read it', async () => {
    const path = file('locked,image', new Uint8Array(512))
    chmodSync(path, 0o444)
    chmodSync(folder, 0o755)
    const root = geteuid?.() === 0
    // Root may write everything, nobody may not.
    if (root) seteuid?.(65_534)
    try {
      await expect(OpenDrives.open(listDrives({}, [path]))).rejects.toThrow(
        `it may not be written; give --snapshot, or --drive file=${path.replace(',', ',,')},readonly=on`,
      )
      await (await OpenDrives.open(listDrives({ snapshot: true }, [path]))).close()
    } finally {
      if (root) seteuid?.(0)
    }
  })

  test('a file named twice is refused where one of the drives writes it', async () => {
    const path = file('twice.img', new Uint8Array(4096))
    const link = join(folder, 'link.img')
    linkSync(path, link)
    const reader = parseDrive(`file=${path},readonly=on`)
    const twice = 'it is named twice; give it once, or give --snapshot'
    await expect(OpenDrives.open(listDrives({}, [path, path]))).rejects.toThrow(twice)
    await expect(OpenDrives.open(listDrives({ drive: [reader] }, [path]))).rejects.toThrow(twice)
    await expect(OpenDrives.open(listDrives({ cdrom: path, hda: path }, []))).rejects.toThrow(twice)
    await expect(OpenDrives.open(listDrives({}, [path, link]))).rejects.toThrow(`it is the same file as ${path}`)
    await (await OpenDrives.open(listDrives({ drive: [reader, reader] }, []))).close()
    await (await OpenDrives.open(listDrives({ snapshot: true }, [path, link]))).close()
  })

  test('images that another process is to hand over are claimed all, or none', async () => {
    const [first, second] = [file('first.img', new Uint8Array(512)), file('second.img', new Uint8Array(512))]
    const arriving = await OpenDrives.open(listDrives({}, [first, second]), 'later')
    const other = await OpenDrives.open(listDrives({}, [second]))
    await expect(arriving.claim()).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    await (await OpenDrives.open(listDrives({}, [first]))).close()
    await other.close()
    await arriving.claim()
    await expect(OpenDrives.open(listDrives({}, [first]))).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    expect(await arriving.close()).toEqual([])
  })

  test('a qcow2 image that has settled is not written by giving it up, or by closing it', async () => {
    const path = await overlay('settled.qcow2', { name: file('settled.img', new Uint8Array(65_536)), format: 'raw' })
    const open = await OpenDrives.open(listDrives({}, [path]))
    const medium = open.drives[0]!.medium!
    await medium.write(0, new Uint8Array(65_536).fill(7))
    await medium.flush()
    // A cluster that is free now: one flush notes that nothing refers to it, the next one that it may be used.
    await medium.discard(0, 65_536)
    await open.settle()
    const settled = readFileSync(path)
    utimesSync(path, 1, 1)
    await open.release()
    await open.claim()
    await open.close()
    expect([statSync(path).mtimeMs, readFileSync(path).equals(settled)]).toEqual([1000, true])
  })

  test('a file that another drive has below its own is not written', async () => {
    const base = file('base.img', new Uint8Array(65_536))
    const middle = await overlay('middle.qcow2', { name: 'base.img', format: 'raw' })
    const top = await overlay('top.qcow2', { name: middle, format: 'qcow2' })
    const open = async (drives: DriveFlags['drive'], ...images: readonly string[]) =>
      (await OpenDrives.open(listDrives({ drive: drives ?? [] }, images))).close()
    const reader = parseDrive(`file=${base},format=raw,readonly=on`)
    const snapshot = parseDrive(`file=${base},format=raw,snapshot=on`)
    const below = `is below ${top}, and must not change; give only one of them, or give --snapshot`
    await expect(open([], top, base)).rejects.toThrow(`${base}: it ${below}`)
    await expect(open([], top, middle)).rejects.toThrow(`${middle}: it ${below}`)
    await expect(open([], base, top)).rejects.toThrow(`${top}: ${base} is below it, and must not change`)
    // Several overlays of one base, and readers of the base, are no trouble.
    expect(await open([reader, snapshot], top, await overlay('b.qcow2', { name: base, format: 'raw' }))).toEqual([])
    const other = await OpenDrives.open(listDrives({}, [top]))
    for (const file of [base, middle]) await expect(open([], file)).rejects.toThrow('another machine reads it')
    expect(await open([reader, snapshot])).toEqual([])
    await other.close()
    expect(await open([], base)).toEqual([])
  })
})

test.each([
  { machine: 'pc', texts: ['bus=1,unit=1', 'bus=1', 'unit=1'], places: [3, 2, 1] },
  { machine: 'q35', texts: ['bus=5', 'unit=0', 'index=4'], places: [5, 0, 4] },
] as const)('the buses of a $machine', ({ machine, texts, places }) => {
  const drive = texts.map((text) => parseDrive(`file=x,${text}`))
  expect(listDrives({ drive, machine }, []).map(({ index }) => index)).toEqual(places)
})

test('a SATA port has one drive', () => {
  const drive = [parseDrive('file=x,bus=1,unit=1')]
  expect(() => listDrives({ drive, machine: 'q35' }, [])).toThrow('unit=1: a port of a q35 has one drive')
})

test('virtio disks come in the order of their indices', () => {
  const texts = ['file=a,if=virtio', 'file=b', 'file=c,if=virtio,index=1', 'file=d,if=virtio,index=0']
  const drives = listDrives({ drive: texts.map(parseDrive) }, [])
  expect(drives.map(({ path, index }) => [path, index])).toEqual(['d', 'b', 'c', 'a'].map((path) => [path, undefined]))
})
