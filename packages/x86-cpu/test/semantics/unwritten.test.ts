/**
 * Instructions whose 32-bit register destination may stay unwritten, in 64-bit code: the upper half tells. Each case is executed
 * here several times, so that it is compiled in the end, and by the host's CPU.
 */
import { EAGER_JIT } from '@retrap/tooling/jit'
import { expect, test } from 'vitest'
import { hostNote } from './families.ts'
import * as L from './layout.ts'
import { TestMachine } from './machine.ts'
import { nativeCpu } from './native.ts'
import { quadOf } from './observation.ts'

const [RAX, RCX, RDX, RBX] = [0, 1, 2, 3] as const
const OLD = 0xaaaa_aaaa_bbbb_bbbbn
/** {@link OLD} after a write of the lower half to itself. */
const WRITTEN = 0xbbbb_bbbbn
const TIMES = 4
const SLOT = 16

/** EDX is the destination, and holds OLD; RAX, RCX and RBX. */
const CASES: readonly (readonly [name: string, code: readonly number[], rcx: bigint, rdx: bigint, rax?: bigint])[] = [
  ['CMPXCHG that fails', [0x0f, 0xb1, 0xca], 1n, OLD, WRITTEN],
  ['CMPXCHG r16 that fails', [0x66, 0x0f, 0xb1, 0xca], 1n, OLD, 0x5555_5555_5555_bbbbn],
  [
    'CMPXCHG that succeeds',
    [0x3d, 0x55, 0x55, 0x55, 0x55, 0x0f, 0xb1, 0xc8],
    0x7777_7777_1111_1111n,
    OLD,
    0x1111_1111n,
  ],
  ['CMOVcc that is not taken', [0x39, 0xc0, 0x0f, 0x45, 0xd1], 1n, WRITTEN],
  ['BSF of zero', [0x0f, 0xbc, 0xd1], 0xffff_ffff_0000_0000n, OLD],
  ['BSR of zero', [0x0f, 0xbd, 0xd1], 0xffff_ffff_0000_0000n, OLD],
  ['SHLD by 0', [0x0f, 0xa4, 0xda, 0x20], 1n, WRITTEN],
  ['SHRD by CL of 0', [0x0f, 0xad, 0xda], 0x20n, WRITTEN],
  ['SHL by 0', [0xc1, 0xe2, 0x20], 1n, WRITTEN],
  ['SAR by CL of 0', [0xd3, 0xfa], 0n, WRITTEN],
  ['ROL by 0', [0xc1, 0xc2, 0], 1n, WRITTEN],
  ['RCL by 0', [0xc1, 0xd2, 0], 1n, WRITTEN],
  ['RCR by CL of 0', [0xd3, 0xda], 0x20n, WRITTEN],
  ['LSL of a null selector', [0x0f, 0x03, 0xd1], 0n, OLD],
  ['LAR of a null selector', [0x0f, 0x02, 0xd1], 0n, OLD],
  ['VERR of a null selector', [0x0f, 0x00, 0xe2], 1n, OLD],
  ['XADD of zero', [0x0f, 0xc1, 0xca], 0n, WRITTEN],
]
// CMPXCHG8B that fails writes both halves of what it found: here 0, at RSP.
const PAIR = ['CMPXCHG8B that fails', [0x0f, 0xc7, 0x0c, 0x24], 1n, 0n, 0n] as const

const all = [...CASES, PAIR]
const code = new Uint8Array(SLOT * all.length).fill(0xcc)
const cases = new Uint8Array(L.IN_BYTES * all.length * TIMES)
for (const [i, [, bytes, rcx]] of all.entries()) {
  code.set(bytes, SLOT * i)
  for (let time = 0; time < TIMES; time++) {
    const view = new DataView(cases.buffer, L.IN_BYTES * (TIMES * i + time), L.IN_BYTES)
    view.setUint32(L.IN_RIP, L.CODE + SLOT * i, true)
    view.setUint32(L.IN_CS, L.CS_64 | (L.USER_DATA << 16), true)
    view.setUint32(L.IN_RFLAGS, 0x202, true)
    for (const [register, value] of [
      [RAX, 0x5555_5555_5555_5555n],
      [RCX, rcx],
      [RDX, OLD],
      [RBX, 1n],
      [4, 0x1000_0f80n],
    ] as const)
      view.setBigUint64(L.IN_GPR + 8 * register, value, true)
    view.setUint16(L.IN_FX, 0x37f, true)
    view.setUint32(L.IN_FX + 24, 0x1f80, true)
  }
}
const batch = { code, count: all.length * TIMES, cases }
const native = nativeCpu()
const machine = new TestMachine(EAGER_JIT)
const processors = [
  ['ours', () => machine.run(batch)],
  [`the host's`, () => (native as Exclude<typeof native, string>).run(batch)],
] as const

test.each(processors)(`%s leaves or clears the upper half of a destination${hostNote(native)}`, (name, run) => {
  if (name !== 'ours' && typeof native === 'string') return
  const results = run()
  const found = all.flatMap(([title], i) =>
    Array.from({ length: TIMES }, (_, time) => {
      const result = results.subarray(L.OUT_BYTES * (TIMES * i + time), L.OUT_BYTES * (TIMES * i + time + 1))
      return [title, quadOf(result, L.OUT_GPR + 8 * RDX), quadOf(result, L.OUT_GPR + 8 * RAX)] as const
    }),
  )
  const wanted = all.flatMap(([title, , , rdx, rax = 0x5555_5555_5555_5555n]) =>
    Array.from({ length: TIMES }, () => [title, rdx, rax] as const),
  )
  expect(found).toEqual(wanted)
  if (name === 'ours') expect(machine.vcpu.engine.jitCounts!.executed).toBeGreaterThan(CASES.length)
})
