import { type BlockTrayState, DeviceError } from '@retrap/device'
import { Assembler } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc, MachineError } from '../src/index.ts'
import { RemovableDrive, withTrays } from '../src/devices/removable-drive.ts'
import { TestDisc } from './support/test-disc.ts'

const disc = (fill: number): TestDisc => new TestDisc(fill, 16 * 2048, 2048)

/** A CD drive with a disc, and a model that hears of it. */
function drive(medium: TestDisc | null = disc(1)) {
  const heard: string[] = []
  const made = new RemovableDrive({ id: 'cd0', kind: 'cdrom', medium }, () => heard.push('machine'))
  made.onChange(() => heard.push(`model ${made.properties.bytes}`))
  let [asked, refusal] = [0, null as string | null]
  made.tray.connect({ refuses: () => refusal, ejectRequested: () => void asked++ })
  const set = (state: Partial<BlockTrayState>): void => made.tray.moved({ open: false, locked: false, ...state })
  return { drive: made, heard, asked: () => asked, set, refuse: (why: string) => void (refusal = why) }
}

describe('a drive whose medium is exchanged', () => {
  test('tells the model, then the machine, and gives back what was in it', async () => {
    const first = disc(1)
    const { drive: cd, heard } = drive(first)
    expect(await cd.insert(disc(2))).toBe(first)
    expect((await cd.eject())?.properties.bytes).toBe(16 * 2048)
    expect([await cd.eject(), cd.medium, cd.properties.bytes]).toEqual([null, null, 0])
    expect(await cd.insert(first)).toBeNull()
    expect(heard).toEqual([32_768, 0, 32_768].flatMap((bytes) => [`model ${bytes}`, 'machine']))
    await expect(cd.insert(first)).rejects.toThrow('the medium is in it already')
  })

  test('answers no request that was made of the medium before, and gives that back only then', async () => {
    const [first, second] = [disc(1), disc(2)]
    const { drive: cd } = drive(first)
    first.hold = true
    const into = new Uint8Array(2048)
    const read = cd.read(0, into)
    let before: unknown
    const exchange = cd.insert(second).then((medium) => (before = medium))
    await cd.read(0, into)
    expect(into).toEqual(new Uint8Array(2048).fill(2))
    expect(before).toBeUndefined()
    first.release()
    await expect(read).rejects.toMatchObject({ code: 'ERR_NO_MEDIUM' })
    expect(await exchange).toBe(first)
    await cd.eject()
    for (const request of [
      cd.read(0, into),
      cd.write(0, into),
      cd.flush(),
      cd.discard(0, 2048),
      cd.writeZeroes(0, 2048),
    ])
      await expect(request).rejects.toMatchObject({ code: 'ERR_NO_MEDIUM' })
  })

  test('exchanges one after the other: none gives back a medium that is in', async () => {
    const [first, second] = [disc(1), disc(2)]
    const { drive: cd } = drive(first)
    first.hold = true
    const reading = cd.read(0, new Uint8Array(2048)).catch(() => 'failed')
    const given: string[] = []
    const name = (medium: unknown): string => (medium === first ? 'first' : medium === second ? 'second' : 'none')
    const note = (exchange: Promise<unknown>): Promise<unknown> =>
      exchange.then((medium) => given.push(`${name(medium)}, and ${name(cd.medium)} is in`))
    const all = [note(cd.insert(second)), note(cd.insert(first)), note(cd.eject())]
    expect(cd.medium).toBe(second)
    first.release()
    expect(await reading).toBe('failed')
    await Promise.all(all)
    expect(given).toEqual(['first, and second is in', 'second, and first is in', 'first, and none is in'])
  })

  test('keeps one that the guest has locked, and asks the guest for it; force takes it', async () => {
    const { drive: cd, asked, set } = drive()
    set({ locked: true })
    expect([cd.isLocked, cd.isOpen]).toEqual([true, false])
    await expect(cd.eject()).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    await expect(cd.insert(disc(2))).rejects.toBeInstanceOf(MachineError)
    expect([asked(), cd.medium?.properties.bytes]).toEqual([2, 32_768])
    // A tray that is out holds nothing.
    set({ locked: true, open: true })
    await cd.insert(disc(2))
    set({ locked: true })
    await cd.eject({ force: true })
    expect(cd.medium).toBeNull()
  })

  test('refuses one that the model cannot take', async () => {
    const { drive: cd, refuse } = drive()
    refuse('blocks of 4096 bytes')
    await expect(cd.insert(disc(2))).rejects.toThrow('cd0: blocks of 4096 bytes')
  })

  test('hears of a medium that changes by itself only while it is in', async () => {
    const [first, second] = [disc(1), disc(2)]
    const { drive: cd, heard } = drive(first)
    await cd.insert(second)
    heard.length = 0
    first.resize(0)
    expect(heard).toEqual([])
    second.resize(2048)
    expect(heard).toEqual(['model 2048', 'machine'])
  })
})

describe('drives of a machine', () => {
  const names = (...given: Parameters<typeof withTrays>[0]): readonly string[] =>
    withTrays(given, () => {}).removable.map(({ id }) => id)

  test('have the names of their kind, or their own', () => {
    const medium = disc(1)
    expect(
      names(
        { medium },
        { medium, media: 'cdrom' },
        { medium: null, media: 'cdrom', interface: 'scsi' },
        { medium: null, interface: 'floppy', index: 1 },
        { medium: null, interface: 'floppy', id: 'a' },
        { medium, media: 'cdrom', interface: 'usb' },
      ),
    ).toEqual(['cd0', 'cd1', 'floppy1', 'a', 'cd2'])
    expect(() => names({ medium, media: 'cdrom', id: 'x' }, { medium, media: 'cdrom', id: 'x' })).toThrow("id 'x'")
  })

  test.each(['pc', 'q35'] as const)('%s: are reached by name, and know their limits', async (machine) => {
    const asm = new Assembler({ bits: 16, address: 0 })
    const firmware = new Uint8Array(65_536).fill(0xf4)
    firmware.set(asm.hlt().assemble().bytes, 0xfff0)
    const pc = await createPc({
      memoryBytes: 1 << 21,
      firmware,
      machine,
      drives: [
        { medium: disc(1), media: 'cdrom' },
        { medium: disc(1), media: 'cdrom', interface: 'scsi' },
        { medium: disc(1), media: 'cdrom', interface: 'usb' },
        { medium: null, interface: 'floppy' },
      ],
    })
    expect(pc.removableDrives.map(({ id, kind }) => `${id} ${kind}`)).toEqual([
      'cd0 cdrom',
      'cd1 cdrom',
      'cd2 cdrom',
      'floppy0 floppy',
    ])
    const wrong = new TestDisc(1, 8192, 4096)
    const large = new TestDisc(1, 3 << 20)
    for (const id of ['cd0', 'cd1', 'cd2', 'floppy0']) {
      await expect(pc.drive(id).insert(id === 'floppy0' ? large : wrong)).rejects.toMatchObject({ code: 'ERR_OPTION' })
    }
    await pc.drive('cd0').insert(disc(3))
    await pc.drive('floppy0').insert(new TestDisc(1, 1440 << 10))
    expect([pc.drive('cd0').isOpen, pc.drive('cd0').isLocked]).toEqual([false, false])
    expect(() => pc.drive('hd0')).toThrow("drive 'hd0': drives with a medium to exchange are: cd0, cd1, cd2, floppy0")
    pc.close()
  })

  test('a disc that no drive takes is refused when the machine is made', async () => {
    const wrong = new TestDisc(1, 8192, 4096)
    for (const kind of ['ide', 'scsi', 'usb'] as const) {
      await expect(
        createPc({
          memoryBytes: 1 << 21,
          firmware: new Uint8Array(65_536),
          drives: [{ medium: wrong, media: 'cdrom', interface: kind }],
        }),
      ).rejects.toSatisfy((error) => error instanceof MachineError && error.cause instanceof DeviceError)
    }
  })
})
