// A payload of ours, whose SMI handler relocates, counts and changes what is saved: from every mode, here and on QEMU.
import { describe, expect, test } from 'vitest'
import { S_SMBASE } from '../src/state/system-state.ts'
import { hasQemu, outputHere, outputOnQemu } from './system/differential/run.ts'
import { ADDED, AREA_BYTES, FIRST_BASE, MODES, SECOND_BASE, SMI_PORT, program } from './smm-qemu/program.ts'

const available = hasQemu()
if (!available) console.warn('SKIPPED: comparing system-management mode with QEMU needs qemu-system-x86_64')

/** Fields of AMD64's map, which QEMU has as well: offset from SMBASE, bytes, name. */
const FIELDS: readonly (readonly [at: number, bytes: number, name: string])[] = [
  ...['es', 'cs', 'ss', 'ds', 'fs', 'gs'].flatMap((name, i) => segment(0xfe00 + 16 * i, name)),
  [0xfe64, 2, 'gdtr limit'],
  [0xfe68, 8, 'gdtr base'],
  [0xfe70, 2, 'ldtr selector'],
  [0xfe84, 2, 'idtr limit'],
  [0xfe88, 8, 'idtr base'],
  ...segment(0xfe90, 'tr'),
  [0xfed0, 8, 'efer'],
  [0xff00, 4, 'smbase'],
  [0xff48, 8, 'cr4'],
  [0xff50, 8, 'cr3'],
  [0xff58, 8, 'cr0'],
  [0xff60, 8, 'dr7'],
  [0xff68, 8, 'dr6'],
  [0xff70, 8, 'rflags'],
  ...['r15', 'r14', 'r13', 'r12', 'r11', 'r10', 'r9', 'r8'].map((name, i) => [0xff80 + 8 * i, 8, name] as const),
  ...['rdi', 'rsi', 'rbp', 'rsp', 'rbx', 'rdx', 'rcx', 'rax'].map((name, i) => [0xffc0 + 8 * i, 8, name] as const),
]

function segment(at: number, name: string): (readonly [number, number, string])[] {
  return [
    [at, 2, `${name} selector`],
    [at + 2, 2, `${name} attributes`],
    [at + 4, 4, `${name} limit`],
    [at + 8, 8, `${name} base`],
  ]
}

type Area = Record<string, string>

/**
 * QEMU's LTR sets the busy bit of the descriptor in memory, but not that of TR. SDM vol. 3C, "Checks on Guest Segment Registers", of a
 * 64-bit guest: the type of TR is 11, a busy TSS.
 */
function isIdleTask(name: string, ours: Area, theirs: Area): boolean {
  return name === 'tr attributes' && ours[name] === '008b' && theirs[name] === '0089'
}

function areas(output: Uint8Array): Area[] {
  return Array.from({ length: 2 * MODES.length }, (_, i) =>
    Object.fromEntries(
      FIELDS.map(([at, bytes, name]) => {
        const from = i * AREA_BYTES + at - 0xfe00
        return [name, Buffer.from(output.subarray(from, from + bytes).toReversed()).toString('hex')]
      }),
    ),
  )
}

const here = (): Area[] =>
  areas(
    outputHere(program(), { cpu: 'max,vendor=amd' }, (pc) => {
      pc.host.ports.set(SMI_PORT, { read: () => 0n, write: () => (pc.cpu.smi(), true) })
      pc.cpu.u32[S_SMBASE >>> 2] = FIRST_BASE
    }),
  )

describe('a payload with an SMI handler', () => {
  test('finds its registers again in every mode, with what the handler has changed', () => {
    const seen = here()
    for (const [i, mode] of MODES.entries()) {
      const [first, second] = [seen[2 * i]!, seen[2 * i + 1]!]
      const changed = {
        rax: (BigInt(`0x${first['rax']}`) + BigInt(ADDED)).toString(16).padStart(16, '0'),
        rflags: (BigInt(`0x${first['rflags']}`) | 1n).toString(16).padStart(16, '0'),
      }
      const moved = mode === '64-bit' ? { smbase: SECOND_BASE.toString(16).padStart(8, '0') } : {}
      expect(second, mode).toEqual({ ...first, ...changed, ...moved })
    }
  })

  test.skipIf(!available)('saves as QEMU does, in every mode', { timeout: 60_000 }, () => {
    const ours = here()
    const theirs = areas(outputOnQemu(program()))
    const differences = ours.flatMap((area, i) =>
      FIELDS.filter(([, , name]) => area[name] !== theirs[i]![name] && !isIdleTask(name, area, theirs[i]!)).map(
        ([, , name]) => `SMI ${i}, ${MODES[i >> 1]}: ${name} ${area[name]}, on QEMU ${theirs[i]![name]}`,
      ),
    )
    expect(differences).toEqual([])
  })
})
