/** Address line 20 held low: addresses wrap at 1 MiB, for data, code and page walks. */
import { DebugConsole, DebugExit } from '@retrap/devices'
import { al, ax, type Assembler, byte, cr0, cr3, ds, dword, dx, eax, ecx, imm16, imm32 } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { createPc } from '../src/index.ts'
import { firmwareImage, multibootKernel } from './support/kernels.ts'

const MIB = 1 << 20
const SMALL = { memoryBytes: 16 * MIB, codeCacheBytes: 4 * MIB } as const

const port92 = (asm: Assembler, works: boolean): Assembler => asm.mov(al, works ? 2 : 0).out(0x92, al)
const outputPort = (asm: Assembler, works: boolean): Assembler =>
  asm
    .mov(al, 0xd1)
    .out(0x64, al)
    .mov(al, works ? 0xdf : 0xdd)
    .out(0x60, al)
const command = (asm: Assembler, works: boolean): Assembler => asm.mov(al, works ? 0xdf : 0xdd).out(0x64, al)

async function run(image: object): Promise<readonly number[]> {
  const seen: number[] = []
  const pc = await createPc({
    ...SMALL,
    ...image,
    devices: [
      new DebugConsole({ iobase: 0xe9, stream: { send: (bytes) => void seen.push(...bytes) } }),
      new DebugExit({ iobase: 0x501 }),
    ],
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  pc.close()
  return seen
}

const leave = (asm: Assembler): Assembler => asm.mov(dx, imm16(0x501)).mov(al, 0).out(dx, al).hlt()

describe.each([{ jit: false }, { jit: { threshold: 1 } }])('with jit $jit', ({ jit }) => {
  test.each([
    ['port 92h', port92],
    ['the output port of the keyboard controller', outputPort],
    ['commands of the keyboard controller', command],
  ] as const)('real mode by %s wraps and does not, as it is switched', async (_what, set) => {
    const firmware = firmwareImage((asm) => {
      const show = (segment: number, offset: number): void => {
        asm.mov(ax, segment).mov(ds, ax).mov(al, byte(offset)).out(0xe9, al)
      }
      // A far jump below 1 MiB: at the top of 4 GiB, line 20 is high.
      asm.db(0xea, 5, 0, 0, 0xf0)
      // 0:1000h and FFFF:1010h, which is 101000h.
      asm.mov(ax, 0).mov(ds, ax).mov(byte(0x1000), 0x11)
      asm.mov(ax, 0xffff).mov(ds, ax).mov(byte(0x1010), 0x22)
      show(0, 0x1000)
      set(asm, false)
      show(0xffff, 0x1010)
      asm.mov(byte(0x1010), 0x33)
      set(asm, true)
      show(0xffff, 0x1010)
      show(0, 0x1000)
      leave(asm)
    })
    expect(await run({ firmware, jit })).toEqual([0x11, 0x11, 0x22, 0x33])
  })

  test('a loop above 1 MiB that switches the line goes on with the code below, and back', async () => {
    // The same program lies at both places, and shows an own letter at each: 100 rounds are hot code.
    const kernel = multibootKernel((asm) => {
      const place = (gpa: number, letter: number): void => {
        const code = [
          ...[0xb0, letter, 0xe6, 0xe9], // mov al, letter; out E9h, al
          ...[0x34, 0x00, 0x89, 0xd8, 0x83, 0xf3, 0x02, 0xe6, 0x92], // xor al, 0; mov eax, ebx; xor ebx, 2; out 92h, al
          ...[0xe2, 0xf1], // loop to the beginning
          ...[0xb0, 0x00, 0x66, 0xba, 0x01, 0x05, 0xee, 0xf4], // leave
        ]
        for (const [i, value] of code.entries()) asm.mov(byte(gpa + i), value)
      }
      place(0x10_8000 + MIB * 2, 0x41)
      place(0x8000 + MIB * 2, 0x42)
      asm.xor(eax, eax).db(0x31, 0xdb)
      asm.mov(ecx, imm32(101)).mov(eax, imm32(0x30_8000)).jmp(eax)
    })
    const seen = await run({ kernel, jit })
    expect(seen).toEqual(Array.from({ length: 101 }, (_, i) => (i % 2 === 0 ? 0x41 : 0x42)))
  })

  test('page tables in an odd MiB are read from the even one below', async () => {
    const kernel = multibootKernel((asm) => {
      // Two directories with 4 MiB pages: the upper one, at 3 MiB, maps 800000h to 400000h, the lower one to C00000h.
      for (const [directory, target] of [
        [0x30_0000, 0x40_0000],
        [0x20_0000, 0xc0_0000],
      ] as const) {
        asm.mov(dword(directory), imm32(0x83)).mov(dword(directory + 8), imm32(target + 0x83))
      }
      asm.mov(byte(0x40_0000), 0x55).mov(byte(0xc0_0000), 0x66)
      // CR4.PSE
      asm.db(0x0f, 0x20, 0xe0).db(0x83, 0xc8, 0x10).db(0x0f, 0x22, 0xe0)
      asm.mov(eax, imm32(0x30_0000)).mov(cr3, eax)
      asm.mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)
      asm.mov(al, byte(0x80_0000)).out(0xe9, al)
      // The code goes on in an even MiB: here it lies in the odd one at 1 MiB, of which a copy is made at 0.
      asm.mov(eax, imm32(0)).db(0xbe).dd(0x10_0000).db(0xbf).dd(0).mov(ecx, imm32(0x1000)).cld().rep().movsb()
      port92(asm, false)
      asm.mov(al, byte(0x80_0000)).out(0xe9, al)
      port92(asm, true)
      leave(asm)
    })
    expect(await run({ kernel, jit })).toEqual([0x55, 0x66])
  })
})

test.each([true, false])('the line is saved and restored as what set it last has it: %s', async (works) => {
  const firmware = firmwareImage((asm) => {
    // A far jump below 1 MiB: at the top of 4 GiB, line 20 is high.
    asm.db(0xea, 5, 0, 0, 0xf0)
    port92(asm, !works)
    command(asm, works)
    leave(asm)
  })
  const create = () => createPc({ ...SMALL, firmware, devices: [new DebugExit({ iobase: 0x501 })] })
  const [one, other] = [await create(), await create()]
  expect(await one.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  expect(one.domain.a20).toBe(works)
  other.domain.a20 = !works
  ;(await other.domain.restoreDevices(await one.domain.saveDevices(1000))).end()
  expect(other.domain.a20).toBe(works)
  one.close()
  other.close()
})
