import { describe, expect, test } from 'vitest'
import { kaslrCommand } from '../src/linux-commands.ts'
import { linuxCommands, type LinuxMemory, linuxSymbols } from '../src/index.ts'
import { tables } from './kallsyms-tables.ts'

/** A type of RAM. */
const RAM = 1

/** A machine whose second frame and those behind it hold some bytes, in the guest's map elsewhere, or turned round. */
function machineWith(bytes: Uint8Array, isTurned = false): LinuxMemory {
  const frames = Math.ceil(bytes.length / 4096)
  const u8 = new Uint8Array((frames + 1) * 4096)
  for (let i = 0; i < frames; i++)
    u8.set(bytes.subarray(4096 * i, 4096 * (i + 1)), 4096 * (isTurned ? frames - i : 1 + i))
  const leaves = Array.from({ length: frames }, (_, i) => ({ gfn: 0x100 + i, order: 0, mfn: 1 + i, type: RAM }))
  const p2m = { isRam: (type: number) => type === RAM, leaves: () => leaves }
  const secondLevel = { peek: (gpa: number) => (isTurned ? (0x100 + frames) * 4096 - gpa : gpa - 0xff * 4096) }
  return { memory: { u8 }, domain: { p2m, secondLevel } }
}

/** The tables of a kernel whose code begins somewhere. */
function kernelAt(text: bigint, bits: 32 | 64): Uint8Array {
  const symbols = Array.from({ length: 1200 }, (_, i) => ({
    type: 'T',
    name: i === 0 ? '_stext' : `function_${i}`,
    address: text + BigInt(16 * i),
  }))
  return tables({ bits, addresses: 'before', base: text, perCpu: false, symbols })
}

const answer = (bytes: Uint8Array): unknown => kaslrCommand(() => machineWith(bytes)).run(0, [])

describe('monitor kaslr', () => {
  test.each([
    ['x86-64, moved', 0xffff_ffff_a360_0000n, 64, '0x22600000'],
    ['x86-64, where it was linked', 0xffff_ffff_8100_0000n, 64, '0x0'],
    ['x86-64, linked lower', 0xffff_ffff_8020_0000n, 64, '-0xe00000'],
    ['i386', 0xc1c0_0000n, 32, '0xc00000'],
  ] as const)('%s', (_name, text, bits, offset) => {
    expect(answer(kernelAt(text, bits))).toBe(
      `_stext is at 0x${text.toString(16)}, ${offset} from where it was linked: symbol-file -o ${offset} vmlinux\n`,
    )
  })

  test('arm64: gdb takes the place where it was linked from the file', () => {
    expect(answer(kernelAt(0xffff_ba5c_1580_0000n, 64))).toBe(
      '_stext is at 0xffffba5c15800000: file vmlinux, then symbol-file -o 0xffffba5c15800000-(long)&_stext vmlinux\n',
    )
  })

  test('a kernel whose frames lie scattered in machine memory', () => {
    const kernel = kernelAt(0xffff_ffff_a360_0000n, 64)
    const scattered = machineWith(kernel, true)
    expect(linuxSymbols(scattered)).toEqual(linuxSymbols(machineWith(kernel)))
    expect(kaslrCommand(() => scattered).run(0, [])).toContain('0x22600000 from where it was linked')
  })

  test('no kernel', () => {
    expect(answer(new Uint8Array(10_000))).toContain('There is no Linux in memory')
    expect(
      kaslrCommand(() => ({ ...machineWith(new Uint8Array(1)), memory: { u8: new Uint8Array(0) } })).run(0, []),
    ).toContain('There is no Linux')
  })
})

test.each([
  ['none', new Uint8Array(10_000), 'Linux in memory: there is none that has its table of symbols (CONFIG_KALLSYMS)\n'],
  [
    'one for arm64',
    kernelAt(0xffff_ba5c_1580_0000n, 64),
    'this Linux cannot be read: its code is at 0xffffba5c15800000; expected a kernel for x86-64\n',
  ],
  [
    'one without symbols of data',
    kernelAt(0xffff_ffff_a360_0000n, 64),
    'Linux in memory: its table of symbols does not have linux_banner (CONFIG_KALLSYMS_ALL)\n',
  ],
])('commands about a kernel that cannot be read: %s', (_name, bytes, sentence) => {
  const commands = linuxCommands(() => machineWith(bytes)).filter(({ usage }) => usage !== 'kaslr')
  expect(commands.map((command) => command.run(0, []))).toEqual(commands.map(() => sentence))
  expect(commands).toHaveLength(3)
})
