/** The embedded guest: all that it prints on a machine of ours, and the tables in its image. */
import { createPc } from '@retrap/machine'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { buildGuestImage } from '../src/index.ts'

const IMAGE = buildGuestImage()
const VIEW = new DataView(IMAGE.buffer, IMAGE.byteOffset, IMAGE.length)
const BASE = 0xf_0000

/**
 * Where firmware places the power-management block, as words of configuration space: of PIIX4 (Intel 290562, "PMBA",
 * "PMREGMISC"), and of ICH9 (Intel 316972, "PMBASE", "ACPI_CNTL").
 */
const PLACED = {
  pc: [
    { register: 0x0b40, word: 0x601 },
    { register: 0x0b80, word: 1 },
  ],
  q35: [
    { register: 0xf840, word: 0x601 },
    { register: 0xf844, word: 0x80 },
  ],
}

/** Of those that boot the guest, with an interpreter. */
const booted = sliceTests(4)

/** Runs the guest, typing a line whenever it prompts. @returns what it prints, from a text on */
async function printed(
  lines: readonly string[],
  from: string,
  { cpu = 'max', board = 'pc' }: { readonly cpu?: string; readonly board?: keyof typeof PLACED } = {},
): Promise<string> {
  const pc = await createPc({
    cpu,
    machine: board,
    firmware: IMAGE.slice(),
    memoryBytes: 256 << 20,
    cpus: 2,
    clock: 'deterministic',
    codeCacheBytes: 4 << 20,
    jit: false,
  })
  let text = ''
  const left = [...lines]
  pc.serial.onTransmit((bytes) => {
    text += String.fromCharCode(...bytes)
    const line = text.endsWith('retrap> ') ? left.shift() : undefined
    if (line !== undefined) pc.serial.receive(Uint8Array.from(line, (character) => character.charCodeAt(0)))
  })
  const exit = await pc.run({ timeoutMs: 110_000 })
  expect([exit.reason, left]).toEqual(['power-off', []])
  const { dispatch } = pc.domain
  for (const { register, word } of PLACED[board]) {
    dispatch.portWrite(0xcf8, 4, 0x8000_0000 + register)
    dispatch.portRead(0xcfc, 4)
    expect([register, dispatch.lo]).toEqual([register, word])
  }
  // A terminal begins a line at its left edge only where each line feed has a carriage return before it.
  expect(text.match(/.*(?<!\r)\n/g)).toBeNull()
  return text.slice(text.indexOf(from)).replaceAll('\r', '').trimEnd()
}

/** Names of features as Linux prints them (arch/x86/include/asm/cpufeatures.h), by the bits of SDM vol. 2A, "CPUID". */
const PROCESSOR = `Processor
  vendor      GenuineIntel
  brand       retrap virtual x86-64 processor
  family      6 model 44 stepping 2
  addresses   40 bits physical, 48 linear
  processors  2
  hypervisor  
  features    fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat
              pse36 clflush mmx fxsr sse sse2 ht sse3 pclmulqdq monitor ssse3
              fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline aes
              xsave avx f16c rdrand hypervisor fsgsbase tsc_adjust bmi1 avx2 smep
              bmi2 erms invpcid rdseed adx smap clflushopt clwb sha umip pku syscall
              nx pdpe1gb rdtscp lm lahf_lm abm 3dnowprefetch constant_tsc
`
/** Without a leaf 7. */
const CORE2 = `Processor
  vendor      GenuineIntel
  brand       retrap virtual Core 2 processor
  family      6 model 23 stepping 6
  addresses   36 bits physical, 48 linear
  processors  2
  hypervisor  
  features    fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat
              pse36 clflush mmx fxsr sse sse2 ht sse3 monitor ssse3 cx16 sse4_1
              hypervisor syscall nx lm lahf_lm
`
const MEMORY = `Memory         256 MiB of RAM
  0000000000-000009ffff      640 KiB  RAM
  00000f0000-00000fffff       64 KiB  firmware
  0000100000-000fffffff      255 MiB  RAM
  00fec00000-00fec00fff        4 KiB  I/O APIC
  00fed00000-00fed003ff        1 KiB  HPET
  00fee00000-00fee00fff        4 KiB  local APIC
  00ffff0000-00ffffffff       64 KiB  firmware
`
const DEVICES = `PCI
  00:00.0  8086:1237  class 0600  bridge
  00:01.0  8086:7000  class 0601  bridge
  00:01.3  8086:7113  class 0680  bridge
Devices
  local APIC        version 14
  I/O APIC          version 20
  HPET              present
  ACPI PM timer     present
`
/** How long a count takes depends on how many instructions it is. */
const CLOCKS = `Date  2026-01-01 00:00:00 UTC
Clocks, counted over 10 ms of the PIT
  TSC               1000.0__ MHz
  local APIC timer  1000.0__ MHz
  HPET              100.00_ MHz
  ACPI PM timer     3.580 MHz
`

booted('prints what the machine has, and memory as it is asked for', async () => {
  const bytes = Array.from({ length: 4 }, (_, line) => {
    const words = Array.from({ length: 4 }, (_each, i) => VIEW.getUint32(16 * line + 4 * i, true))
    return `  000f00${line}0  ${words.map((word) => word.toString(16).padStart(8, '0')).join(' ')}\n`
  })
  const text = await printed(
    ['memory F0000\n', 'echo  a  b \r\n', 'devices\r', 'x\btimer\n', 'memory  \n', 'no\x15\x7foff\n'],
    'Processor',
  )
  expect(text.replaceAll(/1000\.0\d\d/g, '1000.0__').replaceAll(/100\.00\d/g, '100.00_')).toBe(
    `${PROCESSOR}${MEMORY}${DEVICES}${CLOCKS}
Type help for the commands.
retrap> memory F0000
${bytes.join('')}retrap> echo  a  b \na  b \nretrap> devices
${DEVICES}retrap> x\b \btimer
${CLOCKS}retrap> memory  
${MEMORY}retrap> no\b \b\b \boff
Power off.`,
  )
})

booted(
  'Ctrl-C gives a line up, what is beyond 127 characters is not taken, and Ctrl-D ends an empty line alone',
  async () => {
    const lines = ['echo no\x03', `${'x'.repeat(200)}\n`, 'echo\x04 yes\n', '\x04']
    const text = await printed(lines, 'Processor', { cpu: 'core2' })
    const most = 'x'.repeat(127)
    expect(text.slice(0, text.indexOf('Memory'))).toBe(CORE2)
    expect(text.slice(text.indexOf('retrap> '))).toBe(`retrap> echo no^C
retrap> ${most}
There is no command ${most}; try help.
retrap> echo yes
yes
retrap> 
Power off.`)
  },
)

// SDM vol. 3A, "APIC Timer": vector 255 with the mask set, the clock divided by 1, and as long a count as there is.
booted('has the timer of the local APIC run down without an interrupt', async () => {
  const lines = ['memory FEE00320\n', 'memory FEE00380\n', 'memory FEE003E0\n', 'off\n']
  const text = await printed(lines, 'retrap> ', { board: 'q35' })
  const words = Array.from(text.matchAll(/^ {2}fee00(\w\w)0 {2}(\w{8})/gm), ([, register, word]) => [register, word])
  expect(words.filter(([register]) => ['32', '38', '3e'].includes(register!))).toEqual([
    ['32', '000100ff'],
    ['38', 'ffffffff'],
    ['3e', '0000000b'],
  ])
})

/** The text at an address of the image. */
function textAt(address: number): string {
  const start = address - BASE
  return String.fromCharCode(...IMAGE.subarray(start, IMAGE.indexOf(0, start)))
}

describe('the tables of exceptions (SDM vol. 3A, "Exception and Interrupt Reference")', () => {
  /** Vectors with the mnemonics of their exceptions, and those that push an error code. */
  const MNEMONICS: Readonly<Record<number, string>> = {
    ...{ 0: '#DE', 1: '#DB', 2: 'interrupt', 3: '#BP', 4: '#OF', 5: '#BR', 6: '#UD', 7: '#NM', 8: '#DF', 10: '#TS' },
    ...{ 11: '#NP', 12: '#SS', 13: '#GP', 14: '#PF', 16: '#MF', 17: '#AC', 18: '#MC', 19: '#XM', 21: '#CP' },
  }
  const WITH_ERROR_CODE = [8, 10, 11, 12, 13, 14, 17, 21]

  /** Offset in the image of the descriptor table: 256 gates with the selector of 64-bit code, present, of type 14. */
  const tables: number[] = []
  for (let at = 0; at + 4096 <= IMAGE.length; at += 16) {
    const gates = Array.from({ length: 256 }, (_, vector) => VIEW.getUint32(at + 16 * vector + 2, true))
    if (gates.every((gate) => (gate & 0xffff) === 0x18 && gate >>> 16 === 0x8e00)) tables.push(at)
  }
  const [table = 0] = tables
  const handlers = Array.from({ length: 256 }, (_, vector) => {
    const gate = table + 16 * vector
    expect([VIEW.getUint32(gate + 8, true), VIEW.getUint32(gate + 12, true)]).toEqual([0, 0])
    return VIEW.getUint16(gate, true) | (VIEW.getUint16(gate + 6, true) << 16)
  })

  test('one table has a gate for each vector; those of exceptions and of COM1 have handlers of their own', () => {
    expect(tables).toHaveLength(1)
    // Another vector is acknowledged and forgotten.
    const rest = new Set(handlers.filter((_, vector) => vector >= 32 && vector !== 0x40))
    expect([new Set(handlers).size, rest.size]).toEqual([34, 1])
    for (const handler of handlers) expect(handler >= BASE && handler < BASE + IMAGE.length).toBe(true)
  })

  test.each(Array.from({ length: 32 }, (_, vector) => vector))('vector %i brings the stack to one shape', (vector) => {
    const code = IMAGE.subarray(handlers[vector]! - BASE)
    // PUSH imm8, sign-extended to 64 bits.
    const shape = WITH_ERROR_CODE.includes(vector) ? [0x6a, vector] : [0x6a, 0, 0x6a, vector]
    expect([...code.subarray(0, shape.length)]).toEqual(shape)
    const jump = code.subarray(shape.length)
    const near = new DataView(jump.buffer, jump.byteOffset)
    const [bytes, distance] = jump[0] === 0xeb ? [2, near.getInt8(1)] : [5, near.getInt32(1, true)]
    expect(jump[0] === 0xeb || jump[0] === 0xe9).toBe(true)
    const last = IMAGE.subarray(handlers[31]! - BASE)
    // The code behind the last one is common to all.
    const common = handlers[31]! + 4 + (last[4] === 0xeb ? 2 : 5)
    expect(handlers[vector]! + shape.length + bytes + distance).toBe(common)
  })

  test('each has its name', () => {
    const first = BASE + Buffer.from(IMAGE).indexOf('divide error (#DE)\0')
    const names: string[][] = []
    for (let at = 0; at + 256 <= IMAGE.length; at += 8) {
      if (VIEW.getBigUint64(at, true) !== BigInt(first)) continue
      names.push(Array.from({ length: 32 }, (_, vector) => textAt(VIEW.getUint32(at + 8 * vector, true))))
    }
    expect(names).toHaveLength(1)
    for (const [vector, name] of names[0]!.entries())
      expect([vector, name]).toEqual([vector, expect.stringContaining(MNEMONICS[vector] ?? 'reserved')])
  })
})
