import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DebugConsole, DebugExit } from '@retrap/devices'
import { Screen } from '@retrap/display'
import { debianMembers } from '@retrap/tooling/debian'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { TEST_JIT } from '@retrap/tooling/jit'
import { type Assembler, al, ax, byte, ds, dx, imm16 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc, type PcOptions } from '../src/index.ts'
import { firmwareImage } from './support/kernels.ts'
import { watchQemu } from './support/qemu-screen.ts'

const FOLDER = './usr/share/seabios/'
const LINUX = { package: 'linux-image-cloud-amd64', dependency: 'linux-image-', members: ['./boot/vmlinuz-*'] }
const seabios = await debianMembers([
  { package: 'seabios', members: [`${FOLDER}bios-256k.bin`, `${FOLDER}vgabios-stdvga.bin`] },
])
const note = skipNote(seabios !== undefined, 'cannot fetch it')
const path = (name: string): string => `${seabios?.[0] ?? ''}/${FOLDER}${name}`
const file = (name: string): Uint8Array => new Uint8Array(readFileSync(path(name)))
const QEMU = hasProgram('qemu-system-x86_64')
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
      await expect(createPc({ ...SMALL, firmware, vga: 'std', ...options })).rejects.toMatchObject({
        code: 'ERR_OPTION',
      })
  })
})

/** Writes a register of DISPI. */
function setDispi(asm: Assembler, index: number, value: number): void {
  for (const [port, word] of [
    [0x1ce, index],
    [0x1d0, value],
  ] as const)
    asm.mov(dx, imm16(port)).mov(ax, imm16(word)).out(dx, ax)
}

function out(asm: Assembler, port: number, ...values: readonly number[]): void {
  asm.mov(dx, imm16(port))
  for (const value of values) asm.mov(al, value).out(dx, al)
}

test('banks of a linear mode are read and written at 0xA0000, trapped at first and then as memory', async () => {
  const COUNT = 100
  const image = firmwareImage((asm) => {
    // Colour 1 is white, 2 is blue.
    out(asm, 0x3c8, 1)
    out(asm, 0x3c9, 63, 63, 63, 0, 0, 63)
    out(asm, 0x3c0, 0x20)
    for (const [index, value] of [
      [1, 320],
      [2, 240],
      [3, 8],
      [4, 1],
    ] as const)
      setDispi(asm, index, value)
    asm.mov(ax, imm16(0xa000)).mov(ds, ax)
    const fill = (value: number): void => {
      for (let at = 0; at < COUNT; at++) asm.mov(byte(at), value)
    }
    const report = (at: number): void => {
      asm.mov(dx, imm16(0xe9)).mov(al, byte(at)).out(dx, al)
    }
    fill(1)
    setDispi(asm, 5, 1)
    report(0)
    fill(2)
    report(COUNT - 1)
    setDispi(asm, 5, 0)
    report(COUNT - 1)
    report(COUNT)
    asm.mov(dx, imm16(0x501)).mov(al, 0).out(dx, al).hlt()
  })
  const seen: number[] = []
  let trapped = 0
  const console = new DebugConsole({ iobase: 0xe9, stream: { send: (bytes) => void seen.push(...bytes) } })
  const pc = await createPc({
    ...SMALL,
    firmware: image,
    vga: 'std',
    devices: [console, new DebugExit({ iobase: 0x501 })],
    trace({ event, request }) {
      if (event === 'done' && request?.addressLo !== undefined && request.addressLo >>> 17 === 5) trapped++
    },
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  expect(seen).toEqual([0, 2, 1, 0])
  // 64 of each bank, and what comes after the last change of the bank.
  expect(trapped).toBe(64 + 64 + 2)
  pc.screen.refresh()
  const { pixels, width, height } = pc.screen
  expect([width, height]).toEqual([320, 240])
  const colours = (from: number, count: number): string[] =>
    [...pixels.subarray(from, from + count)].map((pixel) => pixel.toString(16))
  expect(colours(COUNT - 1, 2)).toEqual(['ffffff', '0'])
  expect(colours(0x1_0000 + COUNT - 1, 2)).toEqual(['ff', '0'])
  pc.close()
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

const [linux = ''] = (await debianMembers([LINUX])) ?? []

test.skipIf(linux === '')(
  `Linux without firmware writes on the card${skipNote(linux !== '', 'cannot fetch it')}`,
  async () => {
    const [name = ''] = readdirSync(join(linux, 'boot'))
    const kernel = new Uint8Array(readFileSync(join(linux, 'boot', name)))
    const screen = new Screen()
    const pc = await createPc({ memoryBytes: 256 << 20, kernel, vga: 'std', screen, jit: TEST_JIT })
    const rows = (): string[] => (screen.refresh(), screen.text?.split('\n') ?? [])
    const isSeen = (row: string): boolean => row.includes('CPU')
    for (let slices = 0; slices < 200 && !rows().some(isSeen); slices++) await pc.run({ timeoutMs: 200 })
    const row = rows().findIndex(isSeen)
    const column = rows()[row]!.indexOf('CPU')
    const dots = Array.from({ length: 16 }, (_, y) =>
      screen.pixels
        .subarray((16 * row + y) * screen.width + 9 * column)
        .subarray(0, 9)
        .map((colour) => (colour >> 7) & 1)
        .join(''),
    )
    const edges = ['001111000', '010000100']
    const middle = Array(5).fill('010000000')
    expect(dots.slice(3, 14)).toEqual(['000000000', ...edges, ...middle, ...edges.toReversed(), '000000000'])
    pc.close()
  },
)
