import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { hasQemu, outputHere, outputOnQemu } from '../system/differential/run.ts'
import { probeImage, probeRecords } from './probes.ts'
import type { Probe, ProbeMode } from './probes.ts'

const test = sliceTests(4)

const available = hasQemu()
if (!available) console.warn('SKIPPED: comparing processor models with QEMU needs qemu-system-x86_64')

const INSTRUCTIONS: readonly Probe[] = [
  { name: 'SYSCALL', bytes: [0x0f, 0x05] },
  { name: 'SYSENTER', bytes: [0x0f, 0x34] },
  { name: 'SYSEXIT', bytes: [0x0f, 0x35] },
  { name: 'CMOVNE', bytes: [0x0f, 0x45, 0xc1] },
  { name: 'FCMOVE', bytes: [0xda, 0xc9] },
  { name: 'RDTSCP', bytes: [0x0f, 0x01, 0xf9, 0x31, 0xc0, 0x31, 0xc9] },
  { name: 'CMPXCHG8B', bytes: [0x0f, 0xc7, 0x0e] },
  { name: 'EMMS', bytes: [0x0f, 0x77] },
  { name: 'SFENCE', bytes: [0x0f, 0xae, 0xf8] },
  { name: 'MFENCE', bytes: [0x0f, 0xae, 0xf0] },
  { name: 'CLFLUSH', bytes: [0x0f, 0xae, 0x3e] },
  { name: 'POPCNT', bytes: [0xf3, 0x0f, 0xb8, 0xc1] },
  { name: 'LZCNT or BSR', bytes: [0xf3, 0x0f, 0xbd, 0xc1] },
  { name: 'TZCNT or BSF', bytes: [0xf3, 0x0f, 0xbc, 0xc1] },
  { name: 'MOVBE', bytes: [0x0f, 0x38, 0xf0, 0x06] },
  { name: 'CRC32', bytes: [0xf2, 0x0f, 0x38, 0xf1, 0xc1] },
  { name: 'ADCX', bytes: [0x66, 0x0f, 0x38, 0xf6, 0xc1] },
  { name: 'XGETBV', bytes: [0x0f, 0x01, 0xd0], ecx: 0 },
  { name: 'RDPKRU', bytes: [0x0f, 0x01, 0xee], ecx: 0 },
  { name: 'CLAC', bytes: [0x0f, 0x01, 0xca] },
  { name: 'RDRAND', bytes: [0x0f, 0xc7, 0xf0, 0x31, 0xc0] },
  { name: 'UD2', bytes: [0x0f, 0x0b] },
]
const LONG: readonly Probe[] = [
  { name: 'CMPXCHG16B', bytes: [0x48, 0x0f, 0xc7, 0x0e] },
  { name: 'RDFSBASE', bytes: [0xf3, 0x0f, 0xae, 0xc0] },
  { name: 'LAHF', bytes: [0x9f, 0x31, 0xc0] },
]
/** CR4: every bit that either has; bit 17 is refused for another reason, and in long mode PAE is set as well. */
const CONTROL: readonly Probe[] = [2, 3, 4, 7, 9, 10, 11, 12, 16, 18, 20, 21, 22, 24].map((bit) => ({
  name: `CR4 bit ${bit}`,
  bytes: [0x0f, 0x22, 0xe0],
  eax: (1 << bit) | 0x20,
}))
/**
 * What every processor here has. QEMU 7.2 does not come back from a MOV to CR4 of a bit that its model lacks, so that the
 * other bits are tried with `max` alone, and not in compatibility mode.
 */
const CR4_OF_ALL = /^CR4 bit [234]$/
/** SMEP and SMAP: in long mode the program lies in users' pages. */
const KEPT_FROM_USER_PAGES = /^CR4 bit (20|21)$/
const EFER: readonly Probe[] = [0, 11].map((bit) => ({
  name: `EFER bit ${bit}`,
  bytes: [0x0f, 0x32, 0x0d, (1 << bit) & 0xff, (1 << bit) >>> 8, 0, 0, 0x0f, 0x30],
  ecx: 0xc000_0080,
}))

/** Whether a bit of CR4 is tried. */
function tried(name: string, ours: string, mode: ProbeMode): boolean {
  if (!ours.startsWith('max') || mode === 'compatibility') return CR4_OF_ALL.test(name)
  return mode === '32-bit' || !KEPT_FROM_USER_PAGES.test(name)
}

/** Both processors, and what of a comparison says nothing, with the reason. */
interface Pair {
  readonly ours: string
  readonly theirs: string
  readonly modes: readonly ProbeMode[]
  readonly syscall: boolean
  readonly sysenter: boolean
  readonly ignored: RegExp
}

const EVERY: readonly ProbeMode[] = ['32-bit', 'compatibility', '64-bit']
/** QEMU 7.2 has SYSCALL in 32-bit code whoever makes the processor; SDM vol. 2B, SYSCALL: "#UD". */
const INTEL = /^SYSCALL (32-bit|compatibility)$/
/** QEMU 7.2 has SYSENTER in compatibility mode on AMD's processors; APM vol. 3, SYSENTER: not in long mode. */
const AMD = /^(SYSENTER|SYSEXIT) compatibility$/
/** QEMU 7.2 has SYSENTER and MMX on every processor, and takes any bit of CR4. */
const OLD = /^(SYSENTER|SYSEXIT|EMMS|CR4 .*) /

const PAIRS: readonly Pair[] = [
  { ours: 'pentium', theirs: 'pentium,-mmx', modes: ['32-bit'], syscall: false, sysenter: false, ignored: OLD },
  { ours: 'core2', theirs: 'Penryn', modes: EVERY, syscall: true, sysenter: true, ignored: INTEL },
  { ours: 'opteron', theirs: 'Opteron_G2,+rdtscp', modes: EVERY, syscall: true, sysenter: true, ignored: AMD },
  {
    ...{ ours: 'max,vendor=amd,+la57', theirs: 'max,vendor=AuthenticAMD' },
    ...{ modes: EVERY, syscall: true, sysenter: true, ignored: AMD },
  },
  {
    ...{ ours: 'max,+la57', theirs: 'max,vendor=GenuineIntel' },
    ...{ modes: EVERY, syscall: true, sysenter: true, ignored: INTEL },
  },
]

describe.skipIf(!available)('models end as on QEMU', () => {
  for (const { ours, theirs, modes, syscall, sysenter, ignored } of PAIRS) {
    test.each(modes)(`${ours} and ${theirs}, %s`, { timeout: 60_000 }, (mode) => {
      const control = CONTROL.filter(({ name }) => tried(name, ours, mode))
      const probes = [...INSTRUCTIONS, ...(mode === '64-bit' ? LONG : []), ...control, ...(syscall ? EFER : [])]
      const program = probeImage({ mode, syscall, sysenter }, probes)
      const here = probeRecords(outputHere(program, { cpu: ours }))
      const there = probeRecords(outputOnQemu(program, theirs))
      expect([here.length, there.length]).toEqual([probes.length, probes.length])
      const differences = probes.flatMap(({ name }, i) =>
        JSON.stringify(here[i]) === JSON.stringify(there[i]) || ignored.test(`${name} ${mode}`)
          ? []
          : [`${name}: ${JSON.stringify(here[i])}, on QEMU ${JSON.stringify(there[i])}`],
      )
      expect(differences).toEqual([])
    })
  }
})
