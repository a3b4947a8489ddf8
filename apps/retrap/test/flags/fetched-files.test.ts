/** Which of Debian's files are fetched, where they are, and what is said where they cannot be had. No network is used. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DebianError, fetchMembers } from '@retrap/debian'
import { multibootHeader } from '@retrap/tooling/images'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { beforeEach, expect, test, vi } from 'vitest'
import { fetchBiosFile, readImages } from '../../src/flags/images.ts'
import { CardRoms } from '../../src/machine/devices/network-cards.ts'

vi.mock(import('@retrap/debian'), async (original) => ({ ...(await original()), fetchMembers: vi.fn() }))

const folder = temporaryFolder('fetched')

/** Each file has its own name in it. */
beforeEach(() => {
  vi.mocked(fetchMembers)
    .mockReset()
    .mockImplementation(async ([wanted]) => {
      for (const member of wanted!.members) {
        mkdirSync(dirname(join(folder, member)), { recursive: true })
        writeFileSync(join(folder, member), member)
      }
      return [folder]
    })
})

const asked = (): unknown => vi.mocked(fetchMembers).mock.calls.map(([wanted]) => wanted)
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && new TextDecoder().decode(bytes)

// Names of files in Debian's packages seabios and qemu-system-data.
const ROMS = ['linuxboot_dma.bin', 'multiboot_dma.bin', 'pvh.bin'].map((name) => `./usr/share/qemu/${name}`)
test.each([
  ['bios-256k.bin', 'seabios', ['./usr/share/seabios/bios-256k.bin'], '--firmware FILE'],
  ['vgabios-stdvga.bin', 'seabios', ['./usr/share/seabios/vgabios-stdvga.bin'], '--vga none'],
  ['linuxboot_dma.bin', 'qemu-system-data', ROMS, '--option-rom FILE'],
  ['multiboot_dma.bin', 'qemu-system-data', ROMS, '--option-rom FILE'],
  ['pvh.bin', 'qemu-system-data', ROMS, '--option-rom FILE'],
] as const)('%s is of %s', async (name, archive, members, instead) => {
  expect(text(await fetchBiosFile(name))).toBe(members.find((member) => member.endsWith(`/${name}`)))
  expect(asked()).toEqual([[{ package: archive, members }]])
  vi.mocked(fetchMembers).mockRejectedValue(new DebianError('ERR_FETCH' as never, 'no network'))
  await expect(fetchBiosFile(name)).rejects.toMatchObject({
    code: 'ERR_FETCH',
    message: expect.stringMatching(new RegExp(`^no network; .*${instead}$`)) as unknown,
  })
})

test('another error is none of the network’s', async () => {
  const error = new TypeError('ours')
  vi.mocked(fetchMembers).mockRejectedValue(error)
  await expect(fetchBiosFile('pvh.bin')).rejects.toBe(error)
  await expect(CardRoms.open([['e1000', { netdev: 'n' }]], { firmware: 'bios', wanted: true })).rejects.toBe(error)
})

// Debian's package ipxe-qemu.
test.each([
  ['e1000', 'bios', 'pxe-e1000.rom'],
  ['virtio', 'bios', 'pxe-virtio.rom'],
  ['e1000', 'own', 'efi-e1000.rom'],
  ['virtio', 'own', 'efi-virtio.rom'],
] as const)('the boot program of %s for firmware %s is %s', async (model, firmware, name) => {
  const card = { netdev: 'n' }
  const roms = await CardRoms.open([[model, card]], { firmware, wanted: true })
  const member = `./usr/lib/ipxe/qemu/${name}`
  expect(asked()).toEqual([[{ package: 'ipxe-qemu', members: [member] }]])
  expect(text(roms.byCard.get(card))).toBe(member)
})

test('a card has one where the machine may boot from it', async () => {
  const plain = { netdev: 'a' }
  const first = { netdev: 'b', bootIndex: 0 }
  const roms = await CardRoms.open(
    [
      ['e1000', plain],
      ['e1000', first],
    ],
    { firmware: 'bios', wanted: false },
  )
  expect([roms.byCard.get(plain), text(roms.byCard.get(first))]).toEqual([
    undefined,
    './usr/lib/ipxe/qemu/pxe-e1000.rom',
  ])
  await roms.add([['e1000', plain]], { firmware: 'none', wanted: true })
  expect(roms.byCard.get(plain)).toBeUndefined()
  vi.mocked(fetchMembers).mockRejectedValue(new DebianError('ERR_FETCH' as never, 'no network'))
  await expect(roms.add([['e1000', plain]], { firmware: 'bios', wanted: true })).rejects.toMatchObject({
    code: 'ERR_FETCH',
    message: 'no network; give a boot program of your own: romfile=FILE',
  })
})

test('a multiboot kernel with a graphics card starts behind a BIOS with a video BIOS, where there is one', async () => {
  const kernel = join(folder, 'multiboot')
  writeFileSync(kernel, multibootHeader(0))
  const told: string[] = []
  const read = async (given: object): Promise<unknown> => {
    const { firmware, vgaBios, optionRoms } = await readImages({ kernel, ...given }, [], (line) => told.push(line))
    return [text(firmware)?.slice(-13), text(vgaBios)?.slice(-18), optionRoms?.map(({ name }) => name)]
  }
  const rom = ['multiboot_dma.bin']
  expect(await read({ vga: 'std' })).toEqual(['bios-256k.bin', 'vgabios-stdvga.bin', rom])
  expect(told).toEqual([expect.stringMatching(/^SeaBIOS prepares the board/)])
  expect(await read({ vga: 'std', firmware: kernel })).toEqual([expect.anything(), 'vgabios-stdvga.bin', rom])
  expect(await read({ vga: 'none', firmware: kernel })).toEqual([expect.anything(), undefined, rom])
  expect(await read({})).toEqual([undefined, undefined, undefined])
  expect(told).toHaveLength(1)
  vi.mocked(fetchMembers).mockRejectedValue(new DebianError('ERR_FETCH' as never, 'no network'))
  expect(await read({ vga: 'std' })).toEqual([undefined, undefined, undefined])
  expect(told.at(-1)).toMatch(/^SeaBIOS cannot be fetched: .* BARs and text mode .*no network/)
})
