import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Screen } from '@retrap/display'
import { debianMembers } from '@retrap/tooling/debian'
import { skipNote } from '@retrap/tooling/skip'
import { TEST_JIT } from '@retrap/tooling/jit'
import { describe, expect, test } from 'vitest'
import { createPc, type PcOptions } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'
import { watchQemu } from './support/qemu-screen.ts'

const FOLDER = './usr/share/seabios/'
const seabios = await debianMembers([
  { package: 'seabios', members: [`${FOLDER}bios-256k.bin`, `${FOLDER}vgabios-stdvga.bin`] },
])
const note = skipNote(seabios !== undefined, 'there is no apt to fetch SeaBIOS with')
const path = (name: string): string => `${seabios?.[0] ?? ''}/${FOLDER}${name}`
const file = (name: string): Uint8Array => new Uint8Array(readFileSync(path(name)))
const QEMU = spawnSync('qemu-system-x86_64', ['--version']).status === 0
const CURSOR_ROWS = 16
const VGA = 2
const SMALL = { memoryBytes: 32 << 20, codeCacheBytes: 4 << 20, jit: TEST_JIT } as const
const firmware = firmwareImage((asm) => void asm.hlt())

/** Vendor and device of a PCI function on bus 0. */
async function identity(options: Omit<PcOptions, 'memoryBytes'>, device: number): Promise<string> {
  const pc = await createPc({ ...SMALL, ...options })
  const { dispatch } = pc.domain
  dispatch.portWrite(0xcf8, 4, 0x8000_0000 + device * 0x800)
  dispatch.portRead(0xcfc, 4)
  pc.close()
  return dispatch.lo.toString(16)
}

describe('the graphics card', () => {
  test.each([
    { what: 'firmware alone has none', options: { firmware }, device: VGA, found: 'ffffffff' },
    { what: 'firmware with drives has one', options: { firmware, drives: [] }, device: VGA, found: '11111234' },
    { what: 'which can be left out', options: { firmware, drives: [], vga: 'none' }, device: VGA, found: 'ffffffff' },
    { what: 'and asked for', options: { firmware, vga: 'std' }, device: VGA, found: '11111234' },
    {
      what: 'with Xen, whose platform device is in its place, it is the next one',
      options: { firmware, vga: 'std', hypervisor: 'xen' },
      device: 3,
      found: '11111234',
    },
  ] as const)('$what', async ({ options, device, found }) => {
    expect(await identity(options, device)).toBe(found)
  })

  test('options that cannot be are a MachineError', async () => {
    const bad: readonly object[] = [
      { vga: 'cirrus' },
      { screen: {} },
      { vgaBios: [] },
      { vgaBios: new Uint8Array(1e5) },
    ]
    for (const options of bad)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await expect(createPc({ ...SMALL, firmware, vga: 'std', ...options })).rejects.toMatchObject({
        code: 'ERR_OPTION',
      })
  })
})

describe.runIf(seabios !== undefined)(`SeaBIOS and its video BIOS${note}`, () => {
  test('show in text of 80 by 25 what they say, and just what QEMU shows', async () => {
    const screen = new Screen()
    const pc = await createPc({
      ...SMALL,
      firmware: file('bios-256k.bin'),
      vgaBios: file('vgabios-stdvga.bin'),
      drives: [],
      screen,
      clock: 'deterministic',
    })
    let said = ''
    const stop = new AbortController()
    pc.serial.onTransmit((bytes) => {
      said += new TextDecoder('latin1').decode(bytes)
      if (said.includes('No bootable device')) stop.abort()
    })
    const exit = await pc.run({ signal: stop.signal, timeoutMs: 60_000 })
    expect(exit.reason).toBe('stopped')
    expect(pc.screen).toBe(screen)
    screen.refresh()
    expect([screen.width, screen.height, screen.cells?.columns, screen.cells?.rows]).toEqual([720, 400, 80, 25])
    expect(screen.text).toMatch(/^SeaBIOS \(version 1\..*\n(.*\n)*Booting from Hard Disk\.\.\.\nBoot failed/)
    pc.close()
    if (!QEMU) return
    // QEMU has no drives: it boots from a floppy and a disk that are not there either. Its rows are a prefix of these.
    const folder = mkdtempSync(join(tmpdir(), 'retrap-screen-'))
    const options = ['-bios', path('bios-256k.bin'), '-device', `VGA,romfile=${path('vgabios-stdvga.bin')}`]
    const until = screen.width * CURSOR_ROWS
    const same = (width: number, pixels: Uint32Array): boolean =>
      width === screen.width &&
      pixels.length === screen.pixels.length &&
      pixels.subarray(0, until).every((pixel, i) => ((pixel ^ screen.pixels[i]!) & 0xfc_fcfc) === 0)
    expect(await watchQemu(options, join(folder, 'screen.ppm'), same, 30)).toBe(true)
    rmSync(folder, { recursive: true })
  }, 120_000)
})
