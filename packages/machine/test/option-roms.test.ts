import { DebugExit } from '@retrap/devices'
import { debianMembers } from '@retrap/tooling/debian'
import * as x86 from '@retrap/x86-assembler'
import { VapicState } from '@retrap/vapic'
import { TEST_JIT } from '@retrap/tooling/jit'
import { readFileSync } from 'node:fs'
import { sliced } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { createPc, loadMultiboot, type OptionRom, type Pc, type PcOptions, pcMemoryMap } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'
import { everyForm } from './vapic/forms.ts'
import { EXIT_PORT, RAM_BYTES } from './vapic/kernel.ts'
import { stockRom } from './vapic/stock.ts'
import { machineFor, readLog, runKernel, stormKernel } from './vapic/storm.ts'

const MIB = 1 << 20
/** Where ROMs of these tests write down what they found: the inter-application area of the BIOS data. */
const NOTES = 0x4f0

/** An option ROM of so many blocks, with 16-bit code behind the jump at +3. */
function rom(name: string, blocks: number, code: (asm: x86.Assembler) => void): OptionRom {
  const asm = new x86.Assembler({ bits: 16, address: 0 })
  const start = asm.label()
  asm.db(0x55, 0xaa, blocks).jmp(start).org(0x40).bind(start)
  code(asm)
  asm.org(blocks * 512)
  const { bytes } = asm.assemble()
  bytes[bytes.length - 1] = -bytes.reduce((sum, value) => sum + value, 0)
  return { name, bytes }
}

/** Notes its segment in the word of this number, and returns. */
const noting = (
  name: string,
  number: number,
  blocks = 1,
  further: (asm: x86.Assembler) => void = () => undefined,
): OptionRom =>
  rom(name, blocks, (asm) => {
    asm.push(x86.ds).xor(x86.ax, x86.ax).mov(x86.ds, x86.ax).mov(x86.ax, x86.cs)
    asm.mov(x86.word(NOTES + 2 * number), x86.ax)
    further(asm)
    asm.pop(x86.ds).retf()
  })

const ends = multibootKernel((asm) => asm.mov(x86.dx, EXIT_PORT).mov(x86.al, 0).out(x86.dx, x86.al).hlt())

function machine(optionRoms: readonly OptionRom[], options: Partial<PcOptions> = {}): Promise<Pc> {
  return createPc({
    jit: TEST_JIT,
    memoryBytes: 4 * MIB,
    codeCacheBytes: 4 * MIB,
    kernel: ends,
    clock: 'deterministic',
    optionRoms,
    devices: [new DebugExit({ iobase: EXIT_PORT })],
    ...options,
  })
}

const notes = (pc: Pc, count: number): number[] => {
  const bytes = new Uint8Array(2 * count)
  pc.domain.guestMemory.read(NOTES, bytes)
  return [...new Uint16Array(bytes.buffer)]
}

describe('option ROMs where there is no BIOS', () => {
  test('are placed on 2 KiB boundaries from C0000 on, and called in that order before the kernel is there', async () => {
    const pc = await machine([
      noting('one', 0, 1, (asm) => {
        // Nothing is at 1 MiB yet.
        asm
          .mov(x86.ax, x86.imm16(0xffff))
          .mov(x86.ds, x86.ax)
          .mov(x86.ax, x86.word(0x10))
          .xor(x86.bx, x86.bx)
          .mov(x86.ds, x86.bx)
          .mov(x86.word(NOTES + 8), x86.ax)
      }),
      noting('two', 1, 5),
      noting('three', 2),
    ])
    expect(notes(pc, 5)).toEqual([0xc000, 0xc080, 0xc180, 0, 0])
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  })

  test('find registers as the Plug and Play BIOS Specification has them without a card, interrupts off, a stack', async () => {
    const pc = await machine([
      rom('registers', 1, (asm) => {
        asm.push(x86.ds).pushf().push(x86.ax).xor(x86.ax, x86.ax).mov(x86.ds, x86.ax).pop(x86.ax)
        asm
          .mov(x86.word(NOTES), x86.ax)
          .mov(x86.word(NOTES + 2), x86.bx)
          .mov(x86.word(NOTES + 4), x86.dx)
        asm
          .pop(x86.ax)
          .and(x86.ax, 0x200)
          .mov(x86.word(NOTES + 6), x86.ax)
          .mov(x86.ax, x86.ss)
          .mov(x86.word(NOTES + 8), x86.ax)
        asm
          .mov(x86.ax, x86.sp)
          .cmp(x86.ax, 0x7000)
          .mov(x86.ax, 0)
          .adc(x86.ax, 0)
          .mov(x86.word(NOTES + 10), x86.ax)
        asm.pop(x86.ds).retf()
      }),
    ])
    expect(notes(pc, 6)).toEqual([0, 0xffff, 0xffff, 0, 0, 0])
  })

  test('may make themselves smaller, or go', async () => {
    const shrink = (blocks: number) => (asm: x86.Assembler) => void asm.mov(x86.byte(2, { segment: x86.cs }), blocks)
    const pc = await machine([noting('large', 0, 32, shrink(2)), noting('gone', 1, 8, shrink(0)), noting('last', 2)])
    expect(notes(pc, 3)).toEqual([0xc000, 0xc080, 0xc080])
  })

  test.each(['inline', 'deferred'] as const)('reach devices whose board is %s', async (devicePlacement) => {
    const printed: number[] = []
    const greeting = rom('greeting', 1, (asm) => {
      for (const character of 'ROM') {
        asm.mov(x86.dx, 0x3f8).mov(x86.al, character.charCodeAt(0)).out(x86.dx, x86.al)
      }
      asm.mov(x86.al, 0x10).out(0x80, x86.al).retf()
    })
    const pc = await machine([greeting], { devicePlacement })
    pc.serial.onTransmit((bytes) => printed.push(...bytes))
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
    expect(String.fromCharCode(...printed)).toBe('ROM')
  })

  const good = noting('x', 0).bytes
  const changed = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = good.slice()
    change(bytes)
    return bytes
  }
  test.each([
    ['no signature', changed((bytes) => (bytes[1] = 0)), 'signature of option ROM x: 0x55, expected the bytes 55 AA'],
    ['no size', changed((bytes) => (bytes[2] = 0)), 'size of option ROM x: 0x0'],
    ['truncated', good.subarray(0, 500), "size of option ROM x: 512 bytes, expected at most the image's 500"],
    ['a wrong checksum', changed((bytes) => bytes[100]!++), 'checksum of option ROM x: 0x1'],
    ['empty', new Uint8Array(0), 'signature of option ROM x: 0x0'],
  ])('that are none are refused: %s', async (_what, bytes, message) => {
    await expect(machine([{ name: 'x', bytes }])).rejects.toThrow(message)
  })

  test('for which there is no room are refused', async () => {
    const big = [0, 1].map((i) => noting(`big${i}`, i, 130))
    await expect(machine(big)).rejects.toThrow(
      'option ROM big1: 66560 bytes, expected at most 63488 bytes from 0xd0800',
    )
  })

  test.each([
    ['hangs', (asm: x86.Assembler) => asm.jmp(asm.here()), 'the entry of option ROM bad has not returned'],
    ['halts', (asm: x86.Assembler) => asm.hlt(), 'the entry of option ROM bad ended with: hlt'],
  ])('that do not return end the attempt: one that %s', async (_what, code, message) => {
    await expect(machine([rom('bad', 1, (asm) => void code(asm))])).rejects.toThrow(message)
  })
})

const seabios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])
if (seabios === undefined) test.skip('option ROMs that SeaBIOS initialises (skipped: its package cannot be fetched)')

describe.runIf(seabios !== undefined)('option ROMs that SeaBIOS initialises', () => {
  const firmware = new Uint8Array(readFileSync(`${seabios?.[0] ?? ''}/usr/share/seabios/bios-256k.bin`))
  const roms = [
    ['our ROM', {}],
    ...(stockRom === undefined ? [] : [['the stock ROM', { rom: stockRom }] as const]),
  ] as const

  test.each(sliced(roms, 2))(
    '%s is found, announces itself, is locked and unlocked, and patches a guest',
    async (_name, vapic) => {
      const storm = stormKernel(everyForm(1))
      const pc = await machineFor(ends, 1, { kernel: undefined, firmware, vapic })
      let printed = ''
      let stop = (): void => undefined
      pc.serial.onTransmit((bytes) => {
        printed += String.fromCharCode(...bytes)
        if (printed.includes('No bootable device')) stop()
      })
      const ended = new AbortController()
      stop = () => ended.abort()
      await pc.run({ timeoutMs: 60_000, signal: ended.signal })
      expect(printed).toContain('No bootable device')
      const patcher = pc.vapic?.patcher
      expect(patcher?.state).toBe(VapicState.STANDBY)
      const at = (patcher?.save().rom_state_paddr ?? 0) - 0x20
      expect(at % 2048).toBe(0)
      // SeaBIOS has made the area read-only; the pages of the ROM are writable all the same.
      const { p2m } = pc.domain
      expect(p2m.translateWrite(at)).toBeGreaterThan(0)
      expect(p2m.translateWrite(0xf_0000)).toBe(-1)
      expect(p2m.translateWrite(0xc_0000 === at ? 0xc_8000 : 0xc_0000)).toBe(-1)
      // A guest that is started from here on.
      const { state } = loadMultiboot(
        {
          ramBytes: RAM_BYTES,
          e820: pcMemoryMap(RAM_BYTES).e820,
          write: (gpa, bytes) => void pc.domain.guestMemory.load(gpa, bytes),
        },
        { kernel: storm },
      )
      pc.domain.vcpus[0]?.cpu.load(state)
      expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit', code: 1 })
      const expected = await runKernel(storm, 1)
      expect(readLog(pc, 0)).toEqual(expected.logs[0])
      expect(patcher?.sites).toHaveLength(38)
      // A reset forgets the ROM, and locks it again.
      pc.domain.reset()
      expect(p2m.translateWrite(at)).toBe(-1)
    },
  )
})
